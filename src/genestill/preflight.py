"""Checks of a configuration before the first job, for all recipes.

This module is above the stages because it uses checks of some stages: the tasks of a benchmark, and embeddings stored
by other programs.
"""

from pathlib import Path

from genestill.core.configuration import complete_configuration
from genestill.core.contradictions import refuse_contradictions
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.given_paths import refuse_missing_paths, refuse_to_replace
from genestill.core.recipes import asked_of_teacher, results_folder, target_of, with_initial_students
from genestill.student.corrector.settings import EVIDENCE, refuse_same_search


def accept(settings: dict, root: str | Path) -> dict:
    """Check ``settings`` and return the complete configuration.

    Args:
        settings: the user's configuration, as read from YAML; relative paths start in the working directory.
        root: the folder with config/recipes, workflow/schemas and resources.

    Returns:
        A new dict with all defaults, from `complete_configuration`.

    Raises:
        InputError: what is wrong, with the key; see the functions that are called here.
    """
    root = Path(root)
    schemas, resources = root / "workflow" / "schemas", root / "resources"
    configuration = with_initial_students(complete_configuration(settings, root / "config" / "recipes", schemas))
    # Snakemake does not report a missing input file if the outputs exist, so a wrong path would not be noticed.
    refuse_missing_paths(configuration, schemas, resources / "teachers.yaml")
    refuse_contradictions(configuration)
    _refuse_unknown_tasks(configuration, resources / "sequence_tasks.tsv")
    _refuse_unfit_embeddings(configuration)
    _refuse_to_replace_predictions(configuration)
    _refuse_evidence(configuration)
    _refuse_update(configuration)
    _refuse_teacher_that_passed_with_more(configuration)
    return configuration


def require_recipe(target: str, configuration: dict) -> None:
    """Raise `InputError` if the recipe of a configuration has another target than ``target``."""
    recipe = configuration["recipe"]
    if target_of(recipe) != target:
        raise InputError(
            f"target {target}: the configuration is of the recipe {recipe}; expected the target "
            f"{target_of(recipe)}, or --configfile with a configuration of the recipe {target}"
        )


def _refuse_unknown_tasks(configuration: dict, catalogue: Path) -> None:
    """Refuse tasks that the published benchmark does not have."""
    tasks = configuration["dna"]["tasks"]
    if tasks and configuration["recipe"] in ("had", "seqlens"):
        # Imported here because it loads pandas, which other recipes do not need at the start.
        from genestill.evaluation.sequence_tasks.tables import published_protocols

        try:
            published_protocols(tasks, catalogue)
        except InputError as error:
            raise InputError(f"configuration: dna.tasks: {error}") from None


def _refuse_unfit_embeddings(configuration: dict) -> None:
    """Refuse existing stored embeddings that lack what the students need; others are checked later."""
    stored = configuration["teacher"]["embeddings"]
    if stored:
        # Imported here because it loads pandas and pyarrow, which other runs do not need at the start.
        from genestill.teacher.stored import find_stored

        for sequences, representations in asked_of_teacher(configuration).items():
            for representation in representations if Path(stored[sequences]).exists() else ():
                find_stored(sequences, stored[sequences], representation)


def _refuse_to_replace_predictions(configuration: dict) -> None:
    """Refuse predictions at the path of the student's predictions that the workflow did not make."""
    if target_of(configuration["recipe"]) == "taxdistill":
        results, name = results_folder(configuration), configuration["student"]["name"]
        predictions, log = f"{results}/student/{name}/predictions.parquet", f"{results}/logs/student/train_{name}.log"
        refuse_to_replace(predictions, log, name)


def _refuse_evidence(configuration: dict) -> None:
    """Refuse alignments without the genomes of the reference, and two kinds of evidence from the same search."""
    if configuration["recipe"] != "taxdistill":
        return
    evidence = configuration["student"]["evidence"]
    refuse_same_search(evidence, "configuration: student.evidence")
    needing = [name for name in evidence if EVIDENCE[name].needs_genomes]
    if needing and configuration["dataset"]["contigs"] and not configuration["reference"]["genomes"]:
        raise InputError(
            f"configuration: student.evidence: {needing[0]} needs the genomes of the reference, and reference.genomes "
            "is not given; give it, or leave this evidence out"
        )


def _refuse_update(configuration: dict) -> None:
    """Refuse to reuse a search unless it is a kept search of another run for the same contigs."""
    former = configuration["labels"]["update_from"]
    if former is None:
        return
    where = f"configuration: labels.update_from: {former}"
    if configuration["dataset"]["labels"] or not configuration["dataset"]["contigs"]:
        what = "beside dataset.labels" if configuration["dataset"]["labels"] else "without dataset.contigs"
        raise InputError(f"{where} is given {what}; expected the contigs of the former run, and no labels")
    own = Path(results_folder(configuration)) / "labels"
    if Path(former).resolve() == own.resolve():
        raise InputError(
            f"{where} is the results folder of this run; give this run another dataset.name, such as one with the "
            "name of the release"
        )
    for name in ("labels.parquet", "kept/settings.json"):
        if not (Path(former) / name).is_file():
            raise InputError(
                f"{where}: {Path(former) / name}: no such file; run the target keep_search with the former "
                "configuration first, while its database is there"
            )


def _refuse_teacher_that_passed_with_more(configuration: dict) -> None:
    """Refuse a teacher whose earlier check gave a value above the present limit; the check is not repeated."""
    share = configuration["teacher"]["check"]["maximum_relative_loss"]
    file = Path(results_folder(configuration)) / "teacher" / configuration["teacher"]["name"] / "check.json"
    if share is None or not file.is_file():
        return
    found = read_json(file)
    loss, uniform = (found.get(name) for name in ("loss", "uniform")) if isinstance(found, dict) else (None, None)
    if isinstance(loss, float) and isinstance(uniform, float) and not loss < share * uniform:
        raise InputError(
            f"configuration: teacher.check.maximum_relative_loss is {share:g}, but the earlier check of the teacher "
            f"gave {loss / uniform:.3f} ({file}); expected a higher limit or another teacher. If the teacher has "
            "changed, remove that file"
        )
