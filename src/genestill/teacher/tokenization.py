"""Bases to tokens, with the bases that each token covers.

Two kinds of tokenizer cover the field's models: k-mers from a ``vocab.txt`` (Nucleotide Transformer) and whatever a
``tokenizer.json`` describes (byte-pair encoding of GenomeOcean and DNABERT-2, single letters).
"""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genestill.ground.errors import InputError
from genestill.ground.files import read_json
from genestill.ground.sequences import BASES, UNKNOWN_BASE, encode_bases
from genestill.ground.text import read_text_lines

_LETTERS = bytes(ord("ACGTN"[code]) for code in range(5))
# Byte-pair tokens of the published vocabularies cover 4 to 5 bases on average; 4 is the safe side.
BASES_PER_BPE_TOKEN = 4

# Published order of the Nucleotide Transformer's vocabulary (4,107 tokens for k = 6).
NUCLEOTIDE_TRANSFORMER_SPECIALS = ("<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>")


@dataclass(frozen=True)
class Tokens:
    """The tokens of one sequence, without special tokens.

    ids: int64 [t]; start, stop: int32 [t], 0-based offsets of the first base and after the last base of each token.
    """

    ids: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer:
    """What every tokenizer gives. Letters beyond A, C, G, T are N; U is T; lower case counts as upper.

    Attributes:
        prefix, suffix: ids of the special tokens that the model expects around a sequence.
        pad, mask: ids; mask is None where there is none.
        vocabulary: list of token strings by id.
        unit: cut sequences at multiples of this many bases (k for k-mers, else 1).
        bases_per_token: expected bases a token covers.
        checksum: hex SHA-256 of the vocabulary file.
        model_max_length: tokens that the tokenizer's configuration allows, or None.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    mask: int | None
    vocabulary: list[str]
    unit: int
    bases_per_token: int
    checksum: str
    model_max_length: int | None

    def encode(self, sequences: list[str]) -> list[Tokens]:
        """Tokens of each sequence."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the files that `load_tokenizer` and ``transformers`` read."""
        raise NotImplementedError

    @property
    def specials(self) -> int:
        """Number of special tokens around a sequence."""
        return len(self.prefix) + len(self.suffix)

    def wrap(self, ids: np.ndarray) -> np.ndarray:
        """``ids`` between the special tokens."""
        return np.concatenate([self.prefix, ids, self.suffix]).astype(np.int64)

    def bases_of_tokens(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (int64 [v]) and base codes (uint8 [v, length]) of all tokens that spell ``length`` known bases."""
        found = [
            (index, encode_bases(token))
            for index, token in enumerate(self.vocabulary)
            if len(token) == length and set(token) <= set(BASES)
        ]
        ids = np.array([index for index, _ in found], dtype=np.int64)
        codes = np.array([code for _, code in found], dtype=np.uint8).reshape(len(found), length)
        return ids, codes


class KmerTokenizer(Tokenizer):
    """Non-overlapping k-mers from the left; single letters for N and for what is left of a run that N or the end cuts.

    The same tokens as the ``EsmTokenizer`` of the published models (tested), without its search through a trie and
    with base offsets. One difference is meant: IUPAC codes other than N become N instead of ``<unk>``.
    """

    def __init__(self, vocabulary: list[str], settings: dict | None = None):
        settings = settings or {}
        self.vocabulary = vocabulary
        self.settings = settings
        index = {token: number for number, token in enumerate(vocabulary)}
        kmers = [token for token in vocabulary if token and set(token) <= set(BASES)]
        lengths = {len(token) for token in kmers}
        self.unit = max(lengths, default=0)
        missing = [letter for letter in BASES if letter not in index]
        if missing or len(lengths) > 2 or sum(len(token) == self.unit for token in kmers) != 4**self.unit:
            raise InputError(
                f"the vocabulary is not one of k-mers: expected the single letters A, C, G, T and all 4^k words of one "
                f"length k; found words of the lengths {sorted(lengths)}"
                + (f" and no {', '.join(missing)}" if missing else "")
            )
        self._kmer_ids = np.array([index["".join(word)] for word in itertools.product(BASES, repeat=self.unit)])
        self._letter_ids = np.array([index[letter] for letter in BASES] + [index.get("N", index.get("<unk>", 0))])
        self._powers = 4 ** np.arange(self.unit - 1, -1, -1)

        def special(role: str, default: str | None) -> int | None:
            name = settings.get(f"{role}_token", default)
            name = name.get("content") if isinstance(name, dict) else name
            return index.get(name)

        first, last = special("cls", "<cls>"), special("eos", None)
        self.prefix = () if first is None else (first,)
        self.suffix = () if last is None else (last,)
        self.pad, self.mask = special("pad", "<pad>") or 0, special("mask", "<mask>")
        self.bases_per_token = self.unit
        self.checksum = hashlib.sha256("\n".join(vocabulary).encode()).hexdigest()
        self.model_max_length = _sensible_length(settings.get("model_max_length"))

    @classmethod
    def of_size(cls, k: int, model_max_length: int) -> "KmerTokenizer":
        """The published vocabulary for k-mers of size ``k``: special tokens, words over A, T, C, G, single letters."""
        words = ["".join(word) for word in itertools.product("ATCG", repeat=k)]
        settings = {
            "tokenizer_class": "EsmTokenizer",
            "cls_token": "<cls>",
            "eos_token": None,
            "mask_token": "<mask>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "model_max_length": model_max_length,
        }
        return cls([*NUCLEOTIDE_TRANSFORMER_SPECIALS, *words, *"ATCGN"], settings)

    def encode(self, sequences: list[str]) -> list[Tokens]:
        """Tokens of each sequence."""
        return [self._encode(encode_bases(sequence)) for sequence in sequences]

    def _encode(self, codes: np.ndarray) -> Tokens:
        known = codes != UNKNOWN_BASE
        edges = np.flatnonzero(np.diff(known)) + 1
        starts = []
        for first, stop in zip([0, *edges], [*edges, len(codes)], strict=True):
            whole = first + (stop - first) // self.unit * self.unit if stop > first and known[first] else first
            starts.append(np.arange(first, whole, self.unit))
            starts.append(np.arange(whole, stop))
        start = np.concatenate(starts).astype(np.int32)
        stop = np.append(start[1:], len(codes)).astype(np.int32)
        ids = self._letter_ids[codes[start]]
        words = np.flatnonzero(stop - start == self.unit) if self.unit > 1 else np.empty(0, dtype=int)
        if len(words):
            letters = codes[start[words, None] + np.arange(self.unit)]
            ids[words] = self._kmer_ids[letters @ self._powers]
        return Tokens(ids.astype(np.int64), start, stop)

    def save(self, folder: Path) -> None:
        """Write ``vocab.txt`` and ``tokenizer_config.json``."""
        (folder / "vocab.txt").write_text("\n".join(self.vocabulary), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(self.settings, indent=2) + "\n", encoding="utf-8")


class FastTokenizer(Tokenizer):
    """A ``tokenizer.json`` through `PreTrainedTokenizerFast`, never `AutoTokenizer`.

    `AutoTokenizer` of transformers 5 sends GenomeOcean's folder to another tokenizer class (genomeocean pull
    request 8).
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        text = backend.to_str()
        self.checksum = hashlib.sha256(text.encode()).hexdigest()
        by_id = {index: token for token, index in backend.get_vocab(with_added_tokens=True).items()}
        self.vocabulary = [by_id.get(index, "") for index in range(max(by_id) + 1)]
        bare, wrapped = (backend.encode("ACGT", add_special_tokens=add).ids for add in (False, True))
        at = next((i for i in range(len(wrapped)) if wrapped[i : i + len(bare)] == bare), None)
        if not bare or at is None:
            raise InputError("the tokenizer does not read DNA: it gives no tokens for ACGT")
        self.prefix, self.suffix = tuple(wrapped[:at]), tuple(wrapped[at + len(bare) :])
        self.pad = tokenizer.pad_token_id or 0
        self.mask = tokenizer.mask_token_id
        self.unit = 1
        words = [token for token in self.vocabulary if token and set(token) <= set(BASES)]
        self.bases_per_token = 1 if all(len(word) == 1 for word in words) else BASES_PER_BPE_TOKEN
        self.model_max_length = _sensible_length(tokenizer.model_max_length)

    def encode(self, sequences: list[str]) -> list[Tokens]:
        """Tokens of each sequence."""
        texts = [encode_bases(sequence).tobytes().translate(_TO_LETTERS).decode() for sequence in sequences]
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        return [
            Tokens(
                np.array(encoding.ids, dtype=np.int64),
                *np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2).T.copy(),
            )
            for encoding in encodings
        ]

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and its companions."""
        self._tokenizer.save_pretrained(folder)


_TO_LETTERS = bytes(_LETTERS[code] if code < 5 else ord("N") for code in range(256))


def _sensible_length(length) -> int | None:
    # transformers writes 1e30 for "no limit".
    return int(length) if length and length < 10**7 else None


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Open the tokenizer of a Hugging Face folder.

    Raises `InputError` if the folder has neither ``tokenizer.json`` nor a k-mer ``vocab.txt``, or a broken one.
    """
    folder = Path(folder)
    fast, words, settings = (folder / name for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"))
    if fast.is_file():
        from transformers import PreTrainedTokenizerFast

        read_json(fast)
        try:
            return FastTokenizer(PreTrainedTokenizerFast.from_pretrained(folder))
        except InputError as error:
            raise InputError(f"{fast}: {error}") from None
        except Exception as error:  # the Rust library raises bare Exception
            raise InputError(f"{fast}: not a tokenizer that opens: {error}") from None
    if words.is_file():
        vocabulary = [line.strip() for line in read_text_lines(words)]
        try:
            return KmerTokenizer(vocabulary, read_json(settings) if settings.is_file() else None)
        except InputError as error:
            raise InputError(f"{words}: {error}") from None
    raise InputError(f"{folder}: no tokenizer; expected tokenizer.json, or vocab.txt with k-mers")


def train_bpe(pieces, vocabulary: int, model_max_length: int) -> FastTokenizer:
    """Learn a byte-pair vocabulary over bases, the tokenizer type of GenomeOcean and DNABERT-2.

    Args:
        pieces: iterable of sequences; shorter pieces train faster (a piece counts as one word).
        vocabulary: number of tokens, the five special ones included.
        model_max_length: tokens that the model takes.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    backend = Backend(models.BPE(unk_token="[UNK]"))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=specials, initial_alphabet=list(BASES), show_progress=False
    )
    backend.train_from_iterator(pieces, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    )
    names = dict(zip(("unk", "cls", "sep", "pad", "mask"), specials, strict=True))
    return FastTokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=backend,
            model_max_length=model_max_length,
            **{f"{role}_token": token for role, token in names.items()},
        )
    )
