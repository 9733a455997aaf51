"""Genes of contigs and their protein hits by DIAMOND (Buchfink et al. 2021, doi 10.1038/s41592-021-01101-x).

Genes are predicted by Pyrodigal (GPL, therefore run as a program and not imported). The table has one row per gene and
genome, in the schema `table_schemas.GENE_HITS`: weaker hits are kept as well as the best one, so that genomes can be
withheld later.
"""

from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import require_disk_space, scratch_folder
from genestill.core.logs import log_counts
from genestill.core.programs import find_program, run_program
from genestill.core.sequences import genome_name, read_fasta
from genestill.core.table_schemas import GENE_HITS, INDEX
from genestill.core.tables import read_table, read_tsv, write_table

_MOST_TARGETS = 200  # proteins per gene; weaker ones are used when the genome of the best one is withheld


def run_diamond(
    contigs: str | Path, index: str | Path, genomes: str | Path, proteins: str | Path, threads: int, output: str | Path
) -> None:
    """Predict the genes of the contigs, search them in the proteins of the reference, and write `GENE_HITS`.

    Args:
        contigs: FASTA file.
        index: ``table_schemas.INDEX``; other contigs are left out.
        genomes: table of genomes with the column ``file``; only their proteins are searched.
        proteins: folder written by ``reference proteins``: ``<genome>.faa``, records named ``<genome>|<number>``.
        threads: number of threads of Pyrodigal and DIAMOND.
        output: the table: contigs in the order of the index, then genes, best genome first.

    Raises:
        InputError: a program is missing; a genome without proteins.
        ProgramFailed: Pyrodigal or DIAMOND fails.
    """
    pyrodigal, diamond = find_program("pyrodigal"), find_program("diamond")
    ids = read_table(index, INDEX)["id"].tolist()
    files = [Path(proteins) / f"{genome_name(file)}.faa" for file in read_tsv(genomes, ["file"])["file"]]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise InputError(f"{genomes}: no such file: {missing}")
    output = Path(output)
    require_disk_space(output.parent, 4 * sum(file.stat().st_size for file in files) + 200_000_000, "DIAMOND")
    with scratch_folder(output.parent, "diamond") as scratch:
        row_of = {name: row for row, name in enumerate(ids)}
        wanted, genes = scratch / "contigs.fna", scratch / "genes.faa"
        with open(wanted, "w", encoding="ascii") as handle:
            # Contigs are named by number, because Pyrodigal appends _<gene> and names may end in the same way.
            for name, sequence in read_fasta(contigs):
                if name in row_of:
                    handle.write(f">{row_of[name]}\n{sequence}\n")
        run_program([pyrodigal, "-i", wanted, "-a", genes, "-o", "/dev/null", "-p", "meta", "-j", threads])
        searched, database, said = scratch / "proteins.faa", scratch / "proteins", scratch / "hits.tsv"
        with open(searched, "wb") as handle:
            for file in files:
                handle.write(file.read_bytes())
        where = ["--threads", threads, "--quiet"]
        run_program([diamond, "makedb", "--in", searched, "--db", database, *where])
        words = ["--query", genes, "--db", database, "--out", said, "--max-target-seqs", _MOST_TARGETS]
        run_program([diamond, "blastp", *words, "--outfmt", 6, "qseqid", "sseqid", "bitscore", *where])
        found = summarise_hits(said, ids)
    write_table(output, found, GENE_HITS)
    log_counts("diamond", {"contigs": len(ids), "contigs_with_hits": found["id"].nunique(), "rows": len(found)})


def summarise_hits(path: str | Path, ids: list[str]) -> pd.DataFrame:
    """`GENE_HITS` from the output of DIAMOND (gene, protein, bit score), with the best hit per gene and genome.

    Args:
        path: TSV without a header; genes are named ``<row of the contig>_<number>``, proteins ``<genome>|<number>``.
        ids: the contigs.
    """
    table = pd.read_csv(path, sep="\t", names=["gene", "genome", "bits"], dtype={"gene": str, "genome": str})
    place = table["gene"].str.extract(r"^(\d+)_(\d+)$").astype("int64")
    table = table.assign(row=place[0], gene=place[1], genome=table["genome"].str.split("|").str[0])
    table = table.sort_values(["row", "gene", "bits", "genome"], ascending=[True, True, False, True])
    table = table.drop_duplicates(["row", "gene", "genome"], ignore_index=True)
    return table.assign(id=[ids[row] for row in table.pop("row")])
