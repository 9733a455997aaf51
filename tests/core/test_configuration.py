"""A run depends only on its own configuration and on the defaults of its recipe."""

import json
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.configuration import (
    SOURCE_KEYS,
    complete_configuration,
    effective_configuration,
    read_recipe,
    read_yaml,
)
from genestill.core.errors import InputError
from genestill.core.given_paths import refuse_missing_paths

ROOT = Path(__file__).parents[2]
RECIPES, SCHEMAS = ROOT / "config" / "recipes", ROOT / "workflow" / "schemas"
TEACHERS = ROOT / "resources" / "teachers.yaml"


def complete(**settings) -> dict:
    return complete_configuration({"dataset": {"name": "x"}} | settings, RECIPES, SCHEMAS)


def refusal(**settings) -> str:
    with pytest.raises(InputError) as error:
        complete(**settings)
    return str(error.value)


def test_a_search_has_the_defaults_of_mmseqs2_unless_the_genomes_are_simulated():
    labels = complete(recipe="taxdistill", reference={"genomes": "genomes.tsv"})["labels"]
    assert (labels["kmer"], labels["orf_filter"]) == (0, 1)
    labels = complete(recipe="taxdistill")["labels"]
    assert (labels["kmer"], labels["orf_filter"]) == (5, 0)
    labels = complete(recipe="taxdistill", labels={"kmer": 7})["labels"]
    assert (labels["kmer"], labels["orf_filter"]) == (7, 0)


def test_the_demo_contains_no_setting_that_could_be_mistaken_for_a_default():
    demo = read_yaml(ROOT / "config" / "config.yaml")
    assert set(demo) == {"recipe", "seed", "dataset"}


def test_a_section_that_the_recipe_does_not_read_is_refused_with_its_recipes():
    text = refusal(recipe="mrna", labels={"sensitivity": 7.5})
    assert "the recipe mrna does not read the section labels" in text
    assert "taxdistill and taxdistill-published" in text
    assert "dna" in refusal(recipe="taxdistill", dna={})


def test_a_key_that_the_recipe_does_not_read_is_refused_with_its_recipes():
    text = refusal(recipe="had", dataset={"name": "x", "contigs": "a.fna"})
    assert "the recipe had does not read dataset.contigs" in text
    assert "taxdistill" in text


def test_sections_that_every_recipe_names_exist():
    top = read_yaml(SCHEMAS / "config.schema.yaml")["properties"]
    for file in RECIPES.glob("*.yaml"):
        assert set(read_recipe(RECIPES, file.stem).sections) <= set(top)


def test_an_unknown_key_deep_in_a_named_entry_is_refused_with_its_whole_path():
    text = refusal(recipe="mrna", mrna={"students": {"mine": {"step": 3}}})
    assert "unknown key mrna.students.mine.step; did you mean 'steps'?" in text


def shuffled(settings, seed: int):
    """The same settings with the keys of every section in another order."""
    if not isinstance(settings, dict):
        return settings
    keys = list(settings)
    random.Random(seed).shuffle(keys)
    return {key: shuffled(settings[key], seed) for key in keys}


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_the_order_of_keys_has_no_effect(seed):
    written = {
        "recipe": "taxdistill",
        "dataset": {"minimum_length": 500, "name": "x"},
        "labels": {"orf_filter": 0, "kmer": 5, "evalue": 0.1},
        "teacher": {"pretraining": {"steps": 10, "layers": 3, "heads": 2}, "shards": 2},
    }
    one = complete_configuration(written, RECIPES, SCHEMAS)
    other = complete_configuration(shuffled(written, seed), RECIPES, SCHEMAS)
    assert json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
def test_a_number_that_is_not_finite_is_refused_in_lists_too(number):
    for text in (f"[{number}]", f"[0.1, {number}]"):
        students = {"a": {"method": "pretrain", "learning_rates": yaml.safe_load(text)}}
        with pytest.raises(
            InputError, match=r"dna\.students\.a\.learning_rates\.\d: -?(nan|inf) is not a finite number"
        ):
            complete(recipe="had", dna={"students": students})


def test_an_explicit_default_has_no_effect():
    plain = complete(recipe="taxdistill", teacher={"pretraining": {"steps": 10}})
    written = complete(recipe="taxdistill", teacher={"pretraining": {"steps": 10, "layers": 3}, "shards": 1})
    assert json.dumps(plain) == json.dumps(written)


@pytest.mark.parametrize(
    ("recipe", "given"),
    [("taxdistill", {"table": "a.tsv"}), ("mrna", "a.npz"), ("had", {"origin/phylum": "a.tsv"})],
)
def test_given_predictions_are_recorded_unchanged_with_the_results(recipe, given):
    completed = complete(recipe=recipe, evaluation={"predictions": {"mine": given}})
    effective = effective_configuration(completed, RECIPES, SCHEMAS)
    assert effective["evaluation"]["predictions"] == {"mine": given}
    assert complete_configuration(effective, RECIPES, SCHEMAS) == completed


def missing(configuration: dict) -> str:
    with pytest.raises(InputError) as error:
        refuse_missing_paths(configuration, SCHEMAS, TEACHERS)
    return str(error.value)


