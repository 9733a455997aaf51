import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.lineage import format_lineage, parse_lineage
from genestill.core.table_schemas import LABELS, METRICS, PREDICTIONS, TRUTH, VIRTUAL_OUTCOME_COUNTS, rank_columns
from genestill.core.tables import read_table, write_table
from genestill.core.virtual_references import FITTING, JUDGING, VirtualReference
from genestill.evaluation.contig_peers import kraken2
from genestill.evaluation.contig_peers.calling import prediction_rows
from genestill.evaluation.contig_peers.evidence import Evidence
from genestill.evaluation.contig_peers.judging import HINDSIGHT, choose_thresholds, draw_genera, judge, score_halves
from genestill.evaluation.contig_peers.selection import (
    SCORED_RANKS,
    _one_name_per_species,
    count_outcomes,
    members_of_half,
    score_peers,
    without,
)

NOTHING = {"chimera": None, "identity": None, "same_species": None}


def outcomes(*rows):
    """(model, threshold, half, reference, genus, correct, wrong) of ten contigs each, at species."""
    columns = ["model", "threshold", "half", "reference", "genus", "correct", "wrong"]
    table = pd.DataFrame(rows, columns=columns).assign(community="mine", seed=0, rank="species", exact=False)
    table["family"] = table["genus"].str[:2]
    counts = {
        "none": 10 - table["correct"] - table["wrong"],
        "absent": 4,
        "absent_called": table["wrong"].clip(upper=4),
    }
    return table.assign(**counts)[VIRTUAL_OUTCOME_COUNTS.names]


OUTCOMES = outcomes(
    ("minimap2", 0.95, FITTING, "fitting-001", "aaa", 6, 1),
    ("minimap2", 0.97, FITTING, "fitting-001", "aaa", 3, 1),
    ("minimap2", 0.95, JUDGING, "judging-001", "bba", 2, 4),
    ("minimap2", 0.97, JUDGING, "judging-001", "bba", 6, 0),
    ("MMseqs2", 0.0, FITTING, "fitting-001", "aaa", 5, 2),
    ("MMseqs2", 0.0, JUDGING, "judging-001", "bba", 6, 1),
    ("corrector", np.nan, JUDGING, "judging-001", "bba", 5, 0),
)


def test_thresholds_and_the_strongest_peer_are_chosen_on_the_fitting_half_only():
    chosen = choose_thresholds(OUTCOMES)
    assert chosen[["model", "threshold", "strongest"]].to_numpy().tolist() == [
        ["minimap2", 0.95, True],
        ["MMseqs2", 0.0, False],
    ]
    judging = OUTCOMES["half"] == JUDGING
    other = OUTCOMES.assign(correct=np.where(judging, 0, OUTCOMES["correct"]))
    pd.testing.assert_frame_equal(choose_thresholds(other), chosen)


def test_a_peer_run_on_only_some_references_is_never_the_strongest():
    few = outcomes(("kraken2", 0.05, FITTING, "fitting-001", "aaa", 9, 0))
    more = outcomes(("MMseqs2", 0.0, FITTING, "fitting-002", "aaa", 5, 2))
    chosen = choose_thresholds(pd.concat([OUTCOMES[OUTCOMES["model"] == "MMseqs2"], few, more])).set_index("model")
    assert chosen["strongest"].to_dict() == {"kraken2": False, "MMseqs2": True}


def test_choices_in_hindsight_are_in_separate_rows():
    metrics = judge(OUTCOMES, choose_thresholds(OUTCOMES), "virtual", 1, resamples=20)
    f1 = metrics[(metrics["metric"] == "f1") & (metrics["minus"] == "") & (metrics["stratum"] == "all")]
    rows = f1.set_index(["model", "variant"])[["threshold", "value"]]
    assert rows.loc[("minimap2", ""), "threshold"] == "0.95"
    assert rows.loc[("minimap2", HINDSIGHT), "threshold"] == "0.97"
    assert rows.loc[("corrector", ""), "threshold"] == "own"
    gain = metrics[(metrics["metric"] == "f1") & (metrics["model"] == "corrector") & (metrics["minus"] == "minimap2")]
    expected = rows.loc[("corrector", ""), "value"] - rows.loc[("minimap2", ""), "value"]
    assert gain["value"].tolist() == pytest.approx([expected, expected])


