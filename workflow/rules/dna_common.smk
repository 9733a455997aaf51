# What the rules of the recipes had and seqlens read from the configuration.
import re

from genestill.evaluation.settings import SEQUENCE_BASELINES

DNA = config["dna"]
DNA_STUDENTS = dna_students(DNA)
DNA_DISTILLED = distilled_students(DNA)
DNA_PRETRAINED = [
    name for name, one in DNA_STUDENTS.items() if one["method"] == "pretrain"
]
DNA_NUMBER_OF_TRAININGS = DNA["trainings"] or 1


def dna_folder(student, number):
    """The name of the folder of a training of a student."""
    return student if DNA_NUMBER_OF_TRAININGS == 1 else f"{student}.{number + 1}"


# Every training of a student by the name of its folder: the student, and which training of it, from 0.
DNA_TRAININGS = {
    dna_folder(name, number): (name, number)
    for name in DNA_STUDENTS
    for number in range(DNA_NUMBER_OF_TRAININGS)
}
# Training rows of the tasks, as files are called.
DNA_ROWS = ["all" if rows is None else rows for rows in DNA["training_rows"]]
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


def dna_training(student, seed):
    """The folder of the training of a student that is evaluated with a seed."""
    number = DNA["seeds"].index(int(seed)) % DNA_NUMBER_OF_TRAININGS
    return f"{RESULTS}/student/{dna_folder(student, number)}"


def dna_folders(students):
    """Regular expression of the names of the folders of all trainings of students."""
    names = [
        name for name, (student, _) in DNA_TRAININGS.items() if student in students
    ]
    return "|".join(map(re.escape, names)) or "(?!)"


def dna_features(encoder, task, seed):
    """The frozen features of a task's rows under the teacher or the training of a student that belongs to a seed."""
    if encoder == "teacher":
        return teacher_shards(f"tasks/{task}")
    return [f"{dna_training(encoder, seed)}/embeddings/{task}.parquet"]


def dna_token_features(wildcards):
    """The token features of the windows that a student is aligned with: of its teacher, or of one with random weights."""
    student, _ = DNA_TRAININGS[wildcards.student]
    random = DNA_STUDENTS[student]["teacher"] == "random"
    return (
        teacher_shards("windows", "token", RANDOM_TEACHER)
        if random
        else teacher_shards("windows", "token")
    )


def dna_kind(name):
    """What a student, or the teacher, is in the tables; where some are distilled, those that are not are controls."""
    if name not in DNA_STUDENTS:
        return "teacher"
    untrained = DNA_STUDENTS[name].get("steps") == 0
    from_random = DNA_STUDENTS[name].get("teacher") == "random"
    control = untrained or from_random or (DNA_DISTILLED and name in DNA_PRETRAINED)
    return "control" if control else "student"


def dna_student(name):
    """Command-line options of a student: all its settings but its method and its fits."""
    student, number = DNA_TRAININGS[name]
    settings = {"seed": config["seed"]} | {
        key: value
        for key, value in DNA_STUDENTS[student].items()
        if key not in ("method", "evaluation_methods", "teacher") and value is not None
    }
    settings["seed"] += number
    if settings.get("initial"):
        settings.pop("architecture", None)
        settings["initial"] = dna_start(name)
    return options(**settings)


def dna_start(name):
    """What a training of a student goes on from; of another student the training of the same number."""
    student, number = DNA_TRAININGS[name]
    initial = str(DNA_STUDENTS[student].get("initial") or "")
    for other in DNA_STUDENTS:
        if initial == f"{RESULTS}/student/{other}/model":
            return f"{RESULTS}/student/{dna_folder(other, number)}/model"
    return initial


def dna_initial(wildcards):
    """The folder that a student goes on from; a published name is no file."""
    initial = dna_start(wildcards.student)
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


def dna_rows(wildcards):
    """Option of the training rows that a model is fitted on."""
    return options(rows=None if wildcards.rows == "all" else int(wildcards.rows))


def dna_fold(seed):
    """Options of cross-validation: the n-th seed is validated on the n-th fold."""
    folds = DNA["folds"]
    return {"folds": folds, "fold": DNA["seeds"].index(seed) % folds} if folds else {}


def dna_tokenizer(wildcards):
    """The byte-pair tokenizer, for the students that read byte pairs and start afresh."""
    student = DNA_STUDENTS[DNA_TRAININGS[wildcards.student][0]]
    fresh = not student.get("initial")
    return (
        DNA_TOKENIZER
        if fresh and str(student.get("architecture")).startswith("deberta")
        else []
    )
