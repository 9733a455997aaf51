"""The page on sizing shows what its model says."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "sizing.md"


@pytest.fixture(scope="module")
def sizing():
    spec = importlib.util.spec_from_file_location("sizing", ROOT / "benchmarks" / "sizing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_holds_the_table_that_the_model_prints(sizing):
    assert sizing.table(sizing.Teacher(), sizing.Machine()) in PAGE.read_text(encoding="utf-8")


def test_the_teacher_of_the_table_has_the_parameters_that_its_registry_names(sizing):
    teacher = sizing.Teacher(layers=14)
    weights = teacher.layers * (4 * teacher.hidden_size**2 + 3 * teacher.hidden_size * teacher.feed_forward)
    vocabulary = 2 * 4096 * teacher.hidden_size
    assert weights + vocabulary == pytest.approx(541_109_760, rel=1e-3)


def test_eight_gpus_take_an_eighth_of_the_teachers_time_and_nothing_of_a_single_runs_training(sizing):
    one, eight = (sizing.hours(10**6, 10**6, gpus, sizing.Teacher(), sizing.Machine()) for gpus in (1, 8))
    assert eight["teacher"] == pytest.approx(one["teacher"] / 8)
    assert eight["training"] == one["training"]
