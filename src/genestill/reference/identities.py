"""Average nucleotide identity of all pairs of genomes, and the sets of species that are scored as one.

The identities are computed by skani (Shaw and Yu 2023, doi:10.1038/s41592-023-02018-3), with pyskani. They are measured
once and stored beside the reference; sets and statuses are computed from the file.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, Lineage, depth, format_lineage, parse_lineage
from genestill.core.logs import logger, progress
from genestill.core.novelty import species_sets
from genestill.core.sequences import read_fasta
from genestill.core.tables import read_tsv, write_tsv
from genestill.reference.genomes import read_genomes
from genestill.reference.truth import read_answers

PAIR_COLUMNS = ("genome", "other", "identity", "aligned", "aligned_other")
SET_COLUMNS = ("species", "set", "representative")


def genome_identities(files: Mapping[str, Path]) -> pd.DataFrame:
    """Identity of every pair of genomes that is similar enough for skani (about .8).

    Args:
        files: FASTA file of each genome, by name.

    Returns:
        Columns genome, other, identity (share), aligned and aligned_other (share of either genome); one row per pair,
        in the order of ``files``, including each genome with itself.
    """
    import pyskani

    database = pyskani.Database()
    for name, path in progress(files.items(), len(files), "genomes", "comparing genomes"):
        database.sketch(name, *_bases(path))
    place = {name: row for row, name in enumerate(files)}
    rows = [(name, name, 1.0, 1.0, 1.0) for name in files]
    for name, path in files.items():
        for hit in database.query(name, *_bases(path)):
            if place[hit.reference_name] > place[name]:
                shares = (hit.identity, hit.query_fraction, hit.reference_fraction)
                rows.append((name, hit.reference_name, *shares))
    rows.sort(key=lambda row: (place[row[0]], place[row[1]]))
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def _bases(path: Path) -> list[bytes]:
    return [sequence.encode("ascii") for _, sequence in read_fasta(path)]


def write_species_sets(
    genomes: str | Path,
    folder: str | Path | None,
    truth: str | Path | None,
    output_sets: str | Path,
    output_identities: str | Path,
) -> pd.DataFrame:
    """Compare the genomes of a reference and of the ground truth, and write the sets of species that are scored as one.

    The representative of a species is its first genome: of the reference, then of the ground truth.

    Args:
        genomes: table of the reference genomes.
        folder: folder of their files; None for the folder of the table.
        truth: TSV of the ground truth, whose genomes are compared too if their files are in the same folder.
        output_sets: TSV with the columns species, set (lineages; a set has the name of its first species),
            representative (file).
        output_identities: TSV with the columns of `genome_identities`; genomes are files.

    Returns:
        The table of sets.
    """
    held = read_genomes(genomes, folder)
    lineages = {genome.file: genome.lineage for genome in held}
    files = {genome.file: genome.path for genome in held}
    place = Path(folder) if folder is not None else Path(genomes).parent
    sources = source_lineages(truth) if truth is not None else {}
    without = [genome for genome in sources.keys() - files.keys() if not (place / genome).is_file()]
    if without:
        logger.warning(
            "%s: no file in %s for %d of %d genomes of the ground truth (first: %s); their status is not changed",
            truth, place, len(without), len(sources), min(without),
        )  # fmt: skip
    for genome, lineage in sources.items():
        if genome not in without:
            files.setdefault(genome, place / genome)
            lineages.setdefault(genome, lineage)
    identities = genome_identities(files)
    representatives: dict[Lineage, str] = {}
    for genome, lineage in lineages.items():
        if depth(lineage) == len(RANKS):
            representatives.setdefault(lineage, genome)
    sets = species_sets(representatives, identities)
    table = pd.DataFrame(
        [(format_lineage(one), format_lineage(of), representatives[one]) for one, of in sets.items()],
        columns=list(SET_COLUMNS),
    )
    write_tsv(output_identities, identities.round(5))
    write_tsv(output_sets, table)
    joined = table[table["set"].map(table["set"].value_counts()) > 1]
    logger.info("%d species, %d of them in %d sets", len(table), len(joined), joined["set"].nunique())
    return table


def source_lineages(truth: str | Path) -> dict[str, Lineage]:
    """The lineages of all genomes in a TSV of the ground truth."""
    found: dict[str, Lineage] = {}
    for answer in read_answers(truth)[0].values():
        if answer.genome is not None and depth(answer.lineage):
            found.setdefault(answer.genome, answer.lineage)
    return found


def read_species_sets(path: str | Path) -> dict[Lineage, Lineage]:
    """Species -> set, from the table of `write_species_sets`."""
    table = read_tsv(path, SET_COLUMNS)
    return dict(zip(map(parse_lineage, table["species"]), map(parse_lineage, table["set"]), strict=True))


def read_identities(path: str | Path) -> pd.DataFrame:
    """The table of `genome_identities`, as written by `write_species_sets`."""
    table = read_tsv(path, PAIR_COLUMNS)
    try:
        return table.astype(dict.fromkeys(PAIR_COLUMNS[2:], float))
    except ValueError as error:
        raise InputError(f"{path}: not a table of identities ({error})") from None
