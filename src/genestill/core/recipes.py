"""Values derived from a completed configuration, for the rules and for the checks before the first job."""

from collections.abc import Mapping
from dataclasses import dataclass

from genestill.core.objectives import TRANSCRIPT_OBJECTIVES, parse_objective

# Settings of students of had and seqlens that the other method of training does not have.
NOT_OF_METHOD = {
    "distil": {"masking", "reverse_complement_augmentation", "corpus"},
    "pretrain": {"objective", "scope", "alignment_pooling", "teacher"},
}
# Outputs of a teacher.
REPRESENTATIONS = ("sequence", "token", "base-log-probabilities")
CLADE_TASK = "origin/phylum"  # the task of had and seqlens that is made from genomes if no task is given
# As the model that others are compared with: the best baseline on held-out training rows.
STRONGEST_BASELINE = "strongest-baseline"


def target_of(recipe: str) -> str:
    """The target of a recipe; the published variant of a recipe has the same target."""
    return recipe.removesuffix("-published")


def results_folder(configuration: dict) -> str:
    """The folder for the results of a run."""
    return f"results/{configuration['recipe']}/{configuration['dataset']['name']}"


def dna_students(dna: dict) -> dict[str, dict]:
    """Students of had and seqlens by name, except for null entries; each with the defaults of its method."""
    return {
        name: {key: value for key, value in dna["defaults"].items() if key not in NOT_OF_METHOD[student["method"]]}
        | student
        for name, student in dna["students"].items()
        if student is not None
    }


def dna_questions(dna: dict) -> dict[str, dict]:
    """Questions of had and seqlens by name, except for null entries."""
    return {name: question for name, question in dna["questions"].items() if question is not None}


def dna_methods(dna: dict) -> dict[str, list[str]]:
    """The evaluation methods of each student of had and seqlens, and of the teacher if there is one."""
    methods = {
        name: student.get("evaluation_methods") or dna["evaluation_methods"]
        for name, student in dna_students(dna).items()
    }
    if needs_dna_teacher(dna):
        methods["teacher"] = dna["teacher_evaluation_methods"]
    return methods


def needs_dna_teacher(dna: dict) -> bool:
    """Whether had or seqlens has a teacher: for distillation, or for fine-tuning as a comparison."""
    return bool(distilled_students(dna)) or dna["teacher_evaluation_methods"] != ["probe"]


def dna_models(dna: dict) -> dict[str, str]:
    """All models of had and seqlens (students, teacher, baselines): name in files -> name in tables."""
    models = {f"{name}-{fit}": f"{name} (fit={fit})" for name, fits in dna_methods(dna).items() for fit in fits}
    return models | {baseline: baseline for baseline in dna["baselines"]}


@dataclass(frozen=True)
class Cell:
    """One fit of had or seqlens: a model by its name in files, a task, training rows (None: all), and a seed."""

    model: str
    task: str
    rows: int | None
    seed: int

    @property
    def file(self) -> str:
        """The path of its predictions, without the suffix."""
        return f"{self.task}/{self.model}.{self.rows or 'all'}.{self.seed}"


def dna_tasks(dna: dict) -> list[str]:
    """Tasks of had and seqlens: given as tables, made from genomes, or the default task."""
    return [*dna["tasks"], *dna["origin_tasks"]] or [CLADE_TASK]


@dataclass(frozen=True)
class Way:
    """The settings for evaluating models of had and seqlens by one method: the general ones, or those of the method.

    ``training_rows`` are specific to the method, or None.
    """

    tasks: list[str]
    seeds: list[int]
    training_rows: list[int | None] | None
    learning_rates: list[float]
    epochs: int | None


def _general_way(dna: dict) -> Way:
    return Way(dna_tasks(dna), dna["seeds"], None, dna["learning_rates"], dna["epochs"])


