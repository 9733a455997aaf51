"""A genestill student as a model of mRNABench. Drop this file into mRNABench's environment.

mRNABench pins other versions of torch and NumPy than genestill does, so the student comes as ONNX: this file needs
NumPy, torch and mrna-bench (both are there already) and onnxruntime.

    genestill student export-onnx --model FOLDER -o FOLDER/student.onnx      # once, where genestill is installed

    from mrna_bench.embedder import DatasetEmbedder                          # in mRNABench's environment
    from mrnabench_adapter import open_student
    embedder = DatasetEmbedder(open_student("FOLDER", name="my-student"), dataset)
    embedder.persist_embeddings(embedder.embed_dataset())

genestill itself never imports mrna-bench (AGPL-3).
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from mrna_bench.models.embedding_model import EmbeddingModel

CLS = 7
CODES = np.full(256, 4, np.int64)  # A, C, G, T, and 4 for all else
for _code, _letters in enumerate((b"Aa", b"Cc", b"Gg", b"TtUu")):
    CODES[list(_letters)] = _code

START = re.compile("(?=ATG)")
STOPS = ("TAA", "TAG", "TGA")
SHORTEST_FRAME = 300


def open_student(folder: str | Path, name: str = "genestill-student", device: str | torch.device = "cpu"):
    """The student in ``folder`` (config.json, tokenizer.json, student.onnx) as an mRNABench `EmbeddingModel`.

    Args:
        folder: a released student with its ONNX graph beside it.
        name: under which mRNABench files its embeddings; without underscores, at which mRNABench cuts file names.
        device: of the tensors that come out; with CUDA the graph runs there if onnxruntime can.
    """
    if "_" in name:
        raise ValueError(f"name {name!r}: mRNABench cuts file names at underscores; use hyphens")

    class Student(GenestillStudent):
        default_version = name
        valid_versions = [name]  # noqa: RUF012 - declared so by mRNABench
        valid_attn_implementations = ["eager"]  # noqa: RUF012 - asked for by its development version

    return Student(name, torch.device(device), Path(folder))


def _is_mean(aggregate: Callable | None) -> bool:
    """Whether mRNABench asks for its default: ``torch.mean``, in its development version with the axis filled in."""
    return aggregate is None or getattr(aggregate, "func", aggregate) is torch.mean


def region_codes(sequence: str, cds: np.ndarray | None) -> np.ndarray:
    """Region of every base (0 5'UTR, 1 coding sequence, 2 3'UTR), int64 [bases].

    The coding sequence runs from the first codon of the track to the end of the last. Where there is none, the longest
    open reading frame of at least 300 bases stands in; without one, all is 3'UTR.
    """
    codons = np.flatnonzero(cds) if cds is not None else []
    if len(codons):
        start, stop = int(codons[0]), min(int(codons[-1]) + 3, len(sequence))
    else:
        start, stop = _longest_frame(sequence.upper().replace("U", "T"))
        start, stop = (start, stop) if stop - start >= SHORTEST_FRAME else (0, 0)
    return np.repeat(np.arange(3), [start, stop - start, len(sequence) - stop])


def _longest_frame(sequence: str) -> tuple[int, int]:
    best, ends = (0, 0), {}
    for match in START.finditer(sequence):
        start = match.start()
        if start >= ends.get(start % 3, 0):
            places = range(start, len(sequence) - 2, 3)
            stop = next(
                (place + 3 for place in places if sequence[place : place + 3] in STOPS),
                start + (len(sequence) - start) // 3 * 3,
            )
            ends[start % 3] = stop
            best = (start, stop) if stop - start > best[1] - best[0] else best
    return best


class GenestillStudent(EmbeddingModel):
    """The embeddings of a genestill student, those of ``genestill student embed``; see `open_student`.

    They are pooled as the student pools, expansion included, and the vectors of the windows of a long sequence are
    averaged by length (of what was pooled by its maximum, the maximum is taken; regions by their own lengths). A
    function of aggregation other than mRNABench's default, ``torch.mean``, is given the student's states of all bases
    instead.

    Speaks the interface of mrna-bench 1.3 (``embed_sequence``, ``embed_sequence_sixtrack``) and that of its
    development version (``embed``).
    """

    def __init__(self, model_version: str, device: torch.device, folder: Path):
        super().__init__(model_version, device)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.tracks = config.get("tracks", 0)
        self.pooling = config.get("pooling", "mean")
        self.lengths = config.get("lengths", False)
        self.reads_regions = self.lengths or self.pooling == "regions"
        self.is_sixtrack = self.tracks == 2
        self.cls = int("[CLS]" in (tokenizer.get("post_processor") or {}).get("special_tokens", {}))
        self.longest = config["max_length"] - self.cls
        providers = ["CUDAExecutionProvider"] if device.type == "cuda" else []
        self.session = onnxruntime.InferenceSession(
            str(folder / "student.onnx"), providers=[*providers, "CPUExecutionProvider"]
        )
        self.model = torch.nn.Identity()  # mRNABench switches it to evaluation; the graph needs no switching

    @staticmethod
    def get_model_short_name(model_version: str) -> str:
        """The name itself."""
        return model_version

    def embed_sequence(self, sequence: str, agg_fn: Callable = torch.mean) -> torch.Tensor:
        """Embedding [1, E] of a sequence without tracks; another ``agg_fn`` gets [1, bases, H] and ``dim=1``."""
        return self.embed_sequence_sixtrack(sequence, None, None, agg_fn)

    def embed_sequence_sixtrack(
        self, sequence: str, cds: np.ndarray | None, splice: np.ndarray | None, agg_fn: Callable = torch.mean
    ) -> torch.Tensor:
        """Embedding [1, E] of a sequence with its tracks; see `embed_sequence`."""
        if _is_mean(agg_fn):
            return self._embed(sequence, cds, splice)[None]
        return agg_fn(self._represent(sequence, cds, splice)[None], dim=1)

    def embed(self, sequences, cds=None, splice=None, agg_fn: Callable | None = None) -> list[torch.Tensor]:
        """What takes the place of both after mrna-bench 1.3: one embedding [E] a sequence.

        An ``agg_fn`` is called with the states [bases, H] of all its bases.
        """
        nothing = [None] * len(sequences)
        rows = list(zip(sequences, cds or nothing, splice or nothing))  # noqa: B905
        return [self._embed(*row) if _is_mean(agg_fn) else agg_fn(self._represent(*row)) for row in rows]

    def _embed(self, sequence: str, cds: np.ndarray | None, splice: np.ndarray | None) -> torch.Tensor:
        """The student's own embedding, [E]."""
        windows = self._run("pooled", sequence, cds, splice)
        vectors = np.stack([vector[0] for vector, _ in windows])
        counts = np.stack([np.bincount(regions, minlength=3) for _, regions in windows])  # bases by region
        bases, total = counts.sum(axis=1), counts.sum(axis=0)
        combined = bases / bases.sum() @ vectors
        if self.lengths:
            combined[-3:] = np.log1p(total)
        size = vectors.shape[1] - 3 * self.lengths
        if self.pooling == "regions":
            for region, part in enumerate(np.split(np.arange(size), 3)):
                combined[part] = counts[:, region] / max(1, total[region]) @ vectors[:, part]
        maximal = {"max": slice(0, size), "concatenated": slice(size // 3, 2 * size // 3)}.get(self.pooling, slice(0))
        combined[maximal] = vectors[:, maximal].max(axis=0)
        return torch.from_numpy(combined.astype(np.float32)).to(self.device)

    def _represent(self, sequence: str, cds: np.ndarray | None, splice: np.ndarray | None) -> torch.Tensor:
        """The student's states, [bases, H]."""
        windows = self._run("last_hidden_state", sequence, cds, splice)
        return torch.from_numpy(np.concatenate([states[0, self.cls :] for states, _ in windows])).to(self.device)

    def _run(self, output: str, sequence: str, cds: np.ndarray | None, splice: np.ndarray | None) -> list:
        """Output of the graph and the region of every base, of each window.

        A longer sequence than the student reads is cut into the fewest windows of about equal length.
        """
        codes = CODES[np.frombuffer(sequence.encode("ascii"), np.uint8)]
        regions = region_codes(sequence, cds) if self.reads_regions else np.zeros(len(codes), np.int64)
        count = -(-len(codes) // self.longest)
        edges = [*range(0, len(codes), -(-len(codes) // count)), len(codes)]
        parts = []
        for start, stop in zip(edges[:-1], edges[1:]):  # noqa: B905, RUF007
            tokens = np.concatenate([np.full(self.cls, CLS, np.int64), codes[start:stop]])[None]
            feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
            if self.tracks:
                feeds["tracks"] = np.zeros((*tokens.shape, self.tracks), np.float32)
                for number, track in enumerate((cds, splice)):
                    if track is not None:
                        feeds["tracks"][0, self.cls :, number] = track[start:stop]
            if self.reads_regions:
                feeds["regions"] = np.concatenate([np.full(self.cls, -1), regions[start:stop]])[None]
            parts.append((self.session.run([output], feeds)[0], regions[start:stop]))
        return parts
