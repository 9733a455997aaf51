import numpy as np
import pandas as pd
import pytest

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.table_schemas import (
    LABELS,
    METRICS,
    OUTCOME_COUNTS,
    PREDICTIONS,
    TRUTH,
    metrics_table,
    rank_columns,
)
from genestill.core.tables import read_table, write_table
from genestill.evaluation.benchmark import compare, gather_benchmark, scopes_of, summarise_seeds
from genestill.evaluation.benchmark_table import draw_benchmark, write_benchmark_table
from genestill.evaluation.calls import Predictions
from genestill.evaluation.outcome_counts import write_outcome_counts
from genestill.evaluation.strata import NO_EXACT

GENOMES = [f"genome{number}" for number in range(8)]


def count_of(dataset, model, seed, right, absent=(), threshold="own", called=0):
    """Ten contigs per genome; ``right`` of them correct in a known genome, ``called`` called in an absent one."""
    rows = []
    for rank in RANKS:
        for genome in GENOMES:
            lacking = genome in absent
            correct, wrong = (0, called) if lacking else (right, 0)
            counts = (correct, wrong, 10 - correct - wrong, 10 * lacking, called * lacking)
            status = "absent species" if lacking else "exact copy"
            rows.append((dataset, model, "student", seed, threshold, rank, genome, status, genome, *counts))
    return pd.DataFrame(rows, columns=OUTCOME_COUNTS.names)


@pytest.fixture
def counts():
    return pd.concat(
        [
            count_of("one", "MMseqs2", 0, 5, absent=GENOMES[:2], called=6),
            count_of("one", "ours", 1, 9, absent=GENOMES[:2], called=2),
            count_of("one", "ours", 2, 7, absent=GENOMES[:2], called=0),
            count_of("two", "MMseqs2", 0, 8),
            count_of("two", "ours", 1, 9),
            count_of("two", "ours", 2, 9),
            count_of("made", "MMseqs2", 0, 1, absent=GENOMES[:4]),
            count_of("made", "ours", 1, 1, absent=GENOMES[:4]),
        ],
        ignore_index=True,
    )


def f1(correct, wrong, contigs):
    return 2 * correct / (correct + wrong + contigs)


def test_intervals_of_means_over_seeds_are_over_genomes_and_trainings():
    """All genomes are alike here, so only trainings vary; a peer that is not trained has an interval of zero width."""
    runs = [count_of("one", "bag-rule", 0, 5), *(count_of("one", "ours", seed, seed) for seed in (1, 9))]
    table = summarise_seeds(pd.concat(runs, ignore_index=True), "ours", resamples=400)
    assert table["task"].unique().tolist() == ["family", "genus", "species"]
    rows = table[(table["task"] == "species") & (table["stratum"] == "all") & (table["metric"] == "f1")]
    rows = rows.set_index(["model", "minus"])
    ours, peer, gain = (rows.loc[key] for key in (("ours", ""), ("bag-rule", ""), ("ours", "bag-rule")))
    mean = np.mean([f1(8 * right, 0, 80) for right in (1, 9)])
    assert ours["value"] == pytest.approx(mean)
    assert (ours["low"], ours["high"]) == pytest.approx((f1(8, 0, 80), f1(72, 0, 80)))
    assert peer["low"] == peer["high"] == peer["value"] == pytest.approx(f1(40, 0, 80))
    assert gain["value"] == pytest.approx(mean - f1(40, 0, 80))
    assert (ours["n_trainings"], peer["n_trainings"], gain["n_trainings"]) == (2, 0, 2)
    assert set(rows["n_units"]) == {80}
    assert set(rows["n_clusters"]) == {8}
    # No taxon is absent, so the share of absent taxa is undefined.
    assert table.loc[table["metric"] == "absent_named", ["value", "low", "high"]].isna().all(axis=None)


def test_summaries_of_seeds_have_the_values_of_the_comparison(counts):
    summary = summarise_seeds(counts, "ours", resamples=20)
    one = compare(counts, "ours", ["made"], seed=1, resamples=20)
    one = one[one["scope"].isin(["one", "two", "made"])].set_index(["scope", "stratum", "rank", "model"])
    own = summary[(summary["minus"] == "") & (summary["metric"] == "f1")]
    own = own.set_index(["dataset", "stratum", "task", "model"])["value"]
    assert len(own) == len(one)
    assert own.sort_index().tolist() == pytest.approx(one["f1"].sort_index().tolist())


def test_a_benchmark_averages_seeds_before_communities(counts):
    table = compare(counts, "ours", ["made"], seed=1, resamples=50)
    species = table[(table["rank"] == "species") & (table["stratum"] == "all")].set_index(["scope", "model"])
    ours = (f1(54, 4, 80) + f1(42, 0, 80)) / 2
    assert species.loc[("one", "ours"), "f1"] == pytest.approx(ours)
    assert species.loc[("open", "MMseqs2"), "gain"] == pytest.approx(ours - f1(30, 12, 80))
    assert species.loc[("open", "ours"), "absent"] == 20
    assert species.loc[("open", "ours"), "absent_called"] == 2
    assert species.loc[("open", "ours"), "recall_known"] == pytest.approx(0.8)


