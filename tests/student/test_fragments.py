"""Fragments of the reference genomes as training examples for the corrector."""

import numpy as np
import pytest
import torch
from test_corrector import LINEAGES, SPECIES, species_of

from genestill.core.errors import InputError
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import format_lineage
from genestill.core.sequences import write_fasta
from genestill.reference.genomes import read_genomes
from genestill.reference.taxonomy import make_taxonomy
from genestill.student.corrector import training
from genestill.student.corrector.composition import composition_of
from genestill.student.corrector.evidence.labels import evidence_of_labels
from genestill.student.corrector.features import Contigs
from genestill.student.corrector.fragments import Fragments, cut_fragments
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.prediction import leaf_probabilities
from genestill.student.corrector.settings import CorrectorSettings
from genestill.student.corrector.targets import targets_of_evidence
from genestill.student.corrector.training import train_corrector


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Three genomes of two bases each, of the species 0, 1 and 5."""
    folder = tmp_path_factory.mktemp("reference")
    rows = ["file\tlineage"]
    for letters, species in (("AT", 0), ("CG", 1), ("AC", 5)):
        records = [("long", letters * 500), ("short", letters * 20)]
        write_fasta(folder / f"g{species}.fna", records)
        rows.append(f"g{species}.fna\t{format_lineage(LINEAGES[species])}")
    (folder / "genomes.tsv").write_text("\n".join(rows) + "\n")
    make_taxonomy(read_genomes(folder / "genomes.tsv"), None, folder / "taxonomy")
    return folder


def cut(folder, tree, seed=1, **changed):
    given = {"genomes": folder / "genomes.tsv", "lengths": np.array([100, 200, 5000]), "number": 30} | changed
    lengths, number, random = given["lengths"], given["number"], np.random.default_rng(seed)
    return cut_fragments(given["genomes"], folder, folder / "taxonomy", tree, lengths, number, random)


def test_fragments_are_drawn_from_genomes_with_a_species_in_the_tree_and_have_its_leaf(reference):
    tree = LabelTree.from_lineages(LINEAGES[:3], other_children=True)
    found = cut(reference, tree)
    names = [tree.lineage_of(tree.leaves[leaf])[-1] for leaf in found.leaves]
    assert names == [LINEAGES[0][-1]] * 30 + [LINEAGES[1][-1]] * 30
    expected = composition_of(["AT" * 50, "CG" * 50])
    np.testing.assert_allclose(found.composition[[0, 30]], expected, atol=0.02)
    again, other = cut(reference, tree), cut(reference, tree, seed=2)
    np.testing.assert_array_equal(found.composition, again.composition)
    assert (found.composition != other.composition).any()


def test_a_reference_without_any_species_of_the_tree_is_refused(reference, tmp_path):
    with pytest.raises(InputError, match=r"genomes\.tsv: no genome belongs to a species that occurs in labels or hits"):
        cut(reference, LabelTree.from_lineages(LINEAGES[2:4], other_children=True))
    (tmp_path / "more.tsv").write_text("file\nunknown.fna\n")
    with pytest.raises(InputError, match=r"more\.tsv: the genome 'unknown' is not in"):
        cut(reference, LabelTree.from_lineages(LINEAGES, other_children=True), genomes=tmp_path / "more.tsv")


def test_a_training_step_uses_one_kind_of_evidence_per_contig_and_none_for_fragments(monkeypatch):
    """No contig has both kinds of evidence at prediction, and the evidence of a fragment would reveal its label."""
    random, tree = np.random.default_rng(0), LabelTree.from_lineages(LINEAGES, other_children=True)
    species = np.repeat(np.arange(SPECIES), 40)
    composition = random.normal(size=(len(species), 103)).astype(np.float32)
    contigs = Contigs([f"c{row}" for row in range(len(species))], np.full(len(species), 2000), composition, None, [])
    targets = targets_of_evidence(evidence_of_labels([LINEAGES[one] for one in species], tree), None)
    fragments = Fragments(composition[:80], np.zeros(80, dtype=np.int64))
    steps, train = [], training.train

    def watched(student, optimizer, draw, *arguments, **others):
        def seen(step):
            steps.extend(draw(step))
            return steps[-1:]

        return train(student, optimizer, seen, *arguments, **others)

    monkeypatch.setattr(training, "train", watched)
    train_corrector(contigs, targets, tree, CorrectorSettings(epochs=4, batch_size=32), 1, fragments=fragments)
    rows, gains = (torch.cat([step.tensors[name] for step in steps]) for name in ("rows", "gains"))
    own, pooled = ((half > 0).any(dim=1) for half in gains.chunk(2, dim=1))
    assert not (own & pooled).any()
    contig = rows < len(species)
    assert not (own | pooled)[~contig].any()
    share = [float(part[contig].float().mean()) for part in (own, pooled)]
    assert share == pytest.approx([0.3, 0.3], abs=0.05)


def test_species_without_labelled_contigs_are_learned_from_fragments():
    random = np.random.default_rng(0)
    tree = LabelTree.from_lineages(LINEAGES, other_children=True)
    centre = random.normal(size=(SPECIES, 103))

    def draw(species):
        return (centre[species] + 0.3 * random.normal(size=(len(species), 103))).astype(np.float32)

    # The contigs are of the first three species; fragments are of all.
    species = np.repeat(np.arange(3), 60)
    depth = random.lognormal(size=(len(species), 2)).astype(np.float32)
    names = [f"c{row}" for row in range(len(species))]
    contigs = Contigs(names, np.full(len(species), 2000), draw(species), depth, ["a", "b"])
    targets = targets_of_evidence(evidence_of_labels([LINEAGES[one] for one in species], tree), None)
    leaf = {tree.lineage_of(node)[-1]: place for place, node in enumerate(tree.leaves) if not tree.is_other[node]}
    cut_from = np.repeat(np.arange(SPECIES), 30)
    fragments = Fragments(draw(cut_from), np.array([leaf[LINEAGES[one][-1]] for one in cut_from]))
    new = np.repeat(np.arange(3, SPECIES), 40)
    settings = CorrectorSettings(epochs=8, batch_size=32)
    right = []
    for given in (None, fragments):
        student, _ = train_corrector(contigs, targets, tree, settings, 1, fragments=given)
        called = species_of(leaf_probabilities(student, Inputs(student, {"composition": draw(new)}, None)), tree)
        right.append(np.mean([name == LINEAGES[one][-1] for name, one in zip(called, new, strict=True)]))
    assert right[0] < 0.1
    assert right[1] > 0.9
