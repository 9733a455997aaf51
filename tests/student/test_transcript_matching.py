import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from genestill.core.errors import CheckFailed, InputError
from genestill.core.objectives import TRANSCRIPT_OBJECTIVES, parse_objective
from genestill.core.pooling import PARTS
from genestill.core.table_schemas import (
    BASE_LOG_PROBABILITIES,
    TRANSCRIPT_PAIRS,
    TRANSCRIPTS,
    embeddings,
    token_features,
)
from genestill.core.tables import read_table, write_table
from genestill.core.training import checkpoints
from genestill.student.encoders.configuration import EncoderConfig
from genestill.student.encoders.embedding import Embedder, Record
from genestill.student.encoders.model import EncoderModel
from genestill.student.encoders.tokenization import encode_batch
from genestill.student.model_card import parameters_of
from genestill.student.transcripts.batch import Batch, mean_over_spans
from genestill.student.transcripts.corpus import Corpus, TeacherFiles
from genestill.student.transcripts.distillation import TranscriptDistillation, distil_transcripts, stability, train
from genestill.student.transcripts.objectives import contrastive, cosine, logits, mse, relational, relatives
from genestill.student.transcripts.settings import DistillationSettings
from genestill.student.transcripts.whitening import fit_whitening

TINY = {"backbone": "transformer", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A corpus of 40 transcripts, a teacher that embeds composition, its token features and base log-probabilities."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(0)
    sequences = [
        "".join(generator.choice(list("ACGT"), generator.integers(20, 60), p=p))
        for p in generator.dirichlet(np.ones(4), 40)
    ]
    ids = [f"t{number}" for number in range(40)]
    marks = [np.zeros(len(sequence), np.int8) for sequence in sequences]
    table = pd.DataFrame({"id": ids, "gene": "", "symbol": "", "chromosome": "", "sequence": sequences, "cds": marks})
    table["splice"], table["length"] = marks, [len(sequence) for sequence in sequences]
    write_table(folder / "transcripts.parquet", table, TRANSCRIPTS)
    shares = np.array([[sequence.count(base) / len(sequence) for base in "ACGT"] for sequence in sequences])
    told = pd.DataFrame({"id": ids, "embedding": list((shares @ generator.normal(size=(4, 6))).astype(np.float16))})
    told["tokens"], told["truncated"] = 1, False
    write_table(folder / "e0.parquet", told.iloc[20:], embeddings(6), {"teacher": "composition", "layer": "-1"})
    write_table(folder / "e1.parquet", told.iloc[:20], embeddings(6), {"teacher": "composition", "layer": "-1"})
    spans = [np.arange(0, len(sequence) - 3, 4) for sequence in sequences]
    tokens = pd.DataFrame({"id": ids, "start": [span.astype(np.int32) for span in spans]})
    tokens["stop"] = [(span + 4).astype(np.int32) for span in spans]
    tokens["features"] = [generator.normal(size=5 * len(span)).astype(np.float16) for span in spans]
    write_table(folder / "tokens.parquet", tokens, token_features(5), {"size": "5"})
    logs = [np.log(np.tile(share * 0.9 + 0.025, (len(text), 1))) for share, text in zip(shares, sequences, strict=True)]
    probabilities = pd.DataFrame({"id": ids, "log_probabilities": [log.ravel().astype(np.float16) for log in logs]})
    write_table(folder / "logs.parquet", probabilities, BASE_LOG_PROBABILITIES)
    pairs = pd.DataFrame({"id": ids, "relative": [f"t{number ^ 1}" for number in range(40)], "by": "gene"})
    write_table(folder / "pairs.parquet", pairs, TRANSCRIPT_PAIRS)
    return folder


def _teacher(folder):
    return TeacherFiles(
        [str(folder / "e0.parquet"), str(folder / "e1.parquet")],
        [str(folder / "tokens.parquet")],
        [str(folder / "logs.parquet")],
    )


def _match(folder, objective, **more):
    settings = DistillationSettings(objective=objective, **{"steps": 6, "batch_bases": 512, **more})
    torch.manual_seed(settings.seed)
    corpus = Corpus(
        folder / "transcripts.parquet",
        _teacher(folder),
        parse_objective(objective, TRANSCRIPT_OBJECTIVES),
        False,
        pairs=folder / "pairs.parquet",
    )
    return TranscriptDistillation(EncoderConfig(**TINY), corpus, settings, torch.device("cpu")), settings


def test_whitened_embeddings_are_uncorrelated_with_unit_variance():
    generator = np.random.default_rng(1)
    values = generator.normal(size=(4000, 5)) @ generator.normal(size=(5, 5)) + 7
    whitening = fit_whitening(values, kept=1.0, ridge=0.0)
    white = whitening(torch.from_numpy(values)).numpy()
    assert np.allclose(np.cov(white, rowvar=False), np.eye(white.shape[1]), atol=2e-3)
    with pytest.raises(InputError, match="are identical"):
        fit_whitening(np.ones((10, 3)))
    with pytest.raises(InputError, match="NaN"):
        fit_whitening(np.full((10, 3), np.nan))


def _batch(student, teacher, **more):
    return SimpleNamespace(pooled=student, projected=student, embeddings=teacher, **more)


def test_losses_are_zero_at_the_teacher_and_increase_with_distance():
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(8, 5, generator=generator)
    teacher -= teacher.mean(dim=0)
    other = torch.randn(8, 5, generator=generator)
    for term in (cosine, mse, relational):
        assert term.loss(_batch(teacher, teacher)) == pytest.approx(0, abs=1e-6)
        assert term.loss(_batch(other, teacher)) > 0.01
    assert relational.loss(_batch(3 * teacher, teacher)) == pytest.approx(0, abs=1e-6)
    assert contrastive.loss(_batch(teacher, teacher)) < contrastive.loss(_batch(other, teacher))


def test_contrastive_loss_equals_the_sum_over_the_batch(monkeypatch):
    ours, theirs = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    monkeypatch.setattr(contrastive, "TEMPERATURE", 0.5)
    similarity = np.array([[1.0, 0.6], [0.0, 0.8]]) / 0.5
    forward = -np.mean(np.diag(similarity) - np.log(np.exp(similarity).sum(axis=1)))
    backward = -np.mean(np.diag(similarity) - np.log(np.exp(similarity).sum(axis=0)))
    assert contrastive.loss(_batch(ours, theirs)).item() == pytest.approx((forward + backward) / 2, abs=1e-6)


def test_relatives_in_a_batch_are_not_used_as_negatives():
    view = functional.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), dim=-1)
    apart = relatives.loss(SimpleNamespace(views=(view, view), families=torch.tensor([0, 1, 2])))
    related = relatives.loss(SimpleNamespace(views=(view, view), families=torch.tensor([0, 0, 2])))
    similarity = (view @ view.T / relatives.TEMPERATURE).numpy().astype(float)
    expected = np.mean(np.log(np.exp(similarity).sum(axis=1)) - np.diag(similarity))
    assert apart.item() == pytest.approx(expected, rel=1e-4)
    assert related < 0.01 < apart


