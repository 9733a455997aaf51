from itertools import groupby

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.hit_tables import Hits
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.table_schemas import LABELS
from genestill.core.tables import write_table
from genestill.student.corrector.evidence.hits import (
    HitEvidence,
    HitSums,
    clades_of,
    genes_of_clades,
    leaf_posterior,
    nearest_species,
    pooled_posteriors,
    presence,
    sum_hits,
)
from genestill.student.corrector.evidence.labels import evidence_of_labels, posterior_of_labels
from genestill.student.corrector.evidence.source import (
    GARBAGE,
    Evidence,
    Joint,
    combine,
    marginal,
    other_leaves,
    read_evidence,
)
from genestill.student.corrector.features import Contigs
from genestill.student.corrector.neighbours import Neighbourhood
from genestill.student.corrector.overlap import Overlap
from genestill.student.corrector.pipeline import Sources, build_targets
from genestill.student.corrector.targets import agreement, targets_of_evidence
from genestill.student.corrector.wide_nodes import WideNodes

ABOVE = "d__Bacteria;p__P;c__C;o__O;f__F;g__"
LINEAGES = {
    11: parse_lineage(ABOVE + "Una;s__Una alba"),
    12: parse_lineage(ABOVE + "Una;s__Una nigra"),
    13: parse_lineage(ABOVE + "Duo;s__Duo parva"),
}
# Taxids of proteins without a species: of a genus, and of no taxon.
OF_GENUS, OF_ROOT = 20, 21
WITH_HIGHER = LINEAGES | {OF_GENUS: parse_lineage(ABOVE + "Una"), OF_ROOT: (None,) * 7}


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


def hits_of(rows, ids):
    """Rows of contig, fragment, taxid, identity, bits, aligned."""
    contig, fragment, taxid, identity, bits, aligned = zip(*rows, strict=True)
    rows_of = np.array([ids.index(name) if name in ids else -1 for name in contig], dtype=np.int32)
    kinds = (np.int32, np.int64, np.float32, np.float32, np.int32)
    values = zip((fragment, taxid, identity, bits, aligned), kinds, strict=True)
    return Hits(rows_of, *(np.array(column, dtype=kind) for column, kind in values))


def posterior_of(tree, rows, ids=("a",)):
    evidence = sum_hits([hits_of(rows, ids)], list(ids), WITH_HIGHER, tree)
    return leaf_posterior(evidence, other_leaves(tree), 0.02).toarray()


def genes(taxid, identity, count=5, contig="a", bits=500.0):
    return [(contig, gene, taxid, identity, bits * identity, 300) for gene in range(count)]


def test_a_contig_nearly_identical_to_a_species_is_called_that_species(tree):
    found = posterior_of(tree, genes(11, 0.995) + genes(12, 0.80))
    assert found[0, leaf_named(tree, "Una alba")] > 0.9


def test_a_contig_at_the_distance_of_a_sister_species_is_called_an_unknown_species_of_the_genus(tree):
    found = posterior_of(tree, genes(11, 0.85))
    assert found[0, leaf_named(tree, "Una", rank=7)] > 0.8
    assert found[0, leaf_named(tree, "Una alba")] < 0.05


def test_a_contig_far_from_all_references_is_not_assigned_a_genus(tree):
    found = posterior_of(tree, genes(13, 0.45, count=20))
    genus = tree.node_of(LINEAGES[13][:6] + (None,))
    assert tree.node_probabilities(found, np.array([genus]))[0, 0] < 0.1


def test_a_paralogue_is_not_evidence_against_the_species_that_lacks_the_gene(tree):
    # Gene 9 is missing from the proteome of Una alba: a distant copy aligns, and the sister species has the gene.
    rows = [
        *genes(11, 0.995),
        *genes(12, 0.80),
        ("a", 9, 12, 0.85, 420.0, 300),
        ("a", 9, 11, 0.35, 100.0, 300),
    ]
    assert posterior_of(tree, rows)[0, leaf_named(tree, "Una alba")] > 0.9


