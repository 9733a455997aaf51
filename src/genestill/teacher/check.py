"""The check of a teacher: the run stops if its loss on DNA is too high, before its outputs are used.

A model library can silently load random or wrong weights (GenomeOcean under transformers 5: 8.47 nats per token, above
ln(4096) = 8.32, where 0.83 was right; genomeocean pull request 8). Therefore two things are measured: the
language-model loss on known genomes compared with that of a uniform guess, and whether two loads agree.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import write_json
from genestill.core.logs import logger
from genestill.core.masking import IGNORED, MASKED_FRACTION
from genestill.core.sequences import UNKNOWN_BASE, encode_bases
from genestill.core.windows import pad
from genestill.teacher.genomes import Genomes
from genestill.teacher.loading import Teacher, load_teacher
from genestill.teacher.objectives import causal_targets
from genestill.teacher.settings import CheckSettings
from genestill.teacher.windows import batches, cut_windows

# Above both values, a warning is logged: the hidden states depend on little more than the token.
MOST_GROWTH, MOST_OF_TOKENS = 50, 0.7
STATE_WINDOWS = 16


@dataclass(frozen=True)
class Findings:
    """Results of the check; loss, unigram_entropy and gc_entropy are in nats per token.

    unigram_entropy is the entropy of the token frequencies, gc_entropy the loss of a model that uses only the GC
    content of each window. agreement: largest difference of logits between two loads. residual_norms: root mean square
    of the residual stream at the embeddings and after each layer except the last. token_share: share of the variance of
    the last hidden states between tokens, as opposed to between occurrences of the same token: 1 for a model that
    ignores the context.
    """

    loss: float
    uniform: float
    threshold: float
    unigram_entropy: float
    bases_per_token: float
    vocabulary: int
    tokens: int
    agreement: float
    agreement_threshold: float
    gc_entropy: float
    residual_norms: tuple[float, ...]
    token_share: float


def check_teacher(
    folder: str | Path,
    genomes: list[Path],
    output: str | Path,
    share: float | None = CheckSettings.maximum_relative_loss,
    windows: int = CheckSettings.windows,
    seed: int = 1,
    device="cpu",
    dtype: str = "auto",
    strands: str = "both",
) -> Findings:
    """Measure a teacher on known genomes, write the results to ``output`` (JSON), and stop the run if it fails.

    The loss is that of the next token (causal), or of 15 % of the tokens while they are masked (masked).

    Args:
        folder: the teacher.
        genomes: FASTA files.
        output: path of the results.
        share: the loss must be below this share of ln(vocabulary); None for `default_share`.
        windows: number of windows of one context each, at most 4,096 tokens, from random positions.
        seed: seed of these positions.
        device: torch device.
        dtype: see `load_teacher`.
        strands: ``both``: windows of either strand; ``one``: only the given strand, for transcripts, and in frame for
            codons.

    Returns:
        The results.

    Raises:
        CheckFailed: the loss is not below the threshold, or two loads disagree; the results are then in
            ``<output>.failed.json``, and ``output`` is not written.
    """
    import torch

    if share is not None and not 0 < share < 1:
        raise InputError(f"maximum_relative_loss {share}: expected a number between 0 and 1")
    # Each load has a different seed, so that weights that are missing in the files would differ.
    torch.manual_seed(seed)
    teacher = load_teacher(folder, device=device, dtype=dtype)
    generator = np.random.default_rng(seed)
    bases = min(teacher.context, 4096) * teacher.tokenizer.bases_per_token
    texts = Genomes.read(genomes).draw(generator, bases, windows, strands, teacher.tokenizer.unit)
    cut = [window for window in cut_windows(texts, teacher.tokenizer, bases, teacher.context) if window.bases]
    loss, entropy, tokens, first = _loss(teacher, cut, generator)
    torch.manual_seed(seed + 1)
    again = load_teacher(folder, device=device, dtype=dtype)
    agreement = float((first - _logits(again, cut[:1])).abs().max())
    vocabulary = len(teacher.tokenizer.vocabulary)
    share = share or default_share(teacher)
    norms, token_share = _states(teacher, cut)
    findings = Findings(
        gc_entropy=_gc_entropy(texts, cut),
        residual_norms=tuple(norms),
        token_share=token_share,
        loss=loss,
        uniform=float(np.log(vocabulary)),
        threshold=share * float(np.log(vocabulary)),
        unigram_entropy=entropy,
        bases_per_token=sum(window.bases for window in cut) / max(1, sum(len(window.tokens) for window in cut)),
        vocabulary=vocabulary,
        tokens=tokens,
        agreement=agreement,
        agreement_threshold=0.0 if teacher.device.type == "cpu" else 1e-2,
    )
    failures = _failures(teacher, findings, share)
    known = {"teacher": teacher.name, "revision": teacher.revision, "kind": teacher.kind, "dtype": teacher.dtype}
    figures = known | asdict(findings)
    if failures:
        # Beside the output and not in its place, because the output means that the teacher passed.
        write_json(Path(output).with_suffix(".failed.json"), figures)
        raise CheckFailed("; ".join(failures))
    write_json(output, figures)
    if loss >= entropy:
        logger.warning(
            "%s: loss %.3f nats is not below the entropy %.3f of single tokens: the model has learnt little about "
            "these "
            "genomes",
            teacher.name, loss, entropy,
        )  # fmt: skip
    elif loss >= findings.gc_entropy:
        logger.warning(
            "%s: loss %.3f nats is not below %.3f, the loss of a model that uses only the GC content of each window",
            teacher.name, loss, findings.gc_entropy,
        )  # fmt: skip
    if max(norms) > MOST_GROWTH * norms[0] and token_share > MOST_OF_TOKENS:
        logger.warning(
            "%s: the residual stream grows from %.3g at the embeddings to %.3g, and %.0f %% of the variance of the "
            "last hidden states is explained by the token itself: they contain little context",
            teacher.name, norms[0], max(norms), 100 * token_share,
        )  # fmt: skip
    logger.info("%s: loss %.3f nats per token, ln(%d) = %.3f", teacher.name, loss, vocabulary, findings.uniform)
    return findings


def default_share(teacher: Teacher) -> float:
    """The largest share of ln(vocabulary) for the loss of a working teacher.

    Byte-pair tokens differ in frequency, so that the wrong weights of GenomeOcean had 7.80 / 8.32 = 0.94. The words of
    a k-mer vocabulary are about equally frequent, so that even the best model of bacterial DNA (1.9 bits per base) is
    above 0.9.
    """
    return 0.93 if teacher.tokenizer.unit == 1 else 0.98


def _failures(teacher: Teacher, findings: Findings, share: float) -> list[str]:
    failures = []
    if not findings.loss < findings.threshold:
        failures.append(
            f"{teacher.name} has a loss of {findings.loss:.3f} nats per token on {findings.tokens} tokens of known "
            f"genomes; expected less than {share:g} x ln({findings.vocabulary}) = {findings.threshold:.3f} (a uniform "
            f"guess has {findings.uniform:.3f}): wrong weights, wrong tokenizer, or a model that was not trained on DNA"
        )
    if not findings.agreement <= findings.agreement_threshold:
        failures.append(
            f"two loads of {teacher.name} differ by up to {findings.agreement:g} in their logits; expected at most "
            f"{findings.agreement_threshold:g}: some weights are random numbers"
        )
    return failures


def _loss(teacher: Teacher, windows: list, generator: np.random.Generator):
    """Mean loss, entropy of the token frequencies, number of scored tokens, and the logits of the first window."""
    import torch

    tokenizer = teacher.tokenizer
    if teacher.kind == "masked" and tokenizer.mask is None:
        raise InputError(f"{teacher.name}: a masked model whose tokenizer has no mask token")
    first = _logits(teacher, windows[:1])
    total, scored = 0.0, 0
    for positions in batches(windows, 8192):
        batch = [windows[position] for position in positions]
        ids, attention = pad(batch, tokenizer.pad)
        if teacher.kind == "causal":
            inputs, targets = ids, causal_targets(ids, attention)
        else:
            counts = np.zeros(ids.shape, dtype=bool)
            for row, window in enumerate(batch):
                counts[row, : len(window)] = window.counts
            chosen = (generator.random(ids.shape) < MASKED_FRACTION) & counts
            assert tokenizer.mask is not None  # the tokenizer of a masked model has a mask token
            inputs, targets = np.where(chosen, tokenizer.mask, ids), np.where(chosen, ids, IGNORED)
        inputs, attention, targets = (
            torch.from_numpy(array).to(teacher.device) for array in (inputs, attention, targets)
        )
        with torch.inference_mode():
            logits = teacher.logits(inputs, attention).float()
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        total += float(loss)
        scored += int((targets != IGNORED).sum())
    counts = np.bincount(np.concatenate([window.tokens.ids for window in windows]))
    frequencies = counts[counts > 0] / counts.sum()
    return total / max(1, scored), float(-(frequencies * np.log(frequencies)).sum()), scored, first


def _logits(teacher: Teacher, windows: list):
    import torch

    ids, attention = (torch.from_numpy(array).to(teacher.device) for array in pad(windows, teacher.tokenizer.pad))
    with torch.inference_mode():
        return teacher.logits(ids, attention).float()


def _gc_entropy(texts: list[str], windows: list) -> float:
    """Mean negative log-probability of tokens of known bases, if bases are drawn with the GC content of the window."""
    total, tokens = 0.0, 0
    for window in windows:
        codes = encode_bases(texts[window.row])
        strong = (codes == 1) | (codes == 2)
        known = codes != UNKNOWN_BASE
        share = float(np.clip(strong.sum() / max(1, known.sum()), 1e-3, 1 - 1e-3))
        surprise = -np.log(np.where(strong, share / 2, (1 - share) / 2)) * known
        so_far = np.append(0, np.cumsum(surprise))
        per_token = so_far[window.tokens.stop] - so_far[window.tokens.start]
        total += float(per_token[per_token > 0].sum())
        tokens += int((per_token > 0).sum())
    return total / max(1, tokens)


def _states(teacher: Teacher, windows: list) -> tuple[list[float], float]:
    """RMS of the residual stream per layer, and the share of variance between tokens in the last states."""
    import torch

    # A few windows are sufficient, and hidden states of all layers are large.
    batch = windows[:STATE_WINDOWS]
    ids, attention = (torch.from_numpy(array).to(teacher.device) for array in pad(batch, teacher.tokenizer.pad))
    with torch.inference_mode():
        states = teacher.model.base_model(ids, attention_mask=attention, output_hidden_states=True).hidden_states
    real = attention.bool()
    norms = [float(layer[real].float().square().mean().sqrt()) for layer in states[:-1]]
    last, tokens = states[-1][real].float().cpu().numpy(), ids[real].cpu().numpy()
    names, groups = np.unique(tokens, return_inverse=True)
    sums = np.zeros((len(names), last.shape[1]))
    np.add.at(sums, groups, last)
    within = last - (sums / np.bincount(groups)[:, None])[groups]
    # Divided by the degrees of freedom, because a token that occurs once has no variance within.
    inside = (within**2).sum() / max(1, len(last) - len(names))
    whole = ((last - last.mean(axis=0)) ** 2).sum() / max(1, len(last) - 1)
    return norms, float(1 - inside / max(whole, 1e-30))