def test_a_transcript_is_paired_with_a_relative_with_a_shorter_3_utr(files, tmp_path):
    table = read_table(files / "transcripts.parquet", TRANSCRIPTS)
    codons = [[3, 6] if row % 2 else [] for row in range(40)]
    table["cds"] = [np.isin(np.arange(n), at).astype(np.int8) for n, at in zip(table["length"], codons, strict=True)]
    write_table(tmp_path / "transcripts.parquet", table, TRANSCRIPTS)
    pairs = pd.DataFrame({"id": ["t0", "t5", "t5", "t7"], "relative": ["t5", "t0", "t7", "t5"], "by": "gene"})
    write_table(tmp_path / "pairs.parquet", pairs, TRANSCRIPT_PAIRS)
    arguments = (tmp_path / "transcripts.parquet", TeacherFiles(), {"relatives": 1.0}, False)
    corpus = Corpus(*arguments, pairs=tmp_path / "pairs.parquet")
    rows = np.array([0, 7, 9])
    seen = set()
    for step in range(40):
        read = corpus.prepare(rows, False, np.random.default_rng(step)).to(torch.device("cpu"))
        lengths = read["other_mask"].sum(dim=1).tolist()
        texts = [
            "".join("ACGT"[code] for code in line[:count])
            for line, count in zip(read["other_inputs"], lengths, strict=True)
        ]
        assert table["sequence"][5].startswith(texts[0])
        assert table["sequence"][5].startswith(texts[1])
        assert table["sequence"][9].startswith(texts[2])
        assert all(count >= 9 for count in lengths)
        seen.update(lengths)
    assert len(seen) > 10
    assert len({corpus.families[row] for row in (0, 5, 7)}) == 1
    assert len({corpus.families[row] for row in (0, 8, 9)}) == 3
    with pytest.raises(InputError, match="give --pairs"):
        Corpus(*arguments)
    write_table(tmp_path / "other.parquet", pairs.assign(relative="x"), TRANSCRIPT_PAIRS)
    with pytest.raises(InputError, match="'x' is not a transcript of the distillation set"):
        Corpus(*arguments, pairs=tmp_path / "other.parquet")


