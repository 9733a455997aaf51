# What the rules of the recipes had and seqlens read from the configuration.
from genestill.evaluation.settings import SEQUENCE_BASELINES

DNA = config["dna"]
DNA_STUDENTS = dna_students(DNA)
DNA_DISTILLED = distilled_students(DNA)
DNA_PRETRAINED = [
    name for name, one in DNA_STUDENTS.items() if one["method"] == "pretrain"
]
DNA_WINDOWS = f"{RESULTS}/reference/windows.fna.gz"
# A k-mer teacher that is pretrained here reads a window at once.
DNA_TEACHER_CONTEXT = (
    DNA["windows"]["length"] // config["teacher"]["pretraining"]["k"] + 12
)
DNA_TOKENIZER = f"{RESULTS}/student/tokenizer"
DNA_TASKS = DNA["tasks"] or {CLADE_TASK: f"{RESULTS}/reference/phylum.tsv.gz"}
DNA_SETS = {"windows": (DNA_WINDOWS, f"{RESULTS}/reference/windows.parquet")} | {
    f"tasks/{task}": (
        f"{RESULTS}/reference/tasks/{task}.fna.gz",
        f"{RESULTS}/reference/tasks/{task}.parquet",
    )
    for task in DNA_TASKS
}
# Every model by the name of its files: how the tables call it.
DNA_MODELS = dna_models(DNA)
# Whose frozen features are probed and drawn.
DNA_ENCODERS = [*DNA_STUDENTS, *(["teacher"] if DNA_DISTILLED else [])]
# By task: the metric by which everything is chosen, and the passes of fine-tuning that its benchmark publishes.
DNA_METRICS, DNA_PUBLISHED_EPOCHS = {}, {}
if DNA["tasks"]:
    # Imported here: it brings pandas, which no other recipe's start waits for.
    from genestill.evaluation.sequence_tasks.tables import published_protocols

    for task, protocol in published_protocols(
        DNA_TASKS, ROOT / "resources" / "sequence_tasks.tsv"
    ).items():
        DNA_METRICS[task] = protocol.metric
        DNA_PUBLISHED_EPOCHS[task] = protocol.epochs
DNA_SCORES = f"{RESULTS}/evaluation/sequence_tasks"
# Predictions that the user gives, by model and task.
DNA_PEERS = config["evaluation"]["predictions"]
DNA_TSNE_TASK = sorted(DNA_TASKS)[0]


def dna_features(encoder, task):
    """The frozen features of a task's rows under the teacher or a student."""
    if encoder == "teacher":
        return teacher_shards(f"tasks/{task}")
    return [f"{RESULTS}/student/{encoder}/embeddings/{task}.parquet"]


def dna_kind(name):
    """What a student, or the teacher, is in the tables; where some are distilled, those that are not are controls."""
    if name not in DNA_STUDENTS:
        return "teacher"
    untrained = DNA_STUDENTS[name].get("steps") == 0
    control = untrained or (DNA_DISTILLED and name in DNA_PRETRAINED)
    return "control" if control else "student"


def dna_student(name):
    """Command-line options of a student: all its settings but its method and its fits."""
    settings = {"seed": config["seed"]} | {
        key: value
        for key, value in DNA_STUDENTS[name].items()
        if key not in ("method", "evaluation_methods") and value is not None
    }
    if settings.get("initial"):
        settings.pop("architecture", None)
    return options(**settings)


def dna_initial(wildcards):
    """The folder that a student goes on from; a published name is no file."""
    initial = DNA_STUDENTS[wildcards.student].get("initial")
    made = str(initial).startswith(f"{RESULTS}/")
    return initial if initial and (made or Path(initial).exists()) else []


def dna_epochs(task):
    """Passes over the training rows of a task; None leaves it to the command, which makes 20."""
    return (
        DNA["task_epochs"].get(task) or DNA["epochs"] or DNA_PUBLISHED_EPOCHS.get(task)
    )


def dna_metric(wildcards):
    """Option of the metric of a task; the command takes Matthews correlation where no benchmark names another."""
    task = f"{wildcards.benchmark_name}/{wildcards.task}"
    return options(metric=DNA_METRICS.get(task))


def dna_fold(seed):
    """Options of cross-validation: the n-th seed is validated on the n-th fold."""
    folds = DNA["folds"]
    return {"folds": folds, "fold": DNA["seeds"].index(seed) % folds} if folds else {}


def dna_tokenizer(wildcards):
    """The byte-pair tokenizer, for the students that read byte pairs and start afresh."""
    student = DNA_STUDENTS[wildcards.student]
    fresh = not student.get("initial")
    return (
        DNA_TOKENIZER
        if fresh and str(student.get("architecture")).startswith("deberta")
        else []
    )
