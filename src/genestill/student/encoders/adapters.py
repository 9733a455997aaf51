"""The input of students: single bases or byte pairs, with the bases that each token covers.

All adapters have the same methods (the tokens of a sequence, whole or in windows; the tokens of a sequence with masked
groups), so that code that trains or uses a student does not depend on the kind of tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genestill.core.alphabets import find_alphabet, spell
from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases
from genestill.core.tokenization import Tokenizer
from genestill.core.windows import window_bounds
from genestill.student.encoders.tokenization import CLS, MASK, PAD, build_tokenizer


@dataclass(frozen=True)
class Tokens:
    """Tokens of one sequence.

    Attributes:
        ids: int64 [tokens].
        start, stop: int32 [tokens], covered bases; equal for special tokens.
        masked: bool [tokens], True where the bases are masked.
    """

    ids: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    masked: np.ndarray

    @property
    def special(self) -> np.ndarray:
        """bool [tokens], True for tokens that cover no base."""
        return self.start == self.stop


class SingleBaseAdapter:
    """One token per base, with or without a leading [CLS]."""

    kind = "single nucleotides"

    def __init__(self, cls: bool, max_length: int = 12_288):
        self.cls = cls
        self.tokenizer = build_tokenizer(cls, max_length)
        self.pad, self.mask, self.size = PAD, MASK, 10
        self.ordinary = np.arange(4)

    def encode(self, sequence: str) -> Tokens:
        """All tokens of ``sequence``."""
        return self._tokens(encode_bases(sequence).astype(np.int64), np.zeros(len(sequence), dtype=bool))

    def encode_masked(self, sequence: str, boundaries: np.ndarray, masked_groups: np.ndarray) -> Tokens:
        """Tokens with a mask token at each base of a masked group (`masking.cut_groups`)."""
        hidden = np.repeat(masked_groups, np.diff(boundaries))
        return self._tokens(np.where(hidden, MASK, encode_bases(sequence).astype(np.int64)), hidden)

    def windows(self, sequence: str, longest: int) -> list[Tokens]:
        """``sequence`` in the smallest number of windows of at most ``longest`` tokens, special ones included."""
        ids = encode_bases(sequence).astype(np.int64)
        bounds = window_bounds(len(ids), longest - self.cls)
        return [self._tokens(ids[start:stop], np.zeros(stop - start, dtype=bool), start) for start, stop in bounds]

    def _tokens(self, ids: np.ndarray, masked: np.ndarray, first: int = 0) -> Tokens:
        start = np.arange(first, first + len(ids), dtype=np.int32)
        stop = start + 1
        if self.cls:
            ids, masked = np.insert(ids, 0, CLS), np.insert(masked, 0, False)
            start, stop = np.insert(start, 0, first), np.insert(stop, 0, first)
        return Tokens(ids, start, stop, masked)


PIECE = 1 << 16  # bases of a sequence that are tokenized together, for byte pairs


class BytePairAdapter:
    """Tokens of a tokenizer of byte pairs (`bpe.train_bpe`, or a published one) or k-mers, between [CLS] and [SEP].

    Letters are those of its alphabet (`alphabets.find_alphabet`), as for teachers: U is read as T, other IUPAC letters
    as N.
    """

    kind = "byte pairs"

    def __init__(self, tokenizer):
        for name in ("pad", "mask", "cls", "sep"):
            if getattr(tokenizer, f"{name}_token_id") is None:
                raise InputError(f"{tokenizer.name_or_path}: the tokenizer has no {name} token")
        self.tokenizer, self.fast = tokenizer, tokenizer.backend_tokenizer
        if type(self.fast.model).__name__ == "WordLevel":
            self.kind = "words of bases"
        self.fast.no_truncation()
        self.fast.no_padding()
        try:
            self.alphabet = find_alphabet(self.fast, tokenizer.unk_token_id)
        except InputError as error:
            raise InputError(f"{tokenizer.name_or_path}: {error}") from None
        self.pad, self.mask, self.size = tokenizer.pad_token_id, tokenizer.mask_token_id, len(tokenizer)
        self.ordinary = np.setdiff1d(np.arange(self.size), tokenizer.all_special_ids)

    def encode(self, sequence: str) -> Tokens:
        """All tokens of ``sequence``."""
        return self._join([self._run(sequence, 0)])

    def encode_masked(self, sequence: str, boundaries: np.ndarray, masked_groups: np.ndarray) -> Tokens:
        """One mask token per masked group; each visible stretch between two masks is tokenized separately.

        Masking tokens of the whole sequence would reveal masked bases: the end of a visible token depends on the bases
        after it.
        """
        parts, position = [], 0
        for group in np.flatnonzero(masked_groups):
            start, stop = int(boundaries[group]), int(boundaries[group + 1])
            parts.append(self._run(sequence[position:start], position))
            parts.append(_row(self.mask, start, stop, True))
            position = stop
        parts.append(self._run(sequence[position:], position))
        return self._join(parts)

    def windows(self, sequence: str, longest: int) -> list[Tokens]:
        """``sequence`` in the smallest number of windows of at most ``longest`` tokens, special ones included."""
        # Merging the pairs of a whole chromosome needs a hundred bytes per base.
        pieces = [self._run(sequence[first : first + PIECE], first) for first in range(0, max(1, len(sequence)), PIECE)]
        whole = _concatenate(pieces)
        parts = [slice(*bounds) for bounds in window_bounds(len(whole.ids), longest - 2)]
        return [
            self._join([Tokens(whole.ids[part], whole.start[part], whole.stop[part], whole.masked[part])])
            for part in parts
        ]

    def _run(self, sequence: str, first: int) -> Tokens:
        encoding = self.fast.encode(spell(sequence, self.alphabet), add_special_tokens=False)
        offsets = np.asarray(encoding.offsets, dtype=np.int32).reshape(-1, 2) + first
        ids = np.asarray(encoding.ids, dtype=np.int64)
        return Tokens(ids, offsets[:, 0], offsets[:, 1], np.zeros(len(ids), dtype=bool))

    def _join(self, parts: list[Tokens]) -> Tokens:
        end = int(parts[-1].stop[-1]) if len(parts[-1].stop) else 0
        first = int(parts[0].start[0]) if len(parts[0].start) else 0
        parts = [_row(self.tokenizer.cls_token_id, first, first, False), *parts]
        parts.append(_row(self.tokenizer.sep_token_id, end, end, False))
        return _concatenate(parts)


class TeacherAdapter:
    """Tokens of a teacher's tokenizer (`core.tokenization`) with its special tokens.

    For fine-tuning a teacher as a comparison to students; it has no masking.
    """

    kind = "the tokens of a teacher"

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer, self.pad = tokenizer, tokenizer.pad

    def windows(self, sequence: str, longest: int) -> list[Tokens]:
        """``sequence`` in the smallest number of windows of at most ``longest`` tokens, special ones included."""
        (whole,) = self.tokenizer.encode([sequence])
        bounds = window_bounds(len(whole), longest - self.tokenizer.specials)
        return [self._between_specials(whole.ids[part], whole.start[part], whole.stop[part])
                for part in (slice(*one) for one in bounds)]  # fmt: skip

    def _between_specials(self, ids: np.ndarray, start: np.ndarray, stop: np.ndarray) -> Tokens:
        prefix, suffix = self.tokenizer.prefix, self.tokenizer.suffix
        first, last = (int(start[0]), int(stop[-1])) if len(ids) else (0, 0)
        ends = [np.full(len(prefix), first, dtype=np.int32), np.full(len(suffix), last, dtype=np.int32)]
        start, stop = (np.concatenate([ends[0], places, ends[1]]) for places in (start, stop))
        wrapped = self.tokenizer.wrap(ids)
        return Tokens(wrapped, start, stop, np.zeros(len(wrapped), dtype=bool))


def _concatenate(parts: list[Tokens]) -> Tokens:
    return Tokens(*(np.concatenate([getattr(part, name) for part in parts]) for name in Tokens.__dataclass_fields__))


def _row(token: int, start: int, stop: int, masked: bool) -> Tokens:
    return Tokens(
        np.array([token], dtype=np.int64),
        np.array([start], dtype=np.int32),
        np.array([stop], dtype=np.int32),
        np.array([masked]),
    )


def longest_input(config) -> int:
    """Maximum number of tokens of an input, including special ones; longer sequences are read in windows."""
    # Other configurations also have a max_length, which is the length of generated text.
    if config.model_type == "genestill-encoder":
        return config.max_length
    # In ESM, positions start at the padding id + 1.
    return config.max_position_embeddings - (2 if config.model_type == "esm" else 0)


def collate_windows(rows: list[list[Tokens]], pad: int) -> dict[str, torch.Tensor]:
    """The windows of several sequences, padded on the right.

    Returns:
        ``input_ids`` and ``attention_mask`` int64 [W, L], as in `collate`; ``windows`` int64 [W, 2], the number of the
        sequence of each window and the number of bases that the window covers.
    """
    batch = collate([window for windows in rows for window in windows], pad)
    places = [
        (number, int((window.stop - window.start).sum())) for number, windows in enumerate(rows) for window in windows
    ]
    named = {name: batch[name] for name in ("input_ids", "attention_mask")}
    return named | {"windows": torch.tensor(places, dtype=torch.int64)}


def without_full_mask(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``batch`` without its ``attention_mask`` if there is no padding: models are faster without a mask.

    To be called where the batch is made, because on a GPU this check would require a synchronisation.
    """
    full = bool(batch["attention_mask"].all())
    return {name: values for name, values in batch.items() if not (full and name == "attention_mask")}


