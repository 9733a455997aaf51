"""A teacher is admitted if its frozen features explain what a baseline does not, on training rows alone."""

import numpy as np
import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.files import read_json
from genestill.core.lineage import RANKS
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import HOMOLOGY_GROUPS, LABELS, PROBE_TASK, embeddings
from genestill.core.tables import write_table
from genestill.evaluation.admission import Question, answer, squared_errors

ROWS = 120


def question(strength: float, seed: int = 1) -> Question:
    """A target made of half the baseline's signal plus ``strength`` times the teacher's."""
    generator = np.random.default_rng(seed)
    baseline, teacher = generator.normal(size=(2, ROWS, 6))
    target = baseline[:, 0] + strength * teacher[:, 0] + 0.3 * generator.normal(size=ROWS)
    noise = generator.normal(size=(ROWS, 3))
    return Question("t", {"noise": noise, "real": baseline}, teacher, target[:, None], np.arange(ROWS))


def test_an_informative_teacher_has_a_gain_and_an_uninformative_one_has_none():
    row, gains = answer(question(1.0), 1)
    assert row["baseline"] == "real"
    assert row["explained_by_baseline"] < 0.6 < 0.8 < row["explained_with_teacher"]
    assert 0 < row["low"] < row["gain"] < row["high"]
    assert len(gains) == 1000
    row, _ = answer(question(0.0), 1)
    assert abs(row["gain"]) < 0.03
    assert row["low"] < 0


def test_the_result_depends_only_on_the_seed():
    assert answer(question(1.0), 3)[0] == answer(question(1.0), 3)[0]


def test_the_penalty_is_chosen_without_the_held_out_rows():
    asked = question(1.0)
    fold = np.arange(ROWS) % 5
    errors = squared_errors([asked.features], asked.targets, fold)
    changed = asked.targets.copy()
    changed[fold == 0] += 5
    other = squared_errors([asked.features], changed, fold)
    moved = changed[fold == 0] - asked.targets[fold == 0]
    # The predictions for part 0 are made from the other parts; only the targets of those have changed.
    predicted = asked.targets[fold == 0, 0] - np.sqrt(errors[fold == 0])
    either = asked.targets[fold == 0, 0] + np.sqrt(errors[fold == 0])
    expected = [(changed[fold == 0, 0] - said) ** 2 for said in (predicted, either)]
    assert (np.isclose(other[fold == 0], expected[0]) | np.isclose(other[fold == 0], expected[1])).all()
    assert (moved == 5).all()


def test_blocks_of_a_baseline_have_equal_weight_for_any_width():
    generator = np.random.default_rng(0)
    wide, narrow = generator.normal(size=(ROWS, 400)), generator.normal(size=(ROWS, 2))
    targets, fold = narrow[:, :1], np.arange(ROWS) % 5
    together = squared_errors([np.concatenate([wide, narrow], axis=1)], targets, fold).sum()
    assert squared_errors([[wide, narrow]], targets, fold).sum() < together / 2


def task_table(folder, generator):
    """Sequences whose label depends on their share of A, which the features encode better than k-mers do."""
    labels = generator.integers(0, 2, 2 * ROWS)
    sequences = ["".join(generator.choice(list("ACGT"), 40)) for _ in labels]
    split = ["train"] * ROWS + ["test"] * ROWS
    pd.DataFrame({"sequence": sequences, "label": labels, "split": split}).to_csv(
        folder / "task.tsv", sep="\t", index=False
    )
    return labels


def shard(path, ids, values):
    frame = pd.DataFrame({"id": ids, "embedding": list(values.astype(np.float16)), "tokens": 1, "truncated": False})
    write_table(path, frame, embeddings(values.shape[1]), {"teacher": "mine"})


def run(folder, *more) -> int:
    words = ["evaluation", "admission", "--kmers", "1", "2", "--kmers", "1", "3", *map(str, more)]
    return main([*words, "--output-table", f"{folder}/admission.tsv", "--output", f"{folder}/admission.json"])


