"""Importing labels of another classifier, instead of a search."""

from pathlib import Path

from genestill.core import table_schemas
from genestill.core.files import write_json
from genestill.core.label_tables import join_labels, read_label_table
from genestill.core.lineage import require_two_species
from genestill.core.logs import log_counts
from genestill.core.tables import read_table
from genestill.core.taxonomy import read_taxonomy
from genestill.labels.lineages import count_labels, write_labels


def import_labels(
    labels: str | Path,
    form: str,
    index: str | Path,
    taxonomy: str | Path | None,
    output_labels: str | Path,
    output_tsv: str | Path,
    output_summary: str | Path,
) -> None:
    """Turn a classifier's table into the labels of the contigs of ``index``.

    Args:
        labels: the table; see `genestill.core.label_tables`.
        form: its format, or ``auto``.
        index: ``table_schemas.INDEX``.
        taxonomy: folder written by ``reference taxonomy``; None if the table has lineages as text.
        output_labels: ``table_schemas.LABELS``, one row per contig of the index, in its order.
        output_tsv: Taxometer's input format.
        output_summary: JSON: format, counts.

    Raises:
        InputError: as `read_label_table` and `join_labels`; a table of taxids without a taxonomy; fewer than two
            species.
    """
    ids = read_table(index, table_schemas.INDEX)["id"].tolist()
    names = read_taxonomy(taxonomy)
    found, counts = join_labels(read_label_table(labels, form), ids, set(ids), str(labels))
    names.require_lineages(found, str(labels))
    lineages = write_labels(found, names, output_labels, output_tsv)
    numbers = count_labels(lineages)
    require_two_species(numbers["distinct_species"], str(labels), f"the labels of {len(lineages)} contigs")
    counts |= numbers | dict(names.met)
    write_json(output_summary, {"format": form, "counts": counts})
    log_counts("import", counts)