def test_logits_loss_is_the_divergence_at_a_temperature():
    student, teacher = torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.log(torch.tensor([[0.7, 0.1, 0.1, 0.1]]))
    batch = SimpleNamespace(
        settings=DistillationSettings(temperature=2.0),
        base_log_probabilities=(None, None, teacher),
        base_logits=lambda row, column: student,
    )
    softened = torch.softmax(teacher / 2, -1)
    expected = 4 * (softened * (softened.log() - torch.log_softmax(student / 2, -1))).sum()
    assert logits.loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_means_over_spans_equal_slicing():
    hidden = torch.arange(24.0).reshape(2, 4, 3)
    means = mean_over_spans(hidden, *(torch.tensor(part) for part in ([0, 1], [1, 0], [3, 4])))
    assert torch.allclose(means, torch.stack([hidden[0, 1:3].mean(0), hidden[1].mean(0)]))


@pytest.mark.parametrize(
    "objective", ["cosine", "mse+relational", "contrastive", "token", "logits", "masked", "mse+masked", "relatives"]
)
def test_every_objective_decreases_during_training(files, tmp_path, objective):
    match, settings = _match(files, objective, steps=60, learning_rate=0.01, batch_bases=2400)
    record = train(match, settings, tmp_path / "checkpoint")
    assert record["loss"].iloc[-6:].mean() < record["loss"].iloc[:6].mean()
    assert (record[["gradient_norm", "residual_norm"]] > 0).all(axis=None)


class AllHidden:
    """A random generator that masks every base."""

    def random(self, shape):
        return np.zeros(shape)


def test_outputs_of_a_teacher_of_coding_sequences_are_aligned_with_the_bases_it_read(tmp_path, monkeypatch):
    """Two transcripts, read by the teacher from base 4 and from the start; its output at its base p is -p."""
    sequences, starts = ["ACGTATGGCCTAAGG", "ACGTACGT"], [4, 0]
    marks = [np.zeros(len(sequence), np.int8) for sequence in sequences]
    marks[0][[4, 7, 10]] = 1
    known = [9, 8]
    table = pd.DataFrame(
        {"id": ["a", "b"], "gene": "", "symbol": "", "chromosome": "", "sequence": sequences, "cds": marks}
    )
    table["length"] = [15, 8]
    table["splice"] = [np.zeros(len(sequence), np.int8) for sequence in sequences]
    write_table(tmp_path / "transcripts.parquet", table, TRANSCRIPTS)
    said = [-np.repeat(np.arange(length), 4).astype(np.float16) for length in known]
    told = pd.DataFrame({"id": ["a", "b"], "log_probabilities": said})
    write_table(tmp_path / "logs.parquet", told, BASE_LOG_PROBABILITIES)
    spans = [np.arange(0, length - 2, 3, dtype=np.int32) for length in known]
    tokens = pd.DataFrame({"id": ["a", "b"], "start": spans, "stop": [span + 3 for span in spans]})
    tokens["features"] = [np.ones(5 * len(span), np.float16) * np.repeat(np.arange(len(span)), 5) for span in spans]
    write_table(tmp_path / "tokens.parquet", tokens, token_features(5), {"size": "5"})
    teacher = TeacherFiles((), [tmp_path / "tokens.parquet"], [tmp_path / "logs.parquet"], "cds")
    corpus = Corpus(tmp_path / "transcripts.parquet", teacher, {"logits": 1.0, "token": 1.0}, False)
    match = TranscriptDistillation(
        EncoderConfig(**TINY), corpus, DistillationSettings("logits+token"), torch.device("cpu")
    )
    read = corpus.prepare(np.array([0, 1]), True, AllHidden()).to(torch.device("cpu"))
    states = torch.arange(2 * 15.0).reshape(2, 15, 1).repeat(1, 1, 16)
    monkeypatch.setattr(match.heads, "bases", torch.nn.Identity())
    batch = Batch(read, states, match.model, match.heads, match.settings)
    row, column, theirs = batch.base_log_probabilities
    assert theirs[:, 0].tolist() == [-float(p) for length in known for p in range(length)]
    ours = batch.base_logits(row, column)
    assert ours[:, 0].tolist() == [15.0 * row + starts[row] + p for row in (0, 1) for p in range(known[row])]
    assert len(batch.tokens[0]) == len(batch.tokens[1]) == 5
    row, start, stop = (read[f"token_{part}"].tolist() for part in ("row", "start", "stop"))
    assert (row, start, stop) == ([0, 0, 0, 1, 1], [4, 7, 10, 0, 3], [7, 10, 13, 3, 6])


