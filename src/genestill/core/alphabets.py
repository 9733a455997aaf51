"""The letters in which a tokenizer reads nucleotides: DNA or RNA, upper or lower case."""

import numpy as np

from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases

# Letters for A, C, G, T and for all other IUPAC letters. The first alphabet that a tokenizer can read is used.
ALPHABETS = {"ACGTN": "DNA", "ACGUN": "RNA", "acgtn": "lower-case DNA", "acgun": "lower-case RNA"}
UNKNOWN_TOKENS = ("[UNK]", "<unk>", "<UNK>", "unk")

# As long as a window, because word tokenizers fail only on long inputs.
_PROBE = "".join("ACGT"[base] for base in np.random.default_rng(0).integers(0, 4, 2048))


def spell(sequence: str, alphabet: str) -> str:
    """Write ``sequence`` in the letters of an alphabet: U is read as T, case is ignored, other letters are N."""
    letters = np.frombuffer(alphabet.encode(), dtype=np.uint8)
    return letters[encode_bases(sequence)].tobytes().decode()


def read_back(token: str, alphabet: str) -> str:
    """Translate a token from an alphabet to A, C, G, T and N; tokens with other letters are returned unchanged."""
    return token.translate(str.maketrans(alphabet, "ACGTN")) if token and set(token) <= set(alphabet) else token


def find_alphabet(backend, unknown: int | None = None) -> str:
    """Find the first of ``ALPHABETS`` in which a tokenizer (of the library tokenizers) reads all bases.

    Args:
        backend: the tokenizer, without truncation and padding.
        unknown: id of its unknown token, in addition to the names in ``UNKNOWN_TOKENS``.

    Returns:
        A key of ``ALPHABETS``.

    Raises:
        InputError: in every alphabet, at least one base is unknown to the tokenizer or skipped.
    """
    strange = {unknown, *(backend.token_to_id(token) for token in UNKNOWN_TOKENS)} - {None}
    for alphabet in ALPHABETS:
        encoding = backend.encode(spell(_PROBE, alphabet), add_special_tokens=False)
        read = np.zeros(len(_PROBE), dtype=bool)
        for start, stop in encoding.offsets:
            read[start:stop] = True
        if read.all() and not strange & set(encoding.ids) and len(set(encoding.ids)) >= 4:
            return alphabet
    example = backend.encode(_PROBE[:12], add_special_tokens=False).tokens
    raise InputError(
        f"the tokenizer does not read DNA: {_PROBE[:12]} becomes {' '.join(example) or 'nothing'}, and it does not "
        "read RNA or lower case either; tokenizers of words that must be cut beforehand (DNABERT-1) are not supported"
    )
