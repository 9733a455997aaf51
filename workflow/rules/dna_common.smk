# Values from the configuration for the rules of the recipes had and seqlens.
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
    """The name of the folder of one training of a student."""
    return student if DNA_NUMBER_OF_TRAININGS == 1 else f"{student}.{number + 1}"


# Folder -> student and number of the training, from 0.
DNA_TRAININGS = {
    dna_folder(name, number): (name, number)
    for name in DNA_STUDENTS
    for number in range(DNA_NUMBER_OF_TRAININGS)
}
DNA_QUESTIONS = dna_questions(DNA)
DNA_ORIGIN_TASKS = DNA["origin_tasks"]
DNA_CORPORA = DNA["corpora"]
DNA_WINDOWS = f"{RESULTS}/reference/windows.fna.gz"
# Of computed features: stretches of genomes of 16 windows each, from which every step cuts new ones.
DNA_FEATURES_COMPUTED = DNA["teacher_features"] == "computed"
DNA_REGIONS = f"{RESULTS}/reference/regions.fna.gz"
# A k-mer teacher that is pretrained here has the context of one window.
DNA_TEACHER_CONTEXT = (
    DNA["windows"]["length"] // config["teacher"]["pretraining"]["k"] + 12
)
DNA_TOKENIZERS = f"{RESULTS}/student/tokenizers"
# The tables of the tasks: given ones, and those that the workflow makes.
DNA_GIVEN_TASKS = DNA["tasks"]
DNA_MADE_TASKS = {
    task: f"{RESULTS}/reference/{task}.tsv.gz" for task in DNA_ORIGIN_TASKS
}
if not (DNA_GIVEN_TASKS or DNA_MADE_TASKS):
    DNA_MADE_TASKS = {CLADE_TASK: f"{RESULTS}/reference/phylum.tsv.gz"}
DNA_WHOLE_TASKS = {**DNA_GIVEN_TASKS, **DNA_MADE_TASKS}
# Rows of a task that are used: all rows, or drawn ones.
DNA_MOST_ROWS = {
    "maximum_training_rows": DNA["maximum_training_rows"],
    "maximum_test_rows": DNA["maximum_test_rows"],
}
DNA_TASKS = (
    {task: f"{RESULTS}/reference/tasks/{task}.tsv.gz" for task in DNA_WHOLE_TASKS}
    if any(DNA_MOST_ROWS.values())
    else DNA_WHOLE_TASKS
)
# Test genomes of the default task, from which no windows for training are cut.
DNA_HELD_OUT = "phylum" if CLADE_TASK in DNA_MADE_TASKS else None
DNA_ADMISSION_TASKS = DNA["admission_tasks"] or dna_way(DNA, "probe").tasks
DNA_SETS = {"windows": (DNA_WINDOWS, f"{RESULTS}/reference/windows.parquet")} | {
    f"tasks/{task}": (
        f"{RESULTS}/reference/tasks/{task}.fna.gz",
        f"{RESULTS}/reference/tasks/{task}.parquet",
    )
    for task in DNA_TASKS
}
# All models: name in files -> name in tables.
DNA_MODELS = dna_models(DNA)
# Models whose frozen features are probed and drawn.
DNA_ENCODERS = [*DNA_STUDENTS, *(["teacher"] if DNA_DISTILLED else [])]
# By task: the metric for all choices, the published number of fine-tuning epochs of its benchmark and, if requested,
# its folds and number of runs.
DNA_METRICS, DNA_PUBLISHED_EPOCHS, DNA_PUBLISHED_FOLDS, DNA_RUNS = {}, {}, {}, {}
if DNA["tasks"]:
    # Imported here because it loads pandas, which other recipes do not need at the start.
    from genestill.evaluation.sequence_tasks.tables import published_protocols

    for task, protocol in published_protocols(
        DNA_GIVEN_TASKS, ROOT / "resources" / "sequence_tasks.tsv"
    ).items():
        DNA_METRICS[task] = protocol.metric
        DNA_PUBLISHED_EPOCHS[task] = protocol.epochs
        if DNA["protocol"] == "published":
            DNA_PUBLISHED_FOLDS[task] = protocol.folds
            DNA_RUNS[task] = max(protocol.folds, protocol.seeds)
