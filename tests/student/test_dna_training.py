import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from genestill.cli import main
from genestill.core.bpe import make_kmer_tokenizer, train_bpe
from genestill.core.errors import InputError
from genestill.core.models import save_tokenizer
from genestill.core.sequences import encode_bases, read_fasta, write_fasta
from genestill.core.table_schemas import TASK_PREDICTIONS, token_features
from genestill.core.tables import read_table, write_table
from genestill.core.training import checkpoints
from genestill.core.training.losses import mean_cross_entropy
from genestill.student.dna import finetuning
from genestill.student.dna.deberta import SHAPES, deberta_configuration
from genestill.student.dna.distillation import Distillation
from genestill.student.dna.features import StoredFeatures
from genestill.student.dna.finetuning import build_classifier, trainable_share
from genestill.student.dna.masking import cut_groups
from genestill.student.dna.objectives.reconstruction import CrossAttentionDecoder
from genestill.student.dna.pipeline import distil_student, fine_tune_on_table, pretrain_student
from genestill.student.dna.pretraining import masked_batch
from genestill.student.dna.settings import DistillationSettings, FineTuning, Start, TrainingSettings
from genestill.student.dna.students import build_student, open_student, save_student
from genestill.student.dna.tasks import read_task
from genestill.student.encoders.adapters import SingleBaseAdapter, collate, open_adapter
from genestill.student.encoders.classification import Classifier
from genestill.student.encoders.embedding import Embedder, Record
from genestill.teacher.architectures.architecture import find_architecture
from genestill.teacher.genomes import Genomes
from genestill.teacher.loading import load_teacher
from genestill.teacher.settings import PretrainingSettings

WIDTH = 12


def random_dna(generator: np.random.Generator, length: int) -> str:
    return "".join(generator.choice(list("ACGT"), length))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Windows, features of a teacher with a fixed vector for each 6-mer, a tokenizer, and a task."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(1)
    windows = [(f"w{number}", random_dna(generator, 64)) for number in range(24)]
    write_fasta(folder / "windows.fna", windows)
    known = np.random.default_rng(2).normal(size=(4, 6, WIDTH)).astype(np.float16)
    rows = []
    for name, sequence in windows:
        codes, boundaries = encode_bases(sequence), cut_groups(encode_bases(sequence))
        starts, stops = boundaries[:-1], boundaries[1:]
        features = [
            sum(known[codes[start + place], place].astype(np.float32) for place in range(stop - start)) + 3.0
            for start, stop in zip(starts, stops, strict=True)
        ]
        rows.append((name, starts, stops, np.concatenate(features).astype(np.float16)))
    for shard in (0, 1):
        frame = pd.DataFrame(rows[shard * 12 : shard * 12 + 12], columns=["id", "start", "stop", "features"])
        write_table(folder / f"{shard}.parquet", frame, token_features(WIDTH), {"size": WIDTH, "teacher": "by heart"})
    train_bpe([sequence for _, sequence in windows], 96).save_pretrained(folder / "tokenizer")
    labels = generator.integers(0, 2, 90)
    sequences = [random_dna(generator, 24) if label else "".join(generator.choice(list("AT"), 24)) for label in labels]
    split = ["train"] * 60 + ["test"] * 30
    table = pd.DataFrame({"sequence": sequences, "label": labels, "split": split})
    table.to_csv(folder / "task.tsv", sep="\t", index=False)
    return folder


def shards(corpus: Path) -> list[Path]:
    return [corpus / "0.parquet", corpus / "1.parquet"]


def test_batches_depend_only_on_seed_and_step_and_an_epoch_contains_every_window(corpus):
    features = StoredFeatures(shards(corpus), dict(read_fasta(corpus / "windows.fna")))
    adapter = SingleBaseAdapter(cls=False)
    first = features.batch(7, 5, 1, adapter, 0.15, 64)
    again = features.batch(7, 5, 1, adapter, 0.15, 64)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["input_ids"], features.batch(8, 5, 1, adapter, 0.15, 64)["input_ids"])
    assert sorted(features.order(3, 1)) == [(shard, row) for shard in (0, 1) for row in range(12)]
    assert features.order(3, 1) != features.order(4, 1)


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
    assert not set(features.held) & set(features.order(0, 1))
    assert len(set(features.order(0, 1))) == 206


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


