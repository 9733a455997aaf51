"""Pretrain a teacher in miniature, in the architecture and with the tokenizer type of a large one.

Runs resume where they were killed: batches are drawn from (seed, step), so a resumed run sees what an uninterrupted
one would have seen.
"""

import json
import math
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import folder_aside, read_json, sha256_of, write_aside, write_json
from genestill.core.logs import logger
from genestill.core.masking import mask_tokens
from genestill.core.seeds import seed_everything
from genestill.teacher.architectures.architecture import find_architecture
from genestill.teacher.genomes import Genomes
from genestill.teacher.loading import DESCRIPTION, weights_checksum
from genestill.teacher.objectives import causal_targets
from genestill.teacher.settings import PretrainingSettings
from genestill.teacher.tokenization import Tokenizer, load_tokenizer

SECONDS_BETWEEN_CHECKPOINTS = 60.0


def pretrain(
    genomes: list[Path], output: str | Path, settings: PretrainingSettings, device="cpu", name: str | None = None
) -> float:
    """Pretrain a teacher on FASTA files and write a Hugging Face folder with ``training.tsv`` and ``teacher.json``.

    Progress is kept in ``<output>.checkpoint`` and removed at the end; a run that finds it there, with the same
    settings and genomes, goes on from it.

    Returns:
        Mean loss of the last tenth of the steps, nats a token.

    Raises:
        CheckFailed: the loss is no longer a number; the checkpoint before that is kept.
        InputError: the checkpoint is damaged.
    """
    output, checkpoint = Path(output), Path(f"{output}.checkpoint")
    corpus, architecture = Genomes.read(genomes), find_architecture(settings.architecture)
    seed_everything(settings.seed)
    identity = {"settings": asdict(settings), "genomes": [sha256_of(file) for file in genomes]}
    if _belongs_to(checkpoint, identity):
        logger.info("going on from the checkpoint %s", checkpoint)
    else:
        with folder_aside(checkpoint) as folder:
            architecture.make_tokenizer(corpus, settings).save(folder)
            write_json(folder / "run.json", identity)
    # Read back in any case: a tokenizer that was read says so in its file, and a resumed run must give the same files.
    tokenizer = load_tokenizer(checkpoint)
    model = architecture.build(settings, tokenizer).to(device)
    logger.info(
        "%s, %.2f M parameters, %d tokens, %.1f Mb of genomes, on %s",
        settings.architecture, sum(tensor.numel() for tensor in model.parameters()) / 1e6, len(tokenizer.vocabulary),
        corpus.bases / 1e6, device,
    )  # fmt: skip
    history = _train(model, tokenizer, corpus, settings, checkpoint / "state.pt", device)
    with folder_aside(output) as folder:
        model.save_pretrained(folder)
        tokenizer.save(folder)
        _write_history(folder / "training.tsv", history)
        revision = f"sha256:{weights_checksum([folder / 'model.safetensors'])}"
        description = {
            "name": name or f"{settings.architecture}-miniature",
            "revision": revision,
            "architecture": settings.architecture,
            "context": settings.context,
            "source": "pretrained by genestill",
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    shutil.rmtree(checkpoint, ignore_errors=True)
    losses = [row["loss"] for row in history]
    return float(np.mean(losses[-max(1, len(losses) // 10) :]))


def _belongs_to(checkpoint: Path, identity: dict) -> bool:
    try:
        return (checkpoint / "run.json").is_file() and read_json(checkpoint / "run.json") == identity
    except InputError as error:
        raise InputError(f"{error}; the checkpoint is damaged: remove {checkpoint} to start again") from None


def _batch(tokenizer: Tokenizer, corpus: Genomes, settings: PretrainingSettings, step: int):
    """Inputs, attention and targets, int64 [batch, context], all drawn from (seed, step)."""
    generator = np.random.default_rng([settings.seed, 1, step])
    # Byte-pair tokens vary in length: draw a quarter more bases than expected, and there is no padding to speak of.
    spare = 5 if tokenizer.unit == 1 else 4
    bases = settings.context * tokenizer.bases_per_token * spare // 4
    texts = corpus.draw(generator, bases, settings.batch, settings.strands, tokenizer.unit)
    room = settings.context - len(tokenizer.prefix)
    ids = [np.concatenate([tokenizer.prefix, tokens.ids[:room]]) for tokens in tokenizer.encode(texts)]
    longest = max(map(len, ids))
    inputs = np.full((len(ids), longest), tokenizer.pad, dtype=np.int64)
    attention = np.zeros_like(inputs)
    for row, tokens in enumerate(ids):
        inputs[row, : len(tokens)] = tokens
        attention[row, : len(tokens)] = 1
    return inputs, attention, generator


def _loss(model, tokenizer: Tokenizer, words: np.ndarray, inputs, attention, generator, device):
    import torch
    from torch.nn.functional import cross_entropy

    kind = "causal" if tokenizer.unit == 1 else "masked"
    if kind == "causal":
        targets = causal_targets(inputs, attention)
    else:
        maskable = np.isin(inputs, words)
        inputs, targets = mask_tokens(inputs, maskable, tokenizer.mask, words, generator)
    inputs, attention, targets = (torch.from_numpy(array).to(device) for array in (inputs, attention, targets))
    scored = targets >= 0
    with torch.autocast("cuda", torch.bfloat16, enabled=torch.device(device).type == "cuda"):
        states = model.base_model(inputs, attention_mask=attention).last_hidden_state
        # The head sees scored tokens only: with 15 % masked that is most of a small model's time.
        logits = model.lm_head(states[scored])
    return cross_entropy(logits.float(), targets[scored])


def _train(model, tokenizer: Tokenizer, corpus: Genomes, settings: PretrainingSettings, state: Path, device) -> list:
    import torch

    decayed = [tensor for tensor in model.parameters() if tensor.ndim > 1]
    others = [tensor for tensor in model.parameters() if tensor.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))
    history, elapsed = _restore(state, model, optimizer, device)
    words = np.flatnonzero([bool(word) and set(word) <= set("ACGT") for word in tokenizer.vocabulary])
    model.train()
    began = saved = time.monotonic()
    for step in range(len(history), settings.steps):
        seconds = elapsed + time.monotonic() - began
        progress = step / settings.steps
        if settings.minutes:
            if seconds >= 60 * settings.minutes:
                break
            progress = max(progress, seconds / (60 * settings.minutes))
        rate = settings.learning_rate * learning_rate_share(progress)
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs, attention, generator = _batch(tokenizer, corpus, settings, step)
        loss = _loss(model, tokenizer, words, inputs, attention, generator, device)
        if not torch.isfinite(loss):
            kept = f"the checkpoint of an earlier step is {state}" if state.is_file() else "no checkpoint was reached"
            raise CheckFailed(
                f"pretraining: the loss is {float(loss.detach())} at step {step + 1} (learning rate {rate:g}); {kept}; "
                "lower the learning rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        history.append({"step": step + 1, "tokens": int(attention.sum()), "loss": float(loss.detach()), "rate": rate,
                        "seconds": elapsed + time.monotonic() - began})  # fmt: skip
        if time.monotonic() - saved >= SECONDS_BETWEEN_CHECKPOINTS:
            saved = time.monotonic()
            _save(state, model, optimizer, history)
            logger.info("step %d: loss %.3f nats a token, %.0f s", step + 1, history[-1]["loss"], seconds)
    model.eval()
    return history


def learning_rate_share(progress: float, warm_up: float = 0.05, floor: float = 0.1) -> float:
    """Share of the peak learning rate at ``progress`` (0 to 1): linear warm-up, then cosine down to ``floor``."""
    if progress < warm_up:
        return max(progress / warm_up, 0.02)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


def _save(state: Path, model, optimizer, history: list) -> None:
    import torch

    with write_aside(state) as aside:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, aside)


def _restore(state: Path, model, optimizer, device) -> tuple[list, float]:
    import torch

    if not state.is_file():
        return [], 0.0
    try:
        stored = torch.load(state, map_location=device, weights_only=True)
        history = stored["history"]
        elapsed = history[-1]["seconds"]
    except Exception as error:  # a file that was cut or is no checkpoint raises many kinds
        why = f"not whole ({type(error).__name__}); the checkpoint is damaged"
        raise InputError(f"{state}: {why}: remove {state.parent} to start again") from None
    model.load_state_dict(stored["model"])
    optimizer.load_state_dict(stored["optimizer"])
    return history, elapsed


def _write_history(path: Path, history: list) -> None:
    total = np.cumsum([row["tokens"] for row in history])
    lines = ["step\ttokens\tloss\tlearning_rate\tseconds"]
    lines += [
        f"{row['step']}\t{tokens}\t{row['loss']:.5f}\t{row['rate']:.4g}\t{row['seconds']:.2f}"
        for row, tokens in zip(history, total, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
