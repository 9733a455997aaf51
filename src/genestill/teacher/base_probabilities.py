"""Log-probabilities of A, C, G and T at every base from a language model.

Single-nucleotide models give them directly. A model of k-mers gives a distribution over words of k bases, which is
marginalised: P(base j is b) is the sum over all words with b at position j. Byte-pair tokens at one position differ in
length, so their probabilities cannot be compared base by base; such models are refused.
"""

import numpy as np

from genestill.core.devices import Halving, copy_back, to_device
from genestill.core.errors import InputError
from genestill.core.windows import pad
from genestill.teacher.loading import Teacher
from genestill.teacher.windows import Window, batches

SMALLEST = 1e-9


def token_lengths(teacher: Teacher) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Ids (int64 [v]) and membership (float32 [v, length * 4]) of the tokens of bases, by length.

    Raises `InputError` unless the vocabulary consists of single letters and all words of one length.
    """
    lengths = {len(token) for token in teacher.tokenizer.vocabulary if token and set(token) <= set("ACGT")}
    groups = {length: teacher.tokenizer.bases_of_tokens(length) for length in sorted(lengths)}
    broken = [length for length, (ids, _) in groups.items() if len(ids) != 4**length]
    if not groups or broken:
        raise InputError(
            f"{teacher.name}: base log-probabilities need a model of single nucleotides or of k-mers; this vocabulary "
            f"has tokens of {len(lengths)} lengths (byte-pair encoding), which cannot be compared base by base"
        )
    return {
        length: (ids, np.eye(4, dtype=np.float32)[codes].reshape(len(ids), length * 4))
        for length, (ids, codes) in groups.items()
    }


def marginals(logits, membership):
    """P(A, C, G, T) at each position, float [n, length * 4], from logits [n, v] of the words and their membership."""
    import torch

    return torch.softmax(logits.float(), dim=-1) @ membership


def base_log_probabilities(
    teacher: Teacher, sequences: list[str], windows: list[Window], batch_tokens: int, masked_passes: int = 7
) -> list[np.ndarray]:
    """Natural log-probabilities of A, C, G, T at every base: float32 [length, 4] per sequence.

    At the position of a token, the distribution is over tokens of its length. A causal model predicts a token from the
    previous ones in its window; a masked model predicts every token once while it is masked, with one of
    ``masked_passes`` tokens masked per pass (7: about 15 % masked, as in training). With ``masked_passes`` 0 the logits
    of the unmasked input are used. Bases that are not predicted (in the first token of a window without a start token)
    have the probabilities 1/4.
    """
    import torch

    groups = {
        length: (torch.from_numpy(ids).to(teacher.device), torch.from_numpy(member).to(teacher.device))
        for length, (ids, member) in token_lengths(teacher).items()
    }
    if masked_passes and teacher.kind == "masked" and teacher.tokenizer.mask is None:
        raise InputError(f"{teacher.name}: the tokenizer has no mask token; set masked passes to 0")
    found = [np.full((len(sequence), 4), np.log(0.25), dtype=np.float32) for sequence in sequences]
    before = len(teacher.tokenizer.prefix)
    halving = Halving("base log-probabilities", teacher.device)

    def fill(batch: list[Window]) -> bool:
        padded = pad(batch, teacher.tokenizer.pad)
        ids, mask = (to_device(array, teacher.device) for array in padded)
        with torch.inference_mode():
            seen = mask if teacher.must_see(padded[1]) else None
            logits = _predictions(teacher, ids, mask, seen, before, masked_passes)
            said = []
            for row, window in enumerate(batch):
                lengths = window.tokens.stop - window.tokens.start
                for length, (words, membership) in groups.items():
                    places = np.flatnonzero(lengths == length)
                    if teacher.kind == "causal" and before == 0:
                        places = places[places > 0]
                    if not len(places):
                        continue
                    chosen = logits[row, torch.from_numpy(places + before).to(logits.device)][:, words]
                    values = marginals(chosen, membership).clamp(min=SMALLEST).log()
                    bases = window.tokens.start[places, None] + np.arange(length)
                    said.append((window.row, bases, copy_back(values.reshape(len(places), length, 4))))
        for number, bases, values in said:
            found[number][bases] = values()
        return True

    for positions in batches(windows, batch_tokens):
        batch = [windows[position] for position in positions]

        def fill_part(part: slice, batch: list[Window] = batch) -> bool:
            return fill(batch[part])

        list(halving.results(len(batch), fill_part))
    return found


def _predictions(teacher: Teacher, ids, mask, seen, before: int, masked_passes: int):
    """Logits [b, t, vocabulary]; entry t predicts token t. ``seen`` is the mask for `Teacher.logits`."""
    import torch

    if teacher.kind == "causal":
        return torch.roll(teacher.logits(ids, seen), 1, dims=1)
    if masked_passes == 0:
        return teacher.logits(ids, seen)
    predictions = None
    place = torch.arange(ids.shape[1], device=ids.device)
    for turn in range(masked_passes):
        hidden = (place >= before) & ((place - before) % masked_passes == turn)
        logits = teacher.logits(ids.masked_fill(hidden & (mask == 1), teacher.tokenizer.mask), seen)
        predictions = logits if predictions is None else torch.where(hidden[:, None], logits, predictions)
    return predictions
