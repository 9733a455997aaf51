import numpy as np
import pandas as pd
import pytest

from genestill.core.lineage import parse_lineage
from genestill.evaluation.contig_peers.evidence import Evidence
from genestill.evaluation.contig_peers.selection import (
    VirtualReference,
    choose_thresholds,
    judge_peers,
    members_of_half,
    score_reference,
    without,
)


def scores(*rows):
    table = pd.DataFrame(rows, columns=["model", "threshold", "half", "reference", "f1"])
    return table.assign(rank="species", absent=10, absent_called=2)


SCORES = scores(
    ("a", 0.1, "fitting", "fitting-001", 0.8),
    ("a", 0.2, "fitting", "fitting-001", 0.6),
    ("a", 0.1, "judging", "judging-001", 0.3),
    ("a", 0.2, "judging", "judging-001", 0.9),
    ("b", 0.5, "fitting", "fitting-001", 0.7),
    ("b", 0.5, "judging", "judging-001", 0.95),
)


def test_a_threshold_and_the_strongest_model_are_chosen_on_the_fitting_half_alone():
    chosen = choose_thresholds(SCORES)
    assert chosen[["model", "threshold"]].to_numpy().tolist() == [["a", 0.1], ["b", 0.5]]
    judging = SCORES["half"] == "judging"
    other = SCORES.assign(f1=np.where(judging, 1 - SCORES["f1"], SCORES["f1"]))
    pd.testing.assert_frame_equal(choose_thresholds(other), chosen)


def test_hindsight_stands_in_rows_of_its_own():
    table = judge_peers(SCORES, choose_thresholds(SCORES)).set_index(["model", "hindsight"])
    assert table.loc[("a", False), ["threshold", "f1", "strongest"]].tolist() == [0.1, 0.3, True]
    assert table.loc[("a", True), ["threshold", "f1", "strongest"]].tolist() == [0.2, 0.9, True]
    assert not table.loc[("b", False), "strongest"]


def test_alignments_to_withheld_genomes_are_gone_and_their_contigs_are_of_an_absent_species():
    one, two = (parse_lineage(f"d__D;p__P;c__C;o__O;f__F;g__G;s__G {name}") for name in ("one", "two"))
    table = pd.DataFrame(
        [("c1", "first", 1.0, 1.0), ("c1", "second", 0.96, 0.9), ("c2", "second", 1.0, 1.0)],
        columns=["id", "genome", "identity", "aligned"],
    )
    genomes = {"first": one, "second": two}
    whole = Evidence(
        ["c1", "c2"], np.array([1, 1]), [one, two], np.ones((2, 1)), genomes, {}, table, kraken2={0.05: []}
    )
    virtual = without(whole, [two, two], [one])
    assert virtual.alignments["genome"].tolist() == ["second", "second"]
    reference = VirtualReference("judging-001", "judging", [one])
    rows = pd.DataFrame(score_reference(virtual, [one, two], reference, np.array([True, True])))
    species = rows[rows["rank"] == "species"].set_index(["model", "threshold"])
    assert "kraken2" not in set(rows["model"])
    assert species.loc[("minimap2", 0.95), ["f1", "absent", "absent_called"]].tolist() == pytest.approx([0.5, 1, 1])
    assert species.loc[("minimap2", 0.97), ["f1", "absent", "absent_called"]].tolist() == pytest.approx([2 / 3, 1, 0])


def test_only_contigs_of_the_families_of_a_half_count():
    truth = [parse_lineage("d__D;p__P;c__C;o__O;f__F;g__G;s__S"), parse_lineage("d__D;p__P;c__C;o__O;f__X;g__Y;s__Z")]
    assert members_of_half(truth, {truth[0][:5]}).tolist() == [True, False]
