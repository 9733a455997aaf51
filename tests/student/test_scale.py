"""The benchmark of growing tables: the cost of no step grows faster than the tables."""

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


def test_linear_growth_plus_a_constant_passes_and_quadratic_growth_is_reported(scale):
    axis = scale.SHORT_CONTIG_AXIS
    assert scale.growth(rows_of(scale, axis, 1, lambda contigs: 60 + contigs / 100), axis, 1) == []
    assert scale.growth(rows_of(scale, axis, 1, lambda contigs: 60), axis, 1) == []
    found = scale.growth(rows_of(scale, axis, 1, lambda contigs: 60 + contigs**2 / 1e5), axis, 1)
    assert [sentence.split(" grows ")[0] for sentence in found] == ["training: cpu_seconds", "training: peak_gb"]
    assert "from 4000 to 16000 contigs as from 1000 to 4000" in found[0]


def test_a_power_law_is_fitted_and_one_steeper_than_linear_is_reported(scale, capsys):
    axis = scale.CONTIG_AXIS
    linear, steep = (rows_of(scale, axis, 1, lambda contigs, power=power: contigs**power) for power in (1.0, 1.2))
    assert [round(exponent, 6) for *_, exponent in scale.exponents(steep, axis, 1)] == [1.2, 1.2]
    assert not any("to the power" in sentence for sentence in scale.judge(linear, [(axis, 1)]))
    assert any("contigs to the power of 1.20" in sentence for sentence in scale.judge(steep, [(axis, 1)]))
    assert "training: peak_gb grows as contigs to the power of 1.00" in capsys.readouterr().out


def test_training_measured_for_one_epoch_is_extrapolated_to_all_epochs(scale):
    small, large = scale.CONTIG_AXIS[0], scale.CONTIG_AXIS[2]
    costs = {(*small, "training"): 250, (*small, scale.ONE_EPOCH): 10, (*large, scale.ONE_EPOCH): 300}
    rows = {key: {"cpu_seconds": str(cost)} for key, cost in costs.items()}
    assert scale.whole_training(rows) == {large: 300 + 240 * large[1] / small[1]}


def test_a_table_of_measurements_is_unchanged_after_writing_and_reading(scale, tmp_path):
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
@pytest.mark.timed
def test_the_cost_of_no_step_grows_faster_than_contigs_or_species(scale):
    found = subprocess.run([sys.executable, PROGRAM, "--short"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
