import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from genestill.core.contents import content_checksum
from genestill.core.errors import CheckFailed, InputError
from genestill.core.masking import IGNORED
from genestill.core.sequences import write_fasta
from genestill.core.training import checkpoints, loop
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.teacher import architectures, pretraining
from genestill.teacher.architectures.architecture import find_architecture
from genestill.teacher.genomes import Genomes
from genestill.teacher.loading import load_teacher
from genestill.teacher.objectives import causal_targets
from genestill.teacher.pretraining import pretrain
from genestill.teacher.settings import ARCHITECTURES, PretrainingSettings

SMALL = {"hidden_size": 16, "layers": 1, "heads": 2, "vocabulary": 30, "context": 24, "batch": 4, "steps": 12}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fna.gz"
    write_fasta(path, [("one", "ACGTTGCATGCACCGTAGGCATCATTTGACGGAC" * 60), ("two", "GATTACA" * 80)])
    return path


@pytest.mark.parametrize("architecture", ["genomeocean", "nucleotide-transformer"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_different_weights(genome, tmp_path, architecture):
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        pretrain([genome], tmp_path / name, PretrainingSettings(architecture, **SMALL, seed=seed))
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not all(torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


def test_a_killed_run_resumes_and_ends_with_the_same_files(genome, tmp_path, monkeypatch):
    settings = PretrainingSettings(**SMALL)
    pretrain([genome], tmp_path / "whole", settings)
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    draw, drawn = pretraining._draw, []

    def killed(*arguments):
        drawn.append(arguments[4])
        if len(drawn) == 8:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(pretraining, "_draw", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain([genome], tmp_path / "cut", settings)
    assert not (tmp_path / "cut").exists()
    pretrain([genome], tmp_path / "cut", settings)
    assert drawn == [*range(8), *range(7, 12)]
    assert content_checksum(tmp_path / "cut") == content_checksum(tmp_path / "whole")
    assert not (tmp_path / "cut.checkpoint").exists()


def test_a_checkpoint_of_other_settings_or_genomes_is_refused(genome, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(checkpoints.Checkpoint, "remove", lambda self: None)
    pretrain([genome], tmp_path / "model", PretrainingSettings(**SMALL, seed=1))
    with pytest.raises(InputError, match=r"model\.checkpoint: .*settings\.seed: 1, now 2"):
        pretrain([genome], tmp_path / "model", PretrainingSettings(**SMALL, seed=2))
    write_fasta(tmp_path / "other.fna.gz", [("one", "ACGTTGCATGCACCGTAGGCATCATTTGACGGAA" * 60)])
    with pytest.raises(InputError, match=r"model\.checkpoint: .*inputs\.0: "):
        pretrain([tmp_path / "other.fna.gz"], tmp_path / "model", PretrainingSettings(**SMALL, seed=1))


@pytest.mark.faults
def test_a_nan_loss_stops_the_run_and_keeps_the_last_valid_checkpoint(genome, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    loss, calls = pretraining._loss, []

    def broken(*arguments):
        calls.append(1)
        found, parts = loss(*arguments)
        return found * (float("nan") if len(calls) == 6 else 1.0), parts

    monkeypatch.setattr(pretraining, "_loss", broken)
    with pytest.raises(CheckFailed, match=r"nan at step 6 .* the checkpoint of an earlier step is .*model\.checkpoint"):
        pretrain([genome], tmp_path / "model", PretrainingSettings(**SMALL))
    assert not (tmp_path / "model").exists()
    stored = torch.load(tmp_path / "model.checkpoint", weights_only=True)
    assert len(json.loads(stored["history"])) == 5


def test_the_folder_can_be_loaded_and_contains_curve_name_and_revision(genome, tmp_path):
    pretrain([genome], tmp_path / "model", PretrainingSettings(**SMALL), name="tiny")
    teacher = load_teacher(tmp_path / "model")
    assert (teacher.name, teacher.kind, teacher.context) == ("tiny", "causal", 24)
    curve = pd.read_csv(tmp_path / "model" / "training.tsv", sep="\t")
    assert curve["step"].tolist() == list(range(1, 13))
    assert {"loss", "gradient_norm", "residual_norm", "tokens", "tokens_per_second"} <= set(curve)
    assert json.loads((tmp_path / "model" / "teacher.json").read_text())["revision"] == teacher.revision


def test_the_loss_decreases(genome, tmp_path):
    settings = PretrainingSettings(**{**SMALL, "steps": 60}, learning_rate=1e-2)
    last = pretrain([genome], tmp_path / "model", settings)
    first = pd.read_csv(tmp_path / "model" / "training.tsv", sep="\t")["loss"].iloc[0]
    assert last < 0.6 * first


def test_the_loss_on_held_out_genomes_is_recorded_in_the_history_and_lengths_vary(tmp_path):
    generator = np.random.default_rng(1)
    write_fasta(tmp_path / "g.fna", [(f"w{row}", "".join(generator.choice(list("ACGT"), 150))) for row in range(200)])
    settings = PretrainingSettings(
        "nucleotide-transformer", **(SMALL | {"context": 40, "steps": 20}), k=3, held_out=0.1, lengths="varied",
        scaled_projections=True,
    )  # fmt: skip
    pretrain([tmp_path / "g.fna"], tmp_path / "m", settings)
    history = pd.read_csv(tmp_path / "m" / "training.tsv", sep="\t")
    assert history.loc[history["held_out_loss"].notna(), "step"].tolist() == [1, *range(2, 21, 2)]
    assert history["tokens"].nunique() > 5
    assert history["tokens"].max() == 4 * 40
    learnt, held = Genomes.read([tmp_path / "g.fna"]).split(0.1, 1)
    assert len(held.sequences) == 20
    assert not set(held.sequences) & set(learnt.sequences)
    whole = Genomes(["ACGT" * 500])
    learnt, held = whole.split(0.1, 1)
    assert (len(learnt.sequences[0]), len(held.sequences[0])) == (1800, 200)
    assert whole.split(0.01, 1) == (whole, None)


@pytest.mark.parametrize("architecture", ["genomeocean", "nucleotide-transformer"])
def test_projections_into_the_residual_stream_have_smaller_initial_weights(architecture, genome):
    settings = PretrainingSettings(architecture, hidden_size=32, layers=8, heads=2, vocabulary=30, k=2, context=24)
    made = find_architecture(architecture)
    model = made.build(settings, made.make_tokenizer(Genomes.read([genome]), settings))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    pretraining.shrink_residual_projections(model, settings.layers)
    shrunk = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    assert len(shrunk) == 2 * settings.layers
    assert all(torch.allclose(model.state_dict()[name] * 4, before[name]) for name in shrunk)


def test_windows_of_one_strand_are_drawn_in_frame_and_those_of_both_are_not():
    sequence = "".join(np.random.default_rng(0).choice(list("ACGT"), 200))
    genomes = Genomes([sequence])
    draw = {
        strands: genomes.draw(np.random.default_rng(1), 40, 60, strands=strands, unit=3) for strands in ("one", "both")
    }
    assert {sequence.find(window) % 3 for window in draw["one"]} == {0}
    assert {sequence.find(window) for window in draw["both"]} > {-1}


def test_a_codon_model_reads_tokens_of_three_bases(genome, tmp_path):
    pretrain([genome], tmp_path / "m", PretrainingSettings("nucleotide-transformer", **SMALL, k=3, strands="one"))
    tokenizer = load_teacher(tmp_path / "m").tokenizer
    assert [tokenizer.vocabulary[token] for token in tokenizer.encode(["ATGGCCTAA"])[0].ids] == ["ATG", "GCC", "TAA"]


def test_a_time_limit_ends_the_run(genome, tmp_path):
    pretrain([genome], tmp_path / "model", PretrainingSettings(**{**SMALL, "steps": 10**6}, minutes=0.02))
    assert load_teacher(tmp_path / "model").layers == 1


def test_batches_are_full_of_tokens(genome):
    from genestill.teacher.genomes import Genomes

    corpus = Genomes.read([genome])
    for architecture in ("genomeocean", "nucleotide-transformer"):
        settings = PretrainingSettings(architecture, **SMALL)
        tokenizer = find_architecture(architecture).make_tokenizer(corpus, settings)
        batch = pretraining._draw(tokenizer, np.arange(len(tokenizer.vocabulary)), corpus, settings, 0)[0]
        inputs = batch.tensors["inputs"]
        assert inputs.shape[1] <= 24
        assert (inputs != tokenizer.pad).float().mean() > 0.5


def test_causal_targets_are_the_next_tokens_and_never_padding():
    ids, attention = np.array([[1, 2, 3], [4, 5, 0]]), np.array([[1, 1, 1], [1, 1, 0]])
    assert causal_targets(ids, attention).tolist() == [[2, 3, IGNORED], [5, IGNORED, IGNORED]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"architecture": "evo"},
        {"hidden_size": 30, "heads": 4},
        {"steps": 0},
        {"minutes": -1.0},
        {"k": 9},
        {"strands": "two"},
    ],
)
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(InputError):
        PretrainingSettings(**wrong)


def test_a_masked_architecture_is_pretrained_on_masked_tokens_with_any_tokenizer(genome):
    corpus = Genomes.read([genome])
    settings = PretrainingSettings("nucleotide-transformer", **SMALL, k=1)
    tokenizer = find_architecture(settings.architecture).make_tokenizer(corpus, settings)
    words = np.flatnonzero([word in tuple("ACGT") for word in tokenizer.vocabulary])
    tensors = pretraining._draw(tokenizer, words, corpus, settings, 0)[0].tensors
    assert 0 < len(tensors["targets"]) < 0.5 * tensors["inputs"].numel()


def test_every_architecture_has_a_module_with_its_name():
    modules = {path.stem for path in Path(architectures.__path__[0]).glob("*.py")} - {"__init__", "architecture"}
    assert modules == {name.replace("-", "_") for name in ARCHITECTURES}
    assert {find_architecture(name).kind for name in ARCHITECTURES} == {"causal", "masked"}


@pytest.mark.parametrize("architecture", ["genomeocean", "nucleotide-transformer"])
def test_no_step_makes_a_gpu_wait_and_its_parts_contain_all_rows(genome, architecture):
    """On the ``meta`` device of torch, waiting for a value is an error; see test_no_waiting of the students."""
    settings = PretrainingSettings(architecture, **SMALL)
    corpus, kind = Genomes.read([genome]), find_architecture(architecture)
    tokenizer = kind.make_tokenizer(corpus, settings)
    model = kind.build(settings, tokenizer).to("meta")
    optimizer = AdamW(parameter_groups(model, Schedule(2, 0.1).rate, 0.1))
    words = np.flatnonzero([bool(word) and set(word) <= set("ACGT") for word in tokenizer.vocabulary])
    (whole,) = pretraining._draw(tokenizer, words, corpus, settings, 0)
    parts = pretraining._draw(tokenizer, words, corpus, settings, 0, 2)
    assert len(parts) == 2
    assert torch.equal(whole.tensors["inputs"], torch.cat([part.tensors["inputs"] for part in parts]))
    assert torch.equal(whole.tensors["targets"], torch.cat([part.tensors["targets"] for part in parts]))
    assert whole.tokens == sum(part.tokens for part in parts)
    loss, _ = loop._gradients(parts, lambda batch: pretraining._loss(model, batch), optimizer)
    norm = torch.nn.utils.clip_grad_norm_(optimizer.moved(), 1.0)
    optimizer.step(0, (~torch.isfinite(norm)).float())
    assert loss.device.type == norm.device.type == "meta"


@pytest.mark.parametrize("architecture", ["genomeocean", "nucleotide-transformer"])
def test_windows_packed_into_a_block_give_the_loss_and_gradients_of_padded_rows(architecture, monkeypatch):
    rng = np.random.default_rng(0)
    corpus = Genomes(["".join(rng.choice(list("ACGT"), length)) for length in (200, *rng.integers(8, 32, 40))])
    settings = PretrainingSettings(architecture, **{**SMALL, "batch": 12}, k=3)
    kind = find_architecture(architecture)
    tokenizer = kind.make_tokenizer(corpus, settings)
    model = kind.build(settings, tokenizer)
    words = np.flatnonzero([bool(word) and set(word) <= set("ACGT") for word in tokenizer.vocabulary])
    found = []
    for most in (1.0, 0.0):
        monkeypatch.setattr(pretraining, "MOST_PACKED", most)
        for parts in (1, 2):
            batches = pretraining._draw(tokenizer, words, corpus, settings, 0, parts)
            loss, _ = loop._gradients(batches, lambda batch: pretraining._loss(model, batch), AdamW(
                parameter_groups(model, Schedule(2, 0.1).rate, 0.1)))  # fmt: skip
            gradients = [one.grad.clone() for one in model.parameters() if one.grad is not None]
            model.zero_grad()
            found.append((batches, loss, gradients))
    for (packed, loss, gradients), (padded, expected, others) in zip(found[:2], found[2:], strict=True):
        assert all("windows" in batch.tensors for batch in packed)
        assert not any("windows" in batch.tensors for batch in padded)
        assert sum(batch.tokens for batch in packed) == sum(batch.tokens for batch in padded)
        size, before = (sum(one.tensors["inputs"].numel() for one in batches) for batches in (packed, padded))
        assert size < before
        torch.testing.assert_close(loss, expected)
        for one, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    waiting = found[0][0][0].to(torch.device("meta"))  # where waiting for a value of the GPU is an error
    assert pretraining._loss(model.to("meta"), waiting)[0].device.type == "meta"
