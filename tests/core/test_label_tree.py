import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.hierarchical_loss import FlatSoftmax, distillation_loss
from genestill.core.label_tree import LabelTree
from genestill.core.predictions import accept, lineage_probabilities, predictions_of
from genestill.core.table_schemas import LINEAGE_PROBABILITIES, PREDICTIONS

# Few names, so that homonyms with different parents are common.
paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=7).map(
    lambda path: tuple(path + [None] * (7 - len(path)))
)
forests = st.lists(paths, min_size=1, max_size=12)


def leaves_below(tree, node):
    children = np.flatnonzero(tree.parent == node)
    return {node} if len(children) == 0 else set().union(*(leaves_below(tree, child) for child in children))


@given(forests, st.booleans())
def test_the_leaves_of_every_node_are_contiguous(lineages, other_children):
    tree = LabelTree.from_lineages(lineages, other_children)
    for node in range(len(tree)):
        assert set(tree.leaves[tree.leaf_start[node] : tree.leaf_stop[node]].tolist()) == leaves_below(tree, node)


@given(forests, st.booleans())
def test_every_lineage_maps_to_its_node_and_back(lineages, other_children):
    tree = LabelTree.from_lineages(lineages, other_children)
    for lineage in lineages:
        assert tree.lineage_of(tree.node_of(lineage)) == lineage


@given(forests)
def test_every_inner_node_has_one_other_child(lineages):
    tree = LabelTree.from_lineages(lineages, other_children=True)
    for node in range(len(tree)):
        children = np.flatnonzero(tree.parent == node)
        assert tree.is_other[children].sum() == (1 if len(children) else 0)


@given(forests, st.booleans())
def test_a_saved_tree_is_loaded_unchanged(tmp_path_factory, lineages, other_children):
    path = tmp_path_factory.mktemp("tree") / "label_tree.tsv"
    tree = LabelTree.from_lineages(lineages, other_children)
    tree.save(path)
    opened = LabelTree.load(path)
    for name in ("parent", "rank", "is_other", "leaves", "leaf_start", "leaf_stop"):
        np.testing.assert_array_equal(getattr(tree, name), getattr(opened, name))
    assert tree.name == opened.name


def test_a_taxon_named_na_is_saved_and_loaded(tmp_path):
    tree = LabelTree.from_lineages([("NA", "nan", None, None, None, None, None)])
    tree.save(tmp_path / "tree.tsv")
    assert LabelTree.load(tmp_path / "tree.tsv").name == ["root", "NA", "nan"]


@pytest.mark.parametrize("text", ["", "node\tparent\n", "node\tparent\trank\tname\tother\n0\t5\troot\troot\t0\n"])
def test_a_file_that_is_not_a_tree_is_refused(tmp_path, text):
    path = tmp_path / "tree.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match="not a label tree"):
        LabelTree.load(path)


@given(forests, st.integers(0, 2**32 - 1))
def test_node_probabilities_are_the_sums_over_their_leaves(lineages, seed):
    tree = LabelTree.from_lineages(lineages, other_children=True)
    leaf = np.random.default_rng(seed).dirichlet(np.ones(len(tree.leaves)), 3)
    found = tree.node_probabilities(leaf, np.arange(len(tree)))
    position = {int(node): number for number, node in enumerate(tree.leaves)}
    for node in range(len(tree)):
        expected = leaf[:, [position[below] for below in leaves_below(tree, node)]].sum(axis=1)
        np.testing.assert_allclose(found[:, node], expected, atol=1e-12)
    softmax = FlatSoftmax(tree)
    nodes = torch.arange(len(tree))
    logits = torch.log(torch.from_numpy(leaf[:1])).expand(len(tree), -1)
    np.testing.assert_allclose(softmax.node_probabilities(logits, nodes).numpy(), found[0], atol=1e-9)


def test_the_root_contributes_no_loss_and_no_gradient():
    tree = LabelTree.from_lineages([tuple("abcdefg"), tuple("abcdefh")])
    logits = torch.randn(1, len(tree.leaves), dtype=torch.float64, requires_grad=True)
    loss = FlatSoftmax(tree).negative_log_likelihood(logits, torch.tensor([0])).sum()
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert logits.grad.abs().max() < 1e-12


def test_distillation_is_zero_for_equal_logits_and_equals_the_plain_formula():
    teacher, student = torch.randn(4, 7, dtype=torch.float64), torch.randn(4, 7, dtype=torch.float64)
    assert distillation_loss(teacher, teacher, 4.0).abs().max() < 1e-12
    p, q = torch.softmax(teacher / 4, 1), torch.softmax(student / 4, 1)
    torch.testing.assert_close(distillation_loss(student, teacher, 4.0), 16 * (p * (p / q).log()).sum(1))


@given(forests, st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_predicted_paths_are_lineages_of_the_tree_and_confidence_decreases_towards_species(lineages, seed, threshold):
    tree = LabelTree.from_lineages(lineages, other_children=True)
    leaf = np.random.default_rng(seed).dirichlet(np.full(len(tree.leaves), 0.3), 5)
    table = predictions_of([str(number) for number in range(5)], leaf, tree, threshold)
    confidence = table.filter(like="confidence_").to_numpy()
    assert (np.diff(confidence, axis=1) <= 1e-6).all()
    for row in range(5):
        accepted = table["accepted"][row]
        assert (confidence[row, :accepted] > threshold - 1e-6).all()
        assert (table["reason"][row] is None or not isinstance(table["reason"][row], str)) == (accepted == 7)


@given(forests, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_stored_probabilities_and_leaf_probabilities_give_the_same_accepted_names(lineages, seed, threshold):
    tree = LabelTree.from_lineages(lineages, other_children=True)
    leaf = np.random.default_rng(seed).dirichlet(np.full(len(tree.leaves), 0.2), size=5)
    ids = [str(number) for number in range(5)]
    stored = pa.Table.from_pandas(lineage_probabilities(ids, leaf, tree), LINEAGE_PROBABILITIES).to_pandas()
    found, expected = accept(stored, threshold), predictions_of(ids, leaf, tree, threshold)
    assert pa.Table.from_pandas(found, PREDICTIONS) == pa.Table.from_pandas(expected, PREDICTIONS)
