"""k-mers of base codes: token bounds of a k-mer tokenizer, and k-mer counts."""

import numpy as np

from genestill.core.sequences import UNKNOWN_BASE


def cut_kmers(codes: np.ndarray, size: int) -> np.ndarray:
    """Token bounds of a sequence, as the tokenizer of the Nucleotide Transformer cuts it.

    From the left: the next ``size`` bases are one token if all of them are A, C, G or T; otherwise the next base is a
    token. Bases before an N, or at the end, that do not fill a k-mer are therefore single tokens. Source:
    Dalla-Torre et al. 2024; the vocabulary of ``EsmTokenizer`` in the published folders, longest match first.

    Args:
        codes: uint8 [length], from `genestill.core.sequences.encode_bases`.
        size: bases of a k-mer.

    Returns:
        int32 [tokens + 1]: token t covers the bases from entry t up to, not including, entry t + 1.
    """
    known = codes != UNKNOWN_BASE
    edges = np.flatnonzero(np.diff(known)) + 1
    starts = []
    for first, stop in zip([0, *edges], [*edges, len(codes)], strict=True):
        whole = first + (stop - first) // size * size if stop > first and known[first] else first
        starts.append(np.arange(first, whole, size))
        starts.append(np.arange(whole, stop))
    return np.append(np.concatenate(starts), len(codes)).astype(np.int32)


def count_kmers(codes: np.ndarray, size: int) -> np.ndarray:
    """Counts of the k-mers of A, C, G and T, int64 [4**size], in alphabetical order.

    ``codes`` is uint8 [length], from `genestill.core.sequences.encode_bases`. k-mers with other letters are not
    counted.
    """
    if len(codes) < size:
        return np.zeros(4**size, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), size)
    windows = windows[(windows < 4).all(axis=1)]
    return np.bincount(windows @ (4 ** np.arange(size - 1, -1, -1)), minlength=4**size)
