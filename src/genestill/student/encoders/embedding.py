"""Embeddings of lists of sequences by a released student: windows, batches by length, pooling."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, PreTrainedModel

from genestill.core.devices import Halving, choose_device, copy_back, to_device
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.models import open_whole
from genestill.core.pooling import POOLINGS, REGIONS, TRANSCRIPT_POOLINGS, pool, pooled_size
from genestill.core.reading_frames import coding_bounds, region_codes
from genestill.core.windows import CombinedWindows, batch_by_length
from genestill.student.encoders.adapters import Tokens, collate, longest_input, open_adapter
from genestill.student.encoders.model import EncoderModel

# Model types of students that are implemented in transformers.
OF_TRANSFORMERS = ("deberta-v2", "genestill-deberta-classifier", "roformer", "genestill-roformer-classifier")
BATCH_TOKENS = {"cpu": 4_096, "cuda": 262_144}  # on a CPU, small batches fit into the cache


@dataclass(frozen=True)
class Record:
    """A sequence with its tracks: float32 [bases, T], codons first, or None for zeros."""

    name: str
    sequence: str
    tracks: np.ndarray | None = None


@dataclass(frozen=True)
class Prepared:
    """Records cut into windows: the row of the record of each window, int64 [windows], and batches of windows.

    regions: of every base of each record, if the pooling needs them.
    """

    records: list[Record]
    windows: list[Tokens]
    rows: np.ndarray
    batches: list[np.ndarray]
    regions: list[np.ndarray]


class Embedder:
    """A student, opened from its folder, for embedding lists of sequences.

    Args:
        folder: a student (configuration, safetensors, tokenizer): an encoder, or DeBERTa over byte pairs.
        device: see `choose_device`.
        pooling: pooling instead of the student's default, which is the mean for DeBERTa.
        batch_tokens: tokens per batch, with padding; by default 4,096 on a CPU and 262,144 on CUDA.
        threads: batches computed in parallel on a CPU, with one thread each; 0 for the number of torch's threads.
        model: the student, if it is already open.
        dtype: ``float32``, or ``bfloat16`` for products in half precision (autocast); ``auto`` is bfloat16 on CUDA.

    Raises:
        InputError: no student in the folder, or an unknown pooling.
    """

    def __init__(
        self,
        folder: str | Path,
        device: str = "auto",
        pooling: str | None = None,
        batch_tokens: int | None = None,
        threads: int = 0,
        model: PreTrainedModel | None = None,
        dtype: str = "auto",
    ):
        self.device = choose_device(device)
        if model is None:
            model = open_body(folder)
        self.model = model.to(self.device)
        self.adapter = open_adapter(folder)
        config = self.model.config
        self.pooling = str(pooling or getattr(config, "pooling", "mean"))
        known = TRANSCRIPT_POOLINGS if isinstance(self.model, EncoderModel) else POOLINGS
        if self.pooling not in known:
            raise InputError(f"pooling is {self.pooling!r}; expected one of {', '.join(known)}")
        self.lengths = getattr(config, "lengths", False)
        self.reads_regions = self.pooling == "regions" or self.lengths
        self.tracks = getattr(config, "tracks", 0)
        self.longest = longest_input(config)
        self._pooled_size = pooled_size(getattr(config, "expansion", 0) or config.hidden_size, self.pooling)
        self.size = self._pooled_size + self.lengths * len(REGIONS)
        self.batch_tokens = batch_tokens or BATCH_TOKENS[self.device.type]
        self.half = self.device.type == "cuda" if dtype == "auto" else dtype == "bfloat16"
        self._halving = Halving("student embed", self.device)
        self.workers = 1 if self.device.type == "cuda" else threads or torch.get_num_threads()

    def embed(self, records: list[Record]) -> np.ndarray:
        """Embeddings, float32 [n, size], of ``records``.

        Sequences longer than the student's maximum are cut into the smallest number of windows of about equal length;
        their vectors are averaged by length (with ``max``, the maximum is used).
        """
        return self.embed_and_count(records)[0]

    def embed_and_count(self, records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
        """`embed`, and the number of tokens of each record without special tokens: int32 [n]."""
        return self.start(self.prepare(records))()

    def prepare(self, records: list[Record]) -> Prepared:
        """Cut records into windows, and sort these into batches."""
        windows: list[Tokens] = []
        of_windows: list[int] = []
        for row, record in enumerate(records):
            found = self.adapter.windows(record.sequence, self.longest)
            windows += found
            of_windows += [row] * len(found)
        rows = np.array(of_windows, dtype=np.int64)
        batches = list(batch_by_length(np.array([len(window.ids) for window in windows]), self.batch_tokens))
        regions = [_regions(record) for record in records] if self.reads_regions else []
        return Prepared(records, windows, rows, batches, regions)

    def start(self, prepared: Prepared) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """Start `embed_and_count`; the returned function waits for the computation on a GPU and returns the result."""
        windows, rows, records, regions = prepared.windows, prepared.rows, prepared.records, prepared.regions

        def compute(batch: np.ndarray) -> list[tuple[np.ndarray, Callable[[], np.ndarray]]]:
            def run(part: slice):
                taken = batch[part]
                return self._embed_windows(
                    [windows[number] for number in taken],
                    [records[rows[number]].tracks for number in taken],
                    [regions[rows[number]] for number in taken] if regions else [],
                )

            return [(batch[part], copy_back(found)) for part, found in self._halving.results(len(batch), run)]

        if self.workers == 1:
            started = [compute(batch) for batch in prepared.batches]
        else:
            # One batch per thread uses the cores better than small matrix products divided over all cores.
            with ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool_of_threads:
                started = list(pool_of_threads.map(compute, prepared.batches))

        def finish() -> tuple[np.ndarray, np.ndarray]:
            vectors = np.empty((len(windows), self._pooled_size), np.float32)
            for batch, found in itertools.chain.from_iterable(started):
                vectors[batch] = found()
            combined = CombinedWindows(len(records), self._pooled_size, self.pooling)
            if self.pooling == "regions":
                weights = [_bases_of_regions(regions[row], window) for row, window in zip(rows, windows, strict=True)]
            else:
                weights = [(window.stop - window.start).sum() for window in windows]
            combined.add(rows, vectors, np.array(weights))
            embeddings = combined.vectors()
            if self.lengths:
                counts = [np.bincount(codes, minlength=len(REGIONS)) for codes in regions]
                embeddings = np.concatenate([embeddings, np.log1p(counts, dtype=np.float32)], axis=1)
            tokens = np.bincount(rows, [(~window.special).sum() for window in windows], minlength=len(records))
            return embeddings, tokens.astype(np.int32)

        return finish

    def _embed_windows(
        self, windows: list[Tokens], tracks: list[np.ndarray | None], regions: list[np.ndarray]
    ) -> torch.Tensor:
        batch = collate(windows, self.adapter.pad)
        padded = not batch["attention_mask"].all()  # on the CPU, because on a GPU this requires a synchronisation
        inputs = {name: to_device(batch[name].numpy(), self.device) for name in ("input_ids", "attention_mask")}
        mask = inputs["attention_mask"]
        if not padded:
            del inputs["attention_mask"]  # without one, attention is faster
        shape = tuple(mask.shape)
        if self.tracks and any(values is not None for values in tracks):
            of_bases = np.zeros((*shape, self.tracks), np.float32)
            for place, (window, values) in enumerate(zip(windows, tracks, strict=True)):
                if values is not None:
                    bases = np.flatnonzero(~window.special)
                    of_bases[place, bases] = values[window.start[bases]]
            inputs["tracks"] = to_device(of_bases, self.device)
        of_tokens = {}
        if self.pooling == "regions":
            codes = np.full(shape, -1)
            for place, (window, of_record) in enumerate(zip(windows, regions, strict=True)):
                bases = np.flatnonzero(~window.special)
                codes[place, bases] = of_record[window.start[bases]]
            of_tokens["regions"] = to_device(codes, self.device)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            hidden = self.model(**inputs).last_hidden_state
        with torch.inference_mode():  # the mean over thousands of tokens needs the precision of the weights
            pooled = self.model.pool if isinstance(self.model, EncoderModel) else pool
            return pooled(hidden.to(self.model.dtype), mask, self.pooling, **of_tokens).float()


def _regions(record: Record) -> np.ndarray:
    """The region of every base of a record: int64 [bases]."""
    sequence = record.sequence.upper().replace("U", "T")
    cds = None if record.tracks is None else record.tracks[:, 0]
    return region_codes(len(sequence), *coding_bounds(sequence, cds))


def _bases_of_regions(regions: np.ndarray, window: Tokens) -> np.ndarray:
    """Number of bases of a window in each region: int64 [3]."""
    return np.bincount(regions[window.start[~window.special]], minlength=len(REGIONS))


def _model_type(folder: str | Path) -> str | None:
    try:
        config = read_json(Path(folder) / "config.json")
    except InputError as error:
        raise InputError(f"{folder}: not a student that can be loaded ({error})") from None
    return config.get("model_type") if isinstance(config, dict) else None


def open_body(folder: str | Path) -> PreTrainedModel:
    """The student in a folder without its head, an encoder or a model of transformers; errors as in `open_model`."""
    return open_model(folder) if _model_type(folder) in OF_TRANSFORMERS else open_student(folder)


def open_model(folder: str | Path) -> PreTrainedModel:
    """Open any model of transformers completely; raises `InputError` as `models.open_whole` does."""
    return open_whole(AutoModel, folder)


def open_student(folder: str | Path) -> EncoderModel:
    """Open the encoder in a released folder for inference; raises `InputError` without a complete encoder."""
    kind = _model_type(folder)
    if kind != EncoderModel.config_class.model_type:
        raise InputError(f"{folder}: config.json has the model_type {kind!r}; expected an encoder student")
    return open_whole(EncoderModel, folder)
