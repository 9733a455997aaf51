"""Settings that contradict each other are refused before the first job."""

from pathlib import Path

import pytest

from genestill.core.configuration import complete_configuration, merge, read_yaml
from genestill.core.contradictions import refuse_contradictions
from genestill.core.errors import InputError
from genestill.core.recipes import needed_representations, with_initial_students

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
        (
            {"dataset": {"contigs": "a.fna"}, "reference": {"database": "GTDB"}, "student": {"fragments": 60}},
            "student.fragments is above 0",
        ),
        ({"student": {"name": "corrector.seed1"}}, "student.name is 'corrector.seed1'; names that end in .seed"),
        ({"student": {"name": "MMseqs2"}}, "student.name and evaluation.labels_name are both 'MMseqs2'"),
    ],
)
def test_contradictory_settings_of_the_taxonomy_recipe_are_refused(settings, words):
    dataset = {"name": "x"} | settings.pop("dataset", {})
    with pytest.raises(InputError, match=words):
        check({"recipe": "taxdistill", "dataset": dataset, **settings})


def test_a_student_cannot_continue_from_itself_and_one_that_continues_another_names_its_folder():
    dna = {
        "students": {"a": {"method": "pretrain", "initial": "untrained"}, "b": {"method": "pretrain", "initial": "b"}}
    }
    settings = {"recipe": "had", "dataset": {"name": "x"}, "dna": dna}
    completed = with_initial_students(complete_configuration(settings, RECIPES, SCHEMAS))
    assert completed["dna"]["students"]["a"]["initial"] == "results/had/x/student/untrained/model"
    with pytest.raises(InputError, match=r"dna\.students\.b: initial is the student itself"):
        refuse_contradictions(completed)


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda file: file.stem)
def test_configurations_of_the_project_contain_no_contradiction(file):
    check(read_yaml(file))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"recipe": "taxdistill", "reference": {"community": {"median_length": 10}}}, "reference.community: "),
        ({"recipe": "had", "dna": {"windows": {"length": 1}}}, "dna.windows"),
    ],
)
def test_contradictory_settings_of_one_command_are_refused_before_its_job(settings, words):
    with pytest.raises(InputError, match=words):
        check({"dataset": {"name": "x"}, **settings})


