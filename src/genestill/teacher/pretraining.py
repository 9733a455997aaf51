"""Pretraining a small teacher, with the architecture and the tokenizer type of a large one.

Interrupted runs can be resumed: batches depend only on (seed, step), so a resumed run uses the same batches as one
without interruption.

Rows shorter than the longest of their batch (short contigs, transcripts) are packed, several per block, if this saves
enough padding. A mask limits attention to a row, for causal and masked models; positions are not reset, because rotary
positions are relative. So the loss of a step is the same as with padding. If nearly all rows have full length, as with
whole genomes, nothing is packed and no mask is used.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from genestill.core.devices import compile_on_gpu
from genestill.core.files import folder_aside
from genestill.core.logs import logger
from genestill.core.masking import IGNORED, mask_tokens
from genestill.core.seeds import seed_everything
from genestill.core.tokenization import Tokenizer
from genestill.core.training.batches import Batch, cut_rows, pack_rows
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import train, write_history
from genestill.core.training.losses import mean_cross_entropy
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.teacher.architectures.architecture import Architecture, find_architecture
from genestill.teacher.genomes import Genomes
from genestill.teacher.loading import DESCRIPTION, weights_checksum
from genestill.teacher.objectives import causal_targets
from genestill.teacher.settings import PretrainingSettings

LAST_RATE, WEIGHT_DECAY, BETAS = 0.1, 0.1, (0.9, 0.95)
HELD_OUT_BATCHES, READINGS = 4, 10  # batches for the held-out loss, and how often it is measured
MOST_PACKED = 0.8  # packing is used below this share of the padded size; otherwise its mask costs more than it saves


def pretrain(
    genomes: list[Path],
    output: str | Path,
    settings: PretrainingSettings,
    device="cpu",
    name: str | None = None,
    compiled: bool = False,
) -> float:
    """Pretrain a teacher on FASTA files and write a Hugging Face folder with ``training.tsv`` and ``teacher.json``.

    The state is stored in ``<output>.checkpoint``, which is removed at the end; a run with the same settings and
    genomes continues from it. ``compiled``: see `compile_on_gpu`.

    Returns:
        Mean loss of the last tenth of the steps, in nats per token.

    Raises:
        CheckFailed: the loss is not finite; the checkpoint before this step is kept.
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
    """Divide the weights that write to the residual stream by the root of twice the number of layers."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("output.dense.weight", "o_proj.weight", "down_proj.weight")):
                parameter.div_((2 * layers) ** 0.5)


@torch.no_grad()
def held_out_loss(
    model, tokenizer: Tokenizer, words: np.ndarray, held: Genomes, settings: PretrainingSettings
) -> float:
    """Nats per scored token on windows of held-out genomes; the same windows in every call."""
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
    """The batches of a step, one for each part of its rows; they depend only on (seed, step).

    ``inputs`` is int64 [rows, tokens]; ``places``, int64 [scored], are the positions of the loss in the flattened
    inputs, and ``targets``, int64 [scored], the tokens there. ``attention``, with the shape of ``inputs``, is only
    given if padding would affect the model. A packed batch has blocks instead of rows and, with the shape of
    ``inputs``, ``windows``: the number of the window of each token, -1 at padding. For a causal model it also has
    ``positions``, the positions of tokens in their windows.
    """
    generator = np.random.default_rng([settings.seed, 1, step])
    # Byte-pair tokens vary in length; with a quarter more bases than expected, most windows fill the context.
    spare = 5 if tokenizer.unit == 1 else 4
    bases = settings.context * tokenizer.bases_per_token * spare // 4
    if settings.lengths == "varied" and generator.random() < 0.5:
        bases = int(generator.integers(max(tokenizer.unit, bases // 8), bases))
    texts = corpus.draw(generator, bases, settings.batch, settings.strands, tokenizer.unit)
    room = settings.context - len(tokenizer.prefix)
    ids = [np.concatenate([tokenizer.prefix, tokens.ids[:room]]) for tokens in tokenizer.encode(texts)]
    lengths = np.array([len(tokens) for tokens in ids])
    inputs = np.full((len(ids), lengths.max()), tokenizer.pad, dtype=np.int64)
    for row, tokens in enumerate(ids):
        inputs[row, : len(tokens)] = tokens
    attention = (np.arange(inputs.shape[1]) < lengths[:, None]).astype(np.int64)
    causal = find_architecture(settings.architecture).kind == "causal"
    if causal:
        targets = causal_targets(inputs, attention)
    else:
        assert tokenizer.mask is not None  # the tokenizer of a masked model has a mask token
        inputs, targets = mask_tokens(inputs, np.isin(inputs, words), tokenizer.mask, words, generator)
    found = []
    for rows in cut_rows(np.arange(len(ids)), parts):
        arrays = {"inputs": inputs[rows], "targets": targets[rows]}
        blocks = pack_rows(lengths[rows])
        if len(blocks) <= MOST_PACKED * len(rows):
            arrays = _packed(arrays, lengths[rows], blocks, tokenizer.pad)
            if not causal:
                del arrays["positions"]
        # In a causal model, padding on the right has no effect.
        elif not (causal or attention[rows].all()):
            arrays["attention"] = attention[rows]
        asked = arrays.pop("targets").ravel()
        places = np.flatnonzero(asked >= 0)
        found.append(Batch(arrays | {"places": places, "targets": asked[places]}, int(lengths[rows].sum())))
    return found


def _packed(
    rows: dict[str, np.ndarray], lengths: np.ndarray, blocks: list[list[int]], pad: int
) -> dict[str, np.ndarray]:
    """Rows (int64 [rows, tokens]) as blocks, with ``windows`` and ``positions``; see `_draw`."""
    shape = (len(blocks), int(lengths.max()))
    empty = {"inputs": pad, "targets": IGNORED, "windows": -1, "positions": 0}
    packed = {name: np.full(shape, value, dtype=np.int64) for name, value in empty.items()}
    for block, members in enumerate(blocks):
        first = 0
        for row in members:
            length = lengths[row]
            here = (block, slice(first, first + length))
            for name, values in rows.items():
                packed[name][here] = values[row, :length]
            packed["windows"][here], packed["positions"][here] = row, np.arange(length)
            first += length
    return packed


def _loss(model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
    states = _states(model, batch)
    # The head is applied only to scored tokens; for a small model, it would otherwise take most of the time.
    logits = model.lm_head(states.flatten(0, 1)[batch["places"]])
    return mean_cross_entropy(logits, batch["targets"]), {}


def _states(model, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The last hidden states, float [rows or blocks, tokens, hidden]."""
    if "windows" not in batch:
        return model.base_model(batch["inputs"], attention_mask=batch.get("attention")).last_hidden_state
    windows, positions = batch["windows"], batch.get("positions")
    seen = windows[:, None, :, None] == windows[:, None, None, :]
    if positions is not None:
        seen = seen & (positions[:, None, :, None] >= positions[:, None, None, :])
    # A mask [blocks, 1, tokens, tokens] is used unchanged; ESM's embedding accepts no mask of this shape.
    embedded = model.get_input_embeddings()(batch["inputs"])
    return model.base_model(inputs_embeds=embedded, attention_mask=seen).last_hidden_state


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