def test_a_resumed_run_takes_the_same_steps_as_an_uninterrupted_run(files, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole, settings = _match(files, "mse+masked")
    record = train(whole, settings, tmp_path / "whole")
    cut, _ = _match(files, "mse+masked")
    original, calls = TranscriptDistillation.loss, []

    def dies(self, read):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(self, read)

    monkeypatch.setattr(TranscriptDistillation, "loss", dies)
    with pytest.raises(KeyboardInterrupt):
        train(cut, settings, tmp_path / "cut")
    monkeypatch.setattr(TranscriptDistillation, "loss", original)
    torch.manual_seed(99)
    resumed, _ = _match(files, "mse+masked")
    again = train(resumed, settings, tmp_path / "cut")
    assert again["loss"].tolist() == record["loss"].tolist()
    for one, two in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)
    other, changed = _match(files, "mse+masked", learning_rate=0.1)
    with pytest.raises(InputError, match="other settings"):
        train(other, changed, tmp_path / "cut")


@pytest.mark.parametrize("objective", ["masked", "logits", "token"])
def test_a_checkpoint_of_other_transcripts_or_another_teacher_is_not_resumed(files, tmp_path, monkeypatch, objective):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    one, settings = _match(files, objective, steps=4)
    train(one, settings, tmp_path / "checkpoint")
    table = read_table(files / "transcripts.parquet", TRANSCRIPTS)
    shutil.copytree(files, tmp_path / "other")
    if objective == "masked":
        table.loc[0, "sequence"] = table.loc[0, "sequence"][::-1]
        write_table(tmp_path / "other" / "transcripts.parquet", table, TRANSCRIPTS)
    elif objective == "logits":
        logs = read_table(files / "logs.parquet", BASE_LOG_PROBABILITIES)
        logs["log_probabilities"] = logs["log_probabilities"].map(lambda values: values - np.float16(1))
        write_table(tmp_path / "other" / "logs.parquet", logs, BASE_LOG_PROBABILITIES)
    else:
        tokens = read_table(files / "tokens.parquet", token_features(5))
        tokens["features"] = tokens["features"].map(lambda values: values + np.float16(1))
        write_table(tmp_path / "other" / "tokens.parquet", tokens, token_features(5), {"size": "5"})
    other, settings = _match(tmp_path / "other", objective, steps=4)
    with pytest.raises(InputError, match="other settings or inputs"):
        train(other, settings, tmp_path / "checkpoint")


