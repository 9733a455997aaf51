"""Settings that are valid separately but contradict each other, refused before the first job."""

import re

from genestill.core.errors import InputError
from genestill.core.recipes import (
    NOT_OF_METHOD,
    STRONGEST_BASELINE,
    asked_of_teacher,
    dna_models,
    dna_questions,
    dna_students,
    dna_tasks,
    dna_way,
    mrna_students,
)


def refuse_contradictions(configuration: dict) -> None:
    """Raise `InputError` with the first contradiction of a completed configuration.

    Args:
        configuration: as `configuration.complete_configuration` returns it.
    """
    if configuration["recipe"] in ("taxdistill", "taxdistill-published"):
        _refuse_of_taxonomy(configuration)
    elif configuration["recipe"] == "mrna":
        _refuse_of_mrna(configuration)
    else:
        _refuse_of_dna(configuration["dna"])
        _refuse_peers_of_dna(configuration["dna"], configuration["evaluation"]["predictions"])
    if configuration["teacher"]["pooling"] == "regions" and configuration["recipe"] != "mrna":
        raise InputError(
            "configuration: teacher.pooling is regions, which only transcripts have (recipe mrna); expected another one"
        )
    _refuse_of_teacher(configuration)


def _refuse_of_taxonomy(configuration: dict) -> None:
    dataset, reference = configuration["dataset"], configuration["reference"]
    student, evaluation = configuration["student"], configuration["evaluation"]
    for name, given in evaluation["predictions"].items():
        if isinstance(given, dict) and "table" not in given:
            raise InputError(
                f"configuration: evaluation.predictions.{name} has the keys {', '.join(given) or '(none)'}; expected a "
                "file, or table and format"
            )
    _refuse_names(student, evaluation)
    if dataset["contigs"] is None:
        if dataset["truth"] and not evaluation["predictions"]:
            raise InputError(
                "configuration: dataset.truth is given without dataset.contigs and without evaluation.predictions; "
                "give the contigs, or the predictions that are to be scored"
            )
        for role in ("abundance", "bam", "labels"):
            if dataset[role]:
                raise InputError(
                    f"configuration: dataset.{role} is given without dataset.contigs, so that a community would be "
                    "simulated and the file ignored; give the contigs too"
                )
        # The communities of a benchmark have separate configurations, with separate contigs.
        if reference["database"] and not configuration["benchmark"]["communities"]:
            raise InputError(
                "configuration: reference.database is given without dataset.contigs; a community is cut from genomes, "
                "whose proteins become its database: give dataset.contigs, or reference.genomes instead of a database"
            )
    elif isinstance(dataset["truth"], list):
        raise InputError("configuration: dataset.truth is a list, and dataset.contigs is given; expected one table")
    elif not (reference["genomes"] or reference["database"] or dataset["labels"]):
        raise InputError(
            "configuration: dataset.contigs needs reference.genomes or reference.database to search in, or "
            "dataset.labels"
        )
    if dataset["abundance"] and dataset["bam"]:
        raise InputError("configuration: both dataset.abundance and dataset.bam are given; expected one of them")
    if student["fragments"] and dataset["contigs"] is not None and not reference["genomes"]:
        raise InputError(
            "configuration: student.fragments is above 0, but the genomes to cut them from are not known; expected "
            "reference.genomes, or student.fragments: 0"
        )
    if student["teacher"] == "self" and student["objective"] != "published":
        raise InputError(
            "configuration: student.teacher is self, which only the objective published accepts; expected embeddings "
            "or "
            f"none for the objective {student['objective']}"
        )


def _refuse_of_mrna(configuration: dict) -> None:
    mrna, teacher = configuration["mrna"], configuration["teacher"]
    if teacher["pooling"] == "regions" and teacher["reads"] == "cds":
        raise InputError(
            "configuration: teacher.pooling is regions, but with teacher.reads cds the teacher reads no "
            "untranslated region; expected reads transcript, or another pooling"
        )
    taken = {teacher["name"]: "teacher.name"}
    for section in ("baselines", "students"):
        for name in mrna[section]:
            _refuse_taken(f"mrna.{section}.{name}", name, taken)
            taken[name] = f"mrna.{section}.{name}"
            if section == "students":
                taken |= {f"{name}.seed{seed}": f"a training of mrna.students.{name}" for seed in mrna["seeds"]}
    for name, sources in mrna["species"].items():
        for source in sources:
            if source not in mrna["sources"]:
                raise InputError(
                    f"configuration: mrna.species.{name} names {source}; expected sources of mrna.sources: "
                    f"{', '.join(mrna['sources']) or 'there are none'}"
                )
    for name, given in configuration["evaluation"]["predictions"].items():
        _refuse_taken(f"evaluation.predictions.{name}", name, taken)
        if not isinstance(given, str):
            raise InputError(
                f"configuration: evaluation.predictions.{name} is not a file; expected the file of the embeddings of "
                "the "
                "benchmark's transcripts"
            )


