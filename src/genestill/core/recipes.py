"""What follows from a completed configuration, for the rules and for the checks before the first job."""

from genestill.core.objectives import TRANSCRIPT_OBJECTIVES, parse_objective

# Settings of dna.defaults that the other method of training does not know.
NOT_OF_METHOD = {
    "distil": {"masking", "reverse_complement_augmentation"},
    "pretrain": {"objective", "scope", "alignment_pooling", "teacher"},
}
# What a teacher can be asked for.
REPRESENTATIONS = ("sequence", "token", "base-log-probabilities")
CLADE_TASK = "origin/phylum"  # the task of had and seqlens that is made from genomes where none is given
# In the place of a model that others are compared with: the best of the baselines on held-out training rows.
STRONGEST_BASELINE = "strongest-baseline"


def target_of(recipe: str) -> str:
    """The target that a recipe ends in; a recipe and its published counterpart end in the same."""
    return recipe.removesuffix("-published")


def results_folder(configuration: dict) -> str:
    """Where the results of a run go."""
    return f"results/{configuration['recipe']}/{configuration['dataset']['name']}"


def dna_students(dna: dict) -> dict[str, dict]:
    """Students of had and seqlens by name, without those that are null, each with the defaults that its method knows."""
    return {
        name: {key: value for key, value in dna["defaults"].items() if key not in NOT_OF_METHOD[student["method"]]}
        | student
        for name, student in dna["students"].items()
        if student is not None
    }


def dna_questions(dna: dict) -> dict[str, dict]:
    """Questions of had and seqlens by name, without those that are null."""
    return {name: question for name, question in dna["questions"].items() if question is not None}


def dna_models(dna: dict) -> dict[str, str]:
    """Every model of had and seqlens by the name of its files: how the tables call it.

    Students are measured beside the teacher that they learn from.
    """
    models = {
        f"{name}-{fit}": f"{name} (fit={fit})"
        for name, student in dna_students(dna).items()
        for fit in student.get("evaluation_methods") or dna["evaluation_methods"]
    }
    if distilled_students(dna):
        models["teacher-probe"] = "teacher (fit=probe)"
    return models | {baseline: baseline for baseline in dna["baselines"]}


def distilled_students(dna: dict) -> list[str]:
    """Names of the students of had and seqlens that learn from the teacher."""
    return [name for name, student in dna_students(dna).items() if student["method"] == "distil"]


def mrna_students(mrna: dict) -> dict[str, dict]:
    """Students of the recipe mrna by name, each with the defaults."""
    return {name: {**mrna["defaults"], **own} for name, own in mrna["students"].items()}


def needed_representations(objective: str) -> list[str]:
    """Those of `REPRESENTATIONS` that an objective of the recipe mrna, such as ``mse+0.5*relational``, needs."""
    needed = {TRANSCRIPT_OBJECTIVES[term].needs for term in parse_objective(objective, TRANSCRIPT_OBJECTIVES)}
    return [representation for representation in REPRESENTATIONS if representation in needed]


def reads_pairs(objective: str) -> bool:
    """Whether an objective of the recipe mrna reads each transcript beside a relative of it."""
    return any(TRANSCRIPT_OBJECTIVES[term].pairs for term in parse_objective(objective, TRANSCRIPT_OBJECTIVES))


def asked_of_teacher(configuration: dict) -> dict[str, list[str]]:
    """Sets of sequences that the teacher is asked about, each with the representations that are needed of it."""
    if configuration["recipe"] == "mrna":
        needed = [needed_representations(one["objective"]) for one in mrna_students(configuration["mrna"]).values()]
        corpus = [representation for representation in REPRESENTATIONS if any(representation in one for one in needed)]
        return ({"corpus": corpus} if corpus else {}) | {"benchmark": ["sequence"]}
    if configuration["recipe"] in ("had", "seqlens"):
        dna = configuration["dna"]
        if not distilled_students(dna):
            return {}
        return {"windows": ["token"]} | {f"tasks/{task}": ["sequence"] for task in dna["tasks"] or [CLADE_TASK]}
    return {"contigs": ["sequence"]} if configuration["student"]["teacher"] == "embeddings" else {}
