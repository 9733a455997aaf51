"""The tables of transcripts with measured targets of ``config/mrna-real.yaml``, made from published files.

Values are written with the digits that the publications give. The table of transcripts of human genes joins
transcripts of CPAT, half-lives of Saluki and translation efficiencies of TE_classic_ML.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, write_compressed
from genestill.core.logs import logger
from genestill.core.sequences import read_fasta
from genestill.core.tables import read_tsv
from genestill.core.text import text_lines
from genestill.reference.annotation import read_annotation
from genestill.reference.transcripts import coding_interval

_ACCESSION = re.compile(r"^.*_(?=N[MR]_)")  # before the accession in ids such as hg19_ct_UserTrack_3545_NM_173083


@dataclass(frozen=True)
class PublishedFiles:
    """The published files (resources/transcript_tables.tsv), and ``genes``, the genes of transcripts.

    Attributes:
        transcripts, models: FASTA and BED12 of CPAT; an id ends in ``_`` and the accession of RefSeq.
        half_lives: TSV of Saluki: ensembl_gene_id, human_PC1.
        efficiencies: CSV of TE_classic_ML: SYMBOL, mean_te_true.
        transcript_abundance, protein_abundance: CSV of CaLM.
        decay: R data of iCodon, one table.
        genes: TSV with refseq, ensembl_gene and symbol; its transcripts and their order are those of the result.
    """

    transcripts: str | Path
    models: str | Path
    half_lives: str | Path
    efficiencies: str | Path
    transcript_abundance: str | Path
    protein_abundance: str | Path
    decay: str | Path
    genes: str | Path


def write_transcript_tables(files: PublishedFiles, output: str | Path) -> None:
    """Write the tables into the folder ``output``, as gzipped TSV; a missing value is an empty cell.

    human_mrna_halflife_te.tsv.gz: refseq, ensembl_gene, symbol, cds_start0 and cds_end0 (half-open, on the transcript),
    exon_sizes, half_life_pc1, mean_te, sequence. cds_decay_rate_icodon.tsv.gz: gene_id, specie, cell_type, datatype,
    decay_rate, utrlenlog, sequence, cdslenlog. cds_transcript_abundance_ecoli.tsv.gz and
    cds_protein_abundance_ecoli.tsv.gz: the columns of the publication.

    Raises:
        InputError: a file lacks a column, or a transcript of ``genes``.
    """
    joined = _join_human_transcripts(files)
    with folder_aside(output) as folder:
        _write(folder / "human_mrna_halflife_te.tsv.gz", joined)
        _write(folder / "cds_decay_rate_icodon.tsv.gz", _read_decay(files.decay))
        for kind, path in (("transcript", files.transcript_abundance), ("protein", files.protein_abundance)):
            _write(folder / f"cds_{kind}_abundance_ecoli.tsv.gz", _read_csv(path, ("gene_id", "cds")))
    logger.info("%s: %d transcripts of human genes, and three tables of coding sequences", output, len(joined))


def _write(path: Path, table: pd.DataFrame) -> None:
    with write_compressed(path) as handle:
        table.to_csv(handle, sep="\t", index=False)


def _read_csv(path: str | Path, columns: tuple[str, ...]) -> pd.DataFrame:
    rows = list(csv.reader(text_lines(path)))
    names = rows[0] if rows else []
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; found {', '.join(names)[:200]}")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise InputError(f"{path}: line {number} has {len(row)} columns; expected {len(names)}")
    return pd.DataFrame(rows[1:], columns=names)


def _read_decay(path: str | Path) -> pd.DataFrame:
    import warnings

    import rdata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # classes of R packages that describe how the table was read
            (table,) = rdata.read_rda(str(path)).values()
        return table.rename(columns={"coding": "sequence"})
    except Exception as error:  # rdata has no common class of errors
        raise InputError(f"{path}: not R data with one table: {type(error).__name__}: {error}") from None


def _join_human_transcripts(files: PublishedFiles) -> pd.DataFrame:
    genes = read_tsv(files.genes, ("refseq", "ensembl_gene", "symbol"))
    sequences = {_ACCESSION.sub("", name): sequence for name, sequence in read_fasta(files.transcripts)}
    models = {model.id: model for model in read_annotation(files.models).models}
    half_lives = read_tsv(files.half_lives, ("ensembl_gene_id", "human_PC1"))
    half_life = dict(zip(half_lives["ensembl_gene_id"], half_lives["human_PC1"], strict=True))
    efficiencies = _read_csv(files.efficiencies, ("SYMBOL", "mean_te_true"))
    efficiency = dict(zip(efficiencies["SYMBOL"], efficiencies["mean_te_true"], strict=True))
    rows = []
    for gene in genes.itertuples():
        for what, path in ((sequences, files.transcripts), (models, files.models)):
            if gene.refseq not in what:
                raise InputError(f"{path}: no transcript {gene.refseq!r}, which is listed in {files.genes}")
        model, sequence = models[gene.refseq], sequences[gene.refseq]
        exons = [stop - start for start, stop in model.exons][:: 1 if model.strand == "+" else -1]
        if sum(exons) != len(sequence):
            raise InputError(
                f"{files.transcripts}: {gene.refseq} has {len(sequence)} bases; expected {sum(exons)}, the sum of its "
                f"exons in {files.models}"
            )
        coding, sizes = coding_interval(model) or ("", ""), ",".join(map(str, exons))
        measured = half_life.get(gene.ensembl_gene, ""), efficiency.get(gene.symbol, "")
        rows.append((gene.refseq, gene.ensembl_gene, gene.symbol, *coding, sizes, *measured, sequence))
    columns = ("refseq", "ensembl_gene", "symbol", "cds_start0", "cds_end0", "exon_sizes")
    return pd.DataFrame(rows, columns=[*columns, "half_life_pc1", "mean_te", "sequence"])
