"""Training a transcript encoder against a teacher: losses, steps, checkpoints and the record of every step."""

import math
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from genestill.core.errors import CheckFailed
from genestill.core.files import write_text
from genestill.core.logs import logger, progress
from genestill.core.objectives import TRANSCRIPT_OBJECTIVES, parse_objective
from genestill.core.seeds import seed_everything
from genestill.student.encoders.checkpoints import resume, save_checkpoint
from genestill.student.encoders.configuration import EncoderConfig
from genestill.student.encoders.model import EncoderModel
from genestill.student.encoders.tokenization import MASK, encode_batch
from genestill.student.transcripts import objectives
from genestill.student.transcripts.batch import Batch, Heads
from genestill.student.transcripts.corpus import Corpus, TeacherFiles, batches
from genestill.student.transcripts.settings import MatchSettings

MASKED_SHARE = 0.15


class Match:
    """A student, its heads, and the loss of a batch."""

    def __init__(self, config: EncoderConfig, corpus: Corpus, settings: MatchSettings, device: torch.device):
        self.weights = parse_objective(settings.objective, TRANSCRIPT_OBJECTIVES)
        self.terms = {name: import_module(f"{objectives.__name__}.{name}").loss for name in self.weights}
        self.settings, self.corpus, self.device = settings, corpus, device
        self.model = EncoderModel(config).to(device)
        sequence_size = corpus.whitening.matrix.shape[1] if corpus.whitening else None
        token_size = corpus.token_whitening.matrix.shape[1] if corpus.token_whitening else None
        bases = any(TRANSCRIPT_OBJECTIVES[name].hides_bases for name in self.weights)
        self.heads = Heads(config.hidden_size, config.embedding_size, sequence_size, token_size, bases).to(device)
        self.learned = torch.nn.ModuleDict({"model": self.model, "heads": self.heads})

    def parameters(self) -> list[torch.nn.Parameter]:
        """Those of the student and of the heads."""
        return list(self.learned.parameters())

    def identity(self) -> dict:
        """What a checkpoint of this run must agree in: settings, student, and the content of what it learns from."""
        return {
            "settings": asdict(self.settings),
            "student": self.model.config.to_diff_dict(),
            "teacher": self.corpus.teacher_metadata,
            "inputs": self.corpus.checksums,
        }

    def loss(self, rows: np.ndarray, generator: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """The weighted loss of a batch, and its terms unweighted.

        Terms that hide bases and terms that match states share one pass: a mix of both sees the masked
        input, as it must, or the hidden bases would be read off.
        """
        ids, mask = encode_batch([self.corpus.sequences[row] for row in rows])
        hidden_bases = None
        if self.heads.bases is not None:
            hidden_bases = (generator.random(ids.shape) < MASKED_SHARE) & (ids < 4)
            if not hidden_bases.any():
                hidden_bases[0, 0] = ids[0, 0] < 4
        inputs = ids if hidden_bases is None else np.where(hidden_bases, MASK, ids)
        inputs, mask = torch.from_numpy(inputs).to(self.device), torch.from_numpy(mask).to(self.device)
        states = self.model(inputs, mask, self._tracks(rows, ids.shape[1])).last_hidden_state
        batch = Batch(rows, ids, hidden_bases, states, mask, self.model, self.heads, self.corpus, self.settings)
        terms = {name: term(batch) for name, term in self.terms.items()}
        total = sum(weight * terms[term] for term, weight in self.weights.items())
        return total, {term: float(value.detach()) for term, value in terms.items()}

    def _tracks(self, rows: np.ndarray, length: int) -> torch.Tensor | None:
        if self.corpus.tracks is None:
            return None
        tracks = np.zeros((len(rows), length, 2), np.float32)
        for place, row in enumerate(rows):
            for number, marks in enumerate(self.corpus.tracks[row]):
                tracks[place, : len(marks), number] = marks
        return torch.from_numpy(tracks).to(self.device)


def learning_rate_at(step: int, settings: MatchSettings) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    warm = max(1, round(settings.warm_up * settings.steps))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, settings.steps - warm)
    return settings.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def train(match: Match, settings: MatchSettings, checkpoint: Path) -> tuple[pd.DataFrame, int | None]:
    """Train ``match.model`` in place; resume from the file ``checkpoint`` if it is there.

    Every random draw of a step depends on (seed, step) alone, so a resumed run takes the steps that an unbroken one
    would have taken.

    Returns:
        The record, one row a step: step, learning_rate, loss, gradient_norm (before clipping), seconds, and a column a
        term. And the step at which loss or gradient was no longer finite (training stops there, with the weights before
        it), or None.
    """
    optimizer = torch.optim.AdamW(match.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    record = resume(checkpoint, match.learned, optimizer, match.identity())
    first = len(record)
    stream = batches(match.corpus.lengths, settings.batch_bases, settings.seed)
    for _ in range(first):
        next(stream)
    match.model.train()
    for step in progress(range(first, settings.steps), settings.steps - first, "steps", settings.objective):
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, settings)
        loss, terms = match.loss(next(stream), np.random.default_rng((settings.seed, step, 1)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(match.parameters(), settings.clip or float("inf"))
        row = {
            "step": step,
            "learning_rate": learning_rate_at(step, settings),
            "loss": float(loss.detach()),
            "gradient_norm": float(norm),
            "seconds": time.monotonic() - began,
            **terms,
        }
        record.append(row)
        if not (math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"])):
            logger.warning("step %d: loss %s, gradient norm %s: stopped", step, row["loss"], row["gradient_norm"])
            return pd.DataFrame(record), step
        optimizer.step()
        if settings.checkpoint_every and (step + 1) % settings.checkpoint_every == 0 and step + 1 < settings.steps:
            save_checkpoint(checkpoint, match.learned, optimizer, record, match.identity())
    return pd.DataFrame(record), None


def stability(record: pd.DataFrame, diverged: int | None) -> dict:
    """Figures of one run for the instability question.

    Returns:
        diverged (step or None); final_loss (mean of the last tenth); loss_spikes: steps after the warm-up whose loss is
        above the running median of the 50 before by more than 5 median absolute deviations and a tenth of it;
        gradient_norm_median, gradient_norm_99, gradient_norm_largest (after the first tenth).
    """
    finite = record[np.isfinite(record["loss"]) & np.isfinite(record["gradient_norm"])]
    late = finite.iloc[len(finite) // 10 :]
    if late.empty:
        return {"diverged": diverged, "steps": len(record)}
    median = finite["loss"].rolling(50, min_periods=10).median().shift(1)
    deviation = (finite["loss"] - median).abs().rolling(50, min_periods=10).median().shift(1)
    spikes = finite["loss"] > median + np.maximum(5 * deviation, 0.1 * median.abs())
    return {
        "diverged": diverged,
        "steps": len(record),
        "final_loss": float(finite["loss"].iloc[-max(1, len(finite) // 10) :].mean()),
        "loss_spikes": int(spikes.loc[late.index].sum()),
        "gradient_norm_median": float(late["gradient_norm"].median()),
        "gradient_norm_99": float(late["gradient_norm"].quantile(0.99)),
        "gradient_norm_largest": float(late["gradient_norm"].max()),
    }


def write_record(path: str | Path, record: pd.DataFrame) -> None:
    """Write the record of a training as TSV."""
    write_text(path, record.to_csv(sep="\t", index=False, float_format="%.6g"))


def distil_transcripts(
    config: EncoderConfig,
    transcripts: str | Path,
    teacher: TeacherFiles,
    settings: MatchSettings,
    output: str | Path,
    device: torch.device,
    keep_diverged: bool = False,
) -> dict:
    """Train a student and write ``output``/model and ``output``/training.tsv and training.json.

    Returns what is known of the teacher (name, revision, layer, pooling). Raises `CheckFailed` if training diverged,
    unless ``keep_diverged``: then the weights before the break are kept, and training.json says so.
    """
    from genestill.student.transcripts.release import write_student

    seed_everything(settings.seed)
    weights = parse_objective(settings.objective, TRANSCRIPT_OBJECTIVES)
    output = Path(output)
    checkpoint = output / "checkpoint"
    corpus = Corpus(transcripts, teacher, weights, tracks=config.tracks > 0)
    match = Match(config, corpus, settings, device)
    record, diverged = (pd.DataFrame(), None)
    if settings.steps:
        record, diverged = train(match, settings, checkpoint)
        write_record(output / "training.tsv", record)
    if diverged is not None and not keep_diverged:
        raise CheckFailed(f"training by {settings.objective!r} diverged at step {diverged}; see {output}/training.tsv")
    figures = stability(record, diverged) if settings.steps else {"diverged": None, "steps": 0}
    write_student(match, settings, figures, output)
    checkpoint.unlink(missing_ok=True)
    return match.model.config.teacher
