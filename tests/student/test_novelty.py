from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from genestill.core.errors import InputError
from genestill.core.hit_tables import Hits
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import parse_lineage
from genestill.core.table_schemas import HITS
from genestill.core.tables import write_table
from genestill.student.corrector.features import Contigs
from genestill.student.corrector.novelty import ledger
from genestill.student.corrector.novelty.absence import withhold
from genestill.student.corrector.novelty.calibration import (
    GENERAL,
    Calibration,
    Cases,
    Model,
    fit_towards,
    log_odds_of,
    shares,
)
from genestill.student.corrector.novelty.conformal import half_width, threshold
from genestill.student.corrector.novelty.groups import group_contigs, propagate_labels
from genestill.student.corrector.novelty.set_aside import read_set_aside
from genestill.student.corrector.settings import NoveltySettings

ABOVE = "d__Bacteria;p__P;c__C;o__O;f__"
LINEAGES = {
    11: parse_lineage(ABOVE + "F;g__Una;s__Una alba"),
    12: parse_lineage(ABOVE + "F;g__Una;s__Una nigra"),
    13: parse_lineage(ABOVE + "F;g__Duo;s__Duo parva"),
    14: parse_lineage(ABOVE + "G;g__Tria;s__Tria magna"),
}


@settings(max_examples=40)
@given(st.lists(st.floats(0, 10), min_size=2, max_size=20), st.floats(0.05, 0.95))
def test_the_half_width_covers_at_least_the_level_of_exchangeable_errors(errors, level):
    errors = np.array(errors)
    inside = [error <= half_width(np.delete(errors, number), level) for number, error in enumerate(errors)]
    assert np.mean(inside) >= level


def virtual_samples(random, samples, cases=24):
    absent = random.random((samples, cases)) < random.uniform(0.1, 0.6, (samples, 1))
    return random.normal(0, 1, absent.shape) + 1.5 * absent, absent


def test_the_expected_share_of_false_calls_in_a_new_sample_is_within_the_rate():
    random = np.random.default_rng(1)
    shares_of_false, calls = [], 0
    for _ in range(40):
        scores, absent = virtual_samples(random, 41)
        called = scores[-1] > threshold(scores[:-1], absent[:-1], 0.2)
        shares_of_false.append((called & ~absent[-1]).sum() / max(called.sum(), 1))
        calls += called.sum()
    assert calls > 100
    assert np.mean(shares_of_false) < 0.2 + 2 * np.std(shares_of_false) / np.sqrt(40)


@pytest.mark.parametrize(("samples", "safe"), [(1, False), (60, True)])
def test_with_few_samples_no_calls_are_made_even_if_the_scores_are_clear(samples, safe):
    scores, absent = np.tile([5.0, -5.0], (samples, 1)), np.tile([True, False], (samples, 1))
    assert threshold(scores, absent, 0.05) == (-5.0 if safe else np.inf)


def test_without_cases_no_calls_are_made():
    assert threshold(np.full((60, 3), np.nan), np.zeros((60, 3), dtype=bool), 0.05) == np.inf


def links_of(pairs, contigs):
    rows, columns, weights = zip(*pairs, strict=True)
    found = sparse.csr_matrix((weights, (rows, columns)), shape=(contigs, contigs))
    return found.maximum(found.T).tocsr()


def test_contigs_with_many_links_form_a_group_and_weak_links_do_not_join_groups():
    within = [(a, b, 0.9) for part in (range(4), range(4, 8)) for a in part for b in part if a < b]
    group = propagate_labels(links_of([*within, (3, 4, 0.6), (8, 0, 0.4)], 9), np.arange(9))
    assert len(set(group[:4])) == len(set(group[4:8])) == 1
    assert len(set(group)) == 3


def test_without_depths_contigs_are_grouped_by_nearest_species_and_those_without_hits_are_alone():
    own = sparse.csr_matrix(np.array([[1.0, 0], [1, 0], [0, 1], [0, 0], [0, 0]]))
    evidence = SimpleNamespace(own=own, nearest=np.array([0, 0, 1, 0, 0]))
    group = group_contigs(evidence, None, np.full(5, 1000))
    assert group[0] == group[1]
    assert len(set(group.tolist())) == 4


def hits_of(rows):
    """Rows of fragment and taxid, of one contig."""
    fragment, taxid = (np.array(column) for column in zip(*rows, strict=True))
    ones = np.ones(len(rows), dtype=np.float32)
    contig = np.zeros(len(rows), np.int32)
    return Hits(contig, fragment.astype(np.int32), taxid, ones, 100 * ones, (100 * ones).astype(np.int32))


