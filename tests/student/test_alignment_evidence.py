import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import parse_lineage
from genestill.core.table_schemas import ALIGNMENTS
from genestill.core.tables import write_table
from genestill.student.corrector.evidence import alignments
from genestill.student.corrector.evidence.alignments import (
    _medians_of_others,
    _weighted_median,
    observations,
    presence,
    read,
)
from genestill.student.corrector.features import Contigs

SPECIES = ["d__B;p__P;c__C;o__O;f__F;g__G;s__G a", "d__B;p__P;c__C;o__O;f__F;g__G;s__G b"]


def genome(contigs, identity, spread, depth, seed):
    """Identities, observations and depths of the contigs of a genome."""
    random = np.random.default_rng(seed)
    drawn = np.minimum(1.0, random.normal(identity, spread, contigs))
    return drawn, np.full(contigs, 3.0), np.log(depth) + random.normal(0, 0.1, (contigs, 1))


def test_conserved_contigs_of_an_absent_sister_are_judged_by_the_rest_of_its_genome():
    identity, segments, depth = genome(60, 0.88, 0.03, 20.0, seed=1)
    identity[:6] = np.linspace(0.955, 0.995, 6)
    assert presence(identity, segments, depth).max() < 0.5
    assert presence(identity[2:6], segments[2:6], depth[2:6]).min() > 0.5


@pytest.mark.parametrize("sisters_depth", [200.0, 10.0])
def test_a_genome_and_its_absent_sister_are_distinguished(sisters_depth):
    ours, sisters = genome(60, 0.99, 0.004, 10.0, seed=2), genome(60, 0.88, 0.03, sisters_depth, seed=3)
    found = presence(*(np.concatenate(parts) for parts in zip(ours, sisters, strict=True)))
    assert found[:60].mean() > 0.95
    assert found[60:].mean() < 0.05


def test_the_identity_of_a_contig_is_left_out_of_the_identity_of_its_genome(monkeypatch):
    monkeypatch.setattr(alignments, "_fit", lambda identity, *_: (0.0, np.ones((len(identity), 1))))
    segments = np.array([60.0] + [2.0] * 6)
    found = [presence(np.array([own] + [0.93] * 6), segments, np.zeros((7, 0)))[0] for own in (0.93, 0.96, 0.99)]
    assert found[0] == found[1] == found[2] < 0.1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=2, max_size=12))
def test_medians_of_others_are_weighted_medians_without_one_value(rows):
    values, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    expected = [_weighted_median(np.delete(values, row), np.delete(weights, row)) for row in range(len(values))]
    assert _medians_of_others(values, weights).tolist() == expected


def test_without_depths_only_identity_is_used():
    identity, segments, _ = genome(40, 0.99, 0.004, 1.0, seed=4)
    assert presence(identity, segments, np.zeros((40, 0))).min() > 0.9


def test_one_contig_is_weaker_evidence_than_many_of_the_same_identity():
    one = presence(np.array([0.94]), np.ones(1), np.zeros((1, 1)))[0]
    many = presence(np.full(50, 0.94), np.ones(50), np.zeros((50, 1)))
    assert many.max() < one < 0.5


def test_a_long_contig_counts_as_more_than_one_observation_but_fewer_than_its_segments():
    found = observations(np.array([300.0, 1000.0, 10_000.0, 1e7]))
    assert found[0] == found[1] == 1
    assert (np.diff(found[1:]) > 0).all()
    assert found[-1] < 4


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0.7, 1), st.floats(1, 3), st.floats(-3, 8)), min_size=1, max_size=40))
def test_presence_is_a_probability_for_any_contigs(rows):
    identity, segments, depth = (np.array(column) for column in zip(*rows, strict=True))
    found = presence(identity, segments, depth[:, None])
    assert ((found > 0) & (found < 1)).all()


@pytest.fixture
def written(tmp_path):
    (tmp_path / "lineages.tsv").write_text("taxid\tlineage\n1\t" + "\n2\t".join(SPECIES) + "\n")
    (tmp_path / "genomes.tsv").write_text("genome\ttaxid\nA1\t1\nA2\t1\nB1\t2\n")
    contigs = Contigs(["x", "y", "z"], np.full(3, 5000), np.zeros((3, 103)), np.ones((3, 2), np.float32), ["s", "t"])

    def read_rows(rows, species=SPECIES):
        columns = ["id", "genome", "identity", "matches", "aligned"]
        write_table(tmp_path / "alignments.parquet", pd.DataFrame(rows, columns=columns), ALIGNMENTS)
        tree = LabelTree.from_lineages(map(parse_lineage, species), other_children=True)
        return tree, read(tmp_path / "alignments.parquet", contigs, tree, tmp_path)

    return read_rows


def test_the_best_genome_of_a_contig_supports_its_leaf_and_absence_the_unknown_children(written):
    rows = [("x", "A2", 0.995, 4900, 1.0), ("x", "B1", 0.93, 4000, 1.0), ("y", "B1", 0.80, 3000, 0.9),
            ("z", "A1", 0.99, 500, 0.1)]  # fmt: skip
    tree, found = written(rows)
    own, leaf = found.own.toarray(), {int(node): leaf for leaf, node in enumerate(tree.leaves)}
    first, second = (leaf[tree.node_of(parse_lineage(name))] for name in SPECIES)
    assert own[0].argmax() == first
    assert own[1, second] < 0.05
    assert own[1, [tree.is_other[node] for node in tree.leaves]].sum() > 0.95
    np.testing.assert_allclose(own.sum(axis=1), [1, 1, 0])
    # Evidence pooled over a species is not pooled over neighbours again.
    alone, both = found.pooled(sparse.csr_matrix(np.ones((3, 3))))
    assert alone.nnz == 0
    np.testing.assert_array_equal(both.toarray(), own)


def test_genomes_of_species_missing_from_the_tree_are_ignored_and_unknown_genomes_are_refused(written):
    assert written([("x", "B1", 0.99, 4900, 1.0)], SPECIES[:1])[1].own.nnz == 0
    with pytest.raises(InputError, match="the genome 'C9' is not in"):
        written([("x", "C9", 0.99, 4900, 1.0)])
