"""Fine-tuning of DNA students and teachers, and their classifiers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta, write_fasta
from genestill.core.table_schemas import TASK_PREDICTIONS
from genestill.core.tables import read_table
from genestill.core.training import checkpoints
from genestill.student.dna import finetuning
from genestill.student.dna.finetuning import build_classifier, fine_tune, trainable_share
from genestill.student.dna.pipeline import fine_tune_on_table, pretrain_student
from genestill.student.dna.settings import FineTuning, Start, TrainingSettings
from genestill.student.dna.students import build_student, open_student, save_student
from genestill.student.dna.tasks import read_task
from genestill.student.encoders.classification import Classifier
from genestill.student.encoders.embedding import Record
from genestill.teacher.architectures.architecture import find_architecture
from genestill.teacher.genomes import Genomes
from genestill.teacher.loading import load_teacher
from genestill.teacher.settings import PretrainingSettings
from random_sequences import random_dna


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


def test_with_few_validation_rows_the_last_epoch_is_kept(corpus, monkeypatch):
    task = read_task(corpus / "task.tsv")
    student, adapter = build_student("transformer-tiny")
    settings = FineTuning("full", learning_rates=(3e-3,), epochs=3, batch=16)
    scores = iter([0.9, 0.5, 0.5, 0.5])
    monkeypatch.setattr(finetuning, "measure", lambda *_: next(scores))
    assert fine_tune(student, adapter, task, settings, torch.device("cpu"))["epoch"] == 3
    scores = iter([0.9, 0.5, 0.5, 0.5])
    monkeypatch.setattr(finetuning, "FEWEST_VALIDATION_ROWS", 1)
    assert fine_tune(student, adapter, task, settings, torch.device("cpu"))["epoch"] == 1


def test_a_killed_fine_tuning_resumes_to_the_same_predictions_and_tries_no_rate_twice(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(finetuning, "FEWEST_VALIDATION_ROWS", 1)
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
    write_fasta(tmp_path / "new.fna", [("unknown", "N" * 30), ("known", "ACGT" * 5)])
    assert main(["student", "classify", *map(str, words)]) == 0
    assert "1 without a known base (unknown); their classes are meaningless" in capsys.readouterr().err
    words[2] = tmp_path / "student"
    assert main(["--quiet", "student", "classify", *map(str, words)]) == 2
    assert "no classifier" in capsys.readouterr().err