@pytest.mark.parametrize(("architecture", "tokenizer"), [("had-tiny", False), ("deberta-tiny", True)])
def test_each_fine_tuning_method_trains_the_expected_parameters(corpus, architecture, tokenizer):
    student, _ = build_student(architecture, corpus / "tokenizer" if tokenizer else None)
    shares, names = {}, {}
    for method in ("full", "lora", "lora-attention", "frozen"):
        model = build_classifier(student, ["a", "b"], FineTuning(method))
        shares[method] = trainable_share(model)
        names[method] = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert shares["full"] == 1
    assert 0 < shares["frozen"] < shares["lora-attention"] < shares["lora"] < 0.5
    assert all(name.startswith("head.") for name in names["frozen"])
    assert all("lora_" in name or name.startswith("head.") for name in names["lora"])
    assert all(parameter.requires_grad for parameter in student.parameters())


@pytest.mark.parametrize("given", [{"folds": 5, "fold": 5}, {"folds": 5, "fold": -1}, {"fold": 3}])
def test_a_fold_that_does_not_exist_is_refused(corpus, given):
    with pytest.raises(InputError, match=r"fold -?\d of \d folds; expected"):
        read_task(corpus / "task.tsv", **given)


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


@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "concatenated"])
def test_padding_does_not_change_a_prediction(corpus, pooling):
    torch.manual_seed(1)
    student, adapter = build_student("had-tiny", cls=True)
    model = build_classifier(student, ["a", "b"], FineTuning("full", pooling)).eval()
    ids = torch.from_numpy(adapter.encode("ACGTTGCAAC").ids)[None]
    alone = model(ids, torch.ones_like(ids)).logits
    padded = torch.nn.functional.pad(ids, (0, 9), value=adapter.pad)
    torch.testing.assert_close(model(padded, (padded != adapter.pad).long()).logits, alone, atol=1e-5, rtol=1e-4)


def test_fine_tuning_searches_the_learning_rate_and_writes_predictions_for_the_test_rows(corpus, tmp_path):
    student, adapter = build_student("transformer-tiny")
    save_student(tmp_path / "student", student, adapter, {})
    settings = FineTuning("full", learning_rates=(1e-6, 3e-3), epochs=6, search_epochs=2, batch=16)
    out = tmp_path / "predictions.parquet"
    fine_tune_on_table(tmp_path / "student", corpus / "task.tsv", "mine/at", "tiny", settings, 0, 0, out, "cpu")
    table = read_table(out, TASK_PREDICTIONS)
    assert table["row"].tolist() == list(range(60, 90))
    assert (table["label"] == table["predicted"]).mean() > 0.85


