import numpy as np
import pytest
import torch

from genestill.core.errors import InputError
from genestill.core.hierarchical_loss import FlatSoftmax
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import parse_lineage
from genestill.core.soft_labels import read_soft_labels, write_soft_labels
from genestill.core.training.optimizer import Group, RowAdamW
from genestill.teacher import head

LINEAGES = [parse_lineage(f"d__B;p__P;c__C;o__O;f__F;g__G{k // 2};s__G{k // 2} s{k}") for k in range(4)]


@pytest.fixture(scope="module")
def tree():
    return LabelTree.from_lineages(LINEAGES, other_children=True)


def soft_labels(embeddings, *settings, **more):
    """All soft labels at once, for embeddings in two blocks."""
    blocks = np.array_split(embeddings, 2)
    return np.concatenate(list(head.soft_labels(blocks, *settings, **more)))


def leaf_of(tree, lineage):
    return int(np.flatnonzero(tree.leaves == tree.node_of(lineage))[0])


def clustered(random, genome, noise=0.2):
    return (np.eye(4)[genome] * 3 + noise * random.normal(size=(len(genome), 4))).astype(np.float32)


def test_a_cross_fitted_head_does_not_reproduce_the_noise_of_held_out_labels(tree):
    random = np.random.default_rng(0)
    genome = np.repeat(np.arange(4), 50)
    nodes = np.array([tree.node_of(LINEAGES[g]) for g in genome])
    wrong = random.choice(200, 10, replace=False)
    nodes[wrong] = [tree.node_of(LINEAGES[(genome[row] + 1) % 4]) for row in wrong]
    # Many uninformative coordinates, so that a head can memorise labels.
    signal = np.tile(clustered(random, genome), 15)
    embeddings = np.hstack([signal, random.normal(size=(200, 150)).astype(np.float32)])
    truth = np.array([leaf_of(tree, LINEAGES[g]) for g in genome])
    crossed = soft_labels(embeddings, nodes, tree, folds=5, seed=1)
    learnt = soft_labels(embeddings, nodes, tree, folds=1, seed=1)
    assert (crossed[wrong].argmax(axis=1) == truth[wrong]).mean() > 0.8
    assert (learnt[wrong].argmax(axis=1) == truth[wrong]).mean() < 0.5, "the in-sample head learns by heart"


def test_unlabelled_sequences_get_soft_labels_and_are_not_used_for_training(tree):
    random = np.random.default_rng(0)
    genome = np.repeat(np.arange(4), 30)
    nodes = np.array([tree.node_of(LINEAGES[g]) for g in genome])
    nodes[::5] = 0
    found = soft_labels(clustered(random, genome), nodes, tree, folds=3, seed=1)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found[::5].argmax(axis=1) == [leaf_of(tree, LINEAGES[g]) for g in genome[::5]]).all()


def test_without_any_label_the_soft_labels_are_uniform(tree):
    found = soft_labels(np.ones((6, 3), np.float32), np.zeros(6, np.int64), tree, folds=2, seed=1)
    np.testing.assert_allclose(found, 1 / len(tree.leaves), rtol=1e-5)


def test_the_same_seed_gives_the_same_soft_labels(tree, monkeypatch):
    monkeypatch.setattr(head, "STEPS", 20)
    random = np.random.default_rng(0)
    genome = np.repeat(np.arange(4), 10)
    nodes = np.array([tree.node_of(LINEAGES[g]) for g in genome])
    inputs = clustered(random, genome)
    np.testing.assert_array_equal(soft_labels(inputs, nodes, tree, 2, 7), soft_labels(inputs, nodes, tree, 2, 7))


def test_the_division_of_shards_into_blocks_does_not_change_the_soft_labels(tree, monkeypatch):
    monkeypatch.setattr(head, "STEPS", 20)
    random = np.random.default_rng(0)
    genome = np.repeat(np.arange(4), 15)
    nodes = np.array([tree.node_of(LINEAGES[g]) for g in genome])
    inputs = clustered(random, genome).astype(np.float16).astype(np.float32)
    whole, many = (
        np.concatenate(list(head.soft_labels(np.array_split(inputs, parts), nodes, tree, 3, 7))) for parts in (1, 13)
    )
    np.testing.assert_allclose(many, whole, atol=1e-5)


def test_leaves_not_distinguished_by_labels_share_an_output_and_the_loss_equals_that_of_all(tree):
    nodes = np.array([tree.node_of(LINEAGES[0]), tree.node_of((*LINEAGES[2][:6], None)), 0])
    segments = head.Segments(nodes, tree, "cpu")
    assert len(segments) < len(tree.leaves) == int(segments.size.sum())
    logits, asked = torch.randn(3, len(segments), dtype=torch.float64), torch.from_numpy(nodes[[0, 1, 1]])
    expected = FlatSoftmax(tree).negative_log_likelihood(logits[:, segments.of_leaf], asked)
    torch.testing.assert_close(segments.loss(logits, asked), expected)


def test_a_step_that_samples_every_segment_has_the_loss_over_all_segments(tree, monkeypatch):
    nodes = np.array([tree.node_of(lineage) for lineage in LINEAGES] + [tree.node_of((*LINEAGES[2][:6], None))])
    segments = head.Segments(nodes, tree, "cpu")
    layer = torch.nn.Linear(3, len(segments))
    monkeypatch.setattr(head, "SAMPLED", len(segments))
    batch = {"inputs": torch.randn(5, 3), "targets": torch.from_numpy(nodes)}
    drawn = segments.draw(nodes, np.random.default_rng(0))
    every = {"sample": torch.arange(len(segments)), "times": torch.ones(len(segments))}
    rows = RowAdamW([Group(list(layer.parameters()), lambda step: 0.1, 0.0)])
    found = segments.sampled_loss(batch | {"drawn": torch.from_numpy(drawn["drawn"])} | every, rows.take)
    expected = segments.loss(layer(batch["inputs"]), batch["targets"]).mean()
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(rows.taken[0].grad, layer.weight.grad)


def test_heads_trained_on_sampled_segments_learn_the_same(tree, monkeypatch):
    random = np.random.default_rng(0)
    genome = np.repeat(np.arange(4), 30)
    nodes = np.array([tree.node_of(LINEAGES[g]) for g in genome])
    monkeypatch.setattr(head, "MOST_SEGMENTS", 1)
    monkeypatch.setattr(head, "SAMPLED", 3)
    found = soft_labels(clustered(random, genome), nodes, tree, folds=2, seed=1)
    assert (found.argmax(axis=1) == [leaf_of(tree, LINEAGES[g]) for g in genome]).all()


def test_soft_labels_are_unchanged_after_saving_and_refused_for_other_sequences(tree, tmp_path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(len(tree.leaves)), 3).astype(np.float32)
    path = tmp_path / "soft_labels.parquet"
    write_soft_labels(path, ["a", "b", "c"], [probabilities[:2], probabilities[2:]], tree, {"seed": 1})
    np.testing.assert_allclose(read_soft_labels(path, ["a", "b", "c"], tree).toarray(), probabilities, rtol=1e-6)
    with pytest.raises(InputError, match="differ from those of the index"):
        read_soft_labels(path, ["a", "c", "b"], tree)
    small = LabelTree.from_lineages(LINEAGES[:1])
    with pytest.raises(InputError, match="not leaves of the label tree"):
        read_soft_labels(path, ["a", "b", "c"], small)