def open_adapter(folder: str | Path):
    """The adapter for a student or tokenizer folder (or a published name)."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: has no tokenizer that can be loaded ({error})") from None
    if len(tokenizer) == 10 and tokenizer.convert_tokens_to_ids("[MASK]") == MASK:
        return SingleBaseAdapter(cls=tokenizer("A")["input_ids"][0] == CLS, max_length=tokenizer.model_max_length)
    return BytePairAdapter(tokenizer)


def collate(rows: list[Tokens], pad: int, longest: int | None = None) -> dict[str, torch.Tensor]:
    """Pad rows of tokens on the right.

    Returns:
        ``input_ids`` int64 [B, L], ``attention_mask`` int64 [B, L], ``start`` and ``stop`` int64 [B, L] (0 at
        padding, so that padding covers no base), ``masked`` bool [B, L]. Rows are cut at ``longest`` tokens.
    """
    width = max(len(row.ids) for row in rows)
    width = min(width, longest) if longest else width
    shape = (len(rows), width)
    ids, attention = np.full(shape, pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    start, stop, masked = (np.zeros(shape, dtype=kind) for kind in (np.int64, np.int64, bool))
    for number, row in enumerate(rows):
        length = min(len(row.ids), width)
        ids[number, :length], attention[number, :length] = row.ids[:length], 1
        start[number, :length], stop[number, :length] = row.start[:length], row.stop[:length]
        masked[number, :length] = row.masked[:length]
    arrays = {"input_ids": ids, "attention_mask": attention, "start": start, "stop": stop, "masked": masked}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
