"""Imported predictions and embeddings of sequence tasks and transcripts: checked, and written as our own tables."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta
from genestill.core.shards import load_embeddings
from genestill.core.table_schemas import INDEX, TASK_PREDICTIONS
from genestill.core.tables import read_table, write_table
from genestill.evaluation.probes.peers import import_embeddings
from genestill.evaluation.sequence_tasks.peers import import_sequence_predictions
from genestill.evaluation.sequence_tasks.pipeline import write_rows
from genestill.evaluation.sequence_tasks.scores import read_run, score_runs

# Rows 2, 4 and 5 are test rows.
LABELS, SPLITS = ["0", "1", "0", "2", "1", "2"], ["train", "train", "test", "train", "test", "test"]


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "task.tsv"
    pd.DataFrame({"sequence": ["ACGTACGT"] * 6, "label": LABELS, "split": SPLITS}).to_csv(path, sep="\t", index=False)
    return path


def imported(task, text: str) -> pd.DataFrame:
    given, output = task.with_name("given.tsv"), task.with_name("given.parquet")
    given.write_text(text)
    import_sequence_predictions(given, task, "mine/one", "other", output)
    return read_table(output, TASK_PREDICTIONS)


def test_predicted_classes_are_paired_with_the_true_ones_in_the_order_of_the_task(task):
    # In any order, with a class as pandas writes numbers, and with training rows.
    found = imported(task, "id\ttarget\n5\t1\n0\tanything\n2\t0.0\n4\t1\n")
    assert found["row"].tolist() == [2, 4, 5]
    assert found["label"].tolist() == ["0", "1", "2"]
    assert found["predicted"].tolist() == ["0", "1", "1"]
    assert found["probabilities"].isna().all()
    assert set(found["kind"]) == {"peer"}


def test_the_highest_score_is_the_prediction_for_any_order_of_columns(task):
    found = imported(task, "2\tid\t0\t1\n-3\t2\t9\t1\n0\t4\t1e-3\t-1\n5\t5\t4\t4\n")
    assert found["predicted"].tolist() == ["0", "0", "2"]
    assert [list(row) for row in found["probabilities"]] == [[9, 1, -3], [np.float32(1e-3), -1, 0], [4, 4, 5]]


def test_imported_predictions_are_scored_as_a_peer(task):
    imported(task, "id\ttarget\n2\t0\n4\t1\n5\t1\n")
    scores = score_runs([read_run(task.with_name("given.parquet"))], "d", {"mine/one": "accuracy"}, None, 1)
    whole = scores[(scores["metric"] == "accuracy") & scores["seed"].isna()]
    assert whole["value"].tolist() == [pytest.approx(2 / 3)]
    assert set(scores["kind"]) == {"peer"}


def test_ids_match_those_of_the_exported_sequences(task):
    write_rows(task, task.with_name("rows.fna.gz"))
    ids = [name for name, _ in read_fasta(task.with_name("rows.fna.gz"))]
    assert len(imported(task, "id\ttarget\n" + "".join(f"{name}\t0\n" for name in ids))) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id\ttarget\n2\t0\n4\t1\n", r"given.tsv: no prediction for 1 of 3 test rows .*id '5'"),
        ("id\ttarget\n2\t0\n4\t1\n5\t2\n2\t0\n", r"line 5 repeats the id '2' of line 2"),
        ("id\ttarget\n2\t0\n4\t1\n5\t2\n6\t0\n", r"line 5 has the id '6', which is not a row of .*0 to 5"),
        ("id\ttarget\n2\t0\n4\t3\n5\t2\n", r"line 3 has the target '3'; expected one of 0, 1, 2"),
        ("id\t0\t1\t2\n2\t0\t1\tnan\n4\t1\t0\t0\n5\t0\t0\t1\n", r"line 2 has 'nan' in the column '2'"),
        ("id\t0\t1\t2\n2\t0\t1\t0\n4\tinf\t0\t0\n5\t0\t0\t1\n", r"line 3 has 'inf' in the column '0'"),
        ("id\t0\t1\n2\t0\t1\n4\t1\t0\n5\t0\t0\n", r"columns id, 0, 1; expected id and target"),
        ("id\t0\t1\t2\t3\n2\t0\t1\t0\t0\n4\t0\t0\t0\t0\n5\t0\t0\t1\t0\n", r"column '3' is not a class"),
        ("row\ttarget\n2\t0\n", r"no column 'id'"),
    ],
)
def test_predictions_that_do_not_match_their_task_are_refused_with_the_line_number(task, text, words):
    with pytest.raises(InputError, match=words):
        imported(task, text)


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "index.parquet"
    columns = {"id": ["t1", "t2", "t3"], "length": 9, "gc": 0.5, "sample": "", "checksum": ""}
    write_table(path, pd.DataFrame({field.name: columns[field.name] for field in INDEX}), INDEX)
    return path


VALUES = {"t1": [1.5, -2], "t2": [0.25, 3], "t3": [0, 1]}


def write_form(path, form: str, rows: dict):
    if form == "tsv":
        lines = ["id\tx\ty", *("\t".join([name, *map(str, values)]) for name, values in rows.items())]
        path.write_text("\n".join(lines) + "\n")
    elif form == "npz":
        with open(path, "wb") as handle:
            np.savez(handle, id=np.array(list(rows)), embedding=np.array(list(rows.values()), dtype=np.float32))
    else:
        table = pa.table({"id": list(rows), "embedding": [list(map(float, values)) for values in rows.values()]})
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("form", ["tsv", "npz", "parquet"])
def test_embeddings_of_every_format_become_a_shard_in_the_order_of_the_transcripts(index, tmp_path, form):
    rows = {"other": [7, 7]} | dict(reversed(VALUES.items()))
    given = write_form(tmp_path / "given", form, rows)
    import_embeddings(given, index, tmp_path / "shard.parquet")
    assert load_embeddings([tmp_path / "shard.parquet"], list(VALUES)).tolist() == list(VALUES.values())


@pytest.mark.parametrize("form", ["tsv", "npz", "parquet"])
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"t2": None}, r"no embedding for 1 of 3 transcripts \(the first: 't2'\)"),
        ({"t2": [0.5, float("nan")]}, r"(line 3 has 'nan'|row 2, id 't2': a value is not finite)"),
        ({"t2": [0.5, 1e6]}, r"(line 3|row 2), id 't2': a value is above 65504"),
    ],
)
def test_embeddings_that_do_not_match_are_refused_with_their_location(index, tmp_path, form, changed, words):
    rows = {name: values for name, values in (VALUES | changed).items() if values is not None}
    with pytest.raises(InputError, match=words):
        import_embeddings(write_form(tmp_path / "given", form, rows), index, tmp_path / "shard.parquet")
    assert not (tmp_path / "shard.parquet").exists()


def test_a_duplicate_embedding_or_one_of_a_different_size_is_refused(index, tmp_path):
    given = tmp_path / "given"
    given.write_text("id\tx\nt1\t1\nt2\t1\nt3\t1\nt2\t1\n")
    with pytest.raises(InputError, match=r"line 5 repeats the id 't2'"):
        import_embeddings(given, index, tmp_path / "shard.parquet")
    pq.write_table(pa.table({"id": ["t1", "t2", "t3"], "embedding": [[1.0, 2.0], [1.0], [1.0, 2.0]]}), given)
    with pytest.raises(InputError, match=r"row 2, id 't2' has 1 numbers; expected as many as the first row has, 2"):
        import_embeddings(given, index, tmp_path / "shard.parquet")
    np.savez(tmp_path / "flat.npz", id=np.array(["t1", "t2", "t3"]), embedding=np.zeros(3))
    with pytest.raises(InputError, match=r"embedding \[3\] of float64; expected \[n\] and numbers \[n, size\]"):
        import_embeddings(tmp_path / "flat.npz", index, tmp_path / "shard.parquet")


def test_both_commands_end_with_a_table_or_with_a_clear_message(task, index, tmp_path, capsys):
    (tmp_path / "given.tsv").write_text("id\ttarget\n2\t0\n4\t1\n5\t1\n")
    words = [
        "evaluation",
        "import-sequence-predictions",
        "--predictions",
        str(tmp_path / "given.tsv"),
        "--task",
        str(task),
    ]
    words += ["--task-name", "mine/one", "--name", "other", "--output", str(tmp_path / "out.parquet")]
    assert main(words) == 0
    assert json.loads(pq.read_metadata(tmp_path / "out.parquet").metadata[b"classes"]) == ["0", "1", "2"]
    words = ["evaluation", "import-embeddings", "--embeddings", str(tmp_path / "none.npz"), "--transcripts", str(index)]
    assert main([*words, "--output", str(tmp_path / "shard.parquet")]) == 2
    assert "none.npz: cannot be read" in capsys.readouterr().err
