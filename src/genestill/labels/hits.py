"""The evidence behind the labels: the best targets of every open reading frame of every contig."""

from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = {
    "query": "int64",
    "taxid": "int64",
    "fident": "float32",
    "bits": "float32",
    "alnlen": "int32",
    "qlen": "int32",
}
CONVERT_FORMAT = ",".join(COLUMNS)


def read_fragments(headers: bytes, keys: np.ndarray, offsets: np.ndarray, lengths: np.ndarray) -> pd.DataFrame:
    """Read the headers that MMseqs2's ``extractorfs`` writes: contig key, tab, ``start+length`` or ``start-length``.

    Args:
        headers: the header database.
        keys, offsets, lengths: its index: int64 [fragments].

    Returns:
        One row a fragment, index ``key``: ``contig`` (key in the contig database), ``start`` and ``stop`` (0-based,
        on the forward strand, stop excluded) and ``strand`` (1 or -1).
    """
    rows = []
    for offset, length in zip(offsets, lengths, strict=True):
        contig, place = headers[offset : offset + length].split(b"\0")[0].split()[:2]
        sign = b"-" if b"-" in place else b"+"
        start, _, span = place.partition(sign)
        first, last = int(start), int(start) + (int(span) if sign == b"+" else -int(span))
        rows.append((int(contig), min(first, last), max(first, last) + 1, 1 if sign == b"+" else -1))
    table = pd.DataFrame(rows, columns=["contig", "start", "stop", "strand"], dtype="int64")
    return table.set_index(pd.Index(keys, name="key"))


def read_fragments_database(path: str | Path) -> pd.DataFrame:
    """`read_fragments` of a header database on disk (``path``, ``path.index``), which MMseqs2 may have split."""
    path = Path(path)
    index = np.loadtxt(f"{path}.index", dtype=np.int64, ndmin=2).reshape(-1, 3)
    headers = path.read_bytes() if path.is_file() else b""
    part = 0
    while (piece := Path(f"{path}.{part}")).is_file():
        headers += piece.read_bytes()
        part += 1
    return read_fragments(headers, index[:, 0], index[:, 1], index[:, 2])


def assemble_hits(alignments: pd.DataFrame, fragments: pd.DataFrame, id_of_contig: dict[int, str]) -> pd.DataFrame:
    """Join alignments and fragments to the table ``artefacts.HITS`` (with ``start``, ``stop``, ``strand`` beside it).

    Args:
        alignments: columns `COLUMNS`, as ``mmseqs convertalis`` writes them; ``query`` is the fragment's key.
        fragments: as `read_fragments` returns them.
        id_of_contig: key in the contig database -> contig id.

    Returns:
        Fragments are numbered within their contig by position, from 0; rows are in the order of contig key,
        fragment, bits falling.
    """
    used = fragments.loc[np.unique(alignments["query"])].sort_values(
        ["contig", "start", "stop", "strand"], kind="stable"
    )
    used["fragment"] = used.groupby("contig").cumcount()
    table = alignments.join(used, on="query").sort_values(
        ["contig", "fragment", "bits"], ascending=[True, True, False], kind="stable"
    )
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
    ).reset_index(drop=True)


def read_alignments(path: str | Path) -> pd.DataFrame:
    """Read the table that ``mmseqs convertalis --format-output`` of `CONVERT_FORMAT` writes; it may be empty."""
    return pd.read_csv(path, sep="\t", header=None, names=list(COLUMNS), dtype=COLUMNS)
