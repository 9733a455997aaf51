"""The recipe ``taxdistill``: from labels, hits, neighbours and teacher to a corrector and its predictions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.files import folder_aside
from genestill.core.hit_tables import read_hits
from genestill.core.label_tree import LabelTree
from genestill.core.logs import logger
from genestill.core.memory import give_back_large_arrays
from genestill.core.shards import Embeddings, teacher_of, write_embeddings
from genestill.core.soft_labels import read_soft_labels
from genestill.core.table_schemas import LABELS, PREDICTIONS, lineages_of
from genestill.core.tables import read_table, write_table
from genestill.core.taxonomy_folder import read_lineages
from genestill.student.corrector.evidence import Evidence, evidence_of_hits, other_leaves, posterior_of_labels
from genestill.student.corrector.features import Contigs, evidence_arrays, read_contigs
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.neighbours import (
    CONFIDENT_GENES,
    CONFIDENT_IDENTITY,
    Neighbourhood,
    find_neighbours,
    principal_components,
    profile_abundance,
    reduce_composition,
)
from genestill.student.corrector.prediction import predict_lineages, representations
from genestill.student.corrector.settings import CorrectorSettings
from genestill.student.corrector.targets import (
    GARBAGE,
    Targets,
    apply_teacher_prior,
    targets_of_evidence,
    targets_of_labels,
)
from genestill.student.corrector.training import train_corrector


@dataclass
class Sources:
    """The files that the recipe learns from; `table_schemas` says what is in each.

    ``hits``, ``abundance``, ``soft_labels`` and ``embeddings`` (in the order of the index) may be None: the recipe does
    with what there is.
    """

    contigs: str | Path
    index: str | Path
    labels: str | Path
    tree: str | Path
    taxonomy: str | Path
    abundance: str | Path | None = None
    hits: str | Path | None = None
    soft_labels: str | Path | None = None
    embeddings: Embeddings | None = None

    def teacher(self) -> dict[str, str]:
        """Name, revision, layer and pooling of the teacher behind soft labels or embeddings; empty without."""
        found = teacher_of(self.soft_labels) if self.soft_labels is not None else {}
        return found or (self.embeddings.teacher() if self.embeddings is not None else {})


def learn(
    sources: Sources,
    training: CorrectorSettings,
    seed: int,
    model: str | Path,
    predictions: str | Path,
    embeddings: str | Path | None = None,
) -> dict:
    """Train a corrector, save it in the folder ``model``, and write its predictions of the same contigs.

    ``embeddings``, where given, gets the corrector's last hidden layer (`table_schemas.embeddings`). Returns the
    teacher, if there is one, and the weight that its soft labels earned. Raises `InputError` if the files do not belong
    together.
    """
    give_back_large_arrays()
    tree = LabelTree.load(sources.tree)
    contigs = read_contigs(sources.contigs, sources.index, sources.abundance)
    labels = read_table(sources.labels, LABELS)
    if labels["id"].tolist() != contigs.ids:
        raise InputError(f"{sources.labels}: its contigs are not those of the index {sources.index}, in its order")
    targets = build_targets(sources, contigs, labels, tree, training.neighbours, seed)
    student, history = train_corrector(contigs, targets, tree, training, seed)
    inputs = Inputs(student, contigs.groups(), evidence_arrays(targets.own, targets.prior, GARBAGE))
    table = predict_lineages(student, inputs, contigs.ids)
    student.config.teacher = sources.teacher()
    student.config.provenance = {"seed": seed, "teacher_weight": targets.teacher_weight}
    with folder_aside(model) as folder:
        student.save_pretrained(folder)
        pd.DataFrame(history).to_csv(folder / "training.tsv", sep="\t", index=False)
    write_table(predictions, table, PREDICTIONS, {"seed": seed, "model": str(model)})
    if embeddings is not None:
        write_embeddings(embeddings, contigs.ids, representations(student, inputs))
    logger.info(
        "%d contigs: %d named to species, %d stop above, teacher's weight %.2f",
        len(table),
        int((table["accepted"] == 7).sum()),
        int((table["accepted"] < 7).sum()),
        targets.teacher_weight,
    )
    return sources.teacher() | {"teacher_weight": targets.teacher_weight}


def build_targets(
    sources: Sources, contigs: Contigs, labels: pd.DataFrame, tree: LabelTree, use_neighbours: bool, seed: int
) -> Targets:
    """The posterior that the student is taught, from whatever ``sources`` hold."""
    random = np.random.default_rng(seed)
    others = other_leaves(tree)
    evidence, own = None, None
    if sources.hits is not None:
        evidence = evidence_of_hits(
            read_hits(sources.hits, contigs.ids), contigs.ids, read_lineages(sources.taxonomy), tree
        )
        species, confident = nearest_species(evidence)
    else:
        own, wide = posterior_of_labels(lineages_of(labels), tree, others)
        species = np.asarray(own.argmax(axis=1)).ravel()
        confident = labels["species"].notna().to_numpy()
    neighbourhood = None
    # Composition alone cannot tell a species from its absent sister; neighbours need a second witness.
    if use_neighbours and (contigs.abundance is not None or sources.embeddings is not None):
        neighbourhood = _neighbourhood(contigs, sources.embeddings, species, confident, random)
    if evidence is not None:
        targets = targets_of_evidence(evidence, others, neighbourhood)
    else:
        targets = targets_of_labels(own, wide, neighbourhood)
    if sources.soft_labels is not None:
        known = ~tree.is_other[tree.leaves]
        targets = apply_teacher_prior(targets, read_soft_labels(sources.soft_labels, contigs.ids, tree), known, random)
    return targets


def nearest_species(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Column of the best species of each contig [n], and whether the search is sure of it (bool [n])."""
    rows = np.arange(evidence.bits.shape[0])
    best = np.asarray(evidence.bits.argmax(axis=1)).ravel()
    aligned = np.asarray(evidence.aligned[rows, best]).ravel()
    matched = np.asarray(evidence.matched[rows, best]).ravel()
    identity = matched / np.maximum(aligned, 1e-9)
    return best, (identity > CONFIDENT_IDENTITY) & (evidence.genes >= CONFIDENT_GENES)