def test_a_killed_fine_tuning_resumes_to_the_same_predictions_and_tries_no_rate_twice(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    student, adapter = build_student("transformer-tiny")
    save_student(tmp_path / "student", student, adapter, {})
    settings = FineTuning("lora", learning_rates=(1e-3, 3e-3), epochs=3, search_epochs=1, batch=16)
    logits, calls = finetuning._logits, []

    def run(name, settings=settings, killed_at=None):
        def counted(*arguments):
            calls.append(1)
            if len(calls) == killed_at:
                raise KeyboardInterrupt
            return logits(*arguments)

        calls.clear()
        monkeypatch.setattr(finetuning, "_logits", counted)
        out = tmp_path / f"{name}.parquet"
        fine_tune_on_table(tmp_path / "student", corpus / "task.tsv", "mine/at", "tiny", settings, 0, 0, out, "cpu")
        return np.stack(read_table(out, TASK_PREDICTIONS)["probabilities"])

    expected = run("whole")
    assert len(calls) == 2 + 3 + 1
    with pytest.raises(KeyboardInterrupt):
        run("killed", killed_at=4)
    with pytest.raises(InputError, match=r"other settings or inputs \(settings.pooling: 'mean', now 'max'\)"):
        run("killed", settings=dataclasses.replace(settings, pooling="max"))
    given = (tmp_path / "student", corpus / "task.tsv", "mine/at", "tiny", settings, 0, 0, tmp_path / "killed.parquet")
    with pytest.raises(InputError, match=r"settings.split_by: 'random', now 'homology'"):
        fine_tune_on_table(*given, "cpu", split_by="homology")
    weights = tmp_path / "student" / "model.safetensors"
    ours = weights.read_bytes()
    weights.write_bytes(ours[:-1] + bytes([ours[-1] ^ 1]))
    with pytest.raises(InputError, match=r"inputs\.student"):
        run("killed")
    weights.write_bytes(ours)
    assert (run("killed") == expected).all()
    assert len(calls) == 2 + 1
    assert not list(tmp_path.glob("*.checkpoint"))


def test_folds_partition_the_training_rows_and_do_not_change_the_test_rows(corpus):
    # Every fold has a different seed, as in a run with as many seeds as folds.
    held = [read_task(corpus / "task.tsv", folds=5, fold=fold, seed=fold).rows("validation") for fold in range(5)]
    assert sorted(np.concatenate(held).tolist()) == list(range(60))
    assert read_task(corpus / "task.tsv", folds=5, fold=2).rows("test").tolist() == list(range(60, 90))
    assert len(read_task(corpus / "task.tsv").rows("validation")) == 6


def test_a_class_without_training_rows_is_refused(tmp_path):
    rows = ["A\tx\ttrain\t0", "C\ty\ttrain\t1", "G\ty\ttrain\t1", "T\tx\ttest\t"]
    (tmp_path / "task.tsv").write_text("\n".join(["sequence\tlabel\tsplit\tfold", *rows]) + "\n")
    with pytest.raises(InputError, match="all training rows of the label 'x' are held out"):
        read_task(tmp_path / "task.tsv", folds=2, fold=0)


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


def test_a_student_with_rotary_positions_is_pretrained_resumed_fine_tuned_and_loaded_again(corpus, tmp_path):
    start = Start("deberta-tiny", tokenizer=str(corpus / "tokenizer"), attention="rotary", max_tokens=48)
    plain = TrainingSettings(2, 4)
    pretrain_student(start, corpus / "windows.fna", plain, "tokens", 0.15, tmp_path / "first", device="cpu")
    again = Start(initial=str(tmp_path / "first"), max_tokens=48)
    pretrain_student(
        again, corpus / "windows.fna", TrainingSettings(0), "tokens", 0.15, tmp_path / "same", device="cpu"
    )
    before, same = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "same"))
    assert all(torch.equal(before[name], same[name]) for name in before)
    settings = FineTuning("lora", epochs=1, batch=32)
    fine_tune_on_table(
        tmp_path / "first", corpus / "task.tsv", "t", "s", settings, 0, 0, tmp_path / "p.parquet", "cpu",
        output_model=tmp_path / "classifier",
    )  # fmt: skip
    said = np.stack(read_table(tmp_path / "p.parquet", TASK_PREDICTIONS)["probabilities"])
    task = read_task(corpus / "task.tsv")
    records = [Record(str(row), task.sequences[row]) for row in task.rows("test")]
    np.testing.assert_allclose(Classifier(tmp_path / "classifier", "cpu").probabilities(records), said, atol=2e-3)
    assert "# DNA classifier" in (tmp_path / "classifier" / "README.md").read_text()