@pytest.mark.parametrize(
    ("dna", "words"),
    [
        (
            {"questions": {"x": {"model": "nobody", "minus": "cnn"}}},
            "dna.questions.x.model is 'nobody'; expected one of",
        ),
        ({"trainings": 2}, "dna.trainings is 2, but there are 1 dna.seeds"),
        ({"compared_with": "undistilled"}, "dna.compared_with is 'undistilled'; expected one of distilled-probe"),
        ({"task_epochs": {"gue/mouse": 3}}, "dna.task_epochs names 'gue/mouse'; expected one of origin/phylum"),
        (
            {"questions": {"x": {"model": "distilled", "minus": "untrained", "tasks": ["a/b"]}}},
            "dna.questions.x.tasks names 'a/b'; expected some of origin/phylum",
        ),
        ({"admission_tasks": ["a/b"]}, "dna.admission_tasks names 'a/b'"),
        ({"by_method": {"probe": {"tasks": ["a/b"]}}}, "dna.by_method.probe.tasks names 'a/b'"),
        ({"by_method": {"full": {"seeds": [1, 4]}}}, "dna.by_method.full.seeds names 4; expected some of dna.seeds"),
        ({"protocol": "published", "folds": 3, "seeds": [1, 2, 3]}, "expected no dna.folds"),
        ({"students": {"a": {"method": "pretrain", "corpus": "b"}}}, "dna.students.a: corpus is 'b'; expected one of"),
        (
            {"students": {"a": {"method": "pretrain", "tokens": "3-mers"}}},
            "tokens and attention are settings of deberta",
        ),
        ({"students": {"a": {"method": "pretrain", "teacher": "random"}}}, "teacher is not a setting of the method"),
        ({"folds": 3}, "dna.folds is 3, but there are 1 dna.seeds"),
        ({"students": {"a": {"method": "distil", "masking": "groups"}}}, "dna.students.a: masking is not a setting of"),
        ({"students": {"a": {"method": "distil", "objective": "aligned"}}}, r"students\.a: .* no term 'aligned'"),
        ({"students": {"a": {"method": "distil", "alignment": 0}}}, r"alignment is now a weight in objective"),
        ({"students": {"a": {"method": "pretrain", "architecture": None}}}, "neither architecture nor initial"),
        (
            {"students": {"a": {"method": "pretrain", "architecture": "deberta-tiny", "reverse_complement": True}}},
            "dna.students.a: reverse_complement is for students of single bases",
        ),
        (
            {"defaults": {"architecture": "deberta-tiny"}},
            "dna.students.undistilled: masking is groups, which masks single",
        ),
        ({"windows": {"length": 240}}, "dna.students.distilled: max_tokens is 180, less than the 240 bases"),
    ],
)
def test_settings_that_would_make_a_dna_student_fail_or_mislead_later_are_refused(dna, words):
    settings = read_yaml(ROOT / "config" / "had-demo.yaml")
    with pytest.raises(InputError, match=words):
        check(merge(settings, {"dna": dna}))


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        (
            "had",
            {"teacher": {"strands": "both"}},
            "strands is both, but .* representation token of the windows",
        ),
        ("had", {"teacher": {"window": "first"}}, "teacher.window is first"),
        ("had", {"teacher": {"pretraining": {"k": 3}}}, "expected nucleotide-transformer and k 6"),
        ("had", {"teacher": {"layer": 99}}, "teacher.layer is 99, but .*layers is 2; expected -3 to 2"),
        ("mrna", {"teacher": {"strands": "both"}}, "representation base-log-probabilities of the corpus"),
        ("had", {"teacher": {"pooling": "regions"}}, "teacher.pooling is regions, which only transcripts have"),
        ("mrna", {"teacher": {"pooling": "regions", "reads": "cds"}}, "reads no untranslated region"),
        ("mrna", {"mrna": {"species": {"human": ["coding"]}}}, "mrna.species.human names coding; .* there are none"),
        ("mrna", {"mrna": {"students": {"teacher": {}}}}, "mrna.students.teacher has the same name as teacher.name"),
        ("mrna", {"mrna": {"students": {"kmers-1-3": {}}}}, "kmers-1-3 has the same name as mrna.baselines.kmers-1-3"),
    ],
)
def test_a_teacher_without_the_representations_that_the_students_need_is_refused(recipe, settings, words):
    with pytest.raises(InputError, match=words):
        check(merge(read_yaml(ROOT / "config" / f"{recipe}-demo.yaml"), settings))


def test_any_strands_and_windows_of_the_teacher_are_accepted_if_students_match_whole_sequences():
    settings = merge(read_yaml(ROOT / "config" / "mrna-demo.yaml"), {"teacher": {"strands": "both"}})
    settings["mrna"]["students"] = {"embeddings": {"objective": "mse"}}
    check(settings)


def test_an_objective_needs_the_representations_of_its_terms():
    assert needed_representations("logits+mse+0.5*relational") == ["sequence", "base-log-probabilities"]
    assert needed_representations("masked") == []


@pytest.mark.parametrize(
    ("recipe", "section", "words"),
    [
        ("mrna", {"mrna": {"students": {"a": {"objective": "mze"}}}}, r"mrna\.students\.a: objective 'mze': no term"),
        (
            "had",
            {"dna": {"students": {"a": {"method": "pretrain", "warmup": float("nan")}}}},
            r"\.a\.warmup: nan is not a finite number",
        ),
        (
            "mrna",
            {"mrna": {"tasks": {"a": {"most_left_out": float("nan")}}}},
            r"tasks\.a\.most_left_out: nan is not a finite",
        ),
    ],
)
def test_settings_of_a_student_or_a_task_are_refused_before_the_first_job(recipe, section, words):
    task = {"kind": "regression", "table": "a.tsv:id=id", "target": "b"}
    settings = read_yaml(ROOT / "config" / f"{recipe}-demo.yaml")
    for entry in section.get("mrna", {}).get("tasks", {}).values():
        entry.update(task)
    with pytest.raises(InputError, match=words):
        check(merge(settings, section))


