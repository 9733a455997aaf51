import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, parse_lineage
from genestill.student.corrector.evidence import (
    evidence_of_hits,
    leaf_posterior,
    other_leaves,
    posterior_of_labels,
    presence,
)

ABOVE = "d__Bacteria;p__P;c__C;o__O;f__F;g__"
LINEAGES = {
    11: parse_lineage(ABOVE + "Una;s__Una alba"),
    12: parse_lineage(ABOVE + "Una;s__Una nigra"),
    13: parse_lineage(ABOVE + "Duo;s__Duo parva"),
}


@pytest.fixture
def tree():
    return LabelTree.from_lineages(LINEAGES.values(), other_children=True)


def leaf_named(tree, name, rank=None):
    found = [
        leaf
        for leaf, node in enumerate(tree.leaves)
        if (tree.name[node] == name and rank is None)
        or (
            rank is not None
            and tree.is_other[node]
            and tree.rank[node] == rank
            and tree.name[tree.parent[node]] == name
        )
    ]
    assert len(found) == 1
    return found[0]


def hits_of(rows):
    columns = ["id", "fragment", "fragment_length", "target_taxid", "identity", "bits", "alignment_length"]
    return pd.DataFrame(rows, columns=columns)


def posterior_of(tree, rows, ids=("a",)):
    evidence = evidence_of_hits(hits_of(rows), list(ids), LINEAGES, tree)
    return leaf_posterior(evidence, other_leaves(tree), 0.02).toarray()


def genes(taxid, identity, count=5, contig="a", bits=500.0):
    return [(contig, gene, 300, taxid, identity, bits * identity, 300) for gene in range(count)]


def test_a_contig_nearly_identical_to_a_species_is_called_that_species(tree):
    found = posterior_of(tree, genes(11, 0.995) + genes(12, 0.80))
    assert found[0, leaf_named(tree, "Una alba")] > 0.9


def test_a_contig_at_the_distance_of_a_sister_species_is_called_an_unknown_species_of_the_genus(tree):
    found = posterior_of(tree, genes(11, 0.85))
    assert found[0, leaf_named(tree, "Una", rank=7)] > 0.8
    assert found[0, leaf_named(tree, "Una alba")] < 0.05


def test_a_contig_far_from_everything_is_not_given_a_genus(tree):
    found = posterior_of(tree, genes(13, 0.45, count=20))
    genus = tree.node_of(LINEAGES[13][:6] + (None,))
    assert tree.node_probabilities(found, np.array([genus]))[0, 0] < 0.1


def test_a_paralogue_does_not_count_against_the_species_that_lacks_the_gene(tree):
    # Gene 9 is missing from Una alba's proteome: a distant copy of it aligns, and the sister has the real one.
    rows = [
        *genes(11, 0.995),
        *genes(12, 0.80),
        ("a", 9, 300, 12, 0.85, 420.0, 300),
        ("a", 9, 300, 11, 0.35, 100.0, 300),
    ]
    assert posterior_of(tree, rows)[0, leaf_named(tree, "Una alba")] > 0.9


def test_a_contig_without_hits_has_an_empty_row(tree):
    found = posterior_of(tree, genes(11, 0.99), ids=("a", "b"))
    assert found[1].sum() == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.integers(0, 3),
            st.just(300),
            st.sampled_from([11, 12, 13, 99]),
            st.floats(0.2, 1.0),
            st.floats(20, 600),
            st.integers(20, 300),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_rows_are_probabilities_whatever_the_hits(rows):
    tree = LabelTree.from_lineages(LINEAGES.values(), other_children=True)
    found = posterior_of(tree, rows, ids=("a", "b"))
    assert (found >= -1e-12).all()
    for row in found:
        assert row.sum() == pytest.approx(0.0) or row.sum() == pytest.approx(1.0)


def test_presence_falls_from_domain_to_species_and_rises_with_identity():
    found = presence(np.linspace(0.2, 1.0, 50), np.full(50, 10.0))
    assert found.shape == (50, len(RANKS))
    assert (np.diff(found, axis=1) <= 0).all()
    assert (np.diff(found, axis=0) >= 0).all()


def test_few_genes_say_less_about_the_species_than_many():
    few, many = presence(np.array([0.94, 0.94]), np.array([1.0, 100.0]))[:, -1]
    assert many < few < 0.5


def test_other_leaves_lead_from_the_root_to_the_genus(tree):
    found = other_leaves(tree)[leaf_named(tree, "Una alba")]
    parents = [tree.name[tree.parent[tree.leaves[leaf]]] for leaf in found]
    assert parents == ["root", "Bacteria", "P", "C", "O", "F", "Una"]


def test_a_label_without_hits_is_believed_in_part(tree):
    labels = [LINEAGES[11], LINEAGES[11][:6] + (None,), (None,) * 7]
    found = posterior_of_labels(labels, tree, other_leaves(tree)).toarray()
    np.testing.assert_allclose(found.sum(axis=1), [1, 1, 0])
    assert found[0, leaf_named(tree, "Una alba")] == pytest.approx(0.8)
    assert found[1, leaf_named(tree, "Una", rank=7)] == pytest.approx(0.4)
    assert found[1, leaf_named(tree, "Una alba")] == pytest.approx(0.2)