@pytest.mark.parametrize(("architecture", "method"), [("nucleotide-transformer", "lora"), ("genomeocean", "full")])
def test_a_teacher_is_fine_tuned_like_its_students(corpus, tmp_path, architecture, method):
    genomes = Genomes([sequence for _, sequence in read_fasta(corpus / "windows.fna")])
    settings = PretrainingSettings(architecture, 16, layers=1, heads=2, vocabulary=24, k=3, context=16)
    made = find_architecture(architecture)
    tokenizer = made.make_tokenizer(genomes, settings)
    torch.manual_seed(1)
    made.build(settings, tokenizer).save_pretrained(tmp_path / "teacher")
    tokenizer.save(tmp_path / "teacher")
    given = (tmp_path / "teacher", corpus / "task.tsv", "t", "teacher")
    tuning = FineTuning(method, epochs=1, batch=32)
    found = fine_tune_on_table(*given, tuning, 0, 0, tmp_path / "p.parquet", "cpu", kind="teacher")
    assert (found["trainable"] == 1) == (method == "full")
    assert len(read_table(tmp_path / "p.parquet", TASK_PREDICTIONS)) == 30
    # The classifier gives the states of the teacher for the tokens of the teacher.
    teacher = load_teacher(tmp_path / "teacher")
    body, adapter = open_student(tmp_path / "teacher")
    sequence = random_dna(np.random.default_rng(3), 20)
    (window,) = adapter.windows(sequence, 16)
    (tokens,) = teacher.tokenizer.encode([sequence])
    assert window.ids.tolist() == teacher.tokenizer.wrap(tokens.ids).tolist()
    ids = torch.from_numpy(window.ids)[None]
    torch.testing.assert_close(body(ids).last_hidden_state, teacher.hidden(ids, torch.ones_like(ids)))
    windows = adapter.windows(random_dna(np.random.default_rng(4), 90), 16)
    assert len(windows) > 1
    assert sum(int((one.stop - one.start).sum()) for one in windows) == 90
    with pytest.raises(InputError, match="whose classifier cannot be saved"):
        fine_tune_on_table(*given, tuning, 0, 0, None, "cpu", output_model=tmp_path / "out")
    with pytest.raises(InputError, match="expected the folder of a student"):
        Start(initial=str(tmp_path / "teacher")).open()


@pytest.mark.parametrize(("architecture", "method"), [("had-tiny", "full"), ("deberta-tiny", "lora")])
def test_a_classifier_trained_on_a_two_column_table_classifies_files(corpus, tmp_path, architecture, method, capsys):
    tokenizer = corpus / "tokenizer" if architecture == "deberta-tiny" else None
    student, adapter = build_student(architecture, tokenizer, max_tokens=10)
    save_student(tmp_path / "student", student, adapter, {})
    given = pd.read_csv(corpus / "task.tsv", sep="\t")
    named = given.assign(label=given["label"].map({0: "AT", 1: "any"}))[["sequence", "label"]]
    named.to_csv(tmp_path / "two.tsv", sep="\t", index=False)
    words = ["--task", tmp_path / "two.tsv", "--method", method, "--epochs", "2", "--batch", "16", "--device", "cpu"]
    words += ["--model", tmp_path / "student", "--output", tmp_path / "p.parquet", "--output-model", tmp_path / "out"]
    assert main(["student", "finetune", *map(str, words)]) == 0
    assert "has no column split: made 72 train, 9 validation, 9 test" in capsys.readouterr().err
    tested = read_table(tmp_path / "p.parquet", TASK_PREDICTIONS)
    assert tested["task"].unique().tolist() == ["two"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card
    assert "cut into the fewest windows of at most 10 tokens" in card
    # Sequences are longer than the input of the student: predictions of fine-tuning and of the command must agree.
    write_fasta(tmp_path / "new.fna", ((str(row), given["sequence"][row]) for row in tested["row"]))
    words = [tmp_path / "new.fna", "--model", tmp_path / "out", "-o", tmp_path / "classes.tsv", "--device", "cpu"]
    assert main(["--quiet", "student", "classify", *map(str, words)]) == 0
    said = pd.read_csv(tmp_path / "classes.tsv", sep="\t", dtype={"id": str})
    assert said["id"].tolist() == tested["row"].astype(str).tolist()
    columns = [f"probability of {name}" for name in ("AT", "any")]
    np.testing.assert_allclose(said[columns], np.stack(tested["probabilities"]), atol=2e-3)
    assert main(["--quiet", "student", "embed", *map(str, words[:-4]), "-o", str(tmp_path / "e.parquet")]) == 0
    words[2] = tmp_path / "student"
    assert main(["--quiet", "student", "classify", *map(str, words)]) == 2
    assert "no classifier" in capsys.readouterr().err


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