def test_a_clade_is_withheld_with_all_its_hits_and_a_parent_without_other_members_is_absent():
    tree = LabelTree.from_lineages(LINEAGES.values(), other_children=True)
    leaf = {tree.name[node]: number for number, node in enumerate(tree.leaves)}
    # The list of gene 0 is full, with three hits: further hits are unknown.
    hits = hits_of([(0, 11), (0, 12), (0, 13), (1, 11), (2, 14)])
    found = withhold(hits, np.array([leaf["Una alba"]]), ["a"], LINEAGES, tree)
    species = [{tree.name[tree.leaves[one.sums.leaves[place]]] for place in one.sums.bits.indices} for one in found]
    assert species == [{"Una nigra", "Duo parva", "Tria magna"}, {"Duo parva", "Tria magna"}, {"Tria magna"}]
    assert [one.unknown.tolist() for one in found] == [[0], [0], [1]]
    absent = [[one.absent[leaf[name]].tolist() for one in found] for name in ("Una alba", "Duo parva", "Tria magna")]
    assert absent == [
        [[True, False, False], [True, True, False], [True, True, True]],
        [[True, True, False], [True, True, False], [True, True, True]],
        [[True, True, True]] * 3,
    ]


def test_proteins_above_a_withheld_clade_are_withheld_with_it(tmp_path):
    tree = LabelTree.from_lineages(LINEAGES.values(), other_children=True)
    leaf = {tree.name[node]: number for number, node in enumerate(tree.leaves)}
    lineages = LINEAGES | {20: parse_lineage(ABOVE + "F;g__Una"), 21: parse_lineage(ABOVE + "F;g__Duo")}
    found = withhold(hits_of([(0, 20), (0, 21), (1, 12)]), np.array([leaf["Una alba"]]), ["a"], lineages, tree)
    names = [
        {tree.lineage_of(tree.leaves[one.sums.leaves[place]])[5:] for place in one.sums.bits.indices} for one in found
    ]
    assert names == [{("Duo", None), ("Una", "Una nigra")}, {("Duo", None)}, set()]


some_steps = st.lists(st.lists(st.floats(-60, 60), min_size=3, max_size=3), min_size=1, max_size=9).map(np.array)


@settings(max_examples=40)
@given(some_steps)
def test_the_probability_of_absence_does_not_decrease_from_family_to_genus_to_species(steps):
    log_odds = log_odds_of(steps)
    assert np.isfinite(log_odds).all()
    assert (np.diff(log_odds, axis=1) <= 1e-9).all()


def test_the_general_weights_are_kept_if_no_family_of_the_sample_lacks_only_its_genus():
    # Every case lacks species, genus and family, or none of them: no case has a family without its genus.
    absent = np.repeat([[True] * 3, [False] * 3], 6, axis=0)
    cases = Cases(
        np.random.default_rng(1).normal(size=(12, 4)), absent, np.arange(12), np.full(12, 50.0), np.arange(12)
    )
    assert np.array(Model(cases, np.ones(12, dtype=bool)).weights) == pytest.approx(np.array(GENERAL))


def thresholds_of(genes_of_family):
    """Thresholds if each family has a clear case of every level, of as many genes as given."""
    random, families = np.random.default_rng(1), len(genes_of_family)
    absent = np.repeat([[False] * 3, [True, False, False], [True, True, False], [True] * 3], families, axis=0)
    features = np.where(absent[:, [0, 1, 1, 2]], [9.0, -5, -5, -5], [-9.0, 5, 5, 5]) + random.normal(
        size=(4 * families, 4)
    )
    numbers = np.tile(np.arange(families), 4)
    calibration = Calibration(Cases(features, absent, numbers, np.tile(genes_of_family, 4), numbers), random)
    return calibration.thresholds(calibration.virtual_samples(np.ones(families), random), 0.05)


def test_with_few_families_per_outcome_no_group_is_called_new_at_any_rank_even_if_it_is_clear():
    assert np.isinf(thresholds_of([50.0] * 8)).all()
    assert np.isfinite(thresholds_of([50.0] * 9)[1]).all()


def test_sizes_of_groups_with_few_families_have_no_calls_although_other_sizes_have_many():
    found = thresholds_of([500.0] * 2 + [50.0] * 20)
    assert np.isinf(found[[0, 2]]).all()
    assert np.isfinite(found[1]).all()


def test_a_regression_departs_further_from_its_general_weights_with_more_observations():
    features, outcomes = np.repeat([[1.0], [-1.0]], 5, axis=0), np.repeat([True, False], 5)
    slopes = [fit_towards(np.zeros(2), features, outcomes, np.full(10, count))[0] for count in (0, 0.1, 1, 10)]
    assert slopes[0] == 0
    assert (np.diff(slopes) > 0.1).all()


def test_shares_are_weighted_means_and_certain_groups_have_almost_no_deviation():
    share, deviation = shares(np.array([[1.0, 1, 0], [0, 0, 0]]), np.array([[3.0], [1]]))
    assert share.tolist() == [[0.75, 0.75, 0]]
    assert (deviation < 0.01).all()


