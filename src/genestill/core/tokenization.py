"""From bases to tokens, with the bases that each token covers.

Two kinds of tokenizer are sufficient for current models: k-mers from a ``vocab.txt`` (Nucleotide Transformer), and any
tokenizer described by a ``tokenizer.json`` (byte-pair encoding of GenomeOcean and DNABERT-2, single letters).
"""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genestill.core.alphabets import ALPHABETS, find_alphabet, read_back, spell
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.kmers import cut_kmers
from genestill.core.logs import logger
from genestill.core.models import save_tokenizer
from genestill.core.sequences import BASES, encode_bases
from genestill.core.text import read_text_lines

# Byte-pair tokens of the published vocabularies cover 4 to 5 bases on average; 4 is a safe estimate.
BASES_PER_BPE_TOKEN = 4

# The published order of the vocabulary of the Nucleotide Transformer (4,107 tokens for k = 6).
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
    """Base class of tokenizers. U is read as T, case is ignored, and letters except A, C, G, T, U are read as N.

    The model gets sequences in the alphabet of its vocabulary: DNA or RNA, upper or lower case.

    Attributes:
        prefix, suffix: ids of the special tokens before and after a sequence.
        pad, mask: ids of special tokens; mask is None if there is none.
        vocabulary: list of token strings by id; words of bases are written in A, C, G, T, N for every alphabet.
        unit: sequences are cut at multiples of this many bases (k for k-mers, else 1).
        bases_per_token: expected number of bases per token.
        checksum: hex SHA-256 of the vocabulary file.
        model_max_length: maximum number of tokens in the tokenizer's configuration, or None.
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
        """Write the files from which `load_tokenizer` and ``transformers`` load the tokenizer."""
        raise NotImplementedError

    @property
    def specials(self) -> int:
        """Number of special tokens added to a sequence."""
        return len(self.prefix) + len(self.suffix)

    def wrap(self, ids: np.ndarray) -> np.ndarray:
        """``ids`` with the special tokens before and after them."""
        return np.concatenate([self.prefix, ids, self.suffix]).astype(np.int64)

    def bases_of_tokens(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (int64 [v]) and base codes (uint8 [v, length]) of all tokens of ``length`` known bases."""
        found = [
            (index, encode_bases(token))
            for index, token in enumerate(self.vocabulary)
            if len(token) == length and set(token) <= set(BASES)
        ]
        ids = np.array([index for index, _ in found], dtype=np.int64)
        codes = np.array([code for _, code in found], dtype=np.uint8).reshape(len(found), length)
        return ids, codes


