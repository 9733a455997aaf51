"""The mRNABench adapter, against a stand-in for mRNABench's abstract class and torch in place of the graph."""

import importlib.util
import sys
import types
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from genestill.core.reading_frames import coding_bounds, region_codes
from genestill.student.encoders import EncoderConfig, EncoderModel
from genestill.student.encoders.embedding import Embedder, Record
from genestill.student.encoders.tokenization import build_tokenizer

ADAPTER = Path(__file__).parents[2] / "resources" / "mrnabench_adapter.py"


class Released(ABC):
    """The interface of a model in mrna-bench 1.3.2."""

    @staticmethod
    @abstractmethod
    def get_model_short_name(model_version): ...

    def __init__(self, model_version, device):
        self.short_name = self.get_model_short_name(model_version)
        self.device = device
        self.is_sixtrack = False

    @abstractmethod
    def embed_sequence(self, sequence, agg_fn=torch.mean): ...

    @abstractmethod
    def embed_sequence_sixtrack(self, sequence, cds, splice, agg_fn=torch.mean): ...


class Development(ABC):
    """The interface in its development version: a checked version, and ``embed`` returns a list of tensors."""

    def __init__(self, model_version, device):
        assert model_version in self.valid_versions
        assert isinstance(self.valid_attn_implementations, list)
        self.short_name = self.get_model_short_name(model_version)
        self.device = device

    @abstractmethod
    def embed(self, sequences, cds=None, splice=None, agg_fn=None): ...


class TorchSession:
    """Runs the student saved beside the ONNX graph, with the names of the graph."""

    def __init__(self, file, providers):
        self.model = EncoderModel.from_pretrained(Path(file).parent).eval()

    def run(self, outputs, feeds):
        read = {name: torch.from_numpy(array) for name, array in feeds.items()}
        with torch.inference_mode():
            found = {"pooled": self.model.embed(**read)}
            read.pop("regions", None)
            found["last_hidden_state"] = self.model(**read).last_hidden_state
        return [found[name].numpy() for name in outputs]


@pytest.fixture(params=[Released, Development])
def adapter(monkeypatch, request):
    package = types.ModuleType("mrna_bench.models.embedding_model")
    package.EmbeddingModel = request.param
    monkeypatch.setitem(sys.modules, "mrna_bench", types.ModuleType("mrna_bench"))
    monkeypatch.setitem(sys.modules, "mrna_bench.models", types.ModuleType("mrna_bench.models"))
    monkeypatch.setitem(sys.modules, "mrna_bench.models.embedding_model", package)
    runtime = types.ModuleType("onnxruntime")
    runtime.InferenceSession = TorchSession
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    specification = importlib.util.spec_from_file_location("mrnabench_adapter", ADAPTER)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("cls", "pooling", "expansion", "lengths"),
    [
        (False, "mean", 0, False),
        (False, "mean", 48, True),
        (False, "max", 48, False),
        (True, "cls", 0, False),
        (True, "concatenated", 0, True),
        (False, "regions", 0, False),
        (False, "regions", 48, True),
    ],
)
def test_the_adapter_gives_the_same_embeddings_as_the_command(adapter, tmp_path, cls, pooling, expansion, lengths):
    torch.manual_seed(0)
    config = EncoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=1, tracks=2, max_length=100, pooling=pooling,
        expansion=expansion, lengths=lengths,
    )  # fmt: skip
    EncoderModel(config).save_pretrained(tmp_path)
    build_tokenizer(cls=cls).save_pretrained(tmp_path)
    generator = np.random.default_rng(0)
    sequences = ["".join(generator.choice(list("ACGTNacgtu"), length)) for length in (40, 250)]
    tracks = [generator.integers(0, 2, (len(sequence), 2)) for sequence in sequences]
    student = adapter.open_student(tmp_path, name="my-student")
    found = student.embed(sequences, [track[:, 0] for track in tracks], [track[:, 1] for track in tracks])
    records = [
        Record("", sequence, track.astype(np.float32)) for sequence, track in zip(sequences, tracks, strict=True)
    ]
    np.testing.assert_allclose(torch.stack(found), Embedder(tmp_path).embed(records), rtol=1e-4, atol=1e-5)
    assert student.short_name == "my-student"
    assert student.is_sixtrack
    for row in (0, 1):
        one = student.embed_sequence_sixtrack(sequences[row], tracks[row][:, 0], tracks[row][:, 1])
        torch.testing.assert_close(one, found[row][None])
    assert (student.embed_sequence(sequences[0]) - found[0]).abs().max() > 0.01  # no tracks
    assert student.cls == cls
    every_base = student.embed(sequences, agg_fn=lambda hidden: hidden)
    assert [one.shape for one in every_base] == [(40, 16), (250, 16)]
    by_default = student.embed(sequences, agg_fn=partial(torch.mean, dim=0))  # as required by the development version
    torch.testing.assert_close(by_default, student.embed(sequences))
    largest = student.embed_sequence(sequences[1], agg_fn=lambda states, dim: states.amax(dim=dim))
    assert largest.shape == (1, 16)


def test_the_adapter_uses_the_same_regions_as_the_command(adapter):
    generator = np.random.default_rng(1)
    for length in (5, 700, 3000):
        sequence = "".join(generator.choice(list("ACGUacgt"), length))
        sequence = sequence[: length // 3] + "augGCC" * (length // 50) + sequence[length // 3 :]
        for cds in (None, np.zeros(len(sequence), np.int8), (np.arange(len(sequence)) % 17 == 4).astype(np.int8)):
            bounds = coding_bounds(sequence.upper().replace("U", "T"), cds)
            expected = region_codes(len(sequence), *bounds)
            np.testing.assert_array_equal(adapter.region_codes(sequence, cds), expected)


def test_codes_and_special_tokens_equal_those_of_the_tokenizer(adapter, tmp_path):
    tokenizer = build_tokenizer(cls=True)
    tokenizer.save_pretrained(tmp_path)
    for letter in "ACGTUNRYacgtun":
        assert adapter.CODES[ord(letter)] == tokenizer(letter, add_special_tokens=False)["input_ids"][0]
    assert tokenizer("A")["input_ids"][0] == adapter.CLS


def test_a_name_that_mrnabench_would_truncate_is_refused(adapter, tmp_path):
    with pytest.raises(ValueError, match="underscores"):
        adapter.open_student(tmp_path, name="my_student")