@pytest.mark.parametrize("count", [1, 6])
def test_a_species_that_is_comparable_in_no_gene_is_not_the_nearest_although_it_has_the_highest_score(tree, count):
    """Una alba and Una nigra have much better hits in half of the genes each, Duo parva has distant ones in all."""
    best = [("a", gene, (11, 12)[gene % 2], (0.99, 0.98)[gene % 2], 100.0, 300) for gene in range(2 * count)]
    distant = [("a", gene, 13, 0.6, 60.0, 300) for gene in range(2 * count)]
    found = posterior_of(tree, best + distant)
    genus = tree.node_of(LINEAGES[11][:6] + (None,))
    assert found[0, leaf_named(tree, "Duo parva")] == 0
    assert tree.node_probabilities(found, np.array([genus]))[0, 0] > 0.9
    sums = sum_hits([hits_of(best + distant, ["a"])], ["a"], LINEAGES, tree)
    assert sums.leaves[int(sums.bits.argmax(axis=1)[0, 0])] == leaf_named(tree, "Duo parva")
    nearest, _ = nearest_species(sums, tree)
    assert sums.leaves[nearest[0]] in (leaf_named(tree, "Una alba"), leaf_named(tree, "Una nigra"))


def test_a_contig_nearest_to_proteins_of_a_genus_without_a_species_is_not_assigned_to_a_distant_species(tree):
    found = posterior_of(tree, genes(OF_GENUS, 0.99) + genes(13, 0.55))
    assert found[0, leaf_named(tree, "Una", rank=7)] > 0.9


def test_genes_are_left_out_and_counted_if_no_species_is_comparable_with_a_hit_without_a_taxon(tree, caplog):
    far = [("a", gene, taxid, *values, 300) for gene in range(3) for taxid, values in
           ((OF_ROOT, (0.99, 600.0)), (13, (0.5, 250.0)))]  # fmt: skip
    assert posterior_of(tree, far).sum() == 0
    assert "3 genes are left out" in caplog.text
    near = [("a", gene, taxid, *values, 300) for gene in range(3) for taxid, values in
            ((OF_ROOT, (0.99, 600.0)), (11, (0.99, 599.0)))]  # fmt: skip
    assert posterior_of(tree, near)[0, leaf_named(tree, "Una alba")] > 0.9


def test_a_species_that_is_comparable_with_a_better_hit_above_species_is_the_best_hit_of_the_gene(tree):
    rows = [
        ("a", gene, taxid, 0.99, bits, 300) for gene in range(3) for taxid, bits in ((OF_GENUS, 600.0), (11, 590.0))
    ]
    sums = sum_hits([hits_of(rows, "a")], ["a"], WITH_HIGHER, tree, with_best=True)
    assert sums.best[0, int(np.flatnonzero(sums.leaves == leaf_named(tree, "Una alba"))[0])] == 3


def test_contigs_nearest_to_proteins_above_species_are_not_known_to_be_of_the_same_species(tree):
    rows = [row for contig in "ab" for row in genes(OF_GENUS, 0.99, count=20, contig=contig)]
    evidence = HitEvidence(sum_hits([hits_of(rows, "ab")], list("ab"), WITH_HIGHER, tree), tree)
    assert evidence.nearest[0] != evidence.nearest[1]
    assert not evidence.sure.any()


def test_a_hit_to_a_species_that_the_tree_lacks_counts_as_an_unknown_species_of_its_genus(tree):
    known = WITH_HIGHER | {14: parse_lineage(ABOVE + "Una;s__Una rara")}
    sums = sum_hits([hits_of(genes(14, 0.99) + genes(13, 0.55), "a")], ["a"], known, tree)
    found = leaf_posterior(sums, other_leaves(tree), 0.02).toarray()
    assert found[0, leaf_named(tree, "Una", rank=7)] > 0.9


def test_a_contig_without_hits_has_an_empty_row(tree):
    found = posterior_of(tree, genes(11, 0.99), ids=("a", "b"))
    assert found[1].sum() == 0


some_hits = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 3),
        st.sampled_from([11, 12, 13, OF_GENUS, OF_ROOT, 99]),
        st.integers(20, 100).map(lambda percent: percent / 100),
        st.integers(20, 600).map(float),
        st.integers(20, 300),
    ),
    min_size=1,
    max_size=30,
)


@given(some_hits)
def test_rows_are_probabilities_for_any_hits(rows):
    tree = LabelTree.from_lineages(LINEAGES.values(), other_children=True)
    found = posterior_of(tree, rows, ids=("a", "b"))
    assert (found >= -1e-12).all()
    for row in found:
        assert row.sum() == pytest.approx(0.0) or row.sum() == pytest.approx(1.0)