class KmerTokenizer(Tokenizer):
    """Non-overlapping k-mers from the left; N and bases that do not fill a k-mer are single letters.

    The tokens are those of the ``EsmTokenizer`` of the published models (tested); it is faster, because it searches no
    trie, and gives base offsets. One difference is intended: IUPAC codes other than N become N instead of ``<unk>``.
    """

    def __init__(self, vocabulary: list[str], settings: dict | None = None):
        settings = settings or {}
        self.words = vocabulary
        self.settings = settings = {**_default_specials(vocabulary, settings), **settings}
        self.alphabet = next((letters for letters in ALPHABETS if _is_of_kmers(vocabulary, letters)), "ACGTN")
        self.vocabulary = vocabulary = [read_back(token, self.alphabet) for token in vocabulary]
        index = {token: number for number, token in enumerate(vocabulary)}
        kmers = [token for token in vocabulary if token and set(token) <= set(BASES)]
        lengths = {len(token) for token in kmers}
        self.unit = max(lengths, default=0)
        missing = [letter for letter in BASES if letter not in index]
        if not _is_of_kmers(vocabulary, "ACGTN"):
            raise InputError(
                f"not a vocabulary of k-mers: expected the single letters A, C, G, T (or U; or lower "
                f"case) and all 4^k words of one length k; found words of the lengths {sorted(lengths)}"
                + (f" and no {', '.join(missing)}" if missing else "")
            )
        self._kmer_ids = np.array([index["".join(word)] for word in itertools.product(BASES, repeat=self.unit)])

        def special(role: str) -> int | None:
            name = settings.get(f"{role}_token")
            name = name.get("content") if isinstance(name, dict) else name
            return None if name is None else index.get(name)

        unknown = index.get("N", special("unk"))
        if unknown is None:
            raise InputError("the vocabulary has neither N nor an unknown token for letters that are not bases")
        self._letter_ids = np.array([index[letter] for letter in BASES] + [unknown])
        self._powers = 4 ** np.arange(self.unit - 1, -1, -1)
        first, last = special("cls"), special("eos" if settings.get("eos_token") else "sep")
        self.prefix = () if first is None else (first,)
        self.suffix = () if last is None else (last,)
        self.pad, self.mask = special("pad") or 0, special("mask")
        self.bases_per_token = self.unit
        self.checksum = hashlib.sha256("\n".join(self.words).encode()).hexdigest()
        self.model_max_length = _sensible_length(settings.get("model_max_length"))

    @classmethod
    def of_size(cls, k: int, model_max_length: int) -> "KmerTokenizer":
        """The published vocabulary for k-mers of size ``k``: special tokens, words over A, T, C, G, single letters."""
        words = ["".join(word) for word in itertools.product("ATCG", repeat=k)] if k > 1 else []
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
        boundaries = cut_kmers(codes, self.unit)
        start, stop = boundaries[:-1], boundaries[1:]
        ids = self._letter_ids[codes[start]]
        words = np.flatnonzero(stop - start == self.unit) if self.unit > 1 else np.empty(0, dtype=int)
        if len(words):
            letters = codes[start[words, None] + np.arange(self.unit)]
            ids[words] = self._kmer_ids[letters @ self._powers]
        return Tokens(ids.astype(np.int64), start, stop)

    def save(self, folder: Path) -> None:
        """Write ``vocab.txt`` and ``tokenizer_config.json``."""
        (folder / "vocab.txt").write_text("\n".join(self.words), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(self.settings, indent=2) + "\n", encoding="utf-8")


def _is_of_kmers(vocabulary: list[str], alphabet: str) -> bool:
    """Whether a vocabulary has the four letters of an alphabet, all words of one length over them, and no others."""
    bases = set(alphabet[:4])
    lengths = [len(token) for token in vocabulary if token and set(token) <= bases]
    longest = max(lengths, default=0)
    return len(set(lengths)) <= 2 and bases <= set(vocabulary) and lengths.count(longest) == 4**longest


def _default_specials(vocabulary: list[str], settings: dict) -> dict[str, str | None]:
    """Special tokens that are missing in the settings: those of BERT or ESM, if the vocabulary has them.

    The ``EsmTokenizer`` of transformers adds ``<eos>`` at the end unless its settings disable it.
    """
    if "[CLS]" in vocabulary:
        names = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]", "unk": "[UNK]"}
    else:
        names = {"cls": "<cls>", "pad": "<pad>", "mask": "<mask>", "unk": "<unk>"}
        if settings.get("tokenizer_class") == "EsmTokenizer":
            names["eos"] = "<eos>"
    return {f"{role}_token": name for role, name in names.items()}