@pytest.mark.parametrize("knows", [True, False])
def test_tasks_from_tables_are_assessed_on_training_rows_and_optionally_stop_the_run(tmp_path, knows):
    generator = np.random.default_rng(1)
    labels = task_table(tmp_path, generator)
    values = generator.normal(size=(len(labels), 4))
    # The features memorise the test rows: this must not help.
    values[ROWS:, 0] = 20 * labels[ROWS:]
    if knows:
        values[:ROWS, 0] = labels[:ROWS]
    shard(tmp_path / "0.parquet", [str(row) for row in range(len(labels))], values)
    asked = ["--sequence-task", "mine/one", tmp_path / "task.tsv", tmp_path / "0.parquet"]
    assert run(tmp_path, *asked, "--admission", "stop") == (0 if knows else 3)
    assert (tmp_path / "admission.json").exists() == knows
    verdict = read_json(tmp_path / ("admission.json" if knows else "admission.failed.json"))
    assert verdict["admitted"] == knows
    assert verdict["teacher"] == "mine"
    table = pd.read_csv(tmp_path / "admission.tsv", sep="\t").set_index("task")
    assert table.loc["mine/one", "rows"] == ROWS
    assert (table.loc["mean", "low"] > 0) == knows
    assert run(tmp_path, *asked, "--admission", "warn") == 0
    assert (tmp_path / "admission.json").exists()


def test_probe_tasks_are_assessed_on_rows_outside_all_test_splits_and_labels_at_genus_and_species(tmp_path, caplog):
    generator = np.random.default_rng(1)
    ids = [f"t{number}" for number in range(2 * ROWS)]
    sequences = ["".join(generator.choice(list("ACGT"), 40)) for _ in ids]
    targets = generator.normal(size=len(ids))
    track = [np.zeros(40, np.int8)] * len(ids)
    table = pd.DataFrame({"id": ids, "transcript": ids, "sequence": sequences})
    table[["gene", "symbol", "chromosome"]] = ""
    table["cds"], table["splice"], table["targets"] = track, track, [[value] for value in targets]
    metadata = {"task": "half-life", "kind": "regression", "split": "homology", "targets": "x"}
    write_table(tmp_path / "task.parquet", table, PROBE_TASK, metadata)
    groups = pd.DataFrame({"id": ids, "group": np.arange(len(ids)) // 2})
    write_table(tmp_path / "groups.parquet", groups, HOMOLOGY_GROUPS)
    shard(tmp_path / "0.parquet", ids, np.column_stack([targets, generator.normal(size=(len(ids), 3))]))
    asked = ["--tasks", tmp_path / "task.parquet", "--groups", tmp_path / "groups.parquet"]
    assert run(tmp_path, *asked, "--embeddings", tmp_path / "0.parquet", "--split-seeds", "1", "2") == 0
    rows = pd.read_csv(tmp_path / "admission.tsv", sep="\t")["rows"].iloc[0]
    assert 0.4 * len(ids) < rows < 0.6 * len(ids)  # .7 of .7
    assert read_json(tmp_path / "admission.json")["admitted"]
    names = pd.DataFrame({rank: [f"{rank} {number % 3}" for number in range(len(ids))] for rank in RANKS})
    labels = names.assign(id=ids, taxid=1, support=1.0)
    labels["species"] = None
    write_table(tmp_path / "labels.parquet", labels, LABELS)
    write_fasta(tmp_path / "contigs.fna", zip(ids, sequences, strict=True))
    asked = ["--labels", tmp_path / "labels.parquet", "--contigs", tmp_path / "contigs.fna"]
    assert run(tmp_path, *asked, "--embeddings", tmp_path / "0.parquet") == 0
    verdict = read_json(tmp_path / "admission.json")
    assert verdict["admitted"] is False
    assert verdict["left_out"] == [
        "species: 0 training rows; expected at least 50, of two classes, to measure the improvement by the teacher"
    ]


def test_too_few_rows_give_an_undecided_result(tmp_path):
    generator = np.random.default_rng(1)
    pd.DataFrame({"sequence": ["ACGT"] * 8, "label": [0, 1] * 4, "split": ["train"] * 6 + ["test"] * 2}).to_csv(
        tmp_path / "task.tsv", sep="\t", index=False
    )
    shard(tmp_path / "0.parquet", [str(row) for row in range(8)], generator.normal(size=(8, 2)))
    asked = ["--sequence-task", "mine/one", tmp_path / "task.tsv", tmp_path / "0.parquet"]
    assert run(tmp_path, *asked, "--admission", "stop") == 0
    assert read_json(tmp_path / "admission.json")["admitted"] is None
