"""DNA students: shapes, tokens, saving."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from genestill.cli import main
from genestill.core.bpe import make_kmer_tokenizer
from genestill.core.models import save_tokenizer
from genestill.student.dna.deberta import SHAPES, deberta_configuration
from genestill.student.dna.settings import Start
from genestill.student.dna.students import build_student, open_student, save_student
from genestill.student.encoders.adapters import collate, open_adapter
from genestill.student.encoders.embedding import Embedder, Record
from random_sequences import random_dna


def test_byte_pairs_beyond_the_longest_input_are_read_in_windows(corpus, tmp_path):
    torch.manual_seed(1)
    student, adapter = build_student("deberta-tiny", corpus / "tokenizer", max_tokens=16)
    save_student(tmp_path / "student", student.eval(), adapter, {})
    sequence = random_dna(np.random.default_rng(4), 150)
    windows = adapter.windows(sequence, 16)
    assert len(windows) > 2
    assert max(len(window.ids) for window in windows) <= 16
    covered = [(start, stop) for window in windows for start, stop in zip(window.start, window.stop, strict=True)]
    assert sum(stop - start for start, stop in covered) == 150
    parts = []
    for window in windows:
        ids = torch.from_numpy(window.ids)[None]
        parts.append(student(ids).last_hidden_state.mean(1)[0].detach().numpy() * (window.stop - window.start).sum())
    found, tokens = Embedder(tmp_path / "student", "cpu", threads=1).embed_and_count([Record("a", sequence)])
    np.testing.assert_allclose(found[0], sum(parts) / 150, rtol=1e-4, atol=1e-5)
    assert tokens[0] == sum(len(window.ids) - 2 for window in windows)


@pytest.mark.parametrize(
    ("architecture", "vocabulary", "millions"),
    [("deberta-23M-at-xsmall", 4096, 23), ("deberta-46M", 4096, 46), ("deberta-89M-at-base", 4096, 89)],
)
def test_deberta_shapes_have_the_published_number_of_parameters(architecture, vocabulary, millions):
    from transformers import AutoModelForMaskedLM

    with torch.device("meta"):
        model = AutoModelForMaskedLM.from_config(deberta_configuration(architecture, vocabulary, 0))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.03)


def test_disentangled_attention_is_enabled_according_to_the_architecture_name():
    for name, shape in SHAPES.items():
        assert ("-at" in name or name == "deberta-tiny") == shape[4]
        assert deberta_configuration(name, 100, 0).relative_attention == shape[4]


def test_attention_is_a_setting_and_students_differ_only_in_it(corpus):
    """Except for the tables of positions and tokens, all have the same tensors, possibly under other names."""
    shapes = {}
    for attention in ("disentangled", "absolute", "rotary"):
        config = Start("deberta-tiny", tokenizer=str(corpus / "tokenizer"), attention=attention).open()[0].config
        with torch.device("meta"):
            layers = AutoModel.from_config(config).encoder.layer
        shapes[attention] = sorted(tuple(parameter.shape) for parameter in layers.parameters())
        assert getattr(config, "relative_attention", False) == (attention == "disentangled")
    assert shapes["disentangled"] == shapes["absolute"] == shapes["rotary"]


def test_parameter_count_and_attention_layers_are_configurable():
    for parameters in (30_000, 300_000):
        student, _ = Start("had", parameters=parameters).open()
        assert sum(one.numel() for one in student.parameters()) == pytest.approx(parameters, rel=0.1)
    kinds = {name: [type(layer.mixer).__name__ for layer in build_student(name)[0].layers]
             for name in ("had", "had-mixer", "had-attention")}  # fmt: skip
    delta, attention = "BidirectionalGatedDeltaNet", "SelfAttention"
    assert kinds["had"] == [delta] * 5 + [attention]
    assert kinds["had-mixer"] == [delta] * 6
    assert kinds["had-attention"] == [attention] * 6


@pytest.mark.parametrize("k", [1, 3])
def test_k_mers_are_split_from_the_left_and_decoded_again(k, tmp_path):
    save_tokenizer(make_kmer_tokenizer(k), tmp_path)
    adapter = open_adapter(tmp_path)
    tokens = adapter.encode("ACGTNACGT")
    spelt = adapter.tokenizer.convert_ids_to_tokens(tokens.ids)
    expected = {1: list("ACGTNACGT"), 3: ["ACG", "T", "N", "ACG", "T"]}[k]
    assert spelt == ["[CLS]", *expected, "[SEP]"]
    assert [stop - start for start, stop in zip(tokens.start, tokens.stop, strict=True)] == [
        0, *map(len, expected), 0]  # fmt: skip
    assert adapter.tokenizer.decode(tokens.ids, skip_special_tokens=True) == "ACGTNACGT"
    assert adapter.kind == "words of bases"


def test_a_student_of_short_inputs_without_a_window_equals_one_with_a_wide_window():
    short, _ = build_student("had-tiny", max_tokens=60)
    windowed, _ = build_student("had-tiny", max_tokens=1024)
    windowed.load_state_dict(short.state_dict())
    assert (short.config.attention_window, windowed.config.attention_window) == (0, 256)
    ids = torch.randint(0, 4, (3, 60))
    mask = torch.arange(60) < torch.tensor([[60], [41], [7]])
    torch.testing.assert_close(short(ids, mask).last_hidden_state, windowed(ids, mask).last_hidden_state)


def test_a_student_is_unchanged_after_saving_and_loading(corpus, tmp_path):
    torch.manual_seed(1)
    for name, tokenizer in (("had-tiny", None), ("deberta-tiny", corpus / "tokenizer")):
        student, adapter = build_student(name, tokenizer, cls=tokenizer is None)
        save_student(tmp_path / name, student.eval(), adapter, {"a": 1})
        opened, again = open_student(tmp_path / name)
        tokens = adapter.encode("ACGTACGTTGCA")
        assert tokens.ids.tolist() == again.encode("ACGTACGTTGCA").ids.tolist()
        ids = torch.from_numpy(tokens.ids)[None]
        torch.testing.assert_close(student(ids).last_hidden_state, opened.eval()(ids).last_hidden_state)
        assert (tmp_path / name / "README.md").read_text().count("# DNA encoder") == 1


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["disentangled", "absolute", "rotary"])
def test_the_onnx_graph_of_a_byte_pair_student_gives_equal_outputs_at_other_shapes(corpus, tmp_path, attention):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(1)
    student, adapter = Start(
        "deberta-tiny", tokenizer=str(corpus / "tokenizer"), attention=attention, max_tokens=96
    ).open()
    save_student(tmp_path / "student", student.eval(), adapter, {})
    file = tmp_path / "student.onnx"
    assert main(["--quiet", "student", "export-onnx", "--model", str(tmp_path / "student"), "-o", str(file)]) == 0
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rows = [adapter.encode(random_dna(np.random.default_rng(length), length)) for length in (30, 150)]
    batch = collate(rows, adapter.pad)
    feeds = {name: batch[name].numpy() for name in ("input_ids", "attention_mask")}
    _, pooled = session.run(None, feeds)
    records = [Record(str(length), random_dna(np.random.default_rng(length), length)) for length in (30, 150)]
    expected = Embedder(tmp_path / "student", "cpu", threads=1).embed(records)
    np.testing.assert_allclose(pooled, expected, rtol=1e-3, atol=1e-4)
