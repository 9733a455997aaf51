"""Provenance records and their reproduction."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import build_parser, main
from genestill.core import files
from genestill.core.contents import content_checksum
from genestill.core.errors import InputError
from genestill.core.files import read_json, sha256_of, write_json
from genestill.core.provenance import find_record, is_output, record_command, record_path
from genestill.core.reproduction import read_record
from genestill.core.sequences import write_fasta
from genestill.core.tables import write_table

LABELS = "contigs\tpredictions\na\td__B;p__P;c__C;o__O;f__F;g__G;s__one\nb\td__B;p__P;c__C;o__O;f__F;g__G;s__two\n"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The folder and record of a taxonomy made from a table of labels with relative paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.tsv").write_text(LABELS)
    assert main(["--quiet", "reference", "taxonomy", "--labels", "labels.tsv", "--output", "results/taxonomy"]) == 0
    return tmp_path, tmp_path / "results" / "provenance" / "taxonomy.json"


def test_every_command_writes_a_record_next_to_its_output(made):
    record = read_json(made[1])
    assert record["command"][:3] == ["genestill", "--quiet", "reference"]
    assert record["inputs"]["labels"]["path"] == "labels.tsv"
    assert len(record["inputs"]["labels"]["sha256"]) == len(record["source"]) == 64
    assert record["outputs"]["output"]["content"] == content_checksum(made[0] / "results" / "taxonomy")
    assert {"numpy", "torch"} <= record["libraries"].keys()
    assert record["hardware"]["threads"]


def test_reproducing_a_record_does_not_change_the_result(made, capfd):
    before = {path: path.stat().st_mtime_ns for path in made[0].rglob("*")}
    assert main(["--quiet", "reproduce", str(made[1])]) == 0
    assert "the same: results/taxonomy" in capfd.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in made[0].rglob("*")} == before


def test_a_changed_input_is_reported_and_nothing_is_made(made, capfd):
    (made[0] / "labels.tsv").write_text(LABELS.replace("one", "three"))
    assert main(["--quiet", "reproduce", str(made[1])]) == 3
    said = capfd.readouterr()
    assert "the input labels: labels.tsv has changed since" in said.out
    assert "running again" not in said.out
    assert main(["--quiet", "reproduce", str(made[1]), "--force"]) == 3
    assert "results/taxonomy: differs from the recorded result" in capfd.readouterr().out


def test_a_large_input_is_identified_by_size_time_and_samples(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genestill.core.files.LARGE", len(LABELS))
    (tmp_path / "labels.tsv").write_text(LABELS)
    assert main(["--quiet", "reference", "taxonomy", "--labels", "labels.tsv", "--output", "results/taxonomy"]) == 0
    record = str(tmp_path / "results" / "provenance" / "taxonomy.json")
    entry = read_json(record)["inputs"]["labels"]
    assert entry.keys() == {"path", "bytes", "modified", "sampled_sha256"}
    assert entry["bytes"] == len(LABELS)
    assert main(["--quiet", "reproduce", record]) == 0
    assert "differs" not in capfd.readouterr().out
    (tmp_path / "labels.tsv").touch()
    assert main(["--quiet", "reproduce", record]) == 0
    assert "without effect: the input labels: labels.tsv was written again since" in capfd.readouterr().out
    (tmp_path / "labels.tsv").write_text(LABELS.replace("one", "two"))
    assert main(["--quiet", "reproduce", record]) == 3
    assert "labels.tsv has changed since" in capfd.readouterr().out


def test_only_samples_of_a_large_file_are_read(tmp_path):
    with open(tmp_path / "large", "wb") as handle:
        handle.truncate(files.LARGE)
    first = files.identity_of(tmp_path)
    assert first["bytes"] == files.LARGE
    with open(tmp_path / "large", "r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"x")
    assert files.identity_of(tmp_path)["sampled_sha256"] != first["sampled_sha256"]
    (tmp_path / "link").symlink_to(tmp_path / "large")
    assert content_checksum(tmp_path / "link") == files.sampled_sha256_of(tmp_path / "large")


def test_a_missing_input_is_reported(made, capfd):
    (made[0] / "labels.tsv").unlink()
    assert main(["--quiet", "reproduce", str(made[1])]) == 3
    assert "labels.tsv does not exist" in capfd.readouterr().out


WRITES = (
    "open(there, 'w')", "os.mkdir(there)", "os.rename('mine', there)", "os.rename(kept, 'mine2')", "os.remove(kept)",
    "os.symlink('mine', there)", "open('link', 'a')", "os.open(there, os.O_CREAT)", "shutil.rmtree(outside)",
    "os.truncate(kept, 0)", "os.chmod(kept, 0)",
)  # fmt: skip
TRIED = """
import os, shutil, sys
from pathlib import Path
from genestill.core import reproduction
inside, outside = sys.argv[1:3]
there, kept = outside + "/there", outside + "/kept"
sys.addaudithook(lambda event, arguments: reproduction._refuse_writes(Path(inside), event, arguments))
os.chdir(inside)
open("mine", "w").close()
for write in sys.argv[3:]:
    try:
        exec(write)
        print("written")
    except reproduction.InputError as error:
        print(error)
