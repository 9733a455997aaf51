"""Embeddings of lists of sequences by a released student: windows, batches by length, pooling."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genestill.core.devices import choose_device
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.models import open_whole
from genestill.core.pooling import POOLINGS, pooled_size
from genestill.core.windows import CombinedWindows, batch_by_length, window_bounds
from genestill.student.encoders.model import EncoderModel
from genestill.student.encoders.tokenization import CLS, encode_batch, open_tokenizer

BATCH_TOKENS = {"cpu": 4_096, "cuda": 262_144}  # on a CPU small batches stay in its cache


@dataclass(frozen=True)
class Record:
    """A sequence on its way; tracks: float32 [bases, T], or None for zeros."""

    name: str
    sequence: str
    tracks: np.ndarray | None = None


class Embedder:
    """A student, opened from its folder, that embeds lists of sequences.

    Args:
        folder: a released student (`EncoderConfig`, safetensors, tokenizer).
        device: see `choose_device`.
        pooling: instead of the student's own.
        batch_tokens: tokens of a batch, padding included; by default 4,096 on a CPU and 262,144 on CUDA.
        threads: batches computed at once on a CPU, each by one thread; 0 for as many as torch would take.

    Raises:
        InputError: no encoder student in the folder, or an unknown pooling.
    """

    def __init__(
        self,
        folder: str | Path,
        device: str = "auto",
        pooling: str | None = None,
        batch_tokens: int | None = None,
        threads: int = 0,
    ):
        self.device = choose_device(device)
        self.model = open_student(folder).to(self.device)
        config = self.model.config
        self.pooling = pooling or config.pooling
        if self.pooling not in POOLINGS:
            raise InputError(f"pooling is {self.pooling!r}; expected one of {', '.join(POOLINGS)}")
        self.cls = open_tokenizer(folder)("A")["input_ids"][0] == CLS
        if self.pooling in ("cls", "concatenated") and not self.cls:
            raise InputError(f"{folder}: this student reads no [CLS], so the pooling {self.pooling!r} means nothing")
        self.window = config.max_length - self.cls
        self.size = pooled_size(config.expansion or config.hidden_size, self.pooling)
        self.batch_tokens = batch_tokens or BATCH_TOKENS[self.device.type]
        self.workers = 1 if self.device.type == "cuda" else threads or torch.get_num_threads()

    def embed(self, records: list[Record]) -> np.ndarray:
        """Embeddings float32 [n, size] of ``records``.

        Longer sequences than the student reads are cut into the fewest windows of about equal length; their
        vectors are averaged by length (``max`` takes the maximum).
        """
        windows = [
            (row, start, stop)
            for row, record in enumerate(records)
            for start, stop in window_bounds(len(record.sequence), self.window)
        ]
        lengths = np.array([stop - start for _, start, stop in windows])
        batches = list(batch_by_length(lengths, self.batch_tokens))
        vectors = np.empty((len(windows), self.size), np.float32)

        def compute(batch: np.ndarray) -> None:
            vectors[batch] = self._embed_windows(records, [windows[number] for number in batch])

        if self.workers == 1:
            for batch in batches:
                compute(batch)
        else:
            # A batch a thread keeps cores busier than one small matrix product cut over all of them.
            with ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool_of_threads:
                list(pool_of_threads.map(compute, batches))
        combined = CombinedWindows(len(records), self.size, self.pooling)
        combined.add(np.array([row for row, _, _ in windows]), vectors, lengths)
        return combined.vectors()

    def _embed_windows(self, records: list[Record], windows: list[tuple[int, int, int]]) -> np.ndarray:
        input_ids, mask = encode_batch(
            [records[row].sequence[start:stop] for row, start, stop in windows], cls=self.cls
        )
        tracks = None
        if any(records[row].tracks is not None for row, _, _ in windows):
            values = np.zeros((*input_ids.shape, self.model.config.tracks), np.float32)
            for place, (row, start, stop) in enumerate(windows):
                if records[row].tracks is not None:
                    values[place, self.cls : self.cls + stop - start] = records[row].tracks[start:stop]
            tracks = torch.from_numpy(values).to(self.device)
        input_ids, mask = (torch.from_numpy(x).to(self.device) for x in (input_ids, mask))
        with torch.inference_mode():
            hidden = self.model(input_ids, mask, tracks).last_hidden_state
            return self.model.pool(hidden, mask, self.pooling).float().cpu().numpy()


def open_student(folder: str | Path) -> EncoderModel:
    """The encoder in a released folder, for inference; raises `InputError` if there is none that opens."""
    folder = Path(folder)
    try:
        config = read_json(folder / "config.json")
    except InputError as error:
        raise InputError(f"{folder}: no student that opens ({error})") from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != EncoderModel.config_class.model_type:
        raise InputError(f"{folder}: config.json says model_type {kind!r}; expected an encoder student")
    return open_whole(EncoderModel, folder)
