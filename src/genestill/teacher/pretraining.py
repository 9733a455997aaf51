"""Pretrain a teacher in miniature, in the architecture and with the tokenizer type of a large one.

Runs resume where they were killed: batches are drawn from (seed, step), so a resumed run sees what an uninterrupted
one would have seen.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from genestill.core.devices import compile_on_gpu
from genestill.core.files import folder_aside
from genestill.core.logs import logger
from genestill.core.masking import mask_tokens
from genestill.core.seeds import seed_everything
from genestill.core.tokenization import Tokenizer
from genestill.core.training.batches import Batch, cut_rows
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import train, write_history
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.teacher.architectures.architecture import Architecture, find_architecture
from genestill.teacher.genomes import Genomes
from genestill.teacher.loading import DESCRIPTION, weights_checksum
from genestill.teacher.objectives import causal_targets
from genestill.teacher.settings import PretrainingSettings

LAST_RATE, WEIGHT_DECAY, BETAS = 0.1, 0.1, (0.9, 0.95)
HELD_OUT_BATCHES, READINGS = 4, 10  # of the loss on what is held out


def pretrain(
    genomes: list[Path],
    output: str | Path,
    settings: PretrainingSettings,
    device="cpu",
    name: str | None = None,
    compiled: bool = False,
) -> float:
    """Pretrain a teacher on FASTA files and write a Hugging Face folder with ``training.tsv`` and ``teacher.json``.

    Progress is kept in ``<output>.checkpoint`` and removed at the end; a run that finds it there, with the same
    settings and genomes, goes on from it. ``compiled``: see `compile_on_gpu`.

    Returns:
        Mean loss of the last tenth of the steps, in nats per token.

    Raises:
        CheckFailed: the loss is no longer a number; the checkpoint before that is kept.
        InputError: the checkpoint is damaged, or was made with other settings or genomes.
    """
    output = Path(output)
    inputs = {str(number): genome for number, genome in enumerate(genomes)}
    checkpoint = Checkpoint(f"{output}.checkpoint", asdict(settings), inputs)
    corpus, held = Genomes.read(genomes).split(settings.held_out, settings.seed)
    architecture = find_architecture(settings.architecture)
    seed_everything(settings.seed)
    tokenizer = architecture.make_tokenizer(corpus, settings)
    model = architecture.build(settings, tokenizer)
    if settings.scaled_projections:
        shrink_residual_projections(model, settings.layers)
    model.to(device)
    logger.info(
        "%s, %.2f M parameters, %d tokens, %.1f Mb of genomes, on %s",
        settings.architecture, sum(tensor.numel() for tensor in model.parameters()) / 1e6, len(tokenizer.vocabulary),
        corpus.bases / 1e6, device,
    )  # fmt: skip
    compile_on_gpu(model.base_model, torch.device(device), compiled)
    history = _train(model, architecture, tokenizer, corpus, held, settings, checkpoint)
    with folder_aside(output) as folder:
        model.save_pretrained(folder)
        tokenizer.save(folder)
        write_history(folder / "training.tsv", history)
        revision = f"sha256:{weights_checksum([folder / 'model.safetensors'])}"
        description = {
            "name": name or f"{settings.architecture}-miniature",
            "revision": revision,
            "architecture": settings.architecture,
            "context": settings.context,
            "source": "pretrained by genestill",
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    checkpoint.remove()
    return float(history["loss"].iloc[-max(1, len(history) // 10) :].mean())


def shrink_residual_projections(model, layers: int) -> None:
    """Divide the weights whose products are added to the residual stream by the root of twice the number of layers."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("output.dense.weight", "o_proj.weight", "down_proj.weight")):
                parameter.div_((2 * layers) ** 0.5)


@torch.no_grad()
def held_out_loss(
    model, tokenizer: Tokenizer, words: np.ndarray, held: Genomes, settings: PretrainingSettings
) -> float:
    """Nats per scored token on windows of genomes that training does not see; the same windows at every call."""
    model.eval()
    full, device = replace(settings, lengths="full", seed=settings.seed + 1), next(model.parameters()).device
    losses, weights = [], []
    for number in range(HELD_OUT_BATCHES):
        for batch in _draw(tokenizer, words, held, full, number):
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                losses.append(_loss(model, batch.to(device))[0])
            weights.append(len(batch.tensors["targets"]))
    return float(np.average(torch.stack(losses).float().cpu(), weights=weights))