def dna_way(dna: dict, method: str) -> Way:
    """The settings of a method of evaluation: ``dna.by_method`` merged over the general settings."""
    general = _general_way(dna)
    if method not in dna["by_method"]:
        return general
    return Way(
        dna["by_method"][method]["tasks"] or general.tasks,
        dna["by_method"][method]["seeds"] or general.seeds,
        dna["by_method"][method]["training_rows"],
        dna["by_method"][method]["learning_rates"] or general.learning_rates,
        dna["by_method"][method]["epochs"] or general.epochs,
    )


def dna_cells(dna: dict, runs: Mapping[str, int] | None = None) -> list[Cell]:
    """All fits of a run, without repetitions; baselines are fitted in the same settings as students and teacher.

    Without students and teacher, baselines are fitted in the general settings. ``runs`` are the numbers of runs that
    benchmarks publish, by task; their seeds are 1, 2 and so on.
    """
    settings: list[tuple[list[str], Way, list[int | None] | None]] = []
    for name, methods in dna_methods(dna).items():
        own = dna["students"][name].get("training_rows") if name in dna["students"] else None
        settings += [([f"{name}-{method}"], dna_way(dna, method), own) for method in methods]
    found: dict[Cell, None] = {}
    for models, way, own in settings or [([], _general_way(dna), None)]:
        for task in way.tasks:
            published = (runs or {}).get(task)
            seeds = range(1, published + 1) if published else way.seeds
            for rows in way.training_rows or own or dna["training_rows"]:
                for model in (*models, *dna["baselines"]):
                    found |= {Cell(model, task, rows, seed): None for seed in seeds}
    return list(found)


def with_initial_students(configuration: dict) -> dict:
    """The configuration with folders in place of names for students that continue from another student of the run."""
    if configuration["recipe"] not in ("had", "seqlens"):
        return configuration
    dna, folder = configuration["dna"], results_folder(configuration)
    students = {
        name: student | {"initial": f"{folder}/student/{student['initial']}/model"}
        if student and student.get("initial") in dna["students"]
        else student
        for name, student in dna["students"].items()
    }
    return configuration | {"dna": dna | {"students": students}}


def distilled_students(dna: dict) -> list[str]:
    """Names of the students of had and seqlens that are distilled from the teacher."""
    return [name for name, student in dna_students(dna).items() if student["method"] == "distil"]


def mrna_students(mrna: dict) -> dict[str, dict]:
    """Students of the recipe mrna by name, each with all defaults."""
    return {name: {**mrna["defaults"], **own} for name, own in mrna["students"].items()}


def needed_representations(objective: str) -> list[str]:
    """The `REPRESENTATIONS` that an objective of the recipe mrna, such as ``mse+0.5*relational``, needs."""
    needed = {TRANSCRIPT_OBJECTIVES[term].needs for term in parse_objective(objective, TRANSCRIPT_OBJECTIVES)}
    return [representation for representation in REPRESENTATIONS if representation in needed]


def reads_pairs(objective: str) -> bool:
    """Whether an objective of the recipe mrna pairs each transcript with a related one."""
    return any(TRANSCRIPT_OBJECTIVES[term].pairs for term in parse_objective(objective, TRANSCRIPT_OBJECTIVES))


def asked_of_teacher(configuration: dict) -> dict[str, list[str]]:
    """Sets of sequences that the teacher embeds, each with the required representations."""
    if configuration["recipe"] == "mrna":
        needed = [needed_representations(one["objective"]) for one in mrna_students(configuration["mrna"]).values()]
        corpus = [representation for representation in REPRESENTATIONS if any(representation in one for one in needed)]
        return ({"corpus": corpus} if corpus else {}) | {"benchmark": ["sequence"]}
    if configuration["recipe"] in ("had", "seqlens"):
        dna = configuration["dna"]
        asked = {f"tasks/{task}": ["sequence"] for task in dna_way(dna, "probe").tasks}
        stored = {} if dna["teacher_features"] == "computed" else {"windows": ["token"]}
        return stored | asked if distilled_students(dna) else {}
    return {"contigs": ["sequence"]} if configuration["student"]["teacher"] == "embeddings" else {}