def test_scores_and_differences_of_a_trained_model_have_its_number_of_trainings():
    corrector = OUTCOMES[OUTCOMES["model"] == "corrector"]
    judged = judge(pd.concat([OUTCOMES, corrector.assign(seed=1)]), choose_thresholds(OUTCOMES), "all", 1, 20)
    rows = judged[judged["model"] == "corrector"]
    assert set(rows["minus"]) == {"", "minimap2"}
    assert set(rows["n_trainings"]) == {2}
    assert set(judged.loc[judged["model"] != "corrector", "n_trainings"]) == {0}


def test_the_highest_possible_scores_are_shown_beside_those_of_models():
    metrics = judge(OUTCOMES, choose_thresholds(OUTCOMES), "virtual", 1, resamples=20)
    rows = metrics[(metrics["stratum"] == "all") & (metrics["minus"] == "") & (metrics["variant"] == "")]
    scores = rows.pivot(index="metric", columns="model", values="value")
    # Six of ten contigs are of a taxon that the reference has.
    assert scores["upper-bound"].to_dict() == pytest.approx({"f1": 0.75, "recall_known": 1.0, "absent_named": 0.0})
    assert (scores.loc["f1"] <= scores.loc["f1", "upper-bound"]).all()
    assert set(rows.loc[rows["model"] == "upper-bound", "kind"]) == {"control"}
    assert ((metrics["model"] == "upper-bound") & (metrics["minus"] == "minimap2")).any()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_genera_are_resampled_with_their_families(families, seed):
    family = np.unique(np.sort(families), return_inverse=True)[1]
    weights = draw_genera(np.random.default_rng(seed), 30, family)
    size = np.bincount(family)
    by_family = np.stack([weights[:, family == number].sum(axis=1) for number in range(len(size))], axis=1)
    assert (by_family % size == 0).all()
    assert (by_family / size).sum(axis=1).tolist() == [len(size)] * 30


def test_intervals_do_not_narrow_when_references_are_repeated():
    """References share contigs: a second one with the same withheld clades adds no information."""
    rows = [("MMseqs2", 0.0, JUDGING, "judging-001", genus, correct, 1)
            for genus, correct in (("aax", 9), ("bbx", 2), ("ccx", 5))]  # fmt: skip
    once = outcomes(*rows)
    twice = pd.concat([once, once.assign(reference="judging-002")])
    one, two = (score_halves(table, JUDGING, "species", "all", 200, 1) for table in (once, twice))
    assert two.rows["references"].tolist() == [2]
    assert (one.families, one.genera) == (3, 3)
    np.testing.assert_allclose(one.drawn["f1"], two.drawn["f1"])


def test_alignments_to_withheld_genomes_are_removed_and_their_species_count_as_absent():
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
    lineages = pd.Series([one, two], dtype=object)
    truth = pd.DataFrame({"path": lineages, "source": lineages, "exact": True})
    reference = VirtualReference("mine", "judging-001", JUDGING, (one,))
    named = {("corrector", 2): [one[:6] + (None,), two]}
    parts = [count_outcomes(virtual, truth, reference, np.array([True, True]), one) for one in ({}, named)]
    rows = pd.concat([rows for part in parts for rows in part], ignore_index=True)
    # A contig of a withheld genome is no longer an exact copy.
    assert rows.groupby("exact")[["correct", "wrong", "none"]].sum().sum(axis=1).nunique() == 1
    assert "kraken2" not in set(rows["model"])
    species = rows[rows["rank"] == "species"].groupby(["model", "threshold"], dropna=False)
    counts = species[["correct", "wrong", "none", "absent", "absent_called"]].sum()
    assert counts.loc[("minimap2", 0.95)].tolist() == [1, 1, 0, 1, 1]
    assert counts.loc[("minimap2", 0.97)].tolist() == [1, 0, 1, 1, 0]
    assert counts.loc["corrector"].to_numpy().tolist() == [[1, 0, 1, 1, 0]]


