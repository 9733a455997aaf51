"""Abundances of contigs over samples, joined to the contigs that take part."""

from collections.abc import Sequence

import pandas as pd

from genestill.ground.errors import InputError


def join_abundance(table: pd.DataFrame, ids: Sequence[str], all_ids: set[str], source: str) -> tuple[pd.DataFrame, int]:
    """Put the rows of ``table`` in the order of ``ids``.

    Args:
        table: as `read_abundance_table` returns it.
        ids: the contigs that take part.
        all_ids: all contigs of the FASTA file, also those that are too short to take part.
        source: the file that the messages name.

    Returns:
        The joined table (column ``id``, then the samples) and the number of rows that belong to no contig.

    Raises:
        InputError: a contig without a row, or no row for any contig.
    """
    known = table.index.isin(all_ids)
    if not known.any():
        raise InputError(
            f"{source}: none of its {len(table)} contigs (first: {table.index[0]!r}) is in the FASTA file "
            f"(first: {ids[0]!r}); is it the table of other contigs?"
        )
    missing = [name for name in ids if name not in table.index]
    if missing:
        raise InputError(
            f"{source}: no row for {len(missing)} of {len(ids)} contigs (first: {missing[0]!r}); expected one for each"
        )
    return table.loc[list(ids)].reset_index(), int((~known).sum())