@pytest.mark.parametrize(
    ("recipe", "section", "settings", "words"),
    [
        ("taxdistill", "reference", {"genomes": "no.tsv"}, ["reference.genomes: no.tsv: no such file", "starts in"]),
        ("taxdistill", "reference", {"genomes_folder": "no"}, ["reference.genomes_folder", "no such folder"]),
        ("taxdistill", "reference", {"taxdump": "empty"}, ["reference.taxdump", "nodes.dmp"]),
        ("taxdistill", "reference", {"database": "no/db"}, ["reference.database", "no/db.dbtype", "GTDB"]),
        ("taxdistill", "reference", {"database": "GTBD"}, ["reference.database", "GTDB"]),
        ("taxdistill", "reference", {"database": ""}, ["reference.database: empty; expected a path"]),
        ("taxdistill", "reference", {"genomes_folder": ""}, ["reference.genomes_folder: empty"]),
        ("taxdistill", "teacher", {"model": "./no"}, ["teacher.model", "no such folder"]),
        ("taxdistill", "teacher", {"model": "no/"}, ["teacher.model", "no such folder"]),
        ("taxdistill", "teacher", {"model": "genomeocean-100"}, ["neither a folder", "genomeocean-100m"]),
        ("taxdistill", "dataset", {"name": "x", "bam": ["empty"]}, ["dataset.bam", "a folder; expected a file"]),
        ("mrna", "mrna", {"sources": {"a": "no.tsv:id=x"}}, ["mrna.sources.a", "no.tsv: no such file"]),
        ("mrna", "mrna", {"sources": {"a": "here.fa,no.gtf"}}, ["mrna.sources.a", "no.gtf: no such file"]),
        ("mrna", "mrna", {"tasks": {"t": {"kind": "classification", "classes": ["here.fa", "no.fa"]}}}, ["no.fa"]),
        ("had", "dna", {"tasks": {"gue/a": "no.tsv"}}, ["dna.tasks.gue/a", "no.tsv"]),
        ("had", "dna", {"students": {"a": {"method": "pretrain", "initial": "no"}}}, ["dna.students.a.initial"]),
    ],
)  # fmt: skip
def test_a_path_that_does_not_exist_is_refused_before_any_job(recipe, section, settings, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "here.fa").touch()
    text = missing(complete(recipe=recipe, **{section: settings}))
    assert [word for word in words if word not in text] == []


def test_existing_paths_and_paths_made_by_the_run_are_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "genomes.tsv").touch()
    (tmp_path / "model").mkdir()
    reference = {"genomes": "genomes.tsv", "database": "GTDB"}
    dataset = {
        "name": "x",
        "contigs": "resources/downloads/cami2/a.fna.gz",
        "labels": "results/taxdistill/a/labels.tsv",
    }
    for model in ("./model", "model/", str(tmp_path / "model"), "genomeocean-100m"):
        settings = complete(recipe="taxdistill", dataset=dataset, reference=reference, teacher={"model": model})
        refuse_missing_paths(settings, SCHEMAS, TEACHERS)


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("a.fna", "a.fna"),
        ("{file: a.fna}", "a.fna"),
        ("{file: a.fna, annotation: a.gtf}", "a.fna,a.gtf"),
        ("{file: t.tsv, id: refseq, gene: symbol}", "t.tsv:id=refseq,gene=symbol"),
        ("{file: t.tsv, header: no, sequence: 1, sample: 40}", "t.tsv:header=no,sequence=1,sample=40"),
    ],
)
def test_a_source_may_be_written_as_a_mapping(source, written):
    source = yaml.safe_load(source)
    task = {"table": source, "target": "y", "kind": "regression"}
    completed = complete(recipe="mrna", mrna={"sources": {"a": source}, "tasks": {"t": task}})["mrna"]
    assert completed["sources"] == {"a": written}
    assert completed["tasks"]["t"]["table"] == written


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{file: t.tsv, genes: symbol}", "unknown key genes of a source; did you mean 'gene'"),
        ("{id: refseq}", "expected file among them"),
        ("{file: t.tsv, id: [a, b]}", "id of a source is"),
        ('{file: t.tsv, id: "a,b"}', "without commas"),
        ("{file: t.tsv, id: null}", "id of a source is None"),
        ("{file: a.fna, annotation: a.gtf, id: x}", "both an annotation and columns"),
    ],
)
def test_a_source_with_other_keys_is_refused(source, sentence):
    with pytest.raises(InputError, match=sentence):
        complete(recipe="mrna", mrna={"sources": {"a": yaml.safe_load(source)}})


def test_the_keys_of_a_source_are_those_that_a_command_reads():
    from genestill.reference.transcripts import Columns

    assert set(Columns.__dataclass_fields__) == set(SOURCE_KEYS) - {"file", "annotation", "header", "sample"}


@pytest.mark.parametrize(
    ("recipe", "section", "keys", "sentence"),
    [
        ("taxdistill", "reference", {"biosphere": {}}, r"reference\.biosphere is now reference\.simulated_genomes"),
        ("taxdistill", "teacher", {"check": {"loss_share": 0.9}}, r"is now teacher\.check\.maximum_relative_loss"),
        ("mrna", "mrna", {"floors": {}}, r"mrna\.floors is now mrna\.baselines"),
        ("mrna", "mrna", {"likeness": {}}, r"mrna\.likeness is now mrna\.homology"),
        ("mrna", "mrna", {"students": {"a": {"smaller": 20}}}, r"mrna\.students\.a\.smaller is now compression_ratio"),
        ("had", "dna", {"defaults": {"meet": "pooled"}}, r"dna\.defaults\.meet is now alignment_pooling"),
        ("had", "dna", {"students": {"a": {"fits": ["full"]}}}, r"dna\.students\.a\.fits is now evaluation_methods"),
    ],
)
def test_a_former_key_is_reported_with_its_present_name(recipe, section, keys, sentence):
    with pytest.raises(InputError, match=sentence):
        complete_configuration({"recipe": recipe, "dataset": {"name": "x"}, section: keys}, RECIPES, SCHEMAS)