DNA_SCORES = f"{RESULTS}/evaluation/sequence_tasks"
# Predictions given by the user, by model and task.
DNA_PEERS = config["evaluation"]["predictions"]
DNA_TSNE_TASK = sorted(dna_way(DNA, "probe").tasks)[0]
DNA_PREDICTIONS = [
    f"{DNA_SCORES}/predictions/{cell.file}.parquet" for cell in dna_cells(DNA, DNA_RUNS)
]


def dna_place(task, seed):
    """The position of a seed among the seeds of a task, from 0."""
    return int(seed) - 1 if DNA_RUNS.get(task) else DNA["seeds"].index(int(seed))


def dna_number(task, seed):
    """The number, from 0, of the training of a student that is evaluated on a task with a seed."""
    return dna_place(task, seed) % DNA_NUMBER_OF_TRAININGS


def dna_training_number(student, wildcards):
    """The option for the number of a student's training, from 1; none for the teacher."""
    task = f"{wildcards.benchmark_name}/{wildcards.task}"
    number = dna_number(task, wildcards.model_seed) + 1
    return options(training=number if student in DNA_STUDENTS else None)


def dna_training(student, task, seed):
    """The folder of the training of a student that is evaluated on a task with a seed."""
    return f"{RESULTS}/student/{dna_folder(student, dna_number(task, seed))}"


def dna_model(wildcards):
    """The model to fine-tune: a training of a student, or the teacher after its check."""
    if wildcards.student == "teacher":
        return [TEACHER_MODEL, TEACHER_PASSED]
    task = f"{wildcards.benchmark_name}/{wildcards.task}"
    return [f"{dna_training(wildcards.student, task, wildcards.model_seed)}/model"]


def dna_pooling(student):
    """The pooling of a student or of the teacher."""
    own = DNA_STUDENTS[student].get("pooling") if student in DNA_STUDENTS else None
    return own or DNA["pooling"]


def dna_folders(students):
    """Regular expression for the folder names of all trainings of students."""
    names = [
        name for name, (student, _) in DNA_TRAININGS.items() if student in students
    ]
    return "|".join(map(re.escape, names)) or "(?!)"


def dna_features(encoder, task, seed):
    """The frozen features of a task's rows, of the teacher or of the training of a student for a seed."""
    if encoder == "teacher":
        return teacher_shards(f"tasks/{task}")
    return [f"{dna_training(encoder, task, seed)}/embeddings/{task}.parquet"]


def dna_of_teacher(wildcards):
    """What a student is distilled from: sequences, and stored features of its teacher (or of one with random weights),
    or the teacher itself, which computes them.
    """
    student, _ = DNA_TRAININGS[wildcards.student]
    random = DNA_STUDENTS[student].get("teacher") == "random"
    if DNA_FEATURES_COMPUTED:
        teacher = f"{RANDOM_TEACHER}/model" if random else TEACHER_MODEL
        return {"sequences": DNA_REGIONS, "teacher": teacher, "passed": TEACHER_PASSED}
    folder = RANDOM_TEACHER if random else None
    features = teacher_shards("windows", "token", folder)
    return {"sequences": DNA_WINDOWS, "features": features}


def dna_distillation_options(wildcards, input):
    """Options of stored or computed features."""
    if not DNA_FEATURES_COMPUTED:
        return options(features=input.features)
    return options(
        teacher=input.teacher,
        layer=config["teacher"]["layer"],
        dtype=config["teacher"]["dtype"],
        window_length=DNA["windows"]["length"],
        shortest_window=DNA["windows"]["shortest"],
    )


def dna_kind(name):
    """The kind of a student or the teacher in tables; if some students are distilled, the others are controls."""
    if name not in DNA_STUDENTS:
        return "teacher"
    untrained = dna_untrained(name)
    from_random = DNA_STUDENTS[name].get("teacher") == "random"
    control = untrained or from_random or (DNA_DISTILLED and name in DNA_PRETRAINED)
    return "control" if control else "student"


def dna_untrained(name):
    """Whether neither a student nor its initial student is trained."""
    initial = DNA_STUDENTS[name].get("initial")
    of_run = [
        other for other in DNA_STUDENTS if initial == f"{RESULTS}/student/{other}/model"
    ]
    return DNA_STUDENTS[name].get("steps") == 0 and (
        not initial or any(map(dna_untrained, of_run))
    )


