# What the rules of the recipes had and seqlens read from the configuration.
DNA = config["dna"]
# Of the defaults, those that a student's method knows.
DNA_NOT_OF_METHOD = {
    "distil": {"masking"},
    "pretrain": {"alignment", "reconstruction", "scope", "meet"},
}
DNA_STUDENTS = {
    name: {
        key: value
        for key, value in DNA["defaults"].items()
        if key not in DNA_NOT_OF_METHOD[student["method"]]
    }
    | student
    for name, student in DNA["students"].items()
}


def dna_mistake(name):
    """What would stop or mislead the training of a student, as a sentence; None where nothing would."""
    given, whole = DNA["students"][name], DNA_STUDENTS[name]
    method, length = given["method"], DNA["windows"]["length"]
    if strange := sorted(given.keys() & DNA_NOT_OF_METHOD[method]):
        return f"{strange[0]} is not a setting of the method {method}"
    if not whole.get("alignment", 1) and not whole.get("reconstruction", 1):
        return "alignment and reconstruction are both 0; expected a weight of one (or method: pretrain)"
    if whole.get("initial"):
        return None
    if not whole.get("architecture"):
        return "neither architecture nor initial is given; expected one of them"
    byte_pairs = whole["architecture"].startswith("deberta")
    if not byte_pairs and whole["max_tokens"] < length:
        return f"max_tokens is {whole['max_tokens']}, less than the {length} bases of a window"
    return None


for name in DNA_STUDENTS:
    if mistake := dna_mistake(name):
        raise WorkflowError(f"configuration: dna.students.{name}: {mistake}")
DNA_DISTILLED = [
    name for name, one in DNA_STUDENTS.items() if one["method"] == "distil"
]
DNA_PRETRAINED = [
    name for name, one in DNA_STUDENTS.items() if one["method"] == "pretrain"
]
DNA_WINDOWS = f"{RESULTS}/reference/windows.fna.gz"
# A k-mer teacher that is pretrained here reads a window at once.
DNA_TEACHER_CONTEXT = (
    DNA["windows"]["length"] // config["teacher"]["pretraining"]["k"] + 12
)
DNA_TEACHER_POOLING = "first" if DNA["pooling"] == "cls" else DNA["pooling"]
DNA_TOKENIZER = f"{RESULTS}/student/tokenizer"
DNA_TASKS = DNA["tasks"] or {"origin/phylum": f"{RESULTS}/reference/phylum.tsv.gz"}
DNA_SETS = {"windows": (DNA_WINDOWS, f"{RESULTS}/reference/windows.parquet")} | {
    f"tasks/{task}": (
        f"{RESULTS}/reference/tasks/{task}.fna.gz",
        f"{RESULTS}/reference/tasks/{task}.parquet",
    )
    for task in DNA_TASKS
}
# Every model by the name of its files: how the tables call it.
DNA_MODELS = {
    f"{name}-{fit}": f"{name} (fit={fit})"
    for name, student in DNA_STUDENTS.items()
    for fit in student.get("fits") or DNA["fits"]
}
# Whose frozen features are probed and drawn; students are measured beside the teacher that they learn from.
DNA_ENCODERS = list(DNA_STUDENTS)
if DNA_DISTILLED:
    DNA_MODELS["teacher-probe"] = "teacher (fit=probe)"
    DNA_ENCODERS.append("teacher")
DNA_MODELS |= {baseline: baseline for baseline in DNA["baselines"]}
if DNA["compared_with"] not in (None, *DNA_MODELS):
    raise WorkflowError(
        f"configuration: dna.compared_with is {DNA['compared_with']!r}; expected one of {', '.join(DNA_MODELS)}"
    )
if no_tasks := sorted(DNA["task_epochs"].keys() - DNA_TASKS.keys()):
    raise WorkflowError(
        f"configuration: dna.task_epochs names {no_tasks[0]!r}; expected one of {', '.join(DNA_TASKS)}"
    )
if DNA["folds"] and len(DNA["seeds"]) < DNA["folds"]:
    raise WorkflowError(
        f"configuration: dna.folds is {DNA['folds']}, but there are {len(DNA['seeds'])} dna.seeds; each fold needs one"
    )
DNA_PUBLISHED_EPOCHS = {}
if DNA["tasks"]:
    # Imported here: it brings pandas, which no other recipe's start waits for.
    from genestill.evaluation.sequence_tasks.tables import protocol_of, read_catalogue

    try:
        catalogue = read_catalogue(ROOT / "resources" / "sequence_tasks.tsv")
        DNA_PUBLISHED_EPOCHS = {
            task: protocol_of(task, catalogue).epochs for task in DNA_TASKS
        }
    except InputError as error:
        raise WorkflowError(f"configuration: dna.tasks: {error}")
DNA_SCORES = f"{RESULTS}/evaluation/sequence_tasks"
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
        if key not in ("method", "fits") and value is not None
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
