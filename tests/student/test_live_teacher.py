"""Distillation with the teacher in the loop: what is drawn, and that it is the loss over stored features."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import encode_bases, reverse_complement, write_fasta
from genestill.core.tokenization import KmerTokenizer
from genestill.student.dna.distillation import Distillation
from genestill.student.dna.features import pad_teacher
from genestill.student.dna.live import FreshWindows, LiveDistillation
from genestill.student.dna.masking import cut_groups
from genestill.student.dna.settings import DistillationSettings
from genestill.student.dna.students import build_student
from genestill.teacher.architectures.architecture import find_architecture
from genestill.teacher.live import LiveTeacher
from genestill.teacher.settings import PretrainingSettings

CPU = torch.device("cpu")


def random_dna(seed: int, length: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory):
    """The Nucleotide Transformer v2 over 6-mers, with random weights."""
    folder = tmp_path_factory.mktemp("live") / "teacher"
    tokenizer = KmerTokenizer.of_size(6, 48)
    settings = PretrainingSettings("nucleotide-transformer", hidden_size=16, layers=2, heads=2, context=48)
    torch.manual_seed(1)
    find_architecture(settings.architecture).build(settings, tokenizer).save_pretrained(folder)
    tokenizer.save(folder)
    return folder


@given(st.lists(st.integers(1, 90), min_size=1, max_size=5), st.integers(1, 60), st.integers(0, 99))
def test_windows_lie_in_the_sequences_on_either_strand_and_differ_from_step_to_step(lengths, size, seed):
    sequences = [random_dna(number, length) for number, length in enumerate(lengths)]
    windows = FreshWindows(sequences, size)
    drawn = windows.draw(np.random.default_rng(seed), 8)
    assert drawn == windows.draw(np.random.default_rng(seed), 8)
    for window in drawn:
        assert any(window in sequence or reverse_complement(window) in sequence for sequence in sequences)
        assert len(window) == size or window in [*sequences, *map(reverse_complement, sequences)]


def test_both_strands_and_every_place_are_drawn():
    windows = FreshWindows(["A" * 30 + "C" * 30], 30)
    drawn = set(windows.draw(np.random.default_rng(1), 2000))
    forward = {("A" * 30 + "C" * 30)[start : start + 30] for start in range(31)}
    assert drawn == forward | set(map(reverse_complement, forward))
    with pytest.raises(InputError, match="no sequence"):
        FreshWindows([], 30)


def live(teacher_folder, sequences, window=60):
    torch.manual_seed(0)
    student, adapter = build_student("had-tiny", max_tokens=128)
    teacher = LiveTeacher(teacher_folder, "cpu")
    settings = DistillationSettings("alignment+reconstruction")
    return LiveDistillation(student, settings, teacher, FreshWindows(sequences, window), CPU), adapter, teacher


def test_the_loss_is_that_over_stored_features_and_parts_hold_the_rows_of_the_whole(teacher_folder):
    model, adapter, teacher = live(teacher_folder, [random_dna(1, 400), random_dna(2, 45)])
    (whole,) = model.batches(3, 6, 1, adapter, 0.2, 128, 1)
    again, other = (model.batches(step, 6, 1, adapter, 0.2, 128, 1)[0] for step in (3, 4))
    assert all(torch.equal(whole.tensors[name], again.tensors[name]) for name in whole.tensors)
    assert not torch.equal(whole.tensors["teacher_ids"], other.tensors["teacher_ids"])
    parts = model.batches(3, 6, 1, adapter, 0.2, 128, 3)
    assert len(parts) == 3
    assert whole.tokens == sum(part.tokens for part in parts)
    model.eval()
    loss, _ = model(whole.tensors)
    loss.backward()
    assert model.student.token_embedding.weight.grad is not None
    assert not any(name.startswith("_ask") for name, _ in model.named_parameters())
    stored = Distillation(model.student, DistillationSettings("alignment+reconstruction"), *model._scale(CPU))
    stored.load_state_dict(model.whole.state_dict())
    features = teacher.features(whole.tensors).half()
    told = {name: values for name, values in whole.tensors.items() if not name.startswith("teacher_ids")}
    expected, _ = stored.eval()(told | {"teacher_features": features})
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)


def test_features_are_those_of_each_window_alone(teacher_folder):
    teacher = LiveTeacher(teacher_folder, "cpu")
    sequences = [random_dna(1, 100), random_dna(2, 61), "ACGTN" * 9]
    asked, tokens = teacher.read(sequences)
    together = teacher.features({name: torch.from_numpy(array) for name, array in asked.items()})
    for row, (sequence, (start, stop)) in enumerate(zip(sequences, tokens, strict=True)):
        boundaries = cut_groups(encode_bases(sequence))
        assert np.array_equal(start, boundaries[:-1])
        assert np.array_equal(stop, boundaries[1:])
        (alone, _) = teacher.read([sequence])
        assert "teacher_attention" not in alone  # nothing is padded
        expected = teacher.features({"teacher_ids": torch.from_numpy(alone["teacher_ids"])})[0]
        torch.testing.assert_close(together[row, : len(start)], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="but it reads 48 at once; choose shorter windows"):
        teacher.read([random_dna(1, 600)])


def test_a_row_of_a_teacher_without_features_is_padded_as_one_with(teacher_folder):
    row = (np.array([0, 6]), np.array([6, 12]), np.zeros((2, 0), np.float16), np.array([True, False]), np.arange(6))
    padded = pad_teacher([(*row, np.zeros(6, np.uint8))], 0)
    assert padded["teacher_features"].shape == (1, 2, 0)
    assert padded["bases"].tolist() == [[0] * 6]


def test_the_command_distils_from_a_model_and_says_from_which(teacher_folder, tmp_path, capsys):
    write_fasta(tmp_path / "stretches.fna", [("a", random_dna(1, 900)), ("b", random_dna(2, 500))])
    arguments = ["student", "distil-dna", "--sequences", str(tmp_path / "stretches.fna"), "--architecture", "had-tiny"]
    arguments += ["--max-tokens", "128", "--steps", "4", "--batch", "4", "--device", "cpu"]
    history = str(tmp_path / "history.tsv")
    model = [*arguments, "--teacher", str(teacher_folder), "--output", str(tmp_path / "student")]
    assert main(arguments + ["--output", str(tmp_path / "student")]) == 2
    assert "give either --features" in capsys.readouterr().err
    assert main(model) == 2
    assert "--teacher and --window-length go together" in capsys.readouterr().err
    assert main([*model, "--window-length", "60", "--output-history", history]) == 0
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert config["teacher"]["representation"] == "token"
    assert config["teacher"]["teacher"] == "teacher"
    table = pd.read_csv(history, sep="\t")
    assert len(table) == 4
    assert np.isfinite(table["loss"]).all()
    assert not (tmp_path / "student.checkpoint").exists()
