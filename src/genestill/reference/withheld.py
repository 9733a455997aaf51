"""Virtual references: the species, genera and families that are withheld from a reference, in two halves.

Thresholds are chosen with the fitting half and methods are compared with the judging half. Families are assigned to the
halves jointly for all communities, so that no clade is withheld in both.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import NO_LINEAGE, RANKS, Lineage, format_lineage
from genestill.core.logs import log_counts
from genestill.core.tables import write_tsv
from genestill.core.virtual_references import HALVES
from genestill.reference.genomes import read_genomes
from genestill.reference.settings import WithheldSettings

COLUMNS = ("community", "reference", "half", "rank", "clade")
_FAMILY = RANKS.index("family") + 1


def split_families(lineages: list[Lineage], rng: np.random.Generator) -> dict[Lineage, str]:
    """Family (a lineage of five ranks) -> one of `HALVES`.

    Few genera have several species, and only these can have a species withheld. Families with such genera are assigned
    first, to the half with fewer such species; the others, in random order, to the half with fewer genomes.
    """
    families = sorted({lineage[:_FAMILY] for lineage in lineages})
    species_of_genus: dict[Lineage, set[Lineage]] = {}
    for lineage in lineages:
        species_of_genus.setdefault(lineage[:-1], set()).add(lineage)
    genomes, siblings = dict.fromkeys(families, 0), dict.fromkeys(families, 0)
    for lineage in lineages:
        genomes[lineage[:_FAMILY]] += 1
    for genus, species in species_of_genus.items():
        siblings[genus[:_FAMILY]] += len(species) if len(species) > 1 else 0
    held = {half: [0, 0] for half in HALVES}
    half_of = {}
    for family in sorted((families[row] for row in rng.permutation(len(families))), key=lambda one: -siblings[one]):
        half = min(HALVES, key=lambda one: held[one] if siblings[family] else held[one][1:])
        half_of[family] = half
        held[half][0] += siblings[family]
        held[half][1] += genomes[family]
    return half_of


def choose_withheld(reference: Mapping[str, list[Lineage]], settings: WithheldSettings, seed: int) -> pd.DataFrame:
    """Choose the clades of every virtual reference.

    A clade is withheld only if the reference keeps another clade below the same parent, so that the true lineage for
    its contigs is the rank above. Families are chosen first, then genera, then species.

    Args:
        reference: community -> lineages of the genomes of its reference, down to the species.
        settings: see `WithheldSettings`; the ``number`` references per half are assigned to the communities in turn.
        seed: seed of all random numbers.

    Returns:
        Columns `COLUMNS`, one row per withheld clade; clade is a lineage (``d__…;…``) down to its rank.
    """
    half_of = split_families([lineage for held in reference.values() for lineage in held], np.random.default_rng(seed))
    shares = {"family": settings.families, "genus": settings.genera, "species": settings.species}
    rows = []
    for place, half in enumerate(HALVES):
        for number in range(1, settings.number + 1):
            community = list(reference)[(number - 1) % len(reference)]
            rng = np.random.default_rng([seed, place, number])
            candidates = {lineage for lineage in reference[community]}
            for rank, share in shares.items():
                for clade in _draw(candidates, half_of, half, RANKS.index(rank) + 1, share, rng):
                    name = format_lineage(clade + NO_LINEAGE[len(clade) :])
                    rows.append((community, f"{half}-{number:03d}", half, rank, name))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _draw(
    held: set[Lineage], half_of: dict[Lineage, str], half: str, level: int, share: float, rng: np.random.Generator
) -> list[Lineage]:
    """Draw clades of ``level`` ranks to withhold, and remove their lineages from ``held``."""
    clades = sorted({lineage[:level] for lineage in held if half_of[lineage[:_FAMILY]] == half})
    wanted = round(share * len(clades))
    drawn: list[Lineage] = []
    for row in rng.permutation(len(clades)):
        clade = clades[row]
        with_mate = any(lineage[: level - 1] == clade[:-1] and lineage[:level] != clade for lineage in held)
        if len(drawn) < wanted and with_mate:
            drawn.append(clade)
            held.difference_update({lineage for lineage in held if lineage[:level] == clade})
    return drawn


def write_withheld(
    genomes: Mapping[str, str | Path],
    lineage_column: str | None,
    settings: WithheldSettings,
    seed: int,
    output: str | Path,
) -> None:
    """Write the table of `choose_withheld` as TSV.

    Args:
        genomes: community -> table of the genomes of its reference, see `genomes.read_genomes`; their files are not
            read.
        lineage_column: column of the lineages.
        settings: see `WithheldSettings`.
        seed: seed of all random numbers.
        output: the table.

    Raises:
        InputError: as `read_genomes`; a reference without a clade that could be withheld.
    """
    reference = {
        name: [genome.lineage for genome in read_genomes(path, None, lineage_column, to_species=True, with_files=False)]
        for name, path in genomes.items()
    }
    table = choose_withheld(reference, settings, seed)
    if not len(table):
        raise InputError(
            f"{next(iter(genomes.values()))}: no clade can be withheld: none has a sister clade; expected "
            "genera of several species, families of several genera or orders of several families, or larger shares"
        )
    write_tsv(output, table)
    counts = {"references": table["reference"].nunique()}
    for half in HALVES:
        for rank in ("species", "genus", "family"):
            chosen = table[(table["half"] == half) & (table["rank"] == rank)]
            counts[f"{rank} of the {half} half"] = chosen["clade"].nunique()
    log_counts("clades withheld", counts)
