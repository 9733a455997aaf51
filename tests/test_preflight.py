"""What is refused before the first job; workflow tests show for each recipe that the message is printed."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genestill.core.configuration import merge, read_yaml
from genestill.core.errors import InputError
from genestill.preflight import accept, require_recipe

ROOT = Path(__file__).parents[1]
RECIPES = sorted(path.stem for path in (ROOT / "config" / "recipes").glob("*.yaml"))

SEARCHED = {"dataset": {"contigs": "table.tsv"}, "reference": {"genomes": "table.tsv"}}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Relative paths start in the test's own folder, which contains a few files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.tsv").touch()
    return tmp_path


def configured(recipe: str, settings: dict) -> dict:
    return merge({"recipe": recipe, "dataset": {"name": "x"}}, settings)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_accepted_with_its_defaults_and_reads_all_of_them(recipe):
    assert accept(configured(recipe, {}), ROOT)["recipe"] == recipe


@pytest.mark.parametrize(
    ("recipe", "settings", "sentence"),
    [
        ("taxdistil", {}, "did you mean 'taxdistill'?"),
        ("taxdistill", {"student": {"epoch": 3}}, "unknown key student.epoch; did you mean 'epochs'?"),
        (
            "taxdistill",
            {
                "dataset": {"contigs": "table.tsv", "labels": "table.tsv"},
                "student": {"evidence": ["hits", "alignments"]},
            },
            "student.evidence: alignments needs the genomes of the reference",
        ),
        (
            "taxdistill",
            {"student": {"evidence": ["hits", "agreeing_hits"]}},
            "student.evidence: hits and agreeing_hits use the same search",
        ),
        (
            "taxdistill",
            {"labels": {"update_from": "results/taxdistill/x/labels"}},
            "is given without dataset.contigs; expected the contigs of the former run",
        ),
        (
            "taxdistill",
            SEARCHED | {"labels": {"update_from": "results/taxdistill/x/labels"}},
            "is the results folder of this run",
        ),
        (
            "taxdistill",
            SEARCHED | {"labels": {"update_from": "results/taxdistill/y/labels"}},
            "y/labels/labels.parquet: no such file; run the target keep_search with the former configuration first",
        ),
        ("taxdistill", SEARCHED | {"labels": {"update_from": "kept"}}, "labels.update_from: kept: no such folder"),
        ("taxdistill", {"student": {"epochs": "many"}}, "student.epochs: 'many' is not of type 'integer'"),
        ("taxdistill", {"teacher": {"shards": 0}}, "teacher.shards"),
        ("taxdistill", {"dataset": {"name": None}}, "dataset.name: None is not of type 'string'"),
        ("taxdistill", {"dataset": {"contigs": "no.fna"}}, "dataset.contigs: no.fna: no such file"),
        ("taxdistill", {"dataset": {"contigs": "./results/../no.fna"}}, "contigs: ./results/../no.fna: no such file"),
        ("taxdistill", {"dataset": {"truth": "table.tsv"}}, "without dataset.contigs and without evaluation.predict"),
        ("taxdistill", {"evaluation": {"predictions": {"corrector": "table.tsv"}}}, "are both 'corrector'"),
        ("taxdistill", {"evaluation": {"predictions": {"MMseqs2": "table.tsv"}}}, "are both 'MMseqs2'"),
        (
            "had",
            {"dna": {"tasks": {"gue/mouse_9": "table.tsv"}}},
            "dna.tasks: gue/mouse_9 is not a task of the benchmark",
        ),
        ("seqlens", {"dna": {"tasks": {"gue/mouse_9": "table.tsv"}}}, "gue/mouse_9 is not a task of the benchmark gue"),
        (
            "had",
            {"evaluation": {"predictions": {"mine": {"origin/phylum": "none.tsv"}}}},
            "evaluation.predictions.mine.origin/phylum: none.tsv: no such file",
        ),
        ("mrna", {"evaluation": {"predictions": {"mine": "none.npz"}}}, "mine: none.npz: no such file"),
    ],
)
def test_a_mistake_in_the_configuration_is_refused_with_a_clear_message(recipe, settings, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        accept(configured(recipe, settings), ROOT)


def test_a_configuration_without_a_name_is_refused():
    with pytest.raises(InputError, match="dataset: 'name' is a required property"):
        accept({"recipe": "taxdistill", "dataset": {"contigs": "table.tsv"}}, ROOT)


@pytest.mark.parametrize("target", ["taxdistill", "mrna", "had", "seqlens"])
def test_a_target_of_another_recipe_is_refused_with_the_available_target(target):
    for recipe in RECIPES:
        own = recipe.removesuffix("-published")
        if target == own:
            require_recipe(target, {"recipe": recipe})
            continue
        with pytest.raises(InputError, match=rf"target {target}: .* recipe {recipe}; expected the target {own},"):
            require_recipe(target, {"recipe": recipe})


@pytest.mark.parametrize("recipe", ["taxdistill", "taxdistill-published"])
def test_a_table_at_the_path_of_a_students_predictions_is_refused_unless_the_workflow_made_it(recipe, here):
    file = here / "results" / recipe / "x" / "student" / "mine" / "predictions.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"somebody's work")
    settings = configured(recipe, {"student": {"name": "mine"}})
    with pytest.raises(InputError, match="was not made by this workflow"):
        accept(settings, ROOT)
    log = here / "results" / recipe / "x" / "logs" / "student" / "train_mine.log"
    log.parent.mkdir(parents=True)
    log.touch()
    assert accept(settings, ROOT)
    log.unlink()
    assert accept(configured(recipe, {"student": {"name": "other"}}), ROOT)


def test_existing_stored_embeddings_must_contain_what_the_students_need(here):
    columns = {"id": ["a"], "start": [[0]], "end": [[4]], "embedding": [[0.5]]}
    described = {"model": "m", "layer": "1", "revision": "1", "representation": "sequence"}
    pq.write_table(pa.table(columns).replace_schema_metadata(described), here / "stored.parquet")
    settings = read_yaml(ROOT / "config" / "mrna-demo.yaml")
    settings["mrna"] |= {"defaults": {"parameters": 5000}, "students": {"tokens": {"objective": "token"}}}
    # Files that do not exist yet are checked when they are read: the target sequences_to_embed comes first.
    settings["teacher"] = {"embeddings": {"corpus": "later.parquet", "benchmark": "stored.parquet"}}
    assert accept(settings, ROOT)
    settings["teacher"]["embeddings"]["corpus"] = "stored.parquet"
    with pytest.raises(
        InputError, match=r"embeddings\.corpus: stored\.parquet contains .* sequence, but .* token of these"
    ):
        accept(settings, ROOT)
