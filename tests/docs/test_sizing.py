"""The page on sizing shows the results of its model."""

import importlib.util
import sys
from pathlib import Path

import pytest

from genestill.evaluation.results import EXCEPTIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "sizing.md"


@pytest.fixture(scope="module")
def sizing():
    return load("sizing")


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look it up
    spec.loader.exec_module(module)
    return module


def test_the_page_contains_the_table_that_the_model_prints(sizing):
    page = PAGE.read_text(encoding="utf-8")
    assert sizing.table(sizing.Teacher(), sizing.Machine()) in page
    for card, machine in sizing.measured_cards().items():
        assert card in page
        assert sizing.table(sizing.Teacher(), machine) in page


def test_a_measured_gpu_has_its_own_rates_and_one_without_a_teacher_has_no_table(sizing, tmp_path):
    rows = [
        "device\tpart\tsetting\tvalue\tunit\tshare",
        "A\tmatrix products\tbfloat16\t100\tTFLOP/s\t",
        "A\tteacher embed\tGenomeOcean-500M\t5\ttokens/s\t0.5",
        "B\tmatrix products\tbfloat16\t100\tTFLOP/s\t",
    ]
    (tmp_path / "gpu.tsv").write_text("\n".join(rows) + "\n")
    assert sizing.measured_cards(tmp_path / "gpu.tsv") == {"A": sizing.Machine(peak=1e14, utilisation=0.5)}


def test_the_teacher_of_the_table_has_the_parameters_of_its_registry_entry(sizing):
    teacher = sizing.Teacher(layers=14)
    weights = teacher.layers * (4 * teacher.hidden_size**2 + 3 * teacher.hidden_size * teacher.feed_forward)
    vocabulary = 2 * 4096 * teacher.hidden_size
    assert weights + vocabulary == pytest.approx(541_109_760, rel=1e-3)


def test_eight_gpus_divide_the_teachers_time_by_eight_and_leave_training_of_a_single_run_unchanged(sizing):
    one, eight = (sizing.hours(10**6, 10**6, gpus, sizing.Teacher(), sizing.Machine()) for gpus in (1, 8))
    assert eight["teacher"] == pytest.approx(one["teacher"] / 8)
    assert eight["training"] == one["training"]


def test_the_benchmark_of_a_gpu_replaces_its_own_rows_and_keeps_all_others(tmp_path):
    gpu = load("gpu")
    table = tmp_path / "gpu.tsv"
    row = dict.fromkeys(gpu.COLUMNS, "") | {"device": "A", "part": "start-up", "setting": "any command"}
    gpu.write_rows(table, [row | {"value": "1"}, row | {"device": "B", "value": "2"}])
    gpu.write_rows(table, [row | {"value": "3"}])
    found = [line.split("\t") for line in table.read_text().splitlines()]
    assert found[0] == list(gpu.COLUMNS)
    assert [(one[0], one[3]) for one in found[1:]] == [("B", "2"), ("A", "3")]
    assert list(EXCEPTIONS["gpu"]) == found[0]
    rows = gpu.main(["--device", "cpu", "--short", "--only", "layers", "--table", str(tmp_path / "cpu.tsv")])
    assert {"matrix products", "layer, seconds"} == {row["part"] for row in rows}
    assert len((tmp_path / "cpu.tsv").read_text().splitlines()) == 1 + len(rows)


@pytest.mark.slow
def test_a_small_gpu_benchmark_runs_on_the_cpu(capsys):
    gpu = load("gpu")
    rows = gpu.main(["--device", "cpu", "--short"])
    parts = {row["part"] for row in rows}
    assert {"teacher pretrain", "teacher embed", "student pretrain-dna", "encoder, inference", "start-up"} <= parts
    assert all(float(row["value"]) > 0 for row in rows)