def _refuse_taken(key: str, name: str, taken: dict[str, str]) -> None:
    if name in taken:
        raise InputError(
            f"configuration: {key} has the same name as {taken[name]}; expected another name, since both are rows of "
            "one table"
        )


def _refuse_peers_of_dna(dna: dict, predictions: dict) -> None:
    taken = {name: f"dna.students.{name}" for name in dna_students(dna)} | {"teacher": "the teacher"}
    taken |= {name: f"the baseline {name}" for name in dna["baselines"]}
    tasks = dna_tasks(dna)
    for name, given in predictions.items():
        where = f"configuration: evaluation.predictions.{name}"
        _refuse_taken(f"evaluation.predictions.{name}", name, taken)
        if not isinstance(given, dict):
            raise InputError(f"{where} is {given!r}; expected a file per task, as {tasks[0]}: FILE")
        for task in given:
            if task not in tasks:
                raise InputError(f"{where} contains the task {task!r}; expected one of {', '.join(tasks)}")
        for task in tasks:
            if task not in given:
                raise InputError(
                    f"{where} has no file for the task {task}; expected one for each task, since models are compared "
                    "by their mean over tasks"
                )


def _refuse_of_dna(dna: dict) -> None:
    for name in dna_students(dna):
        if mistake := _mistake_of_student(dna, name):
            raise InputError(f"configuration: dna.students.{name}: {mistake}")
    models, tasks = dna_models(dna), dna_tasks(dna)
    if not models:
        raise InputError("configuration: no model is evaluated; expected a student in dna.students or dna.baselines")
    strongest = [STRONGEST_BASELINE] if dna["baselines"] else []
    references = [*models, *strongest]
    if dna["compared_with"] not in (None, *references):
        raise InputError(
            f"configuration: dna.compared_with is {dna['compared_with']!r}; expected one of {', '.join(references)}"
        )
    asked = [*dna_students(dna), "teacher", *strongest, *dna["baselines"]]
    for name, question in dna_questions(dna).items():
        for role in ("model", "minus"):
            if question[role] not in asked:
                raise InputError(
                    f"configuration: dna.questions.{name}.{role} is {question[role]!r}; expected one of "
                    f"{', '.join(asked)}"
                )
    named = {"admission_tasks": dna["admission_tasks"]}
    named |= {f"questions.{name}.tasks": question["tasks"] for name, question in dna_questions(dna).items()}
    named |= {f"by_method.{method}.tasks": way["tasks"] for method, way in dna["by_method"].items()}
    for key, some in named.items():
        for task in some or ():
            if task not in tasks:
                raise InputError(f"configuration: dna.{key} names {task!r}; expected some of {', '.join(tasks)}")
    for method in dna["by_method"]:
        if strange := set(dna_way(dna, method).seeds) - set(dna["seeds"]):
            raise InputError(
                f"configuration: dna.by_method.{method}.seeds names {min(strange)}; expected some of dna.seeds, "
                "which identify trainings"
            )
    if dna["protocol"] == "published" and (dna["folds"] or any(way["seeds"] for way in dna["by_method"].values())):
        raise InputError(
            "configuration: dna.protocol is published, which reads folds and seeds from resources/sequence_tasks.tsv; "
            "expected no dna.folds and no seeds in dna.by_method"
        )
    if len(dna["seeds"]) < (dna["trainings"] or 1):
        raise InputError(
            f"configuration: dna.trainings is {dna['trainings']}, but there are {len(dna['seeds'])} dna.seeds; each "
            "training is evaluated with one"
        )
    for task in dna["task_epochs"]:
        if task not in tasks:
            raise InputError(f"configuration: dna.task_epochs names {task!r}; expected one of {', '.join(tasks)}")
    if dna["folds"] and len(dna["seeds"]) < dna["folds"]:
        raise InputError(
            f"configuration: dna.folds is {dna['folds']}, but there are {len(dna['seeds'])} dna.seeds; each fold needs "
            "one"
        )


def _mistake_of_student(dna: dict, name: str) -> str | None:
    """An error message if the training of a student would fail or give misleading results, else None."""
    given, whole = dna["students"][name], dna_students(dna)[name]
    method = given["method"]
    if strange := sorted(given.keys() & NOT_OF_METHOD[method]):
        return f"{strange[0]} is not a setting of the method {method}"
    longest = dna["corpora"].get(given.get("corpus"), {}).get("length") or dna["windows"]["length"]
    length = max(longest, dna["windows"]["length"]) if method == "distil" else longest
    if given.get("corpus") and given["corpus"] not in dna["corpora"]:
        return f"corpus is {given['corpus']!r}; expected one of dna.corpora: {', '.join(dna['corpora']) or '(none)'}"
    if whole.get("initial"):
        if whole["initial"].endswith(f"/student/{name}/model"):
            return "initial is the student itself"
        return None
    if not whole.get("architecture"):
        return "neither architecture nor initial is given; expected one of them"
    byte_pairs = whole["architecture"].startswith("deberta")
    if not byte_pairs and (given.get("tokens") or whole.get("attention")):
        return "tokens and attention are settings of deberta students"
    if byte_pairs and whole.get("masking") == "groups":
        return "masking is groups, which masks single bases; expected tokens for deberta"
    if byte_pairs and whole["reverse_complement"]:
        return "reverse_complement is for students of single bases; expected false for deberta"
    if not byte_pairs and whole["max_tokens"] < length:
        return f"max_tokens is {whole['max_tokens']}, less than the {length} bases of a window"
    return None