def test_simulated_communities_are_excluded_from_means_over_real_ones(counts):
    assert scopes_of(counts, ["made"]) == {
        "open": ["one"],
        "closed": ["two"],
        "made": ["made"],
        "one": ["one"],
        "two": ["two"],
    }


def test_gains_are_paired_so_that_a_constant_gain_has_a_zero_width_interval(counts):
    table = compare(counts, "ours", ["made"], seed=1, resamples=200)
    table = table[(table["rank"] == "species") & (table["stratum"] == "all")]
    closed = table[table["scope"] == "closed"].set_index("model")
    lead = f1(9, 0, 10) - f1(8, 0, 10)
    np.testing.assert_allclose(closed.loc["MMseqs2", ["gain", "gain_low", "gain_high"]].astype(float), lead)
    opened = table[table["scope"] == "open"].set_index("model")
    assert opened.loc["ours", "f1_low"] < opened.loc["ours", "f1"] < opened.loc["ours", "f1_high"]


def test_intervals_of_the_comparison_are_over_genomes_and_trainings_together():
    """All genomes are alike here, so only trainings vary; a peer that is not trained has an interval of zero width."""
    runs = [count_of("one", "bag-rule", 0, 5), *(count_of("one", "ours", seed, seed) for seed in (1, 9))]
    table = compare(pd.concat(runs, ignore_index=True), "ours", [], seed=1, resamples=400)
    rows = table[(table["rank"] == "species") & (table["scope"] == "one") & (table["stratum"] == "all")]
    ours, peer = (rows.set_index("model").loc[model] for model in ("ours", "bag-rule"))
    lowest, highest, of_peer = (f1(8 * right, 0, 80) for right in (1, 9, 5))
    mean = (lowest + highest) / 2
    assert ours[["f1", "f1_low", "f1_high"]].tolist() == pytest.approx([mean, lowest, highest])
    assert peer[["f1", "f1_low", "f1_high"]].tolist() == pytest.approx([of_peer] * 3)
    gain = [mean - of_peer, lowest - of_peer, highest - of_peer]
    assert peer[["gain", "gain_low", "gain_high"]].tolist() == pytest.approx(gain)
    assert (ours["trainings"], peer["trainings"]) == (2, 0)


def test_a_genome_of_several_communities_is_resampled_jointly():
    # Genomes correct in "one" are wrong in "two", so a resample that raises one score lowers the other.
    parts = []
    for dataset, right in (("one", GENOMES[:4]), ("two", GENOMES[4:])):
        part = count_of(dataset, "ours", 1, 10)
        wrong = ~part["genome"].isin(right)
        part.loc[wrong, ["correct", "wrong"]] = [0, 10]
        parts.append(part)
    table = compare(pd.concat(parts, ignore_index=True), "ours", [], seed=1, resamples=500)
    row = table[(table["scope"] == "closed") & (table["rank"] == "species")].iloc[0]
    assert row["f1"] == pytest.approx(0.5)
    assert row["f1_high"] - row["f1_low"] < 1e-9


def test_resamples_without_contigs_of_a_community_are_left_out_of_its_intervals():
    """Two genomes of thirty are in the second community; about one resample in eight has neither."""
    genomes = [f"g{number}" for number in range(30)]
    rows = [
        (dataset, "ours", "student", 1, "own", rank, name, "exact copy", name, 9, 0, 1, 0, 0)
        for dataset, chosen in (("one", genomes), ("two", genomes[:2]))
        for rank in ("species", "genus", "family")
        for name in chosen
    ]
    table = compare(pd.DataFrame(rows, columns=OUTCOME_COUNTS.names), "ours", [], seed=1, resamples=200)
    rows = table[(table["rank"] == "species") & (table["stratum"] == "all")].set_index("scope")
    assert rows.loc["two", "f1_low"] == pytest.approx(rows.loc["two", "f1"])
    assert rows.loc["closed", "f1_low"] == pytest.approx(rows.loc["closed", "f1"])


def test_the_labels_are_not_counted_as_trained_under_any_name():
    kinds = {"Kraken 2": "baseline", "ours": "student"}
    runs = [count_of("one", name, 1, 5).assign(kind=kind) for name, kind in kinds.items()]
    table = summarise_seeds(pd.concat(runs, ignore_index=True), None, resamples=20)
    assert table.groupby("model")["n_trainings"].unique().map(list).to_dict() == {"Kraken 2": [0], "ours": [1]}


def test_a_model_missing_in_one_community_is_named_in_the_error(counts):
    lacking = counts[(counts["dataset"] != "two") | (counts["model"] != "ours")]
    with pytest.raises(InputError, match=r"the model ours .* was not run in the community 'two'"):
        compare(lacking, "ours", ["made"], seed=1, resamples=10)