@settings(max_examples=30)
@given(some_hits)
def test_evidence_is_the_sum_of_the_best_hit_of_each_gene_for_any_split_of_the_table(rows):
    tree = LabelTree.from_lineages(LINEAGES.values(), other_children=True)
    blocks = [hits_of(list(part), "ba") for _, part in groupby(sorted(rows), key=lambda row: row[0])]
    found = sum_hits(blocks, ["b", "a"], WITH_HIGHER, tree, with_best=True)
    expected, genes = np.zeros((3, 2, len(tree.leaves))), {"b": 0, "a": 0}
    leaves = {taxid: leaf_named(tree, lineage[-1]) for taxid, lineage in LINEAGES.items()}
    leaves[OF_GENUS] = leaf_named(tree, "Una", rank=7)
    for number, contig in enumerate(("b", "a")):
        for gene in range(4):
            # The first of several hits with the same score is used.
            own = [row for row in sorted(rows) if row[:2] == (contig, gene)]
            best = {row[2]: row for row in reversed(sorted(own, key=lambda row: -row[4])) if row[2] in leaves}
            comparable = {taxid for taxid, row in best.items() if row[4] >= 0.8 * max(row[4] for row in own)}
            genes[contig] += bool(comparable)
            for taxid, (*_, identity, bits, aligned) in best.items() if comparable else ():
                expected[0, number, leaves[taxid]] += bits
                if taxid in comparable:
                    expected[1:, number, leaves[taxid]] += identity * aligned, aligned
    for matrix, values in zip((found.bits, found.matched, found.aligned), expected, strict=True):
        full = np.zeros(values.shape)
        full[:, found.leaves] = matrix.toarray()
        np.testing.assert_allclose(full, values, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(found.best.sum(axis=1)).ravel(), found.genes)
    assert found.genes.tolist() == list(genes.values())


def test_hits_of_a_contig_that_are_not_contiguous_are_refused(tree):
    blocks = [hits_of(genes(11, 0.9, contig=contig), "ab") for contig in "aba"]
    with pytest.raises(InputError, match="contig 'a' are not contiguous"):
        sum_hits(blocks, ["a", "b"], LINEAGES, tree)


@settings(max_examples=30)
@given(some_hits, st.integers(0, 2**32 - 1))
def test_pooled_evidence_equals_the_evidence_of_all_neighbours_together(rows, seed):
    tree = LabelTree.from_lineages(LINEAGES.values(), other_children=True)
    own = sum_hits([hits_of(rows, "abc")], list("abc"), LINEAGES, tree, with_best=True)
    others, clades = other_leaves(tree), clades_of(own.leaves, tree)
    weights = np.random.default_rng(seed).random((3, 3)) * (1 - np.eye(3))
    found = pooled_posteriors(own, sparse.csr_matrix(weights), others, 0.01, clades)
    for matrix, posterior in zip((weights, weights + np.eye(3)), found, strict=True):
        parts = [sparse.csr_matrix(matrix @ part) for part in (own.bits, own.matched, own.aligned, own.best)]
        sums = HitSums(*parts[:3], matrix @ own.genes, own.leaves, parts[3])
        expected = leaf_posterior(sums, others, 0.01, clades)
        np.testing.assert_allclose(posterior.toarray(), expected.toarray(), atol=1e-4)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_hits)
def test_a_posterior_does_not_depend_on_the_number_of_contigs_processed_at_a_time(monkeypatch, rows):
    tree = LabelTree.from_lineages(LINEAGES.values(), other_children=True)
    sums = sum_hits([hits_of(rows, "abc")], list("abc"), LINEAGES, tree, with_best=True)
    found = []
    for most in (1, 2, 4096):
        monkeypatch.setattr("genestill.core.memory.MOST_ROWS", most)
        found.append(leaf_posterior(sums, other_leaves(tree), 0.01, clades_of(sums.leaves, tree)).toarray())
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[2])


def test_presence_falls_from_domain_to_species_and_rises_with_identity():
    found = presence(np.linspace(0.2, 1.0, 50), np.full(50, 10.0))
    assert found.shape == (50, len(RANKS))
    assert (np.diff(found, axis=1) <= 0).all()
    assert (np.diff(found, axis=0) >= 0).all()


def test_few_genes_are_weaker_evidence_about_the_species_than_many():
    few, many = presence(np.array([0.94, 0.94]), np.array([1.0, 100.0]))[:, -1]
    assert many < few < 0.5


def test_without_abundances_neighbours_are_not_used_even_with_a_teacher(tree, tmp_path):
    labels = pd.DataFrame([["a", *LINEAGES[11], 11, 1.0], ["b", *[None] * 7, None, None]], columns=LABELS.names)
    write_table(tmp_path / "labels.parquet", labels, LABELS)
    contigs = Contigs(["a", "b"], np.full(2, 2000), np.random.default_rng(1).random((2, 103)), None, [])
    sources = Sources("", "", tmp_path / "labels.parquet", "", "", embeddings=object())
    found = build_targets(sources, contigs, tree, use_neighbours=True, seed=1)
    assert found.around.nnz == 0
    np.testing.assert_array_equal(found.posterior.toarray(), found.own.toarray())


