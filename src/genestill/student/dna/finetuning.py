"""Fine-tuning a student on a task: whole, by low-rank adapters, or its head alone; and embedding a task's sequences."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genestill.core.errors import CheckFailed
from genestill.core.logs import logger
from genestill.core.pooling import pool, pooled_size
from genestill.core.task_tables import TaskTable
from genestill.student.dna.settings import FineTuning, Schedule
from genestill.student.dna.tokens import collate

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


def fine_tune(student: nn.Module, cutter, task: TaskTable, settings: FineTuning, device: torch.device) -> dict:
    """Fine-tune and predict the test rows.

    Returns:
        ``probabilities`` float32 [test rows, classes], ``validation`` (accuracy of the kept epoch), ``learning_rate``,
        ``searched`` (validation accuracy by learning rate), ``trainable`` (share of the parameters that learn),
        ``epoch`` (number of the kept one, from 1).

    Raises:
        CheckFailed: the loss is not a number at every learning rate.
    """
    tokens = [cutter.cut(sequence) for sequence in task.sequences]
    _tell_of_cut_rows(student, tokens)
    searched = {}
    if len(settings.learning_rates) > 1:
        for rate in settings.learning_rates:
            found = _run(student, cutter, tokens, task, settings, rate, settings.search_epochs, device)
            searched[rate] = found[0] if found else -1.0
        rate = max(searched, key=searched.get)
    else:
        rate = settings.learning_rates[0]
    found = _run(student, cutter, tokens, task, settings, rate, settings.epochs, device)
    if found is None:
        raise CheckFailed(f"fine-tuning at learning rate {rate} gave a loss that is not a number; try a lower one")
    accuracy, epoch, model = found
    rows = task.rows("test")
    probabilities = _logits(model, cutter, tokens, rows, settings.batch, device).softmax(dim=-1).numpy()
    logger.info("fine-tuned: rate %g, epoch %d of %d, validation %.4f", rate, epoch, settings.epochs, accuracy)
    return {
        "probabilities": probabilities,
        "validation": accuracy,
        "learning_rate": rate,
        "searched": {str(key): value for key, value in searched.items()},
        "trainable": trainable_share(model),
        "epoch": epoch,
    }


def _run(student, cutter, tokens, task, settings, rate, epochs, device) -> tuple[float, int, Classifier] | None:
    torch.manual_seed(settings.seed)
    generator = np.random.default_rng(settings.seed)
    model = build_classifier(student, len(task.classes), settings).to(device)
    train, validation = task.rows("train"), task.rows("validation")
    steps = -(-len(train) // settings.batch) * epochs
    schedule = Schedule(steps, settings.batch, rate, warmup=0.1)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=rate, weight_decay=settings.weight_decay)
    labels, step = torch.from_numpy(task.labels), 0
    best, best_epoch, kept = -1.0, 0, None
    for epoch in range(1, epochs + 1):
        model.train()
        order = generator.permutation(train)
        for first in range(0, len(order), settings.batch):
            rows = order[first : first + settings.batch]
            chosen = [tokens[row] for row in rows]
            if settings.reverse_complement_augmentation:
                chosen = _turned(chosen, rows, task, cutter, generator)
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule.factor(step)
            logits = model(**_inputs(chosen, cutter, student, device))
            loss = functional.cross_entropy(logits.float(), labels[rows].to(device))
            if not torch.isfinite(loss):
                return None
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            step += 1
        guesses = _logits(model, cutter, tokens, validation, settings.batch, device).argmax(dim=-1)
        accuracy = float((guesses == labels[validation]).float().mean())
        if accuracy > best:
            best, best_epoch, kept = accuracy, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return best, best_epoch, model


def _turned(chosen: list, rows: np.ndarray, task: TaskTable, cutter, generator: np.random.Generator) -> list:
    from genestill.core.sequences import reverse_complement

    turn = generator.random(len(rows)) < 0.5
    return [
        cutter.cut(reverse_complement(task.sequences[row])) if turned else token
        for token, row, turned in zip(chosen, rows, turn, strict=True)
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


def _inputs(chosen: list, cutter, student: nn.Module, device: torch.device) -> dict[str, torch.Tensor]:
    batch = collate(chosen, cutter.pad, longest_input(student))
    return {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}


@torch.no_grad()
def _logits(model: Classifier, cutter, tokens: list, rows: np.ndarray, batch: int, device) -> torch.Tensor:
    model.eval()
    parts = [
        model(**_inputs([tokens[row] for row in rows[first : first + batch]], cutter, model.student, device))
        .float()
        .cpu()
        for first in range(0, len(rows), batch)
    ]
    return torch.cat(parts)


@torch.no_grad()
def embed_sequences(
    student: nn.Module, cutter, sequences: list[str], pooling: str, batch: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pooled features of a frozen student; sequences of like length share a batch.

    Returns:
        float32 [n, width]; int32 [n], tokens that were read; bool [n], whether the rest of a sequence was left out.
    """
    student = student.to(device).eval()
    order = np.argsort([len(sequence) for sequence in sequences], kind="stable")
    parts, counts = [], np.zeros(len(sequences), dtype=np.int32)
    truncated = np.zeros(len(sequences), dtype=bool)
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        tokens = [cutter.cut(sequences[row]) for row in rows]
        inputs = _inputs(tokens, cutter, student, device)
        counts[rows] = inputs["attention_mask"].sum(1).cpu().numpy()
        truncated[rows] = [len(token.ids) for token in tokens] > counts[rows]
        hidden = student(**inputs).last_hidden_state
        parts.append(pool(hidden, inputs["attention_mask"], pooling).float().cpu().numpy())
    features = np.concatenate(parts)
    result = np.empty_like(features)
    result[order] = features
    return result, counts, truncated