def test_outcomes_are_counted_for_every_contig_with_a_true_lineage_once_for_each_genome(tmp_path):
    ids = ["a", "b", "c", "untraced"]
    true = [parse_lineage(f"d__B;p__P;c__C;o__O;f__F;g__G;s__G {name}") for name in "xyy"]
    true.append(parse_lineage(""))
    label = {"id": ids, **rank_columns([true[0]] * 4), "taxid": 7, "support": 1.0}
    write_table(tmp_path / "labels.parquet", pd.DataFrame(label), LABELS)
    truth = {
        "id": ids,
        **rank_columns(true),
        "genome": ["x", "y", "y", None],
        "length": 1,
        "status": ["exact", "species", "species", None],
        **dict.fromkeys(("chimera", "identity", "same_species")),
    }
    write_table(tmp_path / "truth.parquet", pd.DataFrame(truth), TRUTH)
    confidences = {f"confidence_{rank}": 0.9 for rank in RANKS}
    said = {"id": ids, **rank_columns([true[0]] * 4), **confidences, "accepted": [7, 6, 7, 7], "reason": ""}
    write_table(tmp_path / "said.parquet", pd.DataFrame(said), PREDICTIONS)
    made = write_outcome_counts(
        tmp_path / "truth.parquet",
        tmp_path / "labels.parquet",
        [Predictions("ours", tmp_path / "said.parquet", seed=3)],
        "d",
        tmp_path / "outcome_counts.parquet",
    )
    assert read_table(tmp_path / "outcome_counts.parquet", OUTCOME_COUNTS).equals(made)
    own = made[(made["model"] == "ours") & (made["rank"] == "species")].set_index(["threshold", "genome"])
    assert own.loc[("own", "y"), ["status", "cluster"]].tolist() == ["absent species", "y"]
    counts = ["correct", "wrong", "none", "absent", "absent_called"]
    assert own.loc[("own", "x"), counts].tolist() == [1, 0, 0, 0, 0]
    assert own.loc[("own", "y"), counts].tolist() == [0, 1, 1, 2, 1]
    assert own.loc[("0.95", "y"), counts].tolist() == [0, 0, 2, 2, 0]
    assert own.loc[("own", ""), counts].tolist() == [0, 0, 0, 0, 0]
    assert set(own["seed"]) == {3}


def test_the_comparison_becomes_a_table_and_figures(tmp_path, counts):
    rows = [
        {"dataset": dataset, "model": model, "metric": metric, "seed": seed, "kind": kind}
        for dataset in ("one", "two", "made")
        for metric in ("ece", "auprc")
        for model, kind, seed in (("MMseqs2", "baseline", None), ("ours", "student", 1))
    ]
    same = {"benchmark": "taxonomy", "task": "species", "stratum": "all", "value": 0.25, "n_units": 10}
    risk = {"dataset": "one", "model": "ours", "metric": "risk", "kind": "student"}
    points = [(1, "0.5", 0.1), (2, "0.5", 0.3), (1, "0.9", 0.2)]
    rows = [same | row for row in rows]
    rows += [
        same | risk | {"seed": seed, "variant": f"coverage={at}", "value": of, "stratum": NO_EXACT}
        for seed, at, of in points
    ]
    write_table(tmp_path / "metrics.parquet", metrics_table(rows), METRICS)
    write_table(tmp_path / "outcome_counts.parquet", counts, OUTCOME_COUNTS)
    cost = tmp_path / "cost.tsv"
    cost.write_text("s\th:m:s\tmax_rss\tcpu_time\n12.5\t0:00:12\t600.0\t31\n")
    comparison = tmp_path / "comparison.tsv"
    gather_benchmark(
        [tmp_path / "metrics.parquet"],
        [tmp_path / "outcome_counts.parquet"],
        [("ours", cost)],
        "ours",
        ["made"],
        1,
        tmp_path / "all.parquet",
        comparison,
    )
    joined = read_table(tmp_path / "all.parquet", METRICS)
    assert set(joined["model"]) == {"MMseqs2", "ours"}
    text = write_benchmark_table(comparison, "ours", tmp_path / "table.txt")
    assert (tmp_path / "table.txt").read_text() == text
    row = next(line for line in text.split("all contigs")[1].splitlines() if line.startswith("ours"))
    for expected in ("2 of 20", "0.800", "0.250", "12", "31", "600"):
        assert expected in row
    drawn = draw_benchmark(comparison, tmp_path / "all.parquet", "ours", tmp_path / "figures")
    assert drawn == ["species_f1", "absent_and_known", "risk_coverage", "cost"]
    # One of two seeds calls .9 of the contigs.
    curve = pd.read_csv(tmp_path / "figures" / "benchmark_risk_coverage.tsv", sep="\t")
    assert curve.to_numpy().tolist() == [["one", "ours", 0.5, 0.2]]
    assert all((tmp_path / "figures" / f"benchmark_{name}.svg").stat().st_size > 1000 for name in drawn)


def test_a_table_that_is_not_a_comparison_is_refused(tmp_path):
    (tmp_path / "other.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match=r"other\.tsv: not a comparison"):
        write_benchmark_table(tmp_path / "other.tsv", "ours", tmp_path / "table.txt")