def test_a_contig_is_an_exact_copy_if_its_own_genome_is_in_the_reference_whatever_name_its_species_set_has():
    coli, flexneri = (parse_lineage(f"d__D;p__P;c__C;o__O;f__F;g__E;s__E {name}") for name in ("coli", "flexneri"))
    whole = Evidence(["c1", "c2"], np.array([1, 1]), [coli, coli], np.ones((2, 1)), {"k12": coli, "f2": flexneri})
    paths, sources = (pd.Series(values, dtype=object) for values in ([coli, coli], [coli, flexneri]))
    truth = pd.DataFrame({"path": paths, "source": sources, "exact": True})
    named = {("corrector", 1): [coli, coli]}
    for clade in (coli, flexneri):
        reference = VirtualReference("mine", "judging-001", JUDGING, (clade,))
        reduced = without(whole, [coli, coli], [clade])
        for row, source in enumerate(sources):
            member = np.arange(2) == row
            counted = pd.concat(count_outcomes(reduced, truth, reference, member, named))
            assert counted["exact"].tolist() == [source != clade] * len(SCORED_RANKS)


def test_only_contigs_of_the_families_of_a_half_count():
    truth = [parse_lineage("d__D;p__P;c__C;o__O;f__F;g__G;s__S"), parse_lineage("d__D;p__P;c__C;o__O;f__X;g__Y;s__Z")]
    assert members_of_half(truth, {truth[0][:5]}).tolist() == [True, False]


def test_peers_and_models_are_scored_and_chosen_from_files(tmp_path):
    """Virtual labels, the withheld table, truth and a student's predictions; the choice is written for `peer`."""
    one, two, three = (parse_lineage(f"d__D;p__P;c__C;o__O;f__F;g__G;s__G {name}") for name in ("one", "two", "three"))
    table = pd.DataFrame(
        [("c1", "first", 0.962, 1.0), ("c2", "second", 0.942, 1.0)], columns=["id", "genome", "identity", "aligned"]
    )
    evidence = Evidence(
        ["c1", "c2"], np.array([1, 1]), [one, two], np.ones((2, 1)), {"first": one, "second": two}, {}, table
    )
    answers = pd.DataFrame(
        {"id": ["c2", "c1"], **rank_columns([three, one]), "genome": "g", "length": 5, "status": "other strain"}
        | NOTHING
    )
    write_table(tmp_path / "truth.parquet", answers, TRUTH)
    rows = [("mine", f"{half}-001", half, "species", format_lineage(three)) for half in ("fitting", "judging")]
    columns = ["community", "reference", "half", "rank", "clade"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "withheld.tsv", sep="\t", index=False)
    for _, name, *_ in rows:
        folder = tmp_path / "virtual" / name
        folder.mkdir(parents=True)
        labels = pd.DataFrame({"id": evidence.ids, **rank_columns([one, two]), "taxid": 1, "support": 1.0})
        write_table(folder / "labels.parquet", labels, LABELS)
        for seed in (1, 2):
            named = prediction_rows(evidence.ids, [one, two[:6] + (None,)])
            write_table(folder / f"corrector.seed{seed}.parquet", named, PREDICTIONS)
    given = (tmp_path / "truth.parquet", tmp_path / "withheld.tsv", "mine", tmp_path / "virtual")
    scores = tmp_path / "peers.parquet", tmp_path / "models.parquet"
    score_peers(evidence, *given, [], scores[0])
    score_peers(evidence, *given, ["corrector"], scores[1])
    words = ["evaluation", "peer-thresholds", "--scores", scores[0], "--output", tmp_path / "thresholds.tsv"]
    assert main([str(word) for word in words]) == 0
    words = ["evaluation", "judge-virtual", "--scores", *scores, "--thresholds", tmp_path / "thresholds.tsv"]
    assert main([str(word) for word in [*words, "--output", tmp_path / "judged.parquet"]]) == 0
    chosen = pd.read_csv(tmp_path / "thresholds.tsv", sep="\t").set_index("model")
    # c1 (.962) is right, c2 (.942) is of a species that the reference lacks.
    assert chosen.loc["minimap2", "threshold"] == 0.95
    judged = read_table(tmp_path / "judged.parquet", METRICS)
    own = judged[(judged["task"] == "species") & (judged["variant"] == "") & (judged["minus"] == "")]
    value = own[own["stratum"] == "no exact"].set_index(["model", "metric"])["value"]
    assert value[("minimap2", "f1")] == value[("corrector", "f1")] == pytest.approx(2 / 3)
    assert value[("minimap2", "absent_named")] == 0
    assert (value[("MMseqs2", "f1")], value[("MMseqs2", "absent_named")]) == pytest.approx((1 / 2, 1))
    assert set(own["n_clusters"]) == {1}
    with pytest.raises(InputError, match="no row for the community 'other'"):
        score_peers(evidence, *given[:2], "other", given[3], [], tmp_path / "scores.parquet")
    with pytest.raises(InputError, match="no predictions of student in"):
        score_peers(evidence, *given, ["student"], tmp_path / "scores.parquet")


