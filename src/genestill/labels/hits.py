"""The evidence behind the labels: the best targets of every open reading frame of every contig."""

import warnings
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError

# What `mmseqs convertalis` is asked for. The header of a fragment holds tabs itself, hence it comes last: contig key,
# place, and for a fragment that a contig's end cuts off a flag.
CONVERT_FORMAT = "taxid,fident,bits,alnlen,qlen,qheader"
_COLUMNS = {
    "taxid": "int64",
    "fident": "float32",
    "bits": "float32",
    "alnlen": "int32",
    "qlen": "int32",
    "contig": "int64",
    "place": "str",
    "flag": "str",
}
# "308+371": bases 308 to 308 + 371 on the forward strand; "10858-128": 10858 down to 10858 - 128. 0-based, inclusive.
_PLACE = r"^(?P<first>[0-9]{1,15})(?P<sign>[+-])(?P<span>[0-9]{1,15})$"


def read_alignments(path: str | Path) -> pd.DataFrame:
    """Read the table that ``mmseqs convertalis --format-output`` of `CONVERT_FORMAT` writes; it may be empty.

    Returns:
        One row a hit: contig (key), taxid, fident (0 to 1), bits, alnlen and qlen (amino acids), start and stop (base
        pairs, 0-based, stop excluded, on the forward strand) and strand (1 or -1).

    Raises:
        InputError: the table is not of that form, as another release of MMseqs2 might write it.
    """
    try:
        with warnings.catch_warnings():
            # Rows with too many cells: pandas would warn and cut them.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, sep="\t", header=None, names=list(_COLUMNS), dtype=_COLUMNS, index_col=False)
        table = table.drop(columns="flag")
        place = table.pop("place").str.extract(_PLACE)
        if place.isna().any(axis=None):
            raise ValueError("a place that is not start+length or start-length")
    except (OSError, OverflowError, ValueError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: not what MMseqs2 18 writes for fragments of contigs ({error})") from None
    first, span = place["first"].astype("int64"), place["span"].astype("int64")
    forward = place["sign"] == "+"
    table["start"] = first.where(forward, first - span)
    table["stop"] = (first + span).where(forward, first) + 1
    table["strand"] = forward.astype("int8") * 2 - 1
    return table


def assemble_hits(alignments: pd.DataFrame, id_of_contig: dict[int, str]) -> pd.DataFrame:
    """Number the fragments and name the contigs: the table ``table_schemas.HITS`` with start, stop and strand.

    Args:
        alignments: as `read_alignments` returns them.
        id_of_contig: key in the contig database -> contig id.

    Returns:
        Fragments are numbered within their contig by position, from 0; rows are in the order of contig key,
        fragment, bits falling.
    """
    places = ["contig", "start", "stop", "strand"]
    table = alignments.sort_values([*places, "bits"], ascending=[True] * 4 + [False], kind="stable")
    fragments = table[places].drop_duplicates()
    fragments["fragment"] = fragments.groupby("contig").cumcount()
    table = table.merge(fragments, on=places, how="left")
    return pd.DataFrame(
        {
            "id": table["contig"].map(id_of_contig),
            "fragment": table["fragment"],
            "fragment_length": table["qlen"],
            "target_taxid": table["taxid"],
            "identity": table["fident"],
            "bits": table["bits"],
            "alignment_length": table["alnlen"],
            "start": table["start"],
            "stop": table["stop"],
            "strand": table["strand"],
        }
    )