def test_neighbours_of_a_sister_species_do_not_change_contigs_with_certain_species(tree):
    """One sample cannot distinguish sister genomes of the same depth: half of the neighbours of a contig are wrong."""
    ids = [f"{taxid}.{number}" for number in range(20) for taxid in (11, 12)]
    rows = [
        row
        for name in ids
        for near, far in [(11, 12) if name.startswith("11") else (12, 11)]
        for row in genes(near, 0.995, contig=name) + genes(far, 0.85, contig=name)
    ]
    evidence = HitEvidence(sum_hits([hits_of(rows, ids)], ids, LINEAGES, tree), tree)
    index = np.array([[other for other in range(len(ids)) if other != number] for number in range(len(ids))])
    found = targets_of_evidence(evidence, Neighbourhood(index, np.full(index.shape, 0.7))).posterior.toarray()
    right = [leaf_named(tree, LINEAGES[int(name[:2])][-1]) for name in ids]
    assert (found[np.arange(len(ids)), right] > 0.9).all()


rows_of_probabilities = st.lists(
    st.lists(st.floats(0, 1), min_size=4, max_size=4).map(lambda row: row if sum(row) > 0.01 else [0.0] * 4),
    min_size=3,
    max_size=3,
).map(lambda rows: np.array([np.divide(row, sum(row) or 1) for row in rows]))


@given(rows_of_probabilities, rows_of_probabilities)
def test_two_sources_are_combined_by_bayes_rule_and_either_may_be_wrong(left, right):
    prior = np.array([0.1, 0.2, 0.3, 0.4])
    found = combine(*map(sparse.csr_matrix, (left, right)), Overlap(prior, WideNodes())).toarray()
    for row, one, two in zip(found, left, right, strict=True):
        if not one.any() or not two.any():
            expected = one + two
        else:
            expected = prior * ((1 - GARBAGE) * one / prior + GARBAGE) * ((1 - GARBAGE) * two / prior + GARBAGE)
            expected -= GARBAGE**2 * prior
        np.testing.assert_allclose(row, expected / (expected.sum() or 1), atol=1e-9)


@pytest.mark.parametrize("columns", [("Una", "Una alba"), ("Una", "F"), ("Una", "Una"), ("Una alba", "F")])
def test_wide_nodes_of_two_sources_are_equivalent_to_all_their_leaves(tree, columns):
    leaves, named = len(tree.leaves), {"Una": LINEAGES[11][:6] + (None,), "F": LINEAGES[11][:5] + (None,) * 2}
    nodes = {name: tree.node_of(lineage) for name, lineage in named.items()}
    wide, prior = WideNodes.of(tree, np.sort(list(nodes.values()))), np.full(leaves, 1 / leaves)
    column = {name: leaves + int(np.searchsorted(wide.nodes, node)) for name, node in nodes.items()}
    column["Una alba"] = leaf_named(tree, "Una alba")
    left, right = (sparse.csr_matrix(np.eye(1, leaves + 2, column[name])) for name in columns)
    found = wide.spread(combine(left, right, Overlap(prior, wide)))
    expected = combine(*(sparse.csr_matrix(wide.spread(row)) for row in (left, right)), Overlap(prior, WideNodes()))
    np.testing.assert_allclose(found, expected.toarray(), atol=1e-12)


def test_pooled_evidence_of_combined_sources_combines_the_pooled_evidence_of_each(tree):
    rows = genes(11, 0.96) + genes(12, 0.96, contig="b")
    hits = HitEvidence(sum_hits([hits_of(rows, "ab")], list("ab"), LINEAGES, tree), tree)
    nigra = leaf_named(tree, "Una nigra")
    named = sparse.csr_matrix(np.eye(1, len(tree.leaves), nigra).repeat(2, axis=0))
    second = Evidence(named, np.zeros(2, np.int64), np.ones(2, bool), np.ones(2))
    joint, weights = Joint([hits, second], tree), sparse.csr_matrix([[0, 0.5], [0.5, 0]])
    assert joint.own[1, nigra] > hits.own[1, nigra]
    for found, *parts in zip(joint.pooled(weights), hits.pooled(weights), second.pooled(weights), strict=True):
        np.testing.assert_allclose(found.toarray(), combine(*parts, joint.overlap).toarray())


