"""Settings that are right by themselves but contradict each other, refused before the first job."""

from genestill.ground.errors import InputError


def refuse_contradictions(configuration: dict) -> None:
    """Raise `InputError` with the first contradiction of a completed configuration.

    Args:
        configuration: as `configuration.complete_configuration` returns it.
    """
    if configuration["recipe"] in ("taxdistill", "taxdistill-published"):
        _refuse_of_taxonomy(configuration)


def _refuse_of_taxonomy(configuration: dict) -> None:
    dataset, reference = configuration["dataset"], configuration["reference"]
    student, evaluation = configuration["student"], configuration["evaluation"]
    if dataset["contigs"] is None:
        for role in ("abundance", "bam", "labels", "truth"):
            if dataset[role]:
                raise InputError(
                    f"configuration: dataset.{role} is given without dataset.contigs, so that a community would be "
                    "simulated and the file ignored; give the contigs too"
                )
        if reference["database"]:
            raise InputError(
                "configuration: reference.database is given without dataset.contigs; a community is cut from genomes, "
                "whose proteins become its database: give dataset.contigs, or reference.genomes instead of a database"
            )
    elif not (reference["genomes"] or reference["database"] or dataset["labels"]):
        raise InputError(
            "configuration: dataset.contigs needs reference.genomes or reference.database to search in, or "
            "dataset.labels"
        )
    if dataset["abundance"] and dataset["bam"]:
        raise InputError("configuration: both dataset.abundance and dataset.bam are given; expected one of them")
    if student["teacher"] == "self" and student["objective"] != "published":
        raise InputError(
            "configuration: student.teacher is self, which only the objective published knows; expected embeddings or "
            f"none for the objective {student['objective']}"
        )
    if student["name"] == evaluation["labels_name"]:
        raise InputError(
            f"configuration: student.name and evaluation.labels_name are both {student['name']!r}; expected two names, "
            "since both are columns of one table"
        )