@pytest.mark.faults
def test_a_diverging_run_fails_unless_divergence_is_allowed(files, tmp_path, monkeypatch):
    original = TranscriptDistillation.loss

    def breaks(self, read):
        loss, terms = original(self, read)
        breaks.step += 1
        return (loss * float("nan") if breaks.step % 4 == 0 else loss), terms

    breaks.step = 0
    monkeypatch.setattr(TranscriptDistillation, "loss", breaks)
    arguments = (EncoderConfig(**TINY), files / "transcripts.parquet", _teacher(files))
    settings = DistillationSettings(steps=6, batch_bases=512)
    with pytest.raises(CheckFailed, match=r"training by mse: the loss is nan .* at step 4 "):
        distil_transcripts(*arguments, settings, tmp_path / "a", torch.device("cpu"))
    assert not (tmp_path / "a" / "model").exists()
    breaks.step = 0
    distil_transcripts(*arguments, settings, tmp_path / "b", torch.device("cpu"), keep_diverged=True)
    assert json.loads((tmp_path / "b" / "training.json").read_text())["diverged"] == 4
    weights = load_file(tmp_path / "b" / "model" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_the_saved_student_is_only_the_encoder_and_can_be_loaded_again(files, tmp_path):
    settings = DistillationSettings(steps=2, batch_bases=512)
    distil_transcripts(
        EncoderConfig(**TINY), files / "transcripts.parquet", _teacher(files), settings, tmp_path, torch.device("cpu")
    )
    assert not any("projection" in name for name in load_file(tmp_path / "model" / "model.safetensors"))
    model = EncoderModel.from_pretrained(tmp_path / "model")
    assert model.config.teacher["teacher"] == "composition"
    assert sum(value.numel() for value in model.parameters()) == parameters_of(tmp_path / "model")
    assert json.loads((tmp_path / "training.json").read_text())["objective"] == settings.objective
    assert len(pd.read_csv(tmp_path / "training.tsv", sep="\t")) == 2


def test_a_student_pools_by_region_in_training_and_inference(files, tmp_path):
    settings = DistillationSettings(steps=2, batch_bases=512)
    config = EncoderConfig(**TINY, pooling="regions", lengths=True)
    arguments = (config, files / "transcripts.parquet", _teacher(files), settings, tmp_path, torch.device("cpu"))
    distil_transcripts(*arguments)
    table = read_table(files / "transcripts.parquet", TRANSCRIPTS)
    sequence = table["sequence"].iloc[0]
    cds = np.zeros((len(sequence), 2), np.float32)
    cds[[6, 9], 0] = 1
    known, unknown = Embedder(tmp_path / "model", "cpu").embed([Record("a", sequence, cds), Record("b", sequence)])
    assert known.shape == (3 * 16 + 3,)
    assert np.expm1(known[-3:]).round().tolist() == [6, 6, len(sequence) - 12]
    assert np.expm1(unknown[-3:]).round().tolist() == [0, 0, len(sequence)]
    assert (unknown[:32] == 0).all()
    shares = np.array([6, 6, len(sequence) - 12]) / len(sequence)
    np.testing.assert_allclose(shares @ known[:-3].reshape(3, 16), unknown[32:-3], rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match="region of every base is not given"):
        EncoderModel.from_pretrained(tmp_path / "model").embed(torch.zeros((1, 5), dtype=torch.int64))


@pytest.mark.parametrize("pooling", ["cls", "concatenated"])
def test_a_saved_student_pools_the_states_that_were_trained(files, tmp_path, pooling):
    """Training reads no [CLS]: the state of the first base is pooled, also by the saved folder."""
    settings = DistillationSettings(steps=1, batch_bases=512)
    config = EncoderConfig(**TINY, pooling=pooling)
    arguments = (config, files / "transcripts.parquet", _teacher(files), settings, tmp_path, torch.device("cpu"))
    distil_transcripts(*arguments)
    sequence = read_table(files / "transcripts.parquet", TRANSCRIPTS)["sequence"].iloc[0]
    (embedded,) = Embedder(tmp_path / "model", "cpu").embed([Record("a", sequence)])
    model = EncoderModel.from_pretrained(tmp_path / "model").eval()
    ids, mask = (torch.from_numpy(values) for values in encode_batch([sequence]))
    with torch.no_grad():
        states = model(ids, mask).last_hidden_state
    place = slice(0, 16) if pooling == "cls" else slice(16 * PARTS.index("cls"), 16 * PARTS.index("cls") + 16)
    np.testing.assert_allclose(embedded[place], states[0, 0].numpy(), rtol=1e-3, atol=1e-3)


def test_missing_outputs_of_the_teacher_are_refused(files):
    with pytest.raises(InputError, match="give --embeddings"):
        Corpus(files / "transcripts.parquet", TeacherFiles(), {"mse": 1.0}, False)
    half = TeacherFiles([str(files / "e0.parquet")])
    with pytest.raises(InputError, match="no embedding for 20 of 40 sequences"):
        Corpus(files / "transcripts.parquet", half, {"mse": 1.0}, False)


def test_half_precision_is_also_supported_on_a_cpu(files):
    losses = {}
    for dtype in ("auto", "float32", "bfloat16"):
        match, _ = _match(files, "mse+token", dtype=dtype)
        (batch,) = match.draw(0)
        losses[dtype], _ = match.loss(batch.to(torch.device("cpu")))
        losses[dtype].backward()
    assert losses["float32"] == losses["auto"]
    assert losses["bfloat16"] != losses["auto"]
    assert losses["bfloat16"].item() == pytest.approx(losses["auto"].item(), rel=0.03)


def test_stability_counts_spikes_and_divergence():
    steps = 400
    generator = np.random.default_rng(0)
    loss = 1 + 0.01 * generator.normal(size=steps)
    calm = pd.DataFrame({"loss": loss, "gradient_norm": 1.0})
    assert stability(calm, None)["loss_spikes"] == 0
    loss = loss.copy()
    loss[[200, 300]] = 5
    assert stability(pd.DataFrame({"loss": loss, "gradient_norm": 1.0}), 7)["loss_spikes"] == 2
    assert stability(pd.DataFrame({"loss": [np.nan], "gradient_norm": [np.nan]}), 0)["diverged"] == 0
