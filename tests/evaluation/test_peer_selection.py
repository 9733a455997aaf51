import numpy as np
import pandas as pd
import pytest

from genestill.core.errors import InputError
from genestill.core.lineage import format_lineage, parse_lineage
from genestill.core.table_schemas import LABELS, TRUTH, rank_columns
from genestill.core.tables import write_table
from genestill.evaluation.contig_peers.evidence import Evidence
from genestill.evaluation.contig_peers.selection import (
    VirtualReference,
    _one_name_per_species,
    choose_thresholds,
    judge_peers,
    members_of_half,
    score_peers,
    score_reference,
    without,
    write_choice,
)


def scores(*rows):
    table = pd.DataFrame(rows, columns=["model", "threshold", "half", "reference", "f1"])
    return table.assign(rank="species", absent=10, absent_called=2)


NOTHING = {"chimera": None, "identity": None, "same_species": None}
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


def test_peers_are_scored_and_chosen_from_files(tmp_path):
    """Two communities' worth of files: virtual labels, the withheld table, truth; the choice is written for `peer`."""
    one, two, three = (parse_lineage(f"d__D;p__P;c__C;o__O;f__F;g__G;s__G {name}") for name in ("one", "two", "three"))
    table = pd.DataFrame(
        [("c1", "first", 0.962, 1.0), ("c2", "second", 0.942, 1.0)], columns=["id", "genome", "identity", "aligned"]
    )
    evidence = Evidence(
        ["c1", "c2"], np.array([1, 1]), [one, two], np.ones((2, 1)), {"first": one, "second": two}, {}, table
    )
    answers = pd.DataFrame(
        {"id": ["c2", "c1"], **rank_columns([three, one]), "genome": "g", "length": 5, "status": "known"} | NOTHING
    )
    write_table(tmp_path / "truth.parquet", answers, TRUTH)
    rows = [("mine", f"{half}-001", half, "species", format_lineage(three)) for half in ("fitting", "judging")]
    columns = ["community", "reference", "half", "rank", "clade"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "withheld.tsv", sep="\t", index=False)
    for _, name, *_ in rows:
        (tmp_path / "virtual" / name).mkdir(parents=True)
        labels = pd.DataFrame({"id": evidence.ids, **rank_columns([one, two]), "taxid": 1, "support": 1.0})
        write_table(tmp_path / "virtual" / name / "labels.parquet", labels, LABELS)
    given = (
        tmp_path / "truth.parquet",
        tmp_path / "withheld.tsv",
        "mine",
        tmp_path / "virtual",
        tmp_path / "scores.tsv",
    )
    score_peers(evidence, *given)
    write_choice([tmp_path / "scores.tsv"], tmp_path / "thresholds.tsv", tmp_path / "judged.tsv")
    chosen = pd.read_csv(tmp_path / "thresholds.tsv", sep="\t").set_index("model")["threshold"]
    # c1 (.962) is right, c2 (.942) is of a species that the reference lacks.
    assert chosen["minimap2"] == 0.95
    judged = pd.read_csv(tmp_path / "judged.tsv", sep="\t")
    own = judged[(judged["rank"] == "species") & ~judged["hindsight"]].set_index("model")
    assert own.loc["minimap2", ["f1", "absent_called"]].tolist() == pytest.approx([2 / 3, 0])
    assert own.loc["MMseqs2", ["f1", "absent_called"]].tolist() == pytest.approx([1 / 2, 1])
    with pytest.raises(InputError, match="no row for the community 'other'"):
        score_peers(evidence, *given[:2], "other", *given[3:])


def test_names_of_one_set_of_species_are_one_name():
    one = parse_lineage("d__D;p__P;c__C;o__O;f__F;g__G;s__G one")
    answers = pd.DataFrame({**rank_columns([one]), "same_species": [["G two", "G three"]]})
    names = _one_name_per_species(answers)
    assert set(names) == {(*one[:6], f"G {name}") for name in ("one", "two", "three")}
    assert set(names.values()) == {one}
