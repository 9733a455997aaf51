"""A teacher that answers while a student learns: features of tokens on the device, nothing stored."""

from pathlib import Path

import numpy as np

import genestill
from genestill.core.devices import choose_device
from genestill.core.errors import InputError
from genestill.core.tokenization import Tokens
from genestill.teacher.loading import load_teacher
from genestill.teacher.windows import pad


class LiveTeacher:
    """What `student.dna.live` asks a teacher; the command line brings the two together.

    Attributes:
        size: width D of a feature.
        metadata: what the metadata of stored token features say, as text.

    Args:
        folder: the teacher.
        device: see `choose_device`.
        layer, dtype: see `EmbeddingSettings`.
    """

    def __init__(self, folder: str | Path, device: str = "auto", layer: int | str = -1, dtype: str = "auto"):
        self._teacher = teacher = load_teacher(folder, choose_device(device), dtype, layer)
        self.size = teacher.hidden_size
        self.metadata = {
            "representation": "token",
            "teacher": teacher.name,
            "revision": teacher.revision,
            "layer": str(teacher.layer),
            "layers": str(teacher.layers),
            "dtype": teacher.dtype,
            "tokenizer": teacher.tokenizer.checksum,
            "version": genestill.__version__,
            "size": str(teacher.hidden_size),
        }

    def read(self, sequences: list[str]) -> tuple[dict[str, np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
        """What `features` takes of ``sequences``, and start and stop (int32 [tokens]) of the tokens of each.

        Runs on the CPU, in any process. ``teacher_ids`` is int64 [b, t], padded on the right; ``teacher_attention`` is
        there only where the model would see padding.

        Raises:
            InputError: a sequence that is longer than the teacher's context.
        """
        tokenizer = self._teacher.tokenizer
        encoded = tokenizer.encode(sequences)
        longest = max(len(tokens) for tokens in encoded) + tokenizer.specials
        if longest > self._teacher.context:
            raise InputError(
                f"{self._teacher.name}: windows of {longest} tokens, but it reads {self._teacher.context} at once; "
                "choose shorter windows"
            )
        wrapped = [Tokens(tokenizer.wrap(tokens.ids), tokens.start, tokens.stop) for tokens in encoded]
        ids, mask = pad(wrapped, tokenizer.pad)
        tensors = {"teacher_ids": ids}
        if self._teacher.must_see(mask):
            tensors["teacher_attention"] = mask
        return tensors, [(tokens.start, tokens.stop) for tokens in encoded]

    def features(self, tensors: dict):
        """Features [b, tokens, D] of what `read` gave, on the device and without a gradient; special tokens left out.

        Behind the tokens of a shorter row stands what the model says of padding.
        """
        import torch

        tokenizer = self._teacher.tokenizer
        before, behind = len(tokenizer.prefix), len(tokenizer.suffix)
        # Not inference_mode: what it makes may not take part in a loss.
        with torch.no_grad(), torch.autocast(self._teacher.device.type, enabled=False):
            hidden = self._teacher.hidden(tensors["teacher_ids"], tensors.get("teacher_attention"))
        return hidden[:, before : hidden.shape[1] - behind].float()
