import functools

import numpy as np
import pytest
import torch

from genestill.core.errors import InputError
from genestill.core.hierarchical_loss import distillation_loss
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import parse_lineage
from genestill.core.predictions import predictions_of
from genestill.core.training.checkpoints import Checkpoint
from genestill.student.corrector.features import Contigs
from genestill.student.corrector.published import build_student, taxometer_inputs, train_published
from genestill.student.corrector.settings import PublishedSettings

LINEAGES = [parse_lineage(f"d__B;p__P;c__C;o__O;f__F;g__G;s__G s{k}") for k in range(3)]
QUICK = {"epochs": 30, "batch_size": 8, "accumulation": 1}


@pytest.fixture(scope="module")
def tree():
    return LabelTree.from_lineages(LINEAGES)


@pytest.fixture(scope="module")
def community(tree):
    random = np.random.default_rng(0)
    genome = np.repeat(np.arange(3), 30)
    centre = random.normal(size=(3, 103))
    composition = (centre[genome] + 0.2 * random.normal(size=(90, 103))).astype(np.float32)
    abundance = random.lognormal(1, 1, size=(3, 2))[genome].astype(np.float32)
    contigs = Contigs([str(i) for i in range(90)], np.full(90, 3000), composition, abundance, ["a", "b"])
    nodes = np.array([tree.node_of(LINEAGES[g]) for g in genome])
    nodes[::4] = 0
    embeddings = (np.eye(3)[genome] + 0.1 * random.normal(size=(90, 3))).astype(np.float32)
    return contigs, genome, nodes, embeddings


@pytest.fixture(scope="module")
def trained(tree, community):
    """Trains with a teacher, once for all tests: its probabilities."""
    contigs, _, nodes, embeddings = community

    def train(teacher):
        settings = PublishedSettings(**QUICK, teacher=teacher, head_learning_rate=1e-2)
        return train_published(contigs, nodes, tree, embeddings, settings, seed=1)

    return functools.cache(train)


def right(probabilities, genome, tree):
    called = predictions_of([str(i) for i in range(len(genome))], probabilities, tree, 0.5)["species"]
    return np.mean([name == LINEAGES[g][-1] for name, g in zip(called, genome, strict=True)])


@pytest.mark.parametrize("teacher", ["embeddings", "none", "self"])
def test_every_control_learns_the_labels_and_predicts_those_of_unlabelled_contigs(tree, community, trained, teacher):
    probabilities = trained(teacher)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert right(probabilities, community[1], tree) > 0.9


def test_the_teacher_affects_the_student(trained):
    assert np.abs(trained("embeddings") - trained("none")).max() > 1e-3


def test_a_killed_training_resumes_and_gives_the_same_predictions(tree, community, tmp_path, monkeypatch):
    contigs, _, nodes, _ = community
    settings = PublishedSettings(epochs=3, batch_size=32, accumulation=1, teacher="self")
    monkeypatch.setattr("genestill.core.training.checkpoints.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    expected = train_published(contigs, nodes, tree, None, settings, seed=1)
    losses = []

    def killed(*arguments):
        losses.append(1)
        if len(losses) == 5:
            raise KeyboardInterrupt
        return distillation_loss(*arguments)

    def checkpoint(seed):
        return Checkpoint(tmp_path / f"{seed}.checkpoint", vars(settings), {})

    with monkeypatch.context() as context:
        context.setattr("genestill.student.corrector.published.distillation_loss", killed)
        with pytest.raises(KeyboardInterrupt):
            train_published(contigs, nodes, tree, None, settings, 1, checkpoint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.checkpoint", "2.checkpoint"]
    found = train_published(contigs, nodes, tree, None, settings, 1, checkpoint)
    assert (found == expected).all()


def test_using_the_teacher_without_embeddings_is_refused(tree, community):
    contigs, _, nodes, _ = community
    with pytest.raises(InputError, match="needs the teacher's embeddings"):
        train_published(contigs, nodes, tree, None, PublishedSettings(**QUICK), seed=1)


def test_the_published_network_has_four_layers_of_512():
    sizes = [layer.out_features for layer in build_student(104, 7) if isinstance(layer, torch.nn.Linear)]
    assert sizes == [512, 512, 512, 512, 7]


def test_inputs_are_composition_shares_and_total(community):
    inputs = taxometer_inputs(community[0]).numpy()
    assert inputs.shape == (90, 103 + 2 + 1)
    np.testing.assert_allclose(inputs[:, 103:105].sum(axis=1), 1, rtol=1e-5)
    bare = Contigs(community[0].ids, community[0].lengths, community[0].composition, None, [])
    assert taxometer_inputs(bare).shape == (90, 103)