def _neighbourhood(
    contigs: Contigs, embeddings: Embeddings | None, species: np.ndarray, confident: np.ndarray, random
) -> Neighbourhood:
    spaces = [reduce_composition(contigs.composition)]
    if contigs.abundance is not None:
        spaces.append(profile_abundance(contigs.abundance))
    if embeddings is not None:
        spaces.append(principal_components(embeddings))
    found = find_neighbours(spaces, contigs.lengths, species, confident, random)
    logger.info(
        "neighbours: %.2f is the mean probability that one is of the same genome", float(found.same_genome.mean())
    )
    return found


def predict(
    model: str | Path,
    contigs: str | Path,
    index: str | Path,
    abundance: str | Path | None,
    hits: str | Path | None,
    taxonomy: str | Path | None,
    predictions: str | Path,
) -> None:
    """Annotate contigs with a trained student: without teacher or database, and better with ``hits``.

    Abundances are used if their samples are those that the student was trained with.
    """
    from genestill.student.corrector.evidence import leaf_posterior
    from genestill.student.corrector.network import Corrector
    from genestill.student.corrector.targets import OWN_VOTE_SCALE

    give_back_large_arrays()
    student = Corrector.from_pretrained(model)
    read = read_contigs(contigs, index, abundance)
    groups = read.groups()
    if "abundance" in groups and read.samples != student.config.samples:
        logger.warning(
            "%s: its samples (%s) are not the student's (%s); abundances are left out",
            abundance,
            ", ".join(read.samples),
            ", ".join(student.config.samples) or "none",
        )
        del groups["abundance"]
    evidence = None
    if hits is not None:
        if taxonomy is None:
            raise InputError(f"{hits}: hits need the taxonomy that their taxids come from (--taxonomy)")
        found = evidence_of_hits(read_hits(hits, read.ids), read.ids, read_lineages(taxonomy), student.tree)
        own: sparse.csr_matrix = leaf_posterior(found, other_leaves(student.tree), OWN_VOTE_SCALE)
        evidence = evidence_arrays(own, student.leaf_prior.double().numpy(), GARBAGE)
    table = predict_lineages(student, Inputs(student, groups, evidence), read.ids)
    write_table(predictions, table, PREDICTIONS, {"model": str(model)})
