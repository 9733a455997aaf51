"""The benchmark of growing tables, and that no step grows faster than they do."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from genestill.cli import build_parser

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("scale", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(scale, axis, place, cost):
    return {
        (*point, "training"): {"cpu_seconds": str(cost(point[place])), "peak_gb": str(cost(point[place]) / 100)}
        for point in axis
    }


def test_linear_growth_over_a_constant_passes_and_quadratic_growth_is_named(scale):
    axis = scale.SHORT_CONTIG_AXIS
    assert scale.growth(rows_of(scale, axis, 1, lambda contigs: 60 + contigs / 100), axis, 1) == []
    assert scale.growth(rows_of(scale, axis, 1, lambda contigs: 60), axis, 1) == []
    found = scale.growth(rows_of(scale, axis, 1, lambda contigs: 60 + contigs**2 / 1e5), axis, 1)
    assert [sentence.split(" grows ")[0] for sentence in found] == ["training: cpu_seconds", "training: peak_gb"]
    assert "from 4000 to 16000 contigs as from 1000 to 4000" in found[0]


def test_a_table_of_measurements_is_read_as_it_was_written(scale, tmp_path):
    rows = {
        (*point, step): dict(zip(scale.COLUMNS, [*map(str, point), step, "1.0", "2.0", "0.1", "abc", "d"], strict=True))
        for point in scale.POINTS
        for step in ("training", "hits")
    }
    scale.write_rows(tmp_path / "scale.tsv", rows)
    found = scale.read_rows(tmp_path / "scale.tsv")
    assert found == rows
    assert [key[3] for key in list(found)[:2]] == ["hits", "training"]


def test_every_step_is_a_command_that_exists(scale, tmp_path):
    for command in scale.commands(tmp_path).values():
        if "genestill" in command:
            build_parser().parse_args([str(word) for word in command[3:]])


@pytest.mark.slow
def test_no_step_grows_faster_than_contigs_or_species(scale):
    # Soft labels are measured by the large table only: the cost of small heads is far from their size.
    steps = [step for step in scale.commands(Path()) if step != "soft labels"]
    found = subprocess.run([sys.executable, PROGRAM, "--short", "--steps", *steps], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
