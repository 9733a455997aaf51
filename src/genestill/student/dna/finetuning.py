"""Fine-tuning a student on a task: all parameters, low-rank adapters, or only the head."""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from genestill.core.devices import Halving, to_device
from genestill.core.errors import CheckFailed
from genestill.core.logs import logger
from genestill.core.sequences import reverse_complement
from genestill.core.task_metrics import measure
from genestill.core.task_tables import TaskTable
from genestill.core.training.batches import Batch, LengthBuckets, cut_rows
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import Diverged, train
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.core.training.selection import BestWeights
from genestill.student.dna.settings import FineTuning
from genestill.student.encoders.adapters import Tokens, collate_windows, longest_input, without_full_mask
from genestill.student.encoders.heads import with_classifier

# Linear maps with adapters: those of attention and MLP, in our encoders and in the models of transformers.
LORA_TARGETS = (
    r".*(query_key_value|output_gate|gate_up|down|mixer\.output"
    r"|query_proj|key_proj|value_proj|dense|\.(query|key|value)|[qkvo]_proj|(gate|up|down)_proj)"
)

# Queries and values; encoders have one map for queries, keys and values, which is adapted whole.
ATTENTION_TARGETS = r".*(query_key_value|query_proj|value_proj|\.(query|value)|[qv]_proj)"

FEWEST_VALIDATION_ROWS = 20  # per class


def build_classifier(student: PreTrainedModel, classes: list[str], settings: FineTuning) -> PreTrainedModel:
    """A classifier with the trainable parameters of ``settings.method``; ``student`` is not changed."""
    model = with_classifier(copy.deepcopy(student), classes, settings.pooling)
    if settings.method.startswith("lora"):
        from peft import LoraConfig, inject_adapter_in_model

        targets = LORA_TARGETS if settings.method == "lora" else ATTENTION_TARGETS
        config = LoraConfig(r=8, lora_alpha=32, lora_dropout=0.1, bias="none", target_modules=targets)
        inject_adapter_in_model(config, model.base_model)
    elif settings.method == "frozen":
        model.base_model.requires_grad_(False)
    return model


