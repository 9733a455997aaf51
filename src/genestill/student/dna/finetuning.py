"""Fine-tuning a student on a task: whole, by low-rank adapters, or its head alone."""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genestill.core.errors import CheckFailed
from genestill.core.logs import logger
from genestill.core.pooling import pool, pooled_size
from genestill.core.task_tables import TaskTable
from genestill.core.training.batches import Batch, LengthBuckets
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import Diverged, train
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.core.training.selection import BestWeights
from genestill.student.dna.settings import FineTuning
from genestill.student.encoders.adapters import collate

# Which linear maps get adapters: all of the encoders' blocks, and DeBERTa's attention and MLP.
LORA_TARGETS = r".*(query_key_value|output_gate|gate_up|down|query_proj|key_proj|value_proj|dense|mixer\.output)"


class Classifier(nn.Module):
    """A student, a pooling and a linear head; logits [B, classes]."""

    def __init__(self, student: nn.Module, hidden_size: int, classes: int, pooling: str):
        super().__init__()
        width = pooled_size(hidden_size, pooling)
        self.student, self.pooling = student, pooling
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits of a padded batch."""
        hidden = self.student(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.head(pool(hidden, attention_mask, self.pooling))


def build_classifier(student: nn.Module, classes: int, settings: FineTuning) -> Classifier:
    """A classifier whose parameters learn as ``settings.method`` says; ``student`` itself is not changed."""
    student, hidden = copy.deepcopy(student), student.config.hidden_size
    if settings.method == "lora":
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=8, lora_alpha=32, lora_dropout=0.1, bias="none", target_modules=LORA_TARGETS)
        student = get_peft_model(student, config).base_model.model
    elif settings.method == "frozen":
        student.requires_grad_(False)
    return Classifier(student, hidden, classes, settings.pooling)


def trainable_share(model: nn.Module) -> float:
    """Share of the parameters that learn."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(number for number, learns in counts if learns) / sum(number for number, _ in counts)


def fine_tune(
    student: nn.Module,
    adapter,
    task: TaskTable,
    settings: FineTuning,
    device: torch.device,
    checkpoint: Callable[[float, int], Checkpoint | None] = lambda rate, epochs: None,
) -> dict:
    """Fine-tune and predict the test rows.

    ``checkpoint`` gives the checkpoint of the training at a learning rate for so many epochs. That of a learning rate
    that was tried holds its end, so that a run that goes on does not try it again.

    Returns:
        ``probabilities`` float32 [test rows, classes], ``validation`` (accuracy of the kept epoch), ``learning_rate``,
        ``searched`` (validation accuracy by learning rate), ``trainable`` (share of the parameters that learn),
        ``epoch`` (number of the kept one, from 1).

    Raises:
        CheckFailed: the loss is not a number at every learning rate.
    """
    tokens = [adapter.encode(sequence) for sequence in task.sequences]
    _tell_of_cut_rows(student, tokens)
    searched = {}
    if len(settings.learning_rates) > 1:
        for rate in settings.learning_rates:
            found = _train(student, adapter, tokens, task, settings, rate, settings.search_epochs, device, checkpoint)
            searched[rate] = found[0].best if found else -1.0
        rate = max(searched, key=searched.get)
    else:
        rate = settings.learning_rates[0]
    found = _train(student, adapter, tokens, task, settings, rate, settings.epochs, device, checkpoint)
    if found is None:
        raise CheckFailed(f"fine-tuning at learning rate {rate} gave a loss that is not a number; try a lower one")
    best, model = found
    rows = task.rows("test")
    probabilities = _logits(model, adapter, tokens, rows, settings.batch, device).softmax(dim=-1).numpy()
    logger.info("fine-tuned: rate %g, epoch %d of %d, validation %.4f", rate, best.epoch, settings.epochs, best.best)
    return {
        "probabilities": probabilities,
        "validation": best.best,
        "learning_rate": rate,
        "searched": {str(key): value for key, value in searched.items()},
        "trainable": trainable_share(model),
        "epoch": best.epoch,
    }