STORED = {"corpus": "c.parquet", "benchmark": "b.parquet"}
SIZED = {"defaults": {"parameters": 5000}, "students": {"embeddings": {"objective": "mse+token"}}}


def test_stored_embeddings_are_accepted_as_a_teacher(tmp_path):
    check({"recipe": "mrna", "dataset": {"name": "x"}, "teacher": {"embeddings": STORED}, "mrna": SIZED})


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        ("mrna", {"teacher": {"embeddings": STORED, "model": "./m"}, "mrna": SIZED}, "both teacher.model and"),
        ("mrna", {"teacher": {"embeddings": {"corpus": "c"}}, "mrna": SIZED}, "teacher.embeddings has no benchmark"),
        (
            "mrna",
            {"teacher": {"embeddings": STORED | {"windows": "w"}}, "mrna": SIZED},
            "windows is not read",
        ),
        ("mrna", {"teacher": {"embeddings": STORED}, "mrna": {"students": {"l": {"objective": "logits"}}}}, "logits"),
        ("mrna", {"teacher": {"embeddings": STORED}, "mrna": {"students": {"e": {"objective": "mse"}}}}, "give param"),
        ("seqlens", {"teacher": {"embeddings": {"windows": "w"}}}, "nothing is learnt from the teacher"),
        ("had", {"teacher": {"embeddings": {"windows": "w"}}}, "teacher.embeddings has no tasks/origin/phylum"),
        ("taxdistill", {"teacher": {"embeddings": {"contigs": "c"}}, "student": {"teacher": "none"}}, "nothing is"),
    ],
)
def test_stored_embeddings_that_do_not_match_the_run_are_refused(recipe, settings, words):
    with pytest.raises(InputError, match=words):
        check({"recipe": recipe, "dataset": {"name": "x"}, **settings})


@pytest.mark.parametrize(
    ("recipe", "given", "words"),
    [
        ("taxdistill", {"mine": {"origin/phylum": "a.tsv"}}, "has the keys origin/phylum; expected a file, or table"),
        ("had", {"mine": "a.tsv"}, "is 'a.tsv'; expected a file per task, as origin/phylum: FILE"),
        ("had", {"mine": {"origin/genus": "a.tsv"}}, "contains the task 'origin/genus'; expected one of origin/phylum"),
        ("had", {"mine": {}}, "has no file for the task origin/phylum"),
        ("had", {"mine": {"table": "a.tsv"}}, "does not read evaluation.predictions.mine.table"),
        ("had", {"distilled": {"origin/phylum": "a.tsv"}}, "has the same name as dna.students.distilled"),
        ("had", {"teacher": {"origin/phylum": "a.tsv"}}, "has the same name as the teacher"),
        ("seqlens", {"kmer": {"origin/phylum": "a.tsv"}}, "has the same name as the baseline kmer"),
        ("mrna", {"mine": {"origin/phylum": "a.tsv"}}, "evaluation.predictions.mine is not a file"),
        ("mrna", {"teacher": "a.npz"}, "has the same name as teacher.name"),
    ],
)
def test_predictions_of_other_models_must_match_the_recipe_and_have_unique_names(recipe, given, words):
    with pytest.raises(InputError, match=words):
        check({"recipe": recipe, "dataset": {"name": "x"}, "evaluation": {"predictions": given}})


@pytest.mark.parametrize("recipe", ["mrna", "had", "seqlens"])
def test_only_the_taxonomy_recipes_read_the_other_settings_of_the_evaluation(recipe):
    for key, value in {"labels_name": "x", "resamples": 500, "amber": True, "benchmark": {"corrector": 2}}.items():
        with pytest.raises(InputError, match=rf"the recipe {recipe} does not read evaluation\.{key}"):
            check({"recipe": recipe, "dataset": {"name": "x"}, "evaluation": {key: value}})


def test_names_of_mrna_students_and_their_trainings_differ_from_those_of_peers():
    mrna = {"students": {"small": {"objective": "mse"}}, "seeds": [3]}
    for name in ("small", "small.seed3"):
        settings = {"recipe": "mrna", "dataset": {"name": "x"}, "mrna": mrna}
        with pytest.raises(InputError, match=r"mrna\.students\.small"):
            check(settings | {"evaluation": {"predictions": {name: "a.npz"}}})
