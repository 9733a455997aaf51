"""The evidence of peers about the contigs of a community with one reference."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from genestill.core.errors import InputError
from genestill.core.label_tables import read_label_table
from genestill.core.lineage import NO_LINEAGE, RANKS, Lineage
from genestill.core.table_schemas import ALIGNMENTS, GENE_HITS, INDEX, KRAKEN2_CALLS, LABELS, lineages_of
from genestill.core.tables import read_abundances, read_table, read_tsv
from genestill.core.taxonomy import read_taxonomy
from genestill.core.taxonomy_folder import read_taxids_of_genomes


@dataclass(frozen=True)
class Evidence:
    """Results of programs for n contigs; None for programs that were not run.

    Attributes:
        ids: n ids.
        length: int64 [n], base pairs.
        labels: n lineages of MMseqs2.
        depth: float [n, samples], mean read depth.
        lineage_of_genome: genome of the reference -> lineage.
        lineage_of_taxid: taxid of the reference -> lineage.
        alignments: rows of `table_schemas.ALIGNMENTS`, for genomes of the reference.
        kraken2: ``--confidence`` -> n lineages.
        genes: rows of `table_schemas.GENE_HITS`, for targets of the reference.
        bins: n names of bins; "" for a contig without one.
        metabuli: n lineages of Metabuli.
    """

    ids: list[str]
    length: np.ndarray
    labels: list[Lineage]
    # A peer is only called if `has` returns True for its needs, so it never gets None.
    depth: np.ndarray = None  # type: ignore[assignment]
    lineage_of_genome: dict[str, Lineage] = field(default_factory=dict)
    lineage_of_taxid: dict[int, Lineage] = field(default_factory=dict)
    alignments: pd.DataFrame = None
    kraken2: dict[float, list[Lineage]] = None  # type: ignore[assignment]
    genes: pd.DataFrame = None
    bins: list[str] = None  # type: ignore[assignment]
    metabuli: list[Lineage] = None  # type: ignore[assignment]

    def has(self, needs: tuple[str, ...]) -> bool:
        """Whether all attributes in ``needs`` are available."""
        return all(getattr(self, name) is not None for name in needs)


def cut(lineage: Lineage, depth: int) -> Lineage:
    """The first ``depth`` ranks of a lineage; the other ranks are None."""
    return lineage[:depth] + NO_LINEAGE[depth:]


def to_genus(lineage: Lineage) -> Lineage:
    """A lineage without its species."""
    return cut(lineage, len(RANKS) - 1)


def read_evidence(
    index: str | Path,
    labels: str | Path,
    taxonomy: str | Path,
    abundance: str | Path | None = None,
    alignments: str | Path | None = None,
    kraken2: str | Path | None = None,
    genes: str | Path | None = None,
    bins: str | Path | None = None,
    metabuli: str | Path | None = None,
) -> Evidence:
    """Read the tables of `Evidence`, whose rows may be in any order; missing tables are None.

    Args:
        index: ``table_schemas.INDEX``: the contigs and their order.
        labels: ``table_schemas.LABELS``.
        taxonomy: folder written by ``reference taxonomy``.
        abundance: table of contigs and read depths written by ``reference contigs``.
        alignments: ``table_schemas.ALIGNMENTS``.
        kraken2: ``table_schemas.KRAKEN2_CALLS``.
        genes: ``table_schemas.GENE_HITS``.
        bins: folder written by ``vamb bin default``.
        metabuli: table of Metabuli's classifications.

    Raises:
        InputError: a contig of the index that is missing in a table of all contigs; a contig or genome that is not in
            index or taxonomy.
    """
    table, names = read_table(index, INDEX), read_taxonomy(taxonomy)
    ids = table["id"].tolist()
    lineage_of_genome = {
        genome: names.lineages[int(taxid)] for genome, taxid in read_taxids_of_genomes(taxonomy).items()
    }
    said: dict[str, Any] = {}
    if abundance is not None:
        said["depth"] = _depths(abundance, ids)
    if alignments is not None:
        said["alignments"] = _of_reference(alignments, ALIGNMENTS, ids, lineage_of_genome)
    if kraken2 is not None:
        said["kraken2"] = read_kraken2(kraken2, ids, names.lineages)
    if genes is not None:
        said["genes"] = _of_reference(genes, GENE_HITS, ids, lineage_of_genome)
    if bins is not None:
        said["bins"] = read_bins(bins, ids)
    if metabuli is not None:
        said["metabuli"] = read_calls(metabuli, "metabuli", ids, names.lineages)
    return Evidence(
        ids,
        table["length"].to_numpy(),
        lineages_of(_of_contigs(read_table(labels, LABELS).set_index("id"), ids, labels)),
        lineage_of_genome=lineage_of_genome,
        lineage_of_taxid=names.lineages,
        **said,
    )


def read_bins(folder: str | Path, ids: list[str]) -> list[str]:
    """The cluster of each contig before VAMB splits clusters by sample; co-assemblies are not split by sample."""
    path = Path(folder) / "vae_clusters_unsplit.tsv"
    table = read_tsv(path, ["clustername", "contigname"])
    known = set(ids)
    unknown = next((name for name in table["contigname"] if name not in known), None)
    if unknown is not None:
        raise InputError(f"{path}: the contig {unknown!r} is not in the index; does the file belong to other contigs?")
    cluster_of = dict(zip(table["contigname"], table["clustername"], strict=True))
    return [cluster_of.get(name, "") for name in ids]


def read_calls(path: str | Path, form: str, ids: list[str], lineages: dict[int, Lineage]) -> list[Lineage]:
    """The calls of a program for each contig, from its table in the format ``form``; an empty lineage for no call."""
    found = read_label_table(path, form)
    taxid_of = dict(zip(found.ids.to_pylist(), found.taxid.tolist(), strict=True))
    return [lineages.get(taxid_of.get(name, 0), NO_LINEAGE) for name in ids]


def _of_reference(path: str | Path, schema: pa.Schema, ids: list[str], genomes: Collection[str]) -> pd.DataFrame:
    table = read_table(path, schema)
    for what, found, known in (("contig", table["id"], ids), ("genome", table["genome"], genomes)):
        unknown = set(found) - set(known)
        if unknown:
            raise InputError(
                f"{path}: the {what} {min(unknown)!r} is not in the index or taxonomy; does the table belong to "
                "another run?"
            )
    return table


def read_kraken2(path: str | Path, ids: list[str], lineages: Mapping[int, Lineage]) -> dict[float, list[Lineage]]:
    """``--confidence`` -> a lineage for each of ``ids``, from a table of `KRAKEN2_CALLS`; ``lineages`` by taxid."""
    return {
        float(confidence): [
            lineages.get(taxid, NO_LINEAGE) for taxid in _of_contigs(part.set_index("id"), ids, path)["taxid"]
        ]
        for confidence, part in read_table(path, KRAKEN2_CALLS).groupby("confidence")
    }


def _of_contigs(table: pd.DataFrame, ids: list[str], path: str | Path) -> pd.DataFrame:
    missing = pd.Index(ids).difference(table.index)
    if len(missing):
        raise InputError(f"{path}: no row for the contig {missing[0]!r}; does the table belong to other contigs?")
    return table.loc[ids]


def _depths(path: str | Path, ids: list[str]) -> np.ndarray:
    return _of_contigs(read_abundances(path).set_index("id"), ids, path).to_numpy(dtype=float)
