"""Distillation of DNA students: batches, targets, objectives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta, write_fasta
from genestill.core.table_schemas import token_features
from genestill.core.tables import write_table
from genestill.student.dna.distillation import Distillation
from genestill.student.dna.features import StoredFeatures
from genestill.student.dna.objectives.reconstruction import CrossAttentionDecoder
from genestill.student.dna.pipeline import distil_student, pretrain_student
from genestill.student.dna.settings import DistillationSettings, Start, TrainingSettings
from genestill.student.dna.students import build_student, open_student
from genestill.student.encoders.adapters import SingleBaseAdapter
from random_sequences import random_dna

WIDTH = 12


def shards(corpus: Path) -> list[Path]:
    return [corpus / "0.parquet", corpus / "1.parquet"]


def test_batches_depend_only_on_seed_and_step_and_an_epoch_contains_every_window(corpus):
    features = StoredFeatures(shards(corpus), dict(read_fasta(corpus / "windows.fna")))
    adapter = SingleBaseAdapter(cls=False)
    first = features.batch(7, 5, 1, adapter, 0.15, 64)
    again = features.batch(7, 5, 1, adapter, 0.15, 64)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["input_ids"], features.batch(8, 5, 1, adapter, 0.15, 64)["input_ids"])
    assert sorted(features.order(3, 1).tolist()) == [[shard, row] for shard in (0, 1) for row in range(12)]
    assert features.order(3, 1) is features.order(3, 1)  # it is not made again in every step
    assert not np.array_equal(features.order(3, 1), features.order(4, 1))


def test_the_loss_on_held_out_windows_is_recorded_in_the_history(corpus, tmp_path):
    generator = np.random.default_rng(1)
    windows = [(f"w{row}", random_dna(generator, 30)) for row in range(210)]
    write_fasta(tmp_path / "w.fna", windows)
    start, training = Start("had-tiny", max_tokens=30), TrainingSettings(20, 2)
    pretrain_student(
        start, tmp_path / "w.fna", training, "tokens", 0.15, tmp_path / "s", tmp_path / "h.tsv", device="cpu"
    )
    history = pd.read_csv(tmp_path / "h.tsv", sep="\t")
    assert history.loc[history["held_out_loss"].notna(), "step"].tolist() == [1, *range(2, 21, 2)]
    rows = [
        (name, np.arange(0, 30, 6, dtype=np.int32), np.arange(6, 31, 6, dtype=np.int32),
         generator.normal(size=5 * WIDTH).astype(np.float16)) for name, _ in windows
    ]  # fmt: skip
    for shard in (0, 1):
        frame = pd.DataFrame(rows[shard::2], columns=["id", "start", "stop", "features"])
        write_table(tmp_path / f"{shard}.parquet", frame, token_features(WIDTH), {"size": WIDTH, "teacher": "x"})
    distil_student(
        start, tmp_path / "w.fna", shards(tmp_path), training, DistillationSettings(), 0.15, tmp_path / "d",
        tmp_path / "d.tsv", "cpu",
    )  # fmt: skip
    history = pd.read_csv(tmp_path / "d.tsv", sep="\t")
    assert history["held_out_loss"].notna().sum() == 11
    features = StoredFeatures(shards(tmp_path), dict(windows))
    assert features.rows == 206
    assert len(features.held) == 4
    learnt = {tuple(place) for place in features.order(0, 1).tolist()}
    assert not set(features.held) & learnt
    assert len(learnt) == 206


def test_bases_beyond_the_longest_input_of_the_student_are_not_targets(corpus):
    features = StoredFeatures(shards(corpus), dict(read_fasta(corpus / "windows.fna")))
    batch = features.batch(0, 12, 1, SingleBaseAdapter(cls=False), 0.5, 32)
    asked = batch["bases"] != -100
    assert batch["input_ids"].shape[1] == 32
    assert 12 < batch["positions"][asked].max() < 32


def test_features_are_standardised_over_all_genomes_not_only_the_first_rows(tmp_path):
    names = [f"w{number}" for number in range(600)]
    low, high = np.zeros(WIDTH, np.float16), np.full(WIDTH, 2, np.float16)
    for shard in (0, 1):
        rows = [
            (name, np.array([0], np.int32), np.array([6], np.int32), low if number < 300 and shard == 0 else high)
            for number, name in enumerate(names)
            if number % 2 == shard
        ]
        frame = pd.DataFrame(rows, columns=["id", "start", "stop", "features"])
        write_table(tmp_path / f"{shard}.parquet", frame, token_features(WIDTH), {"size": WIDTH, "teacher": "two"})
    mean, deviation = StoredFeatures(shards(tmp_path), dict.fromkeys(names, "ACGTAC")).scale()
    torch.testing.assert_close(mean, torch.full((WIDTH,), 1.5), atol=0.02, rtol=0)
    torch.testing.assert_close(deviation, torch.full((WIDTH,), 0.866), atol=0.02, rtol=0)


def test_features_of_unknown_or_other_sequences_are_refused(corpus):
    sequences = dict(read_fasta(corpus / "windows.fna"))
    with pytest.raises(InputError, match="not among the sequences"):
        StoredFeatures(shards(corpus), {}).batch(0, 2, 1, SingleBaseAdapter(cls=False), 0.15, 64)
    shorter = {name: sequence[:-1] for name, sequence in sequences.items()}
    with pytest.raises(InputError, match="same windows"):
        StoredFeatures(shards(corpus), shorter).batch(0, 2, 1, SingleBaseAdapter(cls=False), 0.15, 64)


def test_controls_start_from_the_same_student_and_the_same_decoder(corpus):
    features = StoredFeatures(shards(corpus), dict(read_fasta(corpus / "windows.fna")))
    found = []
    for objective in ("alignment+reconstruction", "reconstruction"):
        torch.manual_seed(1)
        student, _ = build_student("had-tiny")
        found.append(Distillation(student, DistillationSettings(objective), *features.scale()).state_dict())
    both, one = found
    assert {name.split(".")[1] for name in both if name.startswith("terms.")} == {"alignment", "reconstruction"}
    assert set(one) < set(both)
    assert all(torch.equal(both[name], one[name]) for name in one)


@pytest.mark.parametrize("alignment_pooling", ["pooled", "repeated"])
@pytest.mark.parametrize("scope", ["visible", "masked", "all"])
def test_every_objective_learns_and_reaches_the_student(corpus, scope, alignment_pooling):
    torch.manual_seed(1)
    features = StoredFeatures(shards(corpus), dict(read_fasta(corpus / "windows.fna")))
    student, adapter = build_student("had-tiny")
    model = Distillation(
        student, DistillationSettings("alignment+0.5*reconstruction", scope, alignment_pooling), *features.scale()
    )
    loss, parts = model(features.batch(0, 4, 1, adapter, 0.15, 64))
    assert loss.item() == pytest.approx(parts["alignment"].item() + 0.5 * parts["reconstruction"].item(), rel=1e-5)
    assert parts["reconstruction"].item() == pytest.approx(np.log(4), abs=0.5)
    loss.backward()
    assert all(parameter.grad is not None for parameter in student.token_embedding.parameters())


@pytest.mark.parametrize(("architecture", "tokenizer"), [("had-tiny", False), ("deberta-tiny", True)])
def test_masked_bases_are_predicted_from_the_states_of_their_masked_tokens(corpus, architecture, tokenizer):
    torch.manual_seed(1)
    features = StoredFeatures(shards(corpus), dict(read_fasta(corpus / "windows.fna")))
    student, adapter = build_student(architecture, corpus / "tokenizer" if tokenizer else None)
    model = Distillation(student, DistillationSettings("masked_bases"), *features.scale())
    batch = features.batch(0, 4, 1, adapter, 0.15, 64)
    states = torch.randn(*batch["input_ids"].shape, student.config.hidden_size, requires_grad=True)
    loss = model.terms["masked_bases"](states, batch)
    assert loss.item() == pytest.approx(np.log(4), abs=0.5)
    loss.backward()
    read = states.grad.abs().sum(-1) > 0
    assert (read == batch["masked"]).all()


def test_visible_alignment_does_not_use_masked_features(corpus):
    features = StoredFeatures(shards(corpus), dict(read_fasta(corpus / "windows.fna")))
    student, adapter = build_student("had-tiny")
    model = Distillation(student.eval(), DistillationSettings("alignment"), *features.scale())
    batch = features.batch(0, 4, 1, adapter, 0.3, 64)
    before = model(batch)[0]
    hidden = batch["teacher_masked"][..., None]
    batch["teacher_features"] = torch.where(hidden, torch.tensor(9.0).half(), batch["teacher_features"])
    assert torch.equal(model(batch)[0], before)


def test_decoder_reads_only_visible_features_and_their_positions():
    torch.manual_seed(1)
    decoder = CrossAttentionDecoder(16).eval()
    hidden, middle = torch.randn(1, 10, 16), torch.arange(10)[None] + 0.5
    visible = torch.tensor([[True] * 6 + [False] * 4])
    positions = torch.tensor([[6, 9]])
    found = decoder(hidden, middle, visible, positions)
    changed = hidden.clone()
    changed[:, 6:] += 5
    assert torch.equal(decoder(changed, middle, visible, positions), found)
    changed = hidden.clone()
    changed[:, 0] += 5
    assert not torch.allclose(decoder(changed, middle, visible, positions), found)
    assert not torch.allclose(found[:, 0], found[:, 1])
    torch.testing.assert_close(decoder(hidden, middle + 7, visible, positions + 7), found, atol=1e-5, rtol=1e-4)


def test_an_unknown_objective_or_setting_is_refused():
    with pytest.raises(InputError, match="no term 'aligned'"):
        DistillationSettings("aligned")
    with pytest.raises(InputError, match="scope"):
        DistillationSettings(scope="some")
    with pytest.raises(InputError, match="alignment_pooling"):
        DistillationSettings(alignment_pooling="mixed")


@pytest.mark.parametrize(
    ("architecture", "tokenizer"), [("had-tiny", False), ("transformer-tiny", False), ("deberta-tiny", True)]
)
def test_distillation_lowers_both_losses_and_saves_a_student_that_can_be_loaded(
    corpus, tmp_path, architecture, tokenizer
):
    start = Start(architecture, tokenizer=str(corpus / "tokenizer") if tokenizer else None, max_tokens=128)
    schedule = TrainingSettings(60, 8, 5e-3)
    out, curve = tmp_path / "student", tmp_path / "curve.tsv"
    distil_student(
        start, corpus / "windows.fna", shards(corpus), schedule, DistillationSettings(), 0.15, out, curve, device="cpu"
    )
    history = pd.read_csv(curve, sep="\t")
    assert history["alignment"].tail(5).mean() < 0.75 * history["alignment"].head(3).mean()
    model, adapter = open_student(out)
    assert model.config.teacher["teacher"] == "by heart"
    assert not list(tmp_path.glob("*checkpoint*"))
    assert "| scope | visible |" in (out / "README.md").read_text()
    ids = torch.from_numpy(adapter.encode("ACGTACGTACGT").ids)[None]
    assert model(input_ids=ids).last_hidden_state.isfinite().all()


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize(("architecture", "tokenizer"), [("had-tiny", False), ("deberta-tiny", True)])
def test_the_loss_in_bfloat16_is_close_to_that_in_float32(corpus, architecture, tokenizer):
    """As on a GPU, where the loop computes losses under autocast; gates and losses stay in float32."""
    torch.manual_seed(1)
    features = StoredFeatures(shards(corpus), dict(read_fasta(corpus / "windows.fna")))
    student, adapter = build_student(architecture, corpus / "tokenizer" if tokenizer else None)
    model = Distillation(student, DistillationSettings(), *features.scale())
    batch, losses = features.batch(0, 4, 1, adapter, 0.15, 64), []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses.append(model(batch)[0])
    losses[1].backward()
    assert losses[1].dtype == torch.float32
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.01)
