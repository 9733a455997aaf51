"""k-mers of base codes: where a tokenizer of k-mers cuts, and how often each k-mer occurs."""

import numpy as np

from genestill.core.sequences import UNKNOWN_BASE


def cut_kmers(codes: np.ndarray, size: int) -> np.ndarray:
    """Where the Nucleotide Transformer's tokenizer cuts a sequence.

    From the left: the next ``size`` bases are one token if all of them are A, C, G or T, else the next base is a token
    of its own (so the bases before an N that do not fill a k-mer stand alone, and so do those of the tail). Source:
    Dalla-Torre et al. 2024; the vocabulary of ``EsmTokenizer`` in the published folders, matched longest first.

    Args:
        codes: uint8 [length], as `genestill.core.sequences.encode_bases` gives them.
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

    ``codes`` is uint8 [length], as `genestill.core.sequences.encode_bases` gives them; k-mers with another letter are
    not counted.
    """
    if len(codes) < size:
        return np.zeros(4**size, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), size)
    windows = windows[(windows < 4).all(axis=1)]
    return np.bincount(windows @ (4 ** np.arange(size - 1, -1, -1)), minlength=4**size)