def test_names_in_one_set_of_species_are_equivalent():
    one = parse_lineage("d__D;p__P;c__C;o__O;f__F;g__G;s__G one")
    answers = pd.DataFrame({**rank_columns([one]), "same_species": [["G two", "G three"]]})
    names = _one_name_per_species(answers)
    assert set(names) == {(*one[:6], f"G {name}") for name in ("one", "two", "three")}
    assert set(names.values()) == {one}


def test_kraken2_is_run_for_the_first_references_of_each_half_without_their_clades(tmp_path, monkeypatch):
    rows = [("mine", f"{half}-00{number}", half, f"d__D;p__{half}{number}")
            for half in ("fitting", "judging") for number in (1, 2)]  # fmt: skip
    columns = ["community", "reference", "half", "clade"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "w.tsv", sep="\t", index=False)
    run = []

    def run_kraken2(*sources):
        *_, output, clades = sources
        run.append((output.parent.name, clades))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(b"")

    monkeypatch.setattr(kraken2, "run_kraken2", run_kraken2)
    inputs = [tmp_path / name for name in ("contigs.fna", "index", "genomes.tsv", "g.fna", "taxonomy/lineages.tsv")]
    (tmp_path / "taxonomy").mkdir()
    for path in inputs:
        path.write_text("file\ng.fna\n")
    sources = (*inputs[:3], tmp_path, tmp_path / "taxonomy", [0.1], 1)
    place = (tmp_path / "w.tsv", "mine")
    for _ in range(2):
        kraken2.run_kraken2_virtual(sources, *place, 1, tmp_path, tmp_path / "k.tsv")
    assert run == [("fitting-001", (("D", "fitting1"),)), ("judging-001", (("D", "judging1"),))]
    # Tables that were made from other files or settings are made again.
    for path in inputs:
        path.write_text("file\ng.fna\n\n")
        kraken2.run_kraken2_virtual(sources, *place, 1, tmp_path, tmp_path / "k.tsv")
        assert len(run) == 4
        del run[2:]
    kraken2.run_kraken2_virtual((*sources[:5], [0.2], 1), *place, 1, tmp_path, tmp_path / "k.tsv")
    assert len(run) == 4
    # With fewer references, tables of an earlier run are removed, because they would be scored.
    kraken2.run_kraken2_virtual(sources, *place, 0, tmp_path, tmp_path / "k.tsv")
    assert not list(tmp_path.glob("*/kraken2.parquet"))
