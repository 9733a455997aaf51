"""Classification of the sequences of a FASTA file by a fine-tuned student, in constant memory."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from genestill.core.errors import InputError
from genestill.core.files import read_json, write_aside
from genestill.core.logs import progress
from genestill.core.models import open_whole
from genestill.core.sequences import read_fasta
from genestill.student.encoders.embedding import Embedder, Record
from genestill.student.encoders.streaming import Notices, embed_stream, survey


def open_classifier(folder: str | Path) -> PreTrainedModel:
    """Open the classifier in a folder for inference; raises `InputError` without a complete classifier."""
    config = read_json(Path(folder) / "config.json")
    if not is_classifier(config):
        raise InputError(
            f"{folder}: no classifier; expected a student that was fine-tuned (genestill student finetune "
            "--output-model FOLDER)"
        )
    return open_whole(AutoModelForSequenceClassification, folder)


def is_classifier(config: dict) -> bool:
    """Whether a config.json belongs to a classifier of genestill."""
    return str((config.get("architectures") or [""])[0]) in (
        "EncoderForSequenceClassification",
        "DebertaForSequenceClassification",
        "RoFormerForSequenceClassification",
    )


class Classifier:
    """A fine-tuned student, opened from its folder, for classifying lists of sequences.

    Args:
        folder: written by ``genestill student finetune``.
        device, batch_tokens, threads, dtype: see `Embedder`, which cuts longer sequences into windows.

    Attributes:
        classes: names of the classes.
    """

    def __init__(
        self,
        folder: str | Path,
        device: str = "auto",
        batch_tokens: int | None = None,
        threads: int = 0,
        dtype: str = "auto",
    ):
        model = open_classifier(folder)
        self.embedder = Embedder(folder, device, None, batch_tokens, threads, model.base_model, dtype)
        self.head = model.head.cpu()  # too few numbers per sequence for a GPU
        self.classes = [model.config.id2label[code] for code in range(model.config.num_labels)]

    def probabilities(self, records: list[Record]) -> np.ndarray:
        """Probabilities of the classes: float32 [n, classes]."""
        return self.of_vectors(self.embedder.embed(records))

    @torch.inference_mode()
    def of_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """`probabilities` from embeddings, float32 [n, width]."""
        return self.head(torch.from_numpy(vectors)).softmax(dim=-1).numpy()


def classify_fasta(
    fasta: str | Path,
    folder: str | Path,
    output: str | Path,
    device: str = "auto",
    batch_tokens: int | None = None,
    threads: int = 0,
    dtype: str = "auto",
) -> None:
    """Write a TSV with one row per sequence of ``fasta``, in order, atomically.

    Columns: id, label (the most probable class), probability (of that class), and ``probability of CLASS`` for each.

    Raises:
        InputError: an invalid file, or a folder without a complete classifier.
    """
    classifier = Classifier(folder, device, batch_tokens, threads, dtype)
    count = survey(fasta)
    records: Iterator[Record] = (Record(name, sequence) for name, sequence in read_fasta(fasta, unique=False))
    notices = Notices(classifier.embedder)
    with write_aside(output) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(["id", "label", "probability", *(f"probability of {name}" for name in classifier.classes)])

        def write(held: list[Record], vectors: np.ndarray, _: np.ndarray) -> None:
            notices.add(held)
            for record, row in zip(held, classifier.of_vectors(vectors), strict=True):
                shown = [f"{value:.4g}" for value in (row.max(), *row.tolist())]
                rows.writerow([record.name, classifier.classes[int(row.argmax())], *shown])

        embed_stream(classifier.embedder, progress(records, count, "sequences", "student classify"), write)
    notices.log(fasta, "classes")
