"""Training a transcript encoder with a teacher: batches of a step, the loss, and the stability of the training."""

from contextlib import nullcontext
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from genestill.core.devices import compile_on_gpu
from genestill.core.objectives import TRANSCRIPT_OBJECTIVES, parse_objective
from genestill.core.pooling import pooled_size
from genestill.core.seeds import seed_everything
from genestill.core.training import batches, loop
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.student.encoders.configuration import EncoderConfig
from genestill.student.encoders.model import EncoderModel
from genestill.student.transcripts import objectives
from genestill.student.transcripts.batch import Batch, Heads
from genestill.student.transcripts.corpus import Corpus, TeacherFiles
from genestill.student.transcripts.settings import DistillationSettings

LAST_RATE = 0.01  # share of the peak


class TranscriptDistillation:
    """A student, its heads, and the loss of a batch."""

    def __init__(self, config: EncoderConfig, corpus: Corpus, settings: DistillationSettings, device: torch.device):
        self.weights = parse_objective(settings.objective, TRANSCRIPT_OBJECTIVES)
        self.terms = {name: import_module(f"{objectives.__name__}.{name}").loss for name in self.weights}
        self.settings, self.corpus, self.device = settings, corpus, device
        self.model = EncoderModel(config).to(device)
        sequence_size = corpus.whitening.matrix.shape[1] if corpus.whitening else None
        token_size = corpus.token_whitening.matrix.shape[1] if corpus.token_whitening else None
        bases = any(TRANSCRIPT_OBJECTIVES[name].hides_bases for name in self.weights)
        contrast = any(TRANSCRIPT_OBJECTIVES[name].pairs for name in self.weights)
        pooled = pooled_size(config.expansion or config.hidden_size, config.pooling)
        self.heads = Heads(config.hidden_size, pooled, sequence_size, token_size, bases, contrast).to(device)
        self.buckets = batches.LengthBuckets(corpus.lengths, settings.batch_bases, settings.seed)
        self.learned = torch.nn.ModuleDict({"model": self.model, "heads": self.heads})

    def parameters(self) -> list[torch.nn.Parameter]:
        """The parameters of the student and of the heads."""
        return list(self.learned.parameters())

    def draw(self, step: int, parts: int = 1) -> list[batches.Batch]:
        """The batch of a step (from 0) in ``parts`` parts; it depends only on (seed, step).

        Terms that compare the transcripts of a batch (``contrastive``, ``relational``, ``relatives``) only use those of
        a part.
        """
        generator = np.random.default_rng((self.settings.seed, step, 1))
        rows = batches.cut_rows(self.buckets.rows(step), parts)
        return [self.corpus.prepare(part, self.heads.bases is not None, generator) for part in rows]

    def loss(self, read: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted loss of a batch, and its terms unweighted.

        All terms use the same forward pass: if one of them hides bases, all use the masked input; otherwise the hidden
        bases would be known.
        """
        dtype = self.settings.dtype
        with nullcontext() if dtype == "auto" else self._autocast(dtype == "bfloat16"):
            states = self.model(read["inputs"], read["mask"], read.get("tracks")).last_hidden_state
            batch = Batch(read, states, self.model, self.heads, self.settings)
            terms = {name: term(batch) for name, term in self.terms.items()}
            return sum(weight * terms[term] for term, weight in self.weights.items()), terms

    def _autocast(self, enabled: bool) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)


def train(match: TranscriptDistillation, settings: DistillationSettings, checkpoint: str | Path) -> pd.DataFrame:
    """Train ``match.model`` in place, and return the history; see `loop.train` for the checkpoint and the errors.

    A checkpoint belongs to the settings, the student, the transcripts and the files of the teacher.
    """
    described = {"training": asdict(settings), "student": match.model.config.to_diff_dict()}
    described |= {"teacher_reads": match.corpus.teacher_reads}
    schedule = Schedule(settings.steps, settings.learning_rate, settings.warm_up, end=LAST_RATE)
    return loop.train(
        match.learned,
        AdamW(parameter_groups(match.learned, schedule.rate, settings.weight_decay)),
        match.draw,
        match.loss,
        settings.steps,
        name=f"training by {settings.objective}",
        clip=settings.clip,
        checkpoint=Checkpoint(checkpoint, described, match.corpus.files, match.corpus.teacher_metadata),
        residual_stream=match.model.norm,
        divisible=True,
    )


def stability(record: pd.DataFrame, diverged: int | None) -> dict:
    """Measures of the stability of a training.

    Returns:
        diverged (step, from 1, or None); final_loss (mean of the last tenth); loss_spikes: number of steps after the
        warm-up whose loss is above the running median of the previous 50 by more than 5 median absolute deviations and
        a tenth of it; gradient_norm_median, gradient_norm_99, gradient_norm_largest (after the first tenth).
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


def distil_transcripts(
    config: EncoderConfig,
    transcripts: str | Path,
    teacher: TeacherFiles,
    settings: DistillationSettings,
    output: str | Path,
    device: torch.device,
    keep_diverged: bool = False,
    compiled: bool = False,
    pairs: str | Path | None = None,
) -> dict:
    """Train a student and write ``output``/model and ``output``/training.tsv and training.json.

    ``pairs`` (`table_schemas.TRANSCRIPT_PAIRS`) is required by an objective that contrasts relatives. ``compiled``: see
    `compile_on_gpu`.

    Returns the identity of the teacher (name, revision, layer, pooling). Raises `CheckFailed` if training diverged,
    unless ``keep_diverged``: then the last finite weights are kept, and this is recorded in training.json.
    """
    from genestill.student.transcripts.release import write_student

    seed_everything(settings.seed)
    weights = parse_objective(settings.objective, TRANSCRIPT_OBJECTIVES)
    output = Path(output)
    checkpoint = output / "checkpoint"
    corpus = Corpus(transcripts, teacher, weights, config.tracks > 0, config.pooling == "regions", pairs)
    match = TranscriptDistillation(config, corpus, settings, device)
    compile_on_gpu(match.model, device, compiled)
    figures = {"diverged": None, "steps": 0}
    if settings.steps:
        broken = None
        try:
            history = train(match, settings, checkpoint)
        except loop.Diverged as error:
            history, broken = error.history, error
        loop.write_history(output / "training.tsv", history)
        if broken and not keep_diverged:
            raise broken
        figures = stability(history, len(history) if broken else None)
    write_student(match, settings, figures, output)
    checkpoint.unlink(missing_ok=True)
    return match.model.config.teacher