# Settings of students that are not options of their training.
DNA_NOT_OF_TRAINING = {
    "method",
    "evaluation_methods",
    "teacher",
    "corpus",
    "tokens",
    "pooling",
    "learning_rates",
    "training_rows",
}


def dna_student(name):
    """Command-line options of a student: all its settings except those of the rules and of its evaluation."""
    student, number = DNA_TRAININGS[name]
    settings = {"seed": config["seed"]} | {
        key: value
        for key, value in DNA_STUDENTS[student].items()
        if key not in DNA_NOT_OF_TRAINING and value is not None
    }
    settings["seed"] += number
    if settings.get("initial"):
        for key in ("architecture", "attention", "parameters"):
            settings.pop(key, None)
        settings["initial"] = dna_start(name)
    return options(**settings)


def dna_start(name):
    """The initial model of a training; for another student, its training with the same number."""
    student, number = DNA_TRAININGS[name]
    initial = str(DNA_STUDENTS[student].get("initial") or "")
    for other in DNA_STUDENTS:
        if initial == f"{RESULTS}/student/{other}/model":
            return f"{RESULTS}/student/{dna_folder(other, number)}/model"
    return initial


def dna_initial(wildcards):
    """The folder of the initial student; published names are not files."""
    initial = dna_start(wildcards.student)
    made = str(initial).startswith(f"{RESULTS}/")
    return initial if initial and (made or Path(initial).exists()) else []


def dna_fine_tuning(wildcards):
    """Options of a fine-tuning: learning rates and epochs of its method, folds, and common options.

    With epochs of None, the default of the command is used (20).
    """
    task = f"{wildcards.benchmark_name}/{wildcards.task}"
    way, student = dna_way(DNA, wildcards.method), wildcards.student
    own = (
        DNA_STUDENTS[student].get("learning_rates") if student in DNA_STUDENTS else None
    )
    epochs = (
        DNA["task_epochs"].get(task) or way.epochs or DNA_PUBLISHED_EPOCHS.get(task)
    )
    return options(
        reverse_complement_augmentation=DNA["reverse_complement_augmentation"],
        epochs=epochs,
        batch=DNA["batch"],
        learning_rates=own or way.learning_rates,
        **dna_fold(task, wildcards.model_seed),
    )


def dna_metric(wildcards):
    """The option for the metric of a task; the default of the command is MCC."""
    task = f"{wildcards.benchmark_name}/{wildcards.task}"
    return options(metric=DNA_METRICS.get(task))


def dna_rows(wildcards):
    """The option for the number of training rows of a model."""
    return options(rows=None if wildcards.rows == "all" else int(wildcards.rows))


def dna_fold(task, seed):
    """Options of cross-validation: the n-th seed is validated on the n-th fold."""
    folds = DNA["folds"] or DNA_PUBLISHED_FOLDS.get(task)
    return {"folds": folds, "fold": dna_place(task, seed) % folds} if folds else {}


def dna_tokens(student):
    """The input of a student, as in the name of its tokenizer's folder: bpe-4096, 6-mers."""
    return DNA_STUDENTS[student].get("tokens") or f"bpe-{DNA['vocabulary']}"


def dna_tokenizer(wildcards):
    """The tokenizer of a new student that does not read single bases."""
    name, _ = DNA_TRAININGS[wildcards.student]
    student = DNA_STUDENTS[name]
    fresh = not student.get("initial")
    return (
        f"{DNA_TOKENIZERS}/{dna_tokens(name)}"
        if fresh and str(student.get("architecture")).startswith("deberta")
        else []
    )


def dna_corpus(wildcards):
    """The windows for the pretraining of a student."""
    name, _ = DNA_TRAININGS[wildcards.student]
    corpus = DNA_STUDENTS[name].get("corpus")
    return f"{RESULTS}/reference/windows/{corpus}.fna.gz" if corpus else DNA_WINDOWS


def dna_window_settings(corpus, region_windows=None):
    """Options of the windows of a corpus; None: the windows of all students without a corpus."""
    given = {**DNA["windows"], **(DNA_CORPORA[corpus] if corpus else {})}
    settings = {key: value for key, value in given.items() if key != "genomes"}
    return options(
        **settings, without_tests_of=DNA_HELD_OUT, region_windows=region_windows
    )


def dna_genomes(given):
    """Tables of genomes: the given ones, else that of the run."""
    return given or [COMMUNITY_GENOMES]