class FastTokenizer(Tokenizer):
    """A ``tokenizer.json``, opened with `PreTrainedTokenizerFast` and not with `AutoTokenizer`.

    `AutoTokenizer` of transformers 5 opens GenomeOcean's folder with another tokenizer class (genomeocean pull request
    8).
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        text = backend.to_str()
        self.checksum = hashlib.sha256(text.encode()).hexdigest()
        self.alphabet = find_alphabet(backend, tokenizer.unk_token_id)
        by_id = {index: token for token, index in backend.get_vocab(with_added_tokens=True).items()}
        if max(by_id) >= _MOST_IDS_PER_TOKEN * len(by_id):
            raise InputError(f"the ids of {len(by_id)} tokens go up to {max(by_id)}; expected consecutive ids")
        self.vocabulary = [read_back(by_id.get(index, ""), self.alphabet) for index in range(max(by_id) + 1)]
        text = spell("ACGT", self.alphabet)
        bare, wrapped = (backend.encode(text, add_special_tokens=add).ids for add in (False, True))
        at = next((i for i in range(len(wrapped)) if wrapped[i : i + len(bare)] == bare), None)
        if at is None:
            raise InputError("the tokenizer gives different tokens for bases with and without special tokens")
        self.prefix, self.suffix = tuple(wrapped[:at]), tuple(wrapped[at + len(bare) :])
        self.pad = tokenizer.pad_token_id or 0
        self.mask = tokenizer.mask_token_id
        self.unit = 1
        words = [token for token in self.vocabulary if token and set(token) <= set(BASES)]
        self.bases_per_token = 1 if all(len(word) == 1 for word in words) else BASES_PER_BPE_TOKEN
        self.model_max_length = _sensible_length(tokenizer.model_max_length)

    def encode(self, sequences: list[str]) -> list[Tokens]:
        """Tokens of each sequence."""
        texts = [spell(sequence, self.alphabet) for sequence in sequences]
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        return [
            Tokens(
                np.array(encoding.ids, dtype=np.int64),
                *np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2).T.copy(),
            )
            for encoding in encodings
        ]

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and the files that belong to it."""
        save_tokenizer(self._tokenizer, folder)


_MOST_IDS_PER_TOKEN = 16  # there may be gaps between the ids of a vocabulary


def _sensible_length(length) -> int | None:
    if length is None:
        return None
    if isinstance(length, bool) or not isinstance(length, int | float) or not length > 0:
        raise InputError(f"model_max_length of the tokenizer is {str(length)[:40]}; expected a number above zero")
    # transformers writes 1e30 for "no limit".
    return int(length) if length < 10**7 else None


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Open the tokenizer of a Hugging Face folder.

    Raises `InputError` if the folder has neither ``tokenizer.json`` nor a k-mer ``vocab.txt``, or if the file is
    invalid.
    """
    folder = Path(folder)
    fast, words = folder / "tokenizer.json", folder / "vocab.txt"
    found: FastTokenizer | KmerTokenizer
    if fast.is_file():
        from transformers import PreTrainedTokenizerFast

        read_json(fast)
        try:
            found = FastTokenizer(PreTrainedTokenizerFast.from_pretrained(folder))
        except InputError as error:
            raise InputError(f"{fast}: {error}") from None
        except Exception as error:  # the Rust library raises plain Exception
            raise InputError(f"{fast}: not a tokenizer that can be loaded: {error}") from None
    elif words.is_file():
        vocabulary = [line.strip() for line in read_text_lines(words)]
        try:
            found = KmerTokenizer(vocabulary, _settings_of(folder))
        except InputError as error:
            raise InputError(f"{words}: {error}") from None
    else:
        raise InputError(f"{folder}: no tokenizer; expected tokenizer.json, or vocab.txt with k-mers")
    if found.alphabet != "ACGTN":
        logger.info(
            "%s: sequences are converted to the alphabet of its tokenizer: %s", folder, ALPHABETS[found.alphabet]
        )
    return found


def _settings_of(folder: Path) -> dict:
    """The settings beside a ``vocab.txt``: from tokenizer_config.json, and from special_tokens_map.json if missing."""
    settings: dict = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            if not isinstance(found, dict):
                raise InputError(f"{folder / name}: expected an object with the names of the special tokens")
            settings |= found
    for role, value in settings.items():
        content = value.get("content") if isinstance(value, dict) else value
        if role.endswith("_token") and not isinstance(content, str | None):
            raise InputError(f"{folder}: {role} of the tokenizer is {str(value)[:40]}; expected a string")
    return settings