def _refuse_of_teacher(configuration: dict) -> None:
    teacher, asked = configuration["teacher"], asked_of_teacher(configuration)
    for key, value in (("window", "first"), ("strands", "both")):
        for sequences, representations in asked.items():
            others = [representation for representation in representations if representation != "sequence"]
            if teacher[key] == value and others:
                raise InputError(
                    f"configuration: teacher.{key} is {value}, but the students need the representation {others[0]} of "
                    f"the {sequences}, which covers every base of one strand"
                )
    if teacher["embeddings"]:
        if "dna" in configuration and configuration["dna"]["teacher_features"] == "computed":
            raise InputError(
                "configuration: dna.teacher_features is computed, but teacher.embeddings gives stored ones; expected "
                "stored"
            )
        _refuse_of_stored(configuration, asked)
        return
    layers = teacher["pretraining"]["layers"]
    known = teacher["layer"] == "middle" or -layers - 1 <= teacher["layer"] <= layers
    if asked and teacher["model"] is None and not known:
        raise InputError(
            f"configuration: teacher.layer is {teacher['layer']}, but teacher.pretraining.layers is {layers}; expected "
            f"{-layers - 1} to {layers}, or middle"
        )
    made = (teacher["pretraining"]["architecture"], teacher["pretraining"]["k"])
    if "windows" in asked and teacher["model"] is None and made != ("nucleotide-transformer", 6):
        raise InputError(
            f"configuration: teacher.pretraining makes a {made[0]} with k {made[1]}; students of had and seqlens are "
            "aligned with 6-mers: expected nucleotide-transformer and k 6"
        )


def _refuse_names(student: dict, evaluation: dict) -> None:
    if re.search(r"\.seed\d+$", student["name"]):
        raise InputError(
            f"configuration: student.name is {student['name']!r}; names that end in .seed and a number are those of "
            "the trainings of a benchmark"
        )
    taken = {"evaluation.labels_name": evaluation["labels_name"]}
    given = {f"evaluation.predictions.{name}": name for name in evaluation["predictions"]}
    for key, name in {"student.name": student["name"], **given}.items():
        for other, used in taken.items():
            if name == used:
                raise InputError(
                    f"configuration: {key} and {other} are both {name!r}; expected two names, since both are columns "
                    "of one table"
                )
        taken[key] = name


def _refuse_of_stored(configuration: dict, asked: dict[str, list[str]]) -> None:
    teacher = configuration["teacher"]
    if teacher["model"] is not None:
        raise InputError(
            "configuration: both teacher.model and teacher.embeddings are given; expected one of them: a model, or "
            "embeddings that another program has stored"
        )
    for sequences in teacher["embeddings"]:
        if sequences not in asked:
            known = f"one of {', '.join(asked)}" if asked else "none, since nothing is learnt from the teacher"
            raise InputError(f"configuration: teacher.embeddings.{sequences} is not read here; expected {known}")
    for sequences, representations in asked.items():
        if sequences not in teacher["embeddings"]:
            raise InputError(
                f"configuration: teacher.embeddings has no {sequences}, which this run also needs; the target "
                "sequences_to_embed writes the sequences to embed"
            )
        if "base-log-probabilities" in representations:
            raise InputError(
                "configuration: a student has the objective logits, which needs the teacher's probabilities of bases; "
                "teacher.embeddings cannot contain them: leave this student out, or give teacher.model"
            )
    if configuration["recipe"] in ("had", "seqlens"):
        for name, student in dna_students(configuration["dna"]).items():
            if student.get("teacher") == "random":
                raise InputError(
                    f"configuration: dna.students.{name}.teacher is random, which needs the architecture of the "
                    f"teacher; teacher.embeddings does not contain it: leave the student out (dna.students.{name}: "
                    "null)"
                )
    if configuration["recipe"] == "mrna":
        for name, student in mrna_students(configuration["mrna"]).items():
            if student["parameters"] is None:
                raise InputError(
                    f"configuration: mrna.students.{name} is sized by compression_ratio, but the size of a teacher "
                    "whose embeddings are stored is not known; give parameters (of a student, or in mrna.defaults)"
                )
