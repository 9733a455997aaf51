"""Abundances of contigs in samples, joined to the contigs of the index."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError


def join_abundances(
    tables: Mapping[str | Path, pd.DataFrame], ids: Sequence[str], all_ids: set[str]
) -> tuple[pd.DataFrame, int]:
    """Put the rows of tables in the order of ``ids``, and join the tables by columns.

    Args:
        tables: file -> its samples, from `read_abundance_table`.
        ids: the contigs of the index.
        all_ids: all contigs of the FASTA file, including those that are too short for the index.

    Returns:
        The joined table (column ``id``, then the samples) and the number of rows that belong to no contig.

    Raises:
        InputError: a contig without a row, no row for any contig, and a sample that occurs in two files.
    """
    parts, more = [], 0
    file_of: dict[str, str | Path] = {}
    for source, table in tables.items():
        known = table.index.isin(all_ids)
        if not known.any():
            raise InputError(
                f"{source}: none of its {len(table)} contigs (first: {table.index[0]!r}) is in the FASTA file "
                f"(first: {ids[0]!r}); does the table belong to other contigs?"
            )
        missing = [name for name in ids if name not in table.index]
        if missing:
            raise InputError(
                f"{source}: no row for {len(missing)} of {len(ids)} contigs (first: {missing[0]!r}); expected one for "
                "each"
            )
        for sample in table:
            if file_of.setdefault(sample, source) != source:
                raise InputError(
                    f"{source}: the sample {sample!r} is also in {file_of[sample]}; expected distinct names"
                )
        parts.append(table.loc[list(ids)])
        more += int((~known).sum())
    return pd.concat(parts, axis=1).rename_axis("id").reset_index(), more