FAMILIES = 10  # with fewer than nine, no group is called new


def family_of_two_genera(number):
    """Three species, of which two are of one genus."""
    above = f"d__Bacteria;p__P;c__C;o__O{number};f__F{number};g__"
    return [f"{above}A{number};s__A{number} a", f"{above}A{number};s__A{number} b", f"{above}B{number};s__B{number} c"]


def rows_of_contig(name, species, identity, generator):
    """Hits of ten genes of a contig whose nearest species is at ``identity``: to it, and farther to all others."""
    family = species // 3
    rows = []
    for gene in range(10):
        seen = {
            species: identity,
            **{family * 3 + other: 0.8 * identity for other in range(3) if family * 3 + other != species},
        }
        if species % 3 < 2:
            seen[family * 3 + 1 - species % 3] = min(0.85, 0.9 * identity)
            seen[family * 3 + 2] = 0.62 * identity
        stranger = int(generator.integers(0, 3 * FAMILIES))
        seen.setdefault(stranger, 0.44 + 0.05 * generator.random())
        rows += [(name, gene, 300, 100 + taxon, share, 600 * share, 300) for taxon, share in seen.items()]
    return rows


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Ten families; two contigs of each species, and two contigs of a species that the reference lacks."""
    folder, generator = tmp_path_factory.mktemp("novelty"), np.random.default_rng(5)
    names = [name for number in range(FAMILIES) for name in family_of_two_genera(number)]
    lineages = {100 + number: parse_lineage(name) for number, name in enumerate(names)}
    (folder / "lineages.tsv").write_text(
        "taxid\tlineage\n" + "".join(f"{100 + number}\t{name}\n" for number, name in enumerate(names))
    )
    known = [species for species in range(3 * FAMILIES) if species != 7]
    contigs = [(f"{species}.{copy}", species, 0.995) for species in known for copy in range(2)]
    contigs += [(f"new.{copy}", 7, 0.8) for copy in range(2)]
    rows = [row for contig in contigs for row in rows_of_contig(*contig, generator)]
    table = pd.DataFrame(rows, columns=HITS.names)
    write_table(folder / "hits.parquet", table, HITS)
    ids = [name for name, *_ in contigs] + ["silent"]
    tree = LabelTree.from_lineages(lineages.values(), other_children=True)
    sample = Contigs(ids, np.full(len(ids), 20_000), np.zeros((len(ids), 103), np.float32), None, [])
    return sample, ledger.find_novelty(sample, folder / "hits.parquet", tree, folder, NoveltySettings(), 1)


def test_a_species_missing_from_the_reference_is_the_only_group_that_is_called_new(found):
    sample, judged = found
    new = judged.group[sample.ids.index("new.0")]
    assert judged.group[sample.ids.index("new.1")] == new
    assert np.flatnonzero(judged.novel).tolist() == [new]
    assert judged.absent[new, 0] > 0.9


def test_the_share_missing_from_the_reference_is_accurate_and_excludes_contigs_without_hits(found):
    sample, judged = found
    table = ledger.table_of_shares(judged, sample).set_index("rank")
    assert table.loc["species", "share"] == pytest.approx(2 / 60, abs=0.02)
    assert table.loc["species", "silent"] == pytest.approx(1 / 61)
    assert (table["low"] <= table["share"]).all()
    assert (table["share"] <= table["high"]).all()
    assert table.loc["family", "share"] <= table.loc["genus", "share"] <= table.loc["species", "share"]


def test_with_few_families_shares_come_from_boundaries_without_intervals_and_no_group_is_called_new(tmp_path):
    names, random = family_of_two_genera(0), np.random.default_rng(1)
    lines = [f"{100 + number}\t{name}\n" for number, name in enumerate(names)]
    (tmp_path / "lineages.tsv").write_text("taxid\tlineage\n" + "".join(lines))
    rows = rows_of_contig("known", 0, 0.99, random) + rows_of_contig("new", 2, 0.8, random)
    table = pd.DataFrame(rows, columns=HITS.names)
    write_table(tmp_path / "hits.parquet", table[table["target_taxid"] < 103], HITS)
    tree = LabelTree.from_lineages([parse_lineage(name) for name in names], other_children=True)
    sample = Contigs(["known", "new"], np.full(2, 30_000), np.zeros((2, 103), np.float32), None, [])
    judged = ledger.find_novelty(sample, tmp_path / "hits.parquet", tree, tmp_path, NoveltySettings(), 1)
    table = ledger.table_of_shares(judged, sample).set_index("rank")
    assert not judged.novel.any()
    assert table.loc["species", "share"] == pytest.approx(0.5, abs=0.05)
    assert table[["low", "high"]].isna().all(axis=None)


def test_plasmids_and_viruses_of_genomad_are_excluded_but_contigs_with_a_provirus_are_not(tmp_path):
    plasmids, viruses = tmp_path / "x_plasmid_summary.tsv", tmp_path / "x_virus_summary.tsv"
    plasmids.write_text("seq_name\tlength\tplasmid_score\na\t9\t.9\nz\t9\t.9\n")
    viruses.write_text("seq_name\tlength\tvirus_score\nb\t9\t.9\nc|provirus_2_90\t9\t.9\n")
    assert read_set_aside([plasmids, viruses], ["a", "b", "c"]) == {"a": "plasmid", "b": "virus"}
    viruses.write_text("seq_name\tlength\tvirus_score\nb\t9\n")
    with pytest.raises(InputError, match="line 2 has 2 cells; expected 3"):
        read_set_aside([viruses], ["b"])
    viruses.write_text("contig\tscore\n")
    with pytest.raises(InputError, match="expected the columns of geNomad's"):
        read_set_aside([viruses], ["b"])


def test_excluded_contigs_are_in_no_group_and_no_share(tmp_path):
    names = family_of_two_genera(0)
    lines = [f"{100 + number}\t{name}\n" for number, name in enumerate(names)]
    (tmp_path / "lineages.tsv").write_text("taxid\tlineage\n" + "".join(lines))
    rows = rows_of_contig("known", 0, 0.99, np.random.default_rng(1)) + rows_of_contig(
        "new", 2, 0.8, np.random.default_rng(2)
    )
    table = pd.DataFrame(rows, columns=HITS.names)
    write_table(tmp_path / "hits.parquet", table[table["target_taxid"] < 103], HITS)
    tree = LabelTree.from_lineages([parse_lineage(name) for name in names], other_children=True)
    sample = Contigs(["new", "known"], np.full(2, 30_000), np.zeros((2, 103), np.float32), None, [])
    judged = ledger.find_novelty(sample, tmp_path / "hits.parquet", tree, tmp_path, NoveltySettings(), 1, ["new"])
    assert judged.group.tolist() == [-1, 0]
    assert ledger.table_of_shares(judged, sample).set_index("rank").loc["species", "share"] < 0.1


def test_a_ledger_of_contigs_that_are_all_set_aside_is_refused():
    contigs = SimpleNamespace(ids=["a", "b"])
    with pytest.raises(InputError, match="all 2 contigs are set aside"):
        ledger.find_novelty(contigs, "hits", None, "taxonomy", NoveltySettings(), 1, aside=["b", "a"])


@pytest.mark.parametrize("seed", range(6))
def test_a_group_that_is_too_large_for_the_calibration_does_not_exclude_the_others(seed):
    known, sizes = np.ones(101, dtype=bool), np.append(ledger.MOST_CONTIGS + 1, np.full(100, 10))
    drawn = ledger._drawn(known, sizes, np.random.default_rng(seed))
    assert drawn.tolist() == [False] + [True] * 100


def test_a_sample_without_present_contigs_has_no_share_and_no_interval(found):
    sample, judged = found
    depths = np.zeros((len(sample.ids), 2), np.float32)
    depths[:, 0] = 5
    deep = Contigs(sample.ids, sample.lengths, sample.composition, depths, ["present", "empty"])
    table = ledger.table_of_shares(judged, deep).set_index("sample")
    assert table.loc["empty", ["share", "low", "high", "silent"]].isna().all(axis=None)
    assert table.loc["present", ["share", "low", "high", "silent"]].notna().all(axis=None)


@pytest.mark.parametrize(("identity", "silent"), [(None, 1), (0.8, 0.5)])
def test_without_any_hit_or_any_known_group_there_is_no_calibration(tmp_path, identity, silent):
    (tmp_path / "lineages.tsv").write_text(f"taxid\tlineage\n100\t{family_of_two_genera(0)[0]}\n")
    rows = [] if identity is None else rows_of_contig("a", 0, identity, np.random.default_rng(1))
    table = pd.DataFrame(rows, columns=HITS.names)
    write_table(tmp_path / "hits.parquet", table[table["target_taxid"] == 100], HITS)
    tree = LabelTree.from_lineages([parse_lineage(family_of_two_genera(0)[0])], other_children=True)
    sample = Contigs(["a", "b"], np.full(2, 30_000), np.zeros((2, 103), np.float32), None, [])
    judged = ledger.find_novelty(sample, tmp_path / "hits.parquet", tree, tmp_path, NoveltySettings(), 1)
    table = ledger.table_of_shares(judged, sample)
    assert table["share"].isna().all() == (identity is None)
    assert (table["silent"] == silent).all()
    assert table[["low", "high"]].isna().all(axis=None)
    assert not judged.novel.any()