def merge_adapters(model: PreTrainedModel) -> PreTrainedModel:
    """``model`` with low-rank adapters merged into the weights; the same model if there are none."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.get_base_layer())
    return model


def trainable_share(model: nn.Module) -> float:
    """Share of the parameters that are trainable."""
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
    """Fine-tune and predict the test rows; sequences longer than the student's maximum are read in windows.

    The epoch with the best metric on validation rows is kept, of equal ones that with the lowest loss; with fewer than
    `FEWEST_VALIDATION_ROWS` validation rows per class, the metric is too coarse, and the last epoch is kept. Learning
    rates are compared in the same way.

    ``checkpoint`` returns the checkpoint for a learning rate and a number of epochs. The checkpoint of a learning rate
    that was tried contains its final state, so that a resumed run does not try it again.

    Returns:
        ``model`` (the classifier on the CPU, adapters merged), ``probabilities`` float32 [test rows, classes],
        ``validation`` (of the kept epoch, by ``settings.metric``), ``learning_rate``, ``searched`` (validation by
        learning rate), ``trainable`` (share of trainable parameters), ``epoch`` (number of the kept one, from 1).

    Raises:
        CheckFailed: the loss is not finite at any learning rate.
    """
    longest = longest_input(student.config)
    tokens = [adapter.windows(sequence, longest) for sequence in task.sequences]
    if several := sum(len(windows) > 1 for windows in tokens):
        logger.info(
            "%d of %d sequences are longer than the maximum of %d tokens: they are read in windows, whose vectors are "
            "averaged",
            several, len(tokens), longest,
        )  # fmt: skip
    searched = {}
    if len(settings.learning_rates) > 1:
        for rate in settings.learning_rates:
            found = _train(student, adapter, tokens, task, settings, rate, settings.search_epochs, device, checkpoint)
            searched[rate] = found[0].best if found else (-1.0,)
        rate = max(searched, key=searched.__getitem__)
    else:
        rate = settings.learning_rates[0]
    found = _train(student, adapter, tokens, task, settings, rate, settings.epochs, device, checkpoint)
    if found is None:
        raise CheckFailed(f"fine-tuning at learning rate {rate} diverged (the loss is not a number); try a lower one")
    best, model = found
    rows, share = task.rows("test"), trainable_share(model)
    probabilities = np.empty((0, len(task.classes)), np.float32)
    if len(rows):
        probabilities = _logits(model, adapter, tokens, rows, settings.batch, device).softmax(dim=-1).numpy()
    epoch = settings.epochs - len(best.ends) + best.epoch
    logger.info("fine-tuned: rate %g, epoch %d of %d, validation %.4f", rate, epoch, settings.epochs, best.best[0])
    return {
        "model": merge_adapters(model).cpu(),
        "probabilities": probabilities,
        "validation": best.best[0],
        "learning_rate": rate,
        "searched": {str(key): values[0] for key, values in searched.items()},
        "trainable": share,
        "epoch": epoch,
    }


def _train(
    student, adapter, tokens, task, settings, rate, epochs, device, checkpoint
) -> tuple[BestWeights, PreTrainedModel] | None:
    """The best epoch and its model; None if the loss is not finite."""
    torch.manual_seed(settings.seed)
    model = build_classifier(student, task.classes, settings).to(device)
    rows, validation = task.rows("train"), task.rows("validation")
    lengths = np.array([count_tokens(tokens[row]) for row in rows])
    buckets = LengthBuckets(lengths, math.ceil(settings.batch * lengths.mean()), settings.seed)
    ends = buckets.ends(epochs)
    schedule = Schedule(ends[-1], rate, warm_up=0.1)
    optimizer = AdamW(parameter_groups(model, schedule.rate, settings.weight_decay))
    labels = torch.from_numpy(task.labels)

    def draw(step: int, parts: int = 1) -> list[Batch]:
        chosen = rows[buckets.rows(step)]
        read = [tokens[row] for row in chosen]
        if settings.reverse_complement_augmentation:
            generator = np.random.default_rng([settings.seed, 1, step])
            read = _reverse_half(read, [task.sequences[row] for row in chosen], adapter, student, generator)
        found = []
        for part in cut_rows(np.arange(len(chosen)), parts):
            batch = collate_windows([read[row] for row in part], adapter.pad)
            tensors = without_full_mask(batch) | {"labels": labels[chosen[part]]}
            found.append(Batch(tensors, int(batch["attention_mask"].sum())))
        return found

    def compute_loss(tensors):
        return model(**tensors).loss, {}

    def validate() -> tuple[float, float]:
        logits = _logits(model, adapter, tokens, validation, settings.batch, device)
        loss = nn.functional.cross_entropy(logits, labels[validation]).item()
        guesses = logits.argmax(dim=-1).numpy()
        return measure(task.labels[validation], guesses, len(task.classes), settings.metric), -loss

    few = len(validation) < FEWEST_VALIDATION_ROWS * len(task.classes)
    best, kept = BestWeights(model, ends[-1:] if few else ends, validate), checkpoint(rate, epochs)
    try:
        history = train(
            model, optimizer, draw, compute_loss, ends[-1], name=f"rate {rate:g}", checkpoint=kept, best=best,
            divisible=True,
        )  # fmt: skip
    except Diverged as error:
        logger.warning("%s", error)
        return None
    if kept is not None:
        kept.save(model, optimizer, history.to_dict("records"), best)
    best.restore()
    return best, model


def _reverse_half(read: list, sequences: list[str], adapter, student, generator: np.random.Generator) -> list:
    longest = longest_input(student.config)
    return [
        adapter.windows(reverse_complement(sequence), longest) if reverse else windows
        for windows, sequence, reverse in zip(read, sequences, generator.random(len(read)) < 0.5, strict=True)
    ]


@torch.no_grad()
def _logits(model: PreTrainedModel, adapter, tokens: list, rows: np.ndarray, batch: int, device) -> torch.Tensor:
    """Logits float32 [rows, classes]; sequences of similar length share a batch."""
    model.eval()
    order = np.argsort([count_tokens(tokens[row]) for row in rows], kind="stable")
    halving, found = Halving("prediction", device), []
    for first in range(0, len(rows), batch):
        places = order[first : first + batch]

        def run(part: slice, places=places) -> torch.Tensor:
            inputs = without_full_mask(collate_windows([tokens[rows[place]] for place in places[part]], adapter.pad))
            read = {name: to_device(values.numpy(), device) for name, values in inputs.items()}
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                return model(**read).logits.float()

        found += [logits for _, logits in halving.results(len(places), run)]
    logits = torch.cat(found).cpu()
    return torch.empty_like(logits).index_copy_(0, torch.from_numpy(order), logits)


def count_tokens(windows: list[Tokens]) -> int:
    """Number of tokens of a sequence that is read in windows."""
    return sum(len(window.ids) for window in windows)