def _train(
    student, adapter, tokens, task, settings, rate, epochs, device, checkpoint
) -> tuple[BestWeights, Classifier] | None:
    """The best epoch and its model; None if the loss is not finite."""
    torch.manual_seed(settings.seed)
    model = build_classifier(student, len(task.classes), settings).to(device)
    rows, validation = task.rows("train"), task.rows("validation")
    lengths = np.array([len(tokens[row].ids) for row in rows]).clip(max=longest_input(student))
    buckets = LengthBuckets(lengths, math.ceil(settings.batch * lengths.mean()), settings.seed)
    ends = buckets.ends(epochs)
    schedule = Schedule(ends[-1], rate, warm_up=0.1)
    optimizer = AdamW(parameter_groups(model, schedule.rate, settings.weight_decay))
    labels = torch.from_numpy(task.labels)

    def draw(step: int) -> list[Batch]:
        chosen = rows[buckets.rows(step)]
        read = [tokens[row] for row in chosen]
        if settings.reverse_complement_augmentation:
            read = _reverse_half(read, chosen, task, adapter, np.random.default_rng([settings.seed, 1, step]))
        batch = _inputs(read, adapter, student)
        return [Batch(batch | {"labels": labels[chosen]}, int(batch["attention_mask"].sum()))]

    def compute_loss(tensors):
        logits = model(tensors["input_ids"], tensors["attention_mask"])
        return functional.cross_entropy(logits.float(), tensors["labels"]), {}

    def accuracy() -> float:
        guesses = _logits(model, adapter, tokens, validation, settings.batch, device).argmax(dim=-1)
        return float((guesses == labels[validation]).float().mean())

    best, kept = BestWeights(model, ends, accuracy), checkpoint(rate, epochs)
    try:
        history = train(
            model, optimizer, draw, compute_loss, ends[-1], name=f"rate {rate:g}", checkpoint=kept, best=best
        )
    except Diverged as error:
        logger.warning("%s", error)
        return None
    if kept is not None:
        kept.save(model, optimizer, history.to_dict("records"), best)
    best.restore()
    return best, model


def _reverse_half(read: list, rows: np.ndarray, task: TaskTable, adapter, generator: np.random.Generator) -> list:
    from genestill.core.sequences import reverse_complement

    reverse = generator.random(len(rows)) < 0.5
    return [
        adapter.encode(reverse_complement(task.sequences[row])) if reversed_ else token
        for token, row, reversed_ in zip(read, rows, reverse, strict=True)
    ]


def longest_input(student: nn.Module) -> int | None:
    """Tokens that a student with absolute positions can read; None where positions are relative."""
    absolute = getattr(student.config, "position_biased_input", False)
    return student.config.max_position_embeddings if absolute else None


def _tell_of_cut_rows(student: nn.Module, tokens: list) -> None:
    longest = longest_input(student)
    cut = sum(len(token.ids) > longest for token in tokens) if longest else 0
    if cut:
        logger.warning(
            "%d of %d sequences are longer than the student's %d tokens: cut there", cut, len(tokens), longest
        )


def _inputs(chosen: list, adapter, student: nn.Module) -> dict[str, torch.Tensor]:
    batch = collate(chosen, adapter.pad, longest_input(student))
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


@torch.no_grad()
def _logits(model: Classifier, adapter, tokens: list, rows: np.ndarray, batch: int, device) -> torch.Tensor:
    """Logits float32 [rows, classes]; sequences of similar length share a batch."""
    model.eval()
    order = np.argsort([len(tokens[row].ids) for row in rows], kind="stable")
    found = [torch.empty(0)] * len(rows)
    for first in range(0, len(rows), batch):
        places = order[first : first + batch]
        inputs = _inputs([tokens[rows[place]] for place in places], adapter, model.student)
        logits = model(**{name: values.to(device) for name, values in inputs.items()}).float().cpu()
        for place, row in zip(places, logits, strict=True):
            found[place] = row
    return torch.stack(found)
