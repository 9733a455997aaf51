"""Settings that contradict each other are refused before the first job."""

from pathlib import Path

import pytest

from genestill.ground.configuration import complete_configuration, read_yaml
from genestill.ground.contradictions import refuse_contradictions
from genestill.ground.errors import InputError

ROOT = Path(__file__).parents[2]
RECIPES, SCHEMAS = ROOT / "config" / "recipes", ROOT / "workflow" / "schemas"


def check(settings: dict) -> None:
    refuse_contradictions(complete_configuration(settings, RECIPES, SCHEMAS))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dataset": {"labels": "a.tsv"}}, "dataset.labels is given without dataset.contigs"),
        ({"dataset": {"truth": "a.tsv"}}, "dataset.truth is given without dataset.contigs"),
        ({"dataset": {"bam": ["a.bam"]}}, "dataset.bam is given without dataset.contigs"),
        ({"reference": {"database": "GTDB"}}, "reference.database is given without dataset.contigs"),
        ({"dataset": {"contigs": "a.fna"}}, "dataset.contigs needs reference.genomes"),
        (
            {
                "dataset": {"contigs": "a.fna", "abundance": "a.tsv", "bam": ["a.bam"]},
                "reference": {"database": "GTDB"},
            },
            "both dataset.abundance and dataset.bam",
        ),
        ({"student": {"teacher": "self"}}, "student.teacher is self"),
        ({"student": {"name": "MMseqs2"}}, "student.name and evaluation.labels_name are both 'MMseqs2'"),
    ],
)
def test_contradictory_settings_of_the_taxonomy_recipe_are_refused(settings, words):
    dataset = {"name": "x"} | settings.pop("dataset", {})
    with pytest.raises(InputError, match=words):
        check({"recipe": "taxdistill", "dataset": dataset, **settings})


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda file: file.stem)
def test_configurations_of_the_project_hold_no_contradiction(file):
    check(read_yaml(file))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"recipe": "taxdistill", "reference": {"community": {"median_length": 10}}}, "reference.community: "),
        ({"recipe": "had", "dna": {"windows": {"length": 1}}}, "dna.windows"),
    ],
)
def test_settings_of_one_command_that_contradict_each_other_are_refused_before_its_job(settings, words):
    with pytest.raises(InputError, match=words):
        check({"dataset": {"name": "x"}, **settings})
