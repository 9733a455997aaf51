"""Export of a student to ONNX, for runtimes without torch, with variable batch size and length."""

import importlib.util
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import write_aside
from genestill.core.logs import logger
from genestill.core.pooling import pool
from genestill.student.encoders.adapters import longest_input
from genestill.student.encoders.embedding import open_body
from genestill.student.encoders.model import EncoderModel
from genestill.student.encoders.tokenization import encode_batch

OPSET = 20
TOLERANCE = 1e-4  # largest difference from torch, divided by the largest value


class _Graph(nn.Module):
    def __init__(self, model: EncoderModel):
        super().__init__()
        self.model, self.names = model, _more_inputs(model)

    def forward(self, input_ids, attention_mask, first=None, second=None):
        more = dict(zip(self.names, (first, second), strict=False))
        hidden = self.model(input_ids, attention_mask, more.get("tracks")).last_hidden_state
        return hidden, self.model.embedding(hidden, attention_mask, regions=more.get("regions"))


class _GraphOfTransformers(nn.Module):
    """A DeBERTa or a RoFormer with the pooling of its configuration, or the mean without one."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model, self.pooling = model, getattr(model.config, "pooling", "mean")

    def forward(self, input_ids, attention_mask):
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden, pool(hidden, attention_mask, self.pooling)


def _graph_of(model: PreTrainedModel) -> nn.Module:
    return (_Graph if isinstance(model, EncoderModel) else _GraphOfTransformers)(model).eval()


def _more_inputs(model: PreTrainedModel) -> list[str]:
    """Further inputs of the student, in addition to tokens and mask."""
    config = model.config
    if not isinstance(model, EncoderModel):
        return []
    return ["tracks"] * bool(config.tracks) + ["regions"] * config.reads_regions


def export_onnx(folder: str | Path, output: str | Path) -> None:
    """Write the student in ``folder`` to ``output``, and compare it with torch on batches of other shapes.

    The graph maps input_ids int64 [batch, length], attention_mask int64 [batch, length], for a student with tracks
    tracks float32 [batch, length, T], and for one with regions regions int64 [batch, length], to
    last_hidden_state [batch, length, H] and pooled [batch, size], the embedding.
    For a student over byte pairs or k-mers, input_ids are those of its tokenizer, including special tokens.
    The loop of the delta rule over chunks becomes Scan of ONNX, and its triangular system a fixed number of products,
    because ONNX has no triangular solver.

    Raises:
        InputError: the extra ``onnx`` is not installed, or there is no student in the folder.
        CheckFailed: the graph differs from torch by more than 1e-4 of the largest value.
    """
    if missing := [name for name in ("onnx", "onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]:
        raise InputError(f"ONNX export needs {', '.join(missing)}; install genestill with the extra 'onnx'")
    for chatty in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    model = open_body(folder)
    longest = longest_input(model.config)
    example = _example(model, (3, min(1200, longest)))
    batch = length = torch.export.Dim.DYNAMIC
    free = {0: batch, 1: length}
    names = ["input_ids", "attention_mask", *_more_inputs(model)]
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # internal warnings of the exporter
        program = torch.onnx.export(
            _graph_of(model),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=["last_hidden_state", "pooled"],
            dynamic_shapes=(free,) * len(example),
            verbose=False,
        )
    with write_aside(output) as aside:
        program.save(str(aside), external_data=False)
        shapes = [(rows, min(length, longest)) for rows, length in ((1, 2), (1, 33), (2, 700), (4, 96))]
        worst = max(_difference(model, aside, shape) for shape in shapes)
        if not worst <= TOLERANCE:
            raise CheckFailed(f"the ONNX graph differs from torch by {worst:.2g} of the largest value")
    logger.info("%s: largest difference from torch %.2g of the largest value", output, worst)


def _example(model: PreTrainedModel, shape: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    generator = np.random.default_rng(0)
    batch, length = shape
    lengths = [length, *generator.integers(1, length + 1, batch - 1)]
    if not isinstance(model, EncoderModel):
        mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int64)
        ids = np.where(mask, generator.integers(0, model.config.vocab_size, shape), model.config.pad_token_id)
        return torch.from_numpy(ids), torch.from_numpy(mask)
    sequences = ["".join(generator.choice(list("ACGTN"), count)) for count in lengths]
    inputs = [torch.from_numpy(x) for x in encode_batch(sequences)]
    if model.config.tracks:
        tracks = generator.integers(0, 2, (batch, length, model.config.tracks)).astype(np.float32)
        inputs.append(torch.from_numpy(tracks))
    if model.config.reads_regions:
        inputs.append(torch.from_numpy(generator.integers(0, 3, (batch, length))))
    return tuple(inputs)


def _difference(model: PreTrainedModel, file: Path, shape: tuple[int, int]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    inputs = _example(model, shape)
    feeds = {given.name: x.numpy() for given, x in zip(session.get_inputs(), inputs, strict=True)}
    with torch.inference_mode():
        expected = _graph_of(model)(*inputs)
    worst = 0.0
    for found, wanted in zip(session.run(None, feeds), expected, strict=True):
        wanted = wanted.numpy()
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
    return worst
