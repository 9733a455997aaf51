"""The recipe ``taxdistill``: from labels, hits, neighbours and teacher to a corrector and its lineages."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import folder_aside
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS
from genestill.core.logs import logger
from genestill.core.memory import give_back_large_arrays
from genestill.core.predictions import accept
from genestill.core.shards import Embeddings, teacher_of, write_embeddings
from genestill.core.soft_labels import read_soft_labels
from genestill.core.table_schemas import LABELS, LINEAGE_PROBABILITIES, PREDICTIONS
from genestill.core.tables import read_table, write_table
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.loop import write_history
from genestill.student.corrector.evidence.source import read_evidence
from genestill.student.corrector.features import Contigs, evidence_arrays, read_contigs
from genestill.student.corrector.fragments import cut_fragments
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.neighbours import neighbours_in_sample
from genestill.student.corrector.prediction import predict_lineages, representations
from genestill.student.corrector.settings import EVIDENCE, CorrectorSettings
from genestill.student.corrector.targets import (
    GARBAGE,
    Targets,
    apply_teacher_prior,
    targets_of_evidence,
)
from genestill.student.corrector.training import train_corrector


@dataclass
class Sources:
    """The input files of the recipe, see `table_schemas` for their columns.

    ``evidence`` has the table of each available source (`settings.EVIDENCE`). ``abundance``, ``soft_labels``,
    ``embeddings`` (in the order of the index), and ``genomes`` (table of the reference's genomes) with
    ``genomes_folder`` may be None.
    """

    contigs: str | Path
    index: str | Path
    labels: str | Path
    tree: str | Path
    taxonomy: str | Path
    abundance: str | Path | None = None
    evidence: dict[str, str | Path] = field(default_factory=dict)
    soft_labels: str | Path | None = None
    embeddings: Embeddings | None = None
    genomes: str | Path | None = None
    genomes_folder: str | Path | None = None

    def files(self) -> dict[str, str | Path]:
        """The files, by role."""
        given = {role: path for role, path in vars(self).items() if path is not None}
        evidence, shards = given.pop("evidence"), given.pop("embeddings", None)
        given.pop("genomes_folder", None)
        numbered = enumerate(shards.paths if shards is not None else ())
        return given | evidence | {f"embeddings {number}": path for number, path in numbered}

    def believed(self) -> dict[str, str | Path]:
        """``evidence``, preceded by the labels unless they were made from some of it."""
        labels = {} if any(EVIDENCE[name].behind_labels for name in self.evidence) else {"labels": self.labels}
        return labels | self.evidence

    def teacher(self) -> dict[str, str]:
        """Name, revision, layer and pooling of the teacher of soft labels or embeddings; empty without them."""
        found = teacher_of(self.soft_labels) if self.soft_labels is not None else {}
        return found or (self.embeddings.teacher() if self.embeddings is not None else {})


def learn(
    sources: Sources,
    training: CorrectorSettings,
    seed: int,
    model: str | Path,
    probabilities: str | Path,
    embeddings: str | Path | None = None,
    read: Callable[[], Contigs] | None = None,
) -> dict:
    """Train a corrector, save it in the folder ``model``, and write its lineages of the same contigs.

    ``probabilities`` is the output file for the lineages and their probabilities (`accept_names` makes predictions).

    ``embeddings``, if given, is the output file for the last hidden layer (`table_schemas.embeddings`). ``read``
    returns the contigs of ``sources``, for a caller that trains several correctors on them. The state is stored in
    ``<model>.checkpoint`` (see `core.training.checkpoints`), which is removed when the student is saved. Returns the
    teacher, if there is one, and the fitted weight of its soft labels. Raises `InputError` if the files belong to
    different contigs.
    """
    give_back_large_arrays()
    tree = LabelTree.load(sources.tree)
    contigs = read() if read else read_contigs(sources.contigs, sources.index, sources.abundance)
    if read_table(sources.labels, LABELS, ["id"])["id"].tolist() != contigs.ids:
        raise InputError(
            f"{sources.labels}: its contigs differ from those of the index {sources.index}, or are in another order"
        )
    targets = build_targets(sources, contigs, tree, training.neighbours, seed)
    described = asdict(training) | {"seed": seed}
    checkpoint = Checkpoint(f"{model}.checkpoint", described, sources.files(), sources.teacher())
    fragments = None
    if training.fragments:
        if sources.genomes is None or sources.genomes_folder is None:
            raise InputError("fragments: the genomes of the reference are not given; expected --genomes")
        random = np.random.default_rng((seed, 3))
        fragments = cut_fragments(
            sources.genomes, sources.genomes_folder, sources.taxonomy, tree, contigs.lengths, training.fragments, random
        )
    student, history = train_corrector(contigs, targets, tree, training, seed, checkpoint, fragments)
    inputs = Inputs(student, contigs.groups(), evidence_arrays(targets.posterior, targets.prior, GARBAGE))
    table = predict_lineages(student, inputs, contigs.ids)
    student.config.teacher = sources.teacher()
    student.config.provenance = {
        "seed": seed,
        "teacher_weight": targets.teacher_weight,
        "evidence": list(sources.believed()),
    }
    with folder_aside(model) as folder:
        student.save_pretrained(folder)
        write_history(folder / "training.tsv", history)
    checkpoint.remove()
    write_table(probabilities, table, LINEAGE_PROBABILITIES, {"seed": seed, "model": str(model)})
    if embeddings is not None:
        write_embeddings(embeddings, contigs.ids, representations(student, inputs))
    logger.info("%d contigs, weight of the teacher %.2f", len(table), targets.teacher_weight)
    return sources.teacher() | {"teacher_weight": targets.teacher_weight}


def build_targets(sources: Sources, contigs: Contigs, tree: LabelTree, use_neighbours: bool, seed: int) -> Targets:
    """The target posterior of the student, from all available ``sources``."""
    random = np.random.default_rng(seed)
    evidence = read_evidence(sources.believed(), contigs, tree, sources.taxonomy)
    neighbourhood = neighbours_in_sample(contigs, evidence, random, sources.embeddings) if use_neighbours else None
    targets = targets_of_evidence(evidence, neighbourhood)
    if sources.soft_labels is not None:
        known = ~tree.is_other[tree.leaves]
        targets = apply_teacher_prior(targets, read_soft_labels(sources.soft_labels, contigs.ids, tree), known, random)
    return targets


def accept_names(probabilities: str | Path, threshold: float, predictions: str | Path) -> None:
    """Write the predictions: the lineages of the table ``probabilities``, each accepted down to some rank.

    Names are accepted if their confidence exceeds ``threshold``.
    """
    table = accept(read_table(probabilities, LINEAGE_PROBABILITIES), threshold)
    _log_accepted(table)
    write_table(predictions, table, PREDICTIONS, {"threshold": threshold, "probabilities": str(probabilities)})


def _log_accepted(predictions: pd.DataFrame) -> None:
    named = int((predictions["accepted"] == len(RANKS)).sum())
    count = len(predictions)
    logger.info("%d contigs: %d named to species, %d named only above species", count, named, count - named)


def predict(
    model: str | Path,
    contigs: str | Path,
    index: str | Path,
    abundance: str | Path | None,
    evidence: dict[str, str | Path],
    taxonomy: str | Path | None,
    threshold: float,
    predictions: str | Path,
) -> None:
    """Classify contigs with a trained student, without teacher or database; ``evidence`` improves the result.

    ``evidence`` has the table of each available source. Abundances are used if their samples are those of the
    training. Names are accepted if their confidence exceeds ``threshold``. Confidences are calibrated only for contigs
    with the evidence of their neighbours, which is not used here (see `prediction`).
    """
    from genestill.student.corrector.network import Corrector

    give_back_large_arrays()
    student = Corrector.from_pretrained(model)
    read = read_contigs(contigs, index, abundance)
    groups = read.groups()
    if "abundance" in groups and read.samples != student.config.samples:
        logger.warning(
            "%s: its samples (%s) differ from those of the student (%s); abundances are left out",
            abundance,
            ", ".join(read.samples),
            ", ".join(student.config.samples) or "none",
        )
        del groups["abundance"]
    said = None
    if evidence:
        if taxonomy is None:
            raise InputError(f"{next(iter(evidence.values()))}: needs the taxonomy of its taxids (--taxonomy)")
        new = set(evidence) - set(student.config.provenance.get("evidence", evidence))
        if new:
            logger.warning("%s: the student was trained without this evidence", ", ".join(sorted(new)))
        own = read_evidence(evidence, read, student.tree, taxonomy).own
        said = evidence_arrays(own, student.leaf_prior.double().numpy(), GARBAGE)
    table = accept(predict_lineages(student, Inputs(student, groups, said), read.ids), threshold)
    _log_accepted(table)
    write_table(predictions, table, PREDICTIONS, {"threshold": threshold, "model": str(model)})