def test_disagreement_of_genes_makes_a_group_less_probable_and_agreement_adds_nothing():
    identity, genes = np.full(3, 0.55), np.full(3, 40.0)
    agreed = np.outer([40.0, 12.0, 4.0], np.ones(7))
    found, alone = presence(identity, genes, agreed)[:, RANKS.index("family")], presence(identity, genes)[0]
    assert found[0] == pytest.approx(alone[RANKS.index("family")])
    assert found[0] > found[1] > found[2]
    assert found[1] < 0.5 < found[0]


def test_genes_are_counted_by_the_group_of_their_best_hit(tree):
    rows = [("a", gene, taxid, 0.9, bits, 300) for gene, best in enumerate((11, 11, 12, 13)) for taxid, bits in
            ((11, 400.0), (best, 450.0))]  # fmt: skip
    sums = sum_hits([hits_of(rows, "a")], ["a"], LINEAGES, tree, with_best=True)
    clades = clades_of(sums.leaves, tree)
    nearest = np.flatnonzero(sums.leaves == leaf_named(tree, "Una alba"))
    assert genes_of_clades(sums.best, nearest, clades).tolist() == [[4, 4, 4, 4, 4, 3, 2]]


def test_two_sources_of_evidence_from_the_same_search_are_refused_by_every_command(tree, tmp_path):
    contigs = Contigs(["a"], np.full(1, 2000), np.zeros((1, 103)), None, [])
    with pytest.raises(InputError, match="hits and agreeing_hits use the same search; expected one of them"):
        read_evidence({"hits": tmp_path / "h", "agreeing_hits": tmp_path / "h"}, contigs, tree, tmp_path)


def test_other_leaves_are_listed_from_the_root_to_the_genus(tree):
    found = other_leaves(tree)[leaf_named(tree, "Una alba")]
    parents = [tree.name[tree.parent[tree.leaves[leaf]]] for leaf in found]
    assert parents == ["root", "Bacteria", "P", "C", "O", "F", "Una"]


def test_a_label_without_hits_is_only_partly_trusted(tree):
    labels = [LINEAGES[11], LINEAGES[11][:6] + (None,), (None,) * 7]
    found = posterior_of_labels(labels, tree, other_leaves(tree))[0].toarray()
    np.testing.assert_allclose(found.sum(axis=1), [1, 1, 0])
    assert found[0, leaf_named(tree, "Una alba")] == pytest.approx(0.8)
    assert found[1, leaf_named(tree, "Una", rank=7)] == pytest.approx(0.4)
    assert found[1, leaf_named(tree, "Una alba")] == pytest.approx(0.2)


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 7), min_size=2, max_size=12), st.integers(0, 2**32 - 1))
def test_wide_nodes_are_equivalent_to_all_their_leaves(paths, seed):
    lineages = [tuple(f"{place}{name}" for place, name in enumerate(path)) for path in paths]
    tree = LabelTree.from_lineages(lineages, other_children=True)
    random = np.random.default_rng(seed)
    labels = [(*path[:depth], *(None,) * (7 - depth)) for path in lineages for depth in random.integers(0, 8, 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genestill.student.corrector.evidence.labels.WIDE", 10**9)
        plain_evidence = evidence_of_labels(labels, tree)
        patch.setattr("genestill.student.corrector.evidence.labels.WIDE", 2)
        evidence = evidence_of_labels(labels, tree)
    plain, none, found, wide = plain_evidence.own, plain_evidence.wide, evidence.own, evidence.wide
    assert len(none) == 0
    np.testing.assert_allclose(wide.spread(found), plain.toarray(), atol=1e-12)
    prior = marginal(plain, none)
    np.testing.assert_allclose(marginal(found, wide), prior, atol=1e-12)
    shuffled = random.permutation(len(labels))
    np.testing.assert_allclose(
        agreement(found, found[shuffled], prior, wide), agreement(plain, plain[shuffled], prior), rtol=1e-9
    )
    index = np.array([random.choice(np.delete(np.arange(len(labels)), row), 3) for row in range(len(labels))])
    hood = Neighbourhood(index, random.uniform(0.1, 0.99, index.shape))
    expected, targets = targets_of_evidence(plain_evidence, hood), targets_of_evidence(evidence, hood)
    for name in ("own", "around", "posterior"):
        np.testing.assert_allclose(
            wide.spread(getattr(targets, name)), getattr(expected, name).toarray(), atol=1e-9, err_msg=name
        )
