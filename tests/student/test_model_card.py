"""Model cards: a header for the Hub, figures with their intervals, and no missing sections."""

import json
import math
import os

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.files import write_json
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import parse_lineage
from genestill.core.table_schemas import METRICS, metrics_table
from genestill.core.tables import write_table
from genestill.student.corrector.network import Corrector, CorrectorConfig
from genestill.student.encoders import EncoderConfig, EncoderModel
from genestill.student.model_card import Card, parameters_of, summarise_figures, write_model_card


@pytest.fixture
def student(tmp_path):
    torch.manual_seed(0)
    teacher = {"name": "nucleotide-transformer-v2-500m", "revision": "abc123"}
    config = EncoderConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=1, teacher=teacher)
    EncoderModel(config).save_pretrained(tmp_path / "student")
    return tmp_path / "student"


def metrics(rows):
    frame = pd.DataFrame(rows, columns=["task", "metric", "fold", "value", "low", "high", "n_units"])
    return metrics_table(frame, benchmark="probes", dataset="human", model="s", kind="student", stratum="test")


FIGURES = metrics(
    [
        ("half-life", "pearson", 1, 0.5, None, None, 100),
        ("half-life", "pearson", 2, 0.6, None, None, 100),
        ("half-life", "pearson", 3, 0.7, None, None, 100),
        ("coding", "auroc", 1, 0.9, 0.85, 0.95, 50),
        ("reporter", "mse", 1, 2.0, None, None, 10),
        ("reporter", "pearson", 1, None, None, None, 10),
    ]
)


def test_intervals_are_taken_from_the_table_and_otherwise_the_range_of_seeds_is_shown():
    figures = summarise_figures(FIGURES).set_index(["task", "metric"])
    assert len(figures) == 3
    assert figures.loc[("coding", "auroc"), ["value", "low", "high"]].tolist() == [0.9, 0.85, 0.95]
    seeds = figures.loc[("half-life", "pearson")]
    assert seeds["repeats"] == 3
    np.testing.assert_allclose(seeds[["value", "low", "high"]].astype(float), [0.6, 0.5, 0.7])
    assert figures["ranged"].to_dict() == {name: name == ("half-life", "pearson") for name in figures.index}
    assert math.isnan(figures.loc[("reporter", "mse"), "low"])


