"""Writing and counting the labels of a run."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from genestill.core.files import write_aside
from genestill.core.label_tables import LabelTable
from genestill.core.lineage import RANKS, Lineage, depth, format_lineage
from genestill.core.table_schemas import LABELS, rank_columns
from genestill.core.tables import write_table
from genestill.core.taxonomy import Taxonomy


def count_labels(lineages: list[Lineage]) -> dict[str, int]:
    """The numbers of all contigs, of contigs without a label, and of contigs that reach each rank."""
    deepest = Counter(depth(lineage) for lineage in lineages)
    at_least = {f"labelled_{rank}": sum(deepest[level] for level in range(index, len(RANKS) + 1))
                for index, rank in enumerate(RANKS, 1)}  # fmt: skip
    species = {lineage for lineage in lineages if depth(lineage) == len(RANKS)}
    return {"contigs": len(lineages), "unlabelled": deepest[0], **at_least, "distinct_species": len(species)}


def write_labels(
    table: LabelTable, taxonomy: Taxonomy, output_labels: str | Path, output_tsv: str | Path
) -> list[Lineage]:
    """Convert labels (one per contig, in order) to lineages; write ``LABELS`` and Taxometer's input format."""
    lineages = taxonomy.lineages_of(table)
    number_of: dict[Lineage, int] = {}
    code = np.fromiter((number_of.setdefault(lineage, len(number_of)) for lineage in lineages), np.int64, len(lineages))
    known = np.fromiter((taxonomy.taxid_of(lineage) for lineage in number_of), np.int64, len(number_of))
    own = table.taxid.copy()
    own[list(table.several)] = 0
    # Columns are made from the distinct lineages, because text for each contig would need most of the memory.
    ranks = rank_columns(list(number_of)).items()
    columns = {rank: pa.array(names, pa.string()).take(pa.array(code)) for rank, names in ranks}
    taxid = np.where(own > 0, own, known[code])
    support = pa.array(table.support, from_pandas=True)
    found = pa.table({"id": table.ids, **columns, "taxid": taxid, "support": support})
    write_table(output_labels, found, LABELS)
    texts = [format_lineage(lineage) for lineage in number_of]
    with write_aside(output_tsv) as aside, open(aside, "w", encoding="utf-8") as handle:
        handle.write("contigs\tpredictions\n")
        handle.writelines(f"{name.as_py()}\t{texts[place]}\n" for name, place in zip(table.ids, code, strict=True))
    return lineages