def _draw(
    tokenizer: Tokenizer, words: np.ndarray, corpus: Genomes, settings: PretrainingSettings, step: int, parts: int = 1
) -> list[Batch]:
    """The batches of a step, one for each part of its rows; all is drawn from (seed, step).

    ``inputs`` is int64 [batch, context]; ``places`` int64 [scored] are where the loss is taken, in the flattened
    inputs, and ``targets`` int64 [scored] are the tokens there. ``attention``, like ``inputs``, is there only where the
    model would see padding.
    """
    generator = np.random.default_rng([settings.seed, 1, step])
    # Byte-pair tokens vary in length: draw a quarter more bases than expected, and there is no padding to speak of.
    spare = 5 if tokenizer.unit == 1 else 4
    bases = settings.context * tokenizer.bases_per_token * spare // 4
    if settings.lengths == "varied" and generator.random() < 0.5:
        bases = int(generator.integers(max(tokenizer.unit, bases // 8), bases))
    texts = corpus.draw(generator, bases, settings.batch, settings.strands, tokenizer.unit)
    room = settings.context - len(tokenizer.prefix)
    ids = [np.concatenate([tokenizer.prefix, tokens.ids[:room]]) for tokens in tokenizer.encode(texts)]
    longest = max(map(len, ids))
    inputs = np.full((len(ids), longest), tokenizer.pad, dtype=np.int64)
    attention = np.zeros_like(inputs)
    for row, tokens in enumerate(ids):
        inputs[row, : len(tokens)] = tokens
        attention[row, : len(tokens)] = 1
    causal = find_architecture(settings.architecture).kind == "causal"
    if causal:
        targets = causal_targets(inputs, attention)
    else:
        assert tokenizer.mask is not None  # a masked model's tokenizer has one
        inputs, targets = mask_tokens(inputs, np.isin(inputs, words), tokenizer.mask, words, generator)
    found = []
    for rows in cut_rows(np.arange(len(ids)), parts):
        asked = targets[rows].ravel()
        places = np.flatnonzero(asked >= 0)
        tensors = {"inputs": inputs[rows], "places": places, "targets": asked[places]}
        # A causal model never looks at the padding, which is on the right.
        if not (causal or attention[rows].all()):
            tensors["attention"] = attention[rows]
        found.append(Batch(tensors, int(attention[rows].sum())))
    return found


def _loss(model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
    states = model.base_model(batch["inputs"], attention_mask=batch.get("attention")).last_hidden_state
    # The head sees scored tokens only: with 15 % masked that is most of a small model's time.
    logits = model.lm_head(states.flatten(0, 1)[batch["places"]])
    return cross_entropy(logits.float(), batch["targets"]), {}


def _train(
    model,
    architecture: Architecture,
    tokenizer: Tokenizer,
    corpus: Genomes,
    held: Genomes | None,
    settings: PretrainingSettings,
    checkpoint,
) -> pd.DataFrame:
    words = np.flatnonzero([bool(word) and set(word) <= set("ACGT") for word in tokenizer.vocabulary])
    schedule = Schedule(settings.steps, settings.learning_rate, settings.warmup, end=LAST_RATE)
    readings = {max(1, round(settings.steps * place / READINGS)) for place in range(READINGS + 1)}

    def read_held_out(step: int) -> dict[str, float]:
        if held is None or step not in readings:
            return {}
        return {"held_out_loss": held_out_loss(model, tokenizer, words, held, settings)}

    return train(
        model,
        AdamW(parameter_groups(model, schedule.rate, WEIGHT_DECAY), BETAS),
        lambda step, parts=1: _draw(tokenizer, words, corpus, settings, step, parts),
        lambda batch: _loss(model, batch),
        settings.steps,
        name="pretraining",
        checkpoint=checkpoint,
        minutes=settings.minutes,
        residual_stream=architecture.last_norm(model),
        after_step=read_held_out,
        divisible=True,
    )