@pytest.fixture
def usual_umask():
    """New files are readable by all users, independent of the umask of the shell that started the tests."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_umask")
def test_a_release_is_a_copy_with_a_card_and_does_not_change_the_student(student, tmp_path):
    before = {file.name: file.read_bytes() for file in student.iterdir()}
    arguments = ["student", "card", "--model", str(student), "--title", "a", "--summary", "b", "--limit", "c", "d"]
    assert main([*arguments, "--output", str(tmp_path / "release")]) == 0
    assert {file.name: file.read_bytes() for file in student.iterdir()} == before
    released = {file.name: file.read_bytes() for file in (tmp_path / "release").iterdir()}
    assert b"- c\n- d" in released.pop("README.md")
    assert released == before
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in (tmp_path / "release").iterdir())
    assert main([*arguments[:3], str(tmp_path / "none"), *arguments[4:], "--output", str(tmp_path / "r")]) != 0


def test_a_card_describes_the_student_its_origin_and_its_limits(student):
    card = Card(
        "Small encoder", "It reads DNA.", ["Human only.", "No | tables."], training={"hours": 2}, figures=FIGURES
    )
    write_model_card(student, card)
    text = (student / "README.md").read_text(encoding="utf-8")
    _, header, body = text.split("---\n", 2)
    header = yaml.safe_load(header)
    assert header["license"] == "mit"
    assert header["pipeline_tag"] == "feature-extraction"
    metric = header["model-index"][0]["results"][0]["metrics"][0]
    assert metric == {"type": "auroc", "name": "auroc", "value": 0.9}
    for fact in (
        f"| parameters | {parameters_of(student):,} |",
        "| revision | abc123 |",
        "| probes | human | coding | test | auroc | 0.900 | 0.850 to 0.950 | 50 | 1 |",
        "| 2.000 | one seed | 10 | 1 |",
        "| hours | 2 |",
        "- Human only.",
        "AutoModel.from_pretrained",
    ):
        assert fact in body
    assert parameters_of(student) == sum(p.numel() for p in EncoderModel.from_pretrained(student).parameters())


def test_the_command_writes_the_card_of_one_model_of_a_table(student, tmp_path):
    both = pd.concat([FIGURES, FIGURES.assign(model="other", value=0.123)])
    write_table(tmp_path / "metrics.parquet", both, METRICS)
    (tmp_path / "training.json").write_text(json.dumps({"hardware": "2 cores"}))
    arguments = ["student", "card", "--model", str(student), "--title", "T", "--summary", "S", "--limit", "L"]
    arguments += ["--metrics", str(tmp_path / "metrics.parquet"), "--training", str(tmp_path / "training.json")]
    assert main(arguments) == 2  # ambiguous: the table has two models
    assert not (student / "README.md").exists()
    assert main([*arguments, "--metrics-model", "s"]) == 0
    text = (student / "README.md").read_text(encoding="utf-8")
    assert "0.900" in text
    assert "0.123" not in text
    assert "| hardware | 2 cores |" in text


def test_a_release_contains_its_training_record(student, tmp_path):
    record = {
        "genestill": "1", "source": "1", "python": "3.11.7", "libraries": {"torch": "2"}, "command": ["genestill"],
        "settings": {"objective": "mse", "embeddings": ["shard.parquet"]}, "seed": 7, "hardware": {"device": "cpu"},
        "inputs": {"embeddings 1": {"path": "shard.parquet", "sha256": "abc"}},
        "outputs": {"output": {"path": "student", "content": "abc"}},
        "found": {"revision": "r7", "checksums": {"genome.fna": "abc"}},
    }  # fmt: skip
    write_json(tmp_path / "provenance" / "student.json", record)
    arguments = ["student", "card", "--model", str(student), "--title", "a", "--summary", "b", "--limit", "c"]
    assert main([*arguments, "--output", str(tmp_path / "release")]) == 0
    assert json.loads((tmp_path / "release" / "provenance.json").read_text()) == record
    assert not (student / "provenance.json").exists()
    text = (tmp_path / "release" / "README.md").read_text(encoding="utf-8")
    for line in (
        "| settings.objective | mse |",
        "| seed | 7 |",
        "| found.revision | r7 |",
        "| hardware.device | cpu |",
    ):
        assert line in text
    assert "shard.parquet" not in text
    assert "genome.fna" not in text


def test_a_training_record_of_an_earlier_version_is_refused_with_a_clear_message(student, tmp_path, capsys):
    write_json(tmp_path / "training.json", {"parameters": 3, "provenance": {"settings": {"objective": "mse"}}})
    arguments = ["student", "card", "--model", str(student), "--title", "a", "--summary", "b", "--limit", "c"]
    assert main([*arguments, "--training", str(tmp_path / "training.json")]) == 2
    assert "recorded by an earlier version" in capsys.readouterr().err


def test_the_card_states_that_a_student_was_not_measured_or_not_distilled(tmp_path):
    EncoderModel(EncoderConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=1)).save_pretrained(tmp_path)
    write_model_card(tmp_path, Card("T", "S", ["L"]))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "has not been measured" in text
    assert "was not distilled" in text
    assert "model-index" not in text


def test_a_card_without_limits_and_a_folder_without_a_student_are_refused(student, tmp_path):
    with pytest.raises(InputError, match="limits is missing"):
        write_model_card(student, Card("T", "S", []))
    (tmp_path / "config.json").write_text('{"model_type": "esm"}')
    with pytest.raises(InputError, match="model_type is 'esm'"):
        write_model_card(tmp_path, Card("T", "S", ["L"]))


def test_the_taxonomy_student_also_has_a_card(tmp_path):
    tree = LabelTree.from_lineages([parse_lineage("d__Bacteria;p__A"), parse_lineage("d__Bacteria;p__B")])
    config = CorrectorConfig(groups={"composition": 103}, leaves=len(tree.leaves))
    Corrector(config, tree).save_pretrained(tmp_path)
    write_model_card(tmp_path, Card("Corrector", "It mends lineages.", ["One data set."], teacher={"name": "t"}))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "genestill student predict" in text
    assert "| name | t |" in text