"""


def test_a_recorded_command_writes_only_in_the_folder_of_its_reproduction(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (inside / "link").symlink_to(outside / "linked")
    done = subprocess.run(
        [sys.executable, "-c", TRIED, inside, outside, *WRITES], capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert len(said) == len(WRITES)
    assert all("which is not one of its outputs" in sentence for sentence in said), said
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"source": "0" * 64}, "the source of genestill: commit"),
        ({"genestill": "0.0.1"}, "genestill: 0.0.1 then"),
        ({"python": "3.9.1"}, "Python: 3.9.1 then"),
        ({"libraries": {"numpy": "1.0"}}, "numpy: 1.0 then"),
        ({"libraries": {"gone": "1.0"}}, "gone: 1.0 then, none now"),
        ({"hardware": {"machine": "vax"}}, "the machine: vax then"),
    ],
)
def test_differences_that_affect_the_result_are_reported(made, capfd, change, sentence):
    write_json(made[1], read_json(made[1]) | change)
    assert main(["--quiet", "reproduce", str(made[1])]) == 3
    assert f"differs: {sentence}" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"libraries": {"snakemake": "1"}}, "snakemake: 1 then"),
        ({"commit": "abc"}, "the commit: abc then"),
    ],
)
def test_differences_that_do_not_affect_the_result_are_reported_without_stopping(made, capfd, change, sentence):
    write_json(made[1], read_json(made[1]) | change)
    assert main(["--quiet", "reproduce", str(made[1])]) == 0
    assert f"differs, without effect: {sentence}" in capfd.readouterr().out


def test_a_result_that_differs_is_reported(made, capfd):
    record = read_json(made[1])
    record["outputs"]["output"]["content"] = "0" * 64
    write_json(made[1], record)
    assert main(["--quiet", "reproduce", str(made[1])]) == 3
    assert "differs: results/taxonomy: differs from the recorded result" in capfd.readouterr().out


def test_no_record_can_choose_a_path_that_is_written_to(made):
    record = read_json(made[1])
    record["command"][-1] = "elsewhere"
    write_json(made[1], record)
    main(["--quiet", "reproduce", str(made[1])])
    assert not (made[0] / "elsewhere").exists()


@pytest.mark.parametrize(
    "words", [["reproduce", "x"], ["student", "nothing"], ["student", "card", "--model", "m", "--title", "t",
              "--summary", "s", "--limit", "l"], []],
)  # fmt: skip
def test_a_command_that_computes_nothing_is_not_run_again(made, words):
    write_json(made[1], read_json(made[1]) | {"command": ["genestill", *words]})
    assert main(["--quiet", "reproduce", str(made[1])]) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    field=st.sampled_from(["command", "inputs", "outputs", "libraries", "hardware", "settings", "source"]), value=JSON
)
def test_an_invalid_record_is_refused_with_a_clear_message(tmp_path_factory, field, value):
    path = tmp_path_factory.mktemp("record") / "record.json"
    whole = {
        "genestill": "1", "source": "1", "python": "3", "libraries": {}, "command": ["genestill"], "settings": {},
        "inputs": {}, "hardware": {}, "outputs": {"output": {"path": "a", "content": "b"}},
    }  # fmt: skip
    path.write_text(json.dumps(whole | {field: value}))
    try:
        assert read_record(path)["outputs"]
    except InputError as error:
        told = str(error)
    else:
        told = str(path)
    assert str(path) in told


def test_outputs_are_recognised_by_their_option_and_inputs_are_the_other_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("index.parquet", "contigs.fna", "genomes/a.fna", "test/x", "made.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    options = {
        "index": "index.parquet", "predictions": ["corrector=contigs.fna"], "model": [["name", "genomes/a.fna"]],
        "genomes_folder": "genomes/", "dataset": "test", "seed": 3, "output": "made.tsv",
        "rate": 0.5, "summary": "A text. With dots. " * 300, "run": print,
    }  # fmt: skip
    record = read_json(record_command(["x"], options, {"teacher": "t", "revision": "r"}, began=0.0))
    assert record["outputs"].keys() == {"output"}
    assert record["inputs"].keys() == {"index", "predictions", "model 2"}
    assert record["seed"] == 3
    assert record["found"] == {"teacher": "t", "revision": "r"}
    assert record["settings"]["dataset"] == "test"


def test_the_record_of_a_file_or_of_its_folder_is_found(tmp_path):
    for output in ("run", "other/model"):
        record_path(tmp_path / output).parent.mkdir(parents=True)
        record_path(tmp_path / output).write_text("{}")
    assert find_record(tmp_path / "run" / "model") == find_record(tmp_path / "run") == record_path(tmp_path / "run")
    assert find_record(tmp_path / "other" / "model") == tmp_path / "other" / "provenance" / "model.json"
    assert find_record(tmp_path / "else" / "model") is None


def test_the_genomes_that_a_table_lists_are_in_the_record_with_their_checksums(tmp_path):
    (tmp_path / "genomes").mkdir()
    for name, sequence in (("a", "ACGTTGCA" * 40), ("b", "GGCATTAC" * 40)):
        write_fasta(tmp_path / "genomes" / f"{name}.fna", [("one", sequence)])
    lineage = "d__B;p__P;c__C;o__O;f__F;g__G;s__one"
    (tmp_path / "genomes" / "genomes.tsv").write_text(f"file\tlineage\na.fna\t{lineage}\nb.fna\t{lineage}\n")
    words = ["--genomes", tmp_path / "genomes" / "genomes.tsv", "--length", 64, "--number", 10]
    assert main(["--quiet", "reference", "windows", *words, "--output", tmp_path / "windows.fna"]) == 0
    genomes = [tmp_path / "genomes" / f"{name}.fna" for name in "ab"]
    found = read_json(tmp_path / "provenance" / "windows.fna.json")["found"]
    assert found["checksums"] == {str(path): sha256_of(path) for path in genomes}


def test_a_record_of_an_earlier_version_is_refused_with_a_clear_message(tmp_path):
    """Such records were inside model folders and named no output."""
    old = {name: {} for name in ("libraries", "settings", "inputs", "hardware")}
    old |= {"genestill": "0.1.0", "source": "x", "python": "3.11", "command": ["genestill"], "seed": 1}
    write_json(tmp_path / "provenance.json", old)
    with pytest.raises(InputError, match=r"outputs is 'None'; expected a record from a folder called provenance"):
        read_record(tmp_path / "provenance.json")


def test_reproducing_a_foreign_record_writes_to_no_path_given_in_an_option(tmp_path, monkeypatch):
    """Every path that a command writes to is an option named output and is therefore redirected."""
    monkeypatch.chdir(tmp_path)
    rows = ["sequence\tlabel\tsplit", *(f"{'ACGT' * 20}{base}\t{base}\ttrain" for base in "ACGT")]
    (tmp_path / "task.tsv").write_text("\n".join([*rows, f"{'ACGT' * 20}A\tA\ttest"]) + "\n")
    words = "evaluation sequence-rows --task task.tsv --output made/rows.fna --output-test-rows made/test_rows.tsv"
    assert main(["--quiet", *words.split()]) == 0
    record = tmp_path / "made" / "provenance" / "rows.fna.json"
    stranger = read_json(record)
    stranger["outputs"] = {"output": stranger["outputs"]["output"]}
    write_json(record, stranger)
    (tmp_path / "made" / "test_rows.tsv").write_text("precious")
    assert main(["--quiet", "reproduce", str(record), "--force"]) == 0
    assert (tmp_path / "made" / "test_rows.tsv").read_text() == "precious"


def test_every_command_that_computes_has_an_option_named_output():
    quiet = []
    stages = next(action for action in build_parser()._actions if action.dest == "stage")
    for stage, parser in stages.choices.items():
        for action in parser._actions:
            for name, command in (action.choices or {}).items() if action.dest == "command" else ():
                if not any(is_output(option.dest) for option in command._actions):
                    quiet.append(f"{stage} {name}")
    # The first prints a list; the others update tables under version control with many runs.
    assert quiet == ["student list", "evaluation publish", "evaluation list-published", "evaluation publish-tables"]


def test_the_content_checksum_ignores_only_dates_and_run_times(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "value": np.array([1, 2], dtype=np.float32)})
    schema = pa.schema([("id", pa.string()), ("value", pa.float32())])
    for folder, seconds, written, value in (("one", 1.5, "a", 2), ("two", 99, "b", 2), ("three", 1.5, "a", 3)):
        (tmp_path / folder).mkdir()
        changed = table.assign(value=table["value"].where(table["id"] == "a", value))
        write_table(tmp_path / folder / "t.parquet", changed, schema, {"provenance": written})
        (tmp_path / folder / "training.tsv").write_text(f"step\tseconds\tloss\n1\t{seconds}\t0.5\n")
        write_json(tmp_path / folder / "check.json", {"loss": 1, "provenance": {"written": written}})
        write_json(tmp_path / folder / "provenance.json", {"written": written})
    one, two, three = (content_checksum(tmp_path / folder) for folder in ("one", "two", "three"))
    assert one == two != three
    shutil.rmtree(tmp_path / "three")
    shutil.copytree(tmp_path / "one", tmp_path / "three")
    (tmp_path / "three" / "training.tsv").write_text("step\tseconds\tloss\n1\t1.5\t0.6\n")
    assert content_checksum(tmp_path / "three") != one
