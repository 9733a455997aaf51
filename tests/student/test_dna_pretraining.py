"""Pretraining of DNA students without a teacher."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta, write_fasta
from genestill.core.training import checkpoints
from genestill.core.training.losses import mean_cross_entropy
from genestill.student.dna.pipeline import pretrain_student
from genestill.student.dna.pretraining import masked_batch
from genestill.student.dna.settings import Start, TrainingSettings
from genestill.student.dna.students import build_student, save_student
from genestill.student.encoders.adapters import SingleBaseAdapter
from random_sequences import random_dna


def test_half_of_the_windows_can_be_read_from_the_other_strand(corpus, tmp_path):
    start = Start("had-tiny", max_tokens=64)
    weights = {}
    for name, both in (("one", False), ("both", True), ("again", True)):
        pretrain_student(
            start, corpus / "windows.fna", TrainingSettings(2, 4), "tokens", 0.15, tmp_path / name, device="cpu",
            both_strands=both,
        )  # fmt: skip
        weights[name] = load_file(tmp_path / name / "model.safetensors")["encoder.token_embedding.weight"]
    assert torch.equal(weights["both"], weights["again"])
    assert not torch.equal(weights["both"], weights["one"])


@pytest.mark.parametrize("masking", ["tokens", "groups"])
def test_masked_language_modelling_has_only_masked_tokens_as_targets(masking):
    adapter = SingleBaseAdapter(cls=True)
    sequences = [random_dna(np.random.default_rng(1), 90) + "N", "ACGTN" * 10]
    batch, targets = masked_batch(sequences, adapter, masking, 0.2, 200, np.random.default_rng(1))
    whole = [adapter.encode(sequence) for sequence in sequences]
    asked = targets != -100
    for row, tokens in enumerate(whole):
        here = asked[row, : len(tokens.ids)].numpy()
        assert (targets[row, : len(tokens.ids)].numpy()[here] == tokens.ids[here]).all()
        assert (batch["input_ids"][row, : len(tokens.ids)].numpy()[~batch["masked"][row, : len(tokens.ids)]] != 6).all()
        assert set(tokens.ids[here]) <= {0, 1, 2, 3}
    if masking == "groups":
        assert (batch["input_ids"][asked] == 6).all()


def test_a_killed_run_is_not_resumed_on_different_windows(corpus, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    start, schedule = Start("had-tiny", max_tokens=64), TrainingSettings(3, 2)
    other = tmp_path / "other.fna"
    write_fasta(other, [(name, sequence[::-1]) for name, sequence in read_fasta(corpus / "windows.fna")])
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
        patch.setattr("genestill.student.dna.pipeline.save_student", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain_student(start, corpus / "windows.fna", schedule, "tokens", 0.15, tmp_path / "model", device="cpu")
    with pytest.raises(InputError, match="other settings or inputs"):
        pretrain_student(start, other, schedule, "tokens", 0.15, tmp_path / "model", device="cpu")
    pretrain_student(start, corpus / "windows.fna", schedule, "tokens", 0.15, tmp_path / "model", device="cpu")


def test_continual_pretraining_starts_from_the_saved_weights_and_head(corpus, tmp_path):
    first = Start("deberta-tiny", tokenizer=str(corpus / "tokenizer"), max_tokens=128)
    pretrain_student(
        first, corpus / "windows.fna", TrainingSettings(3, 4), "tokens", 0.15, tmp_path / "first", device="cpu"
    )
    again = Start(initial=str(tmp_path / "first"), max_tokens=128)
    pretrain_student(
        again, corpus / "windows.fna", TrainingSettings(0, 4), "tokens", 0.15, tmp_path / "same", device="cpu"
    )
    pretrain_student(
        again, corpus / "windows.fna", TrainingSettings(3, 4), "tokens", 0.15, tmp_path / "on", device="cpu"
    )
    before, same, on = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "same", "on"))
    assert all(torch.equal(before[name], same[name]) for name in before)
    for part in ("deberta.", "cls."):
        assert any(not torch.equal(before[name], on[name]) for name in before if name.startswith(part))


def test_group_masking_of_byte_pairs_and_invalid_starting_points_are_refused(corpus, tmp_path):
    start = Start("deberta-tiny", tokenizer=str(corpus / "tokenizer"))
    with pytest.raises(InputError, match="single bases"):
        pretrain_student(
            start, corpus / "windows.fna", TrainingSettings(1), "groups", 0.15, tmp_path / "x", device="cpu"
        )
    with pytest.raises(InputError, match="either"):
        Start().open()
    with pytest.raises(InputError, match="needs a tokenizer"):
        Start("deberta-tiny").open()
    with pytest.raises(InputError, match="has a fixed kind of attention"):
        Start("had-tiny", attention="rotary").open()
    with pytest.raises(InputError, match="has a fixed size"):
        Start("deberta-tiny", parameters=20_000, tokenizer=str(corpus / "tokenizer")).open()
    with pytest.raises(InputError, match="single bases"):
        Start("had-tiny", tokenizer="somewhere").open()
    with pytest.raises(InputError, match="architecture is 'had-giant'; expected one of had,"):
        Start("had-giant")


def test_a_batch_without_scored_tokens_has_the_loss_zero_and_no_gradient():
    logits = torch.zeros((0, 4), requires_grad=True)
    loss = mean_cross_entropy(logits, torch.zeros(0, dtype=torch.int64))
    assert loss.item() == 0
    loss.backward()
    logits, targets = torch.randn(2, 3, 4), torch.tensor([[0, 1, -100], [3, -100, -100]])
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    torch.testing.assert_close(mean_cross_entropy(logits, targets), expected)


def test_a_student_of_few_tokens_is_trained_further_on_longer_windows(corpus, tmp_path):
    """The longest input is that of the student, not the default of the command."""
    student, adapter = build_student("deberta-tiny", corpus / "tokenizer", max_tokens=24)
    save_student(tmp_path / "first", student, adapter, {})
    (tmp_path / "w.fna").write_text("".join(f">w{row}\n{'ACGTTGCA' * 12}\n" for row in range(60)))
    training = TrainingSettings(steps=1, batch=2)
    pretrain_student(
        Start(initial=str(tmp_path / "first")), tmp_path / "w.fna", training, "tokens", 0.2, tmp_path / "m"
    )
    assert (tmp_path / "m" / "model.safetensors").is_file()
