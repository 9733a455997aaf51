"""A small simulated transcriptome: a genome with its GTF, and tables of targets that can be learnt."""

from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.files import folder_aside
from genestill.core.sequences import reverse_complement, write_fasta
from genestill.core.tables import write_tsv

BASES = np.array(list("ACGT"))
STOP_CODONS = {"TAA", "TAG", "TGA"}


def write_transcriptome(folder: str | Path, genes: int, seed: int) -> None:
    """Write genome.fna.gz, annotation.gtf, tasks.tsv, coding.fna.gz and noncoding.fna.gz into ``folder``.

    The genes of the genome and those of the task tables are from the same families (some rows are mutated copies of
    genes of the genome), so that there are relatives to leave out. tasks.tsv: id, gene, chromosome, cds_start,
    cds_end, exon_sizes, sequence, stability (a smooth function of codon bias and of the 3' end, with noise), membrane
    and secreted (0 or 1).

    Args:
        folder: the folder to write.
        genes: number of genes in the genome, and also in the tables.
        seed: equal seeds give identical files.
    """
    generator = np.random.default_rng(seed)
    with folder_aside(folder) as place:
        contigs: dict[str, str] = {}
        lines = []
        copies = []
        for number in range(genes):
            contig = f"chr{number % 5 + 1}"
            gene = _gene(generator)
            if number % 8 == 0:
                copies.append(gene)
            sequence = contigs.get(contig, "") + _random(generator, 60, 0.45)
            sequence, more = _place(generator, sequence, contig, f"gene{number}", gene)
            contigs[contig] = sequence
            lines += more
        rows = []
        for number in range(genes):
            copied = number < len(copies)
            gene = _mutate(generator, copies[number]) if copied else _gene(generator)
            rows.append(_row(generator, f"task{number}", f"chr{generator.integers(1, 8)}", gene))
        write_fasta(place / "genome.fna.gz", contigs.items())
        (place / "annotation.gtf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        write_tsv(place / "tasks.tsv", pd.DataFrame(rows), digits=9)
        write_fasta(place / "coding.fna.gz", ((f"coding{row['id']}", row["sequence"]) for row in rows))
        noncoding = [_random(generator, int(generator.integers(150, 400)), 0.42) for _ in rows]
        write_fasta(place / "noncoding.fna.gz", ((f"noncoding{number}", text) for number, text in enumerate(noncoding)))


def _random(generator: np.random.Generator, length: int, gc: float) -> str:
    chances = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    return "".join(generator.choice(BASES, length, p=chances))


def _gene(generator: np.random.Generator) -> tuple[str, str, str, float]:
    """5' UTR, CDS (start to stop codon), 3' UTR, and the GC share of the third codon positions."""
    third = float(generator.uniform(0.2, 0.8))
    codons = ["ATG"]
    while len(codons) < generator.integers(40, 90):
        codon = _random(generator, 2, 0.5) + _random(generator, 1, third)
        if codon not in STOP_CODONS:
            codons.append(codon)
    five = _random(generator, int(generator.integers(20, 60)), 0.6)
    return five, "".join([*codons, "TAA"]), _random(generator, int(generator.integers(40, 120)), 0.35), third


def _mutate(generator: np.random.Generator, gene: tuple[str, str, str, float]) -> tuple[str, str, str, float]:
    parts = []
    for part in gene[:3]:
        letters = np.array(list(part))
        hit = generator.random(len(letters)) < 0.05
        letters[hit] = generator.choice(BASES, int(hit.sum()))
        parts.append("".join(letters))
    five, coding, three = parts
    return five, coding, three, gene[3]


def _place(generator, sequence: str, contig: str, name: str, gene) -> tuple[str, list[str]]:
    """Append a gene with an intron to a contig and return its GTF lines. Every second gene is on the reverse strand."""
    transcript = "".join(gene[:3])
    cut = int(generator.integers(30, len(transcript) - 30))
    intron = "GT" + _random(generator, 40, 0.4) + "AG"
    strand = "+" if generator.random() < 0.5 else "-"
    text = transcript[:cut] + intron + transcript[cut:]
    coding = (len(gene[0]), len(gene[0]) + len(gene[1]))
    segments = [(0, cut, 0), (cut, len(transcript), len(intron))]
    lines = []
    for start, stop, shift in segments:
        parts = [("exon", start, stop), ("CDS", max(start, coding[0]), min(stop, coding[1]))]
        for part, begin, end in parts:
            if begin >= end:
                continue
            phase = "." if part == "exon" else str(-(begin - coding[0]) % 3)
            first, last = begin + shift, end + shift
            if strand == "-":
                first, last = len(text) - last, len(text) - first
            lines.append(
                f"{contig}\tgenestill\t{part}\t{len(sequence) + first + 1}\t{len(sequence) + last}\t.\t{strand}\t"
                f'{phase}\tgene_id "{name}"; transcript_id "{name}.1";'
            )
    return sequence + (text if strand == "+" else reverse_complement(text)), lines


def _row(generator: np.random.Generator, name: str, chromosome: str, gene) -> dict:
    five, coding, three, third = gene
    pyrimidines = (three.count("C") + three.count("T")) / len(three)
    score = 3 * third + 2 * pyrimidines + 0.3 * generator.normal()
    size = len(five) + len(coding) + len(three)
    half = size // 2
    return {
        "id": name,
        "gene": name,
        "chromosome": chromosome,
        "cds_start": len(five),
        "cds_end": len(five) + len(coding),
        "exon_sizes": f"{half},{size - half}",
        "sequence": five + coding + three,
        "stability": round(score, 4),
        "membrane": int(third + 0.1 * generator.normal() > 0.5),
        "secreted": int(pyrimidines + 0.05 * generator.normal() > 0.5),
    }
