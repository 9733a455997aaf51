import functools
import multiprocessing
import re
from pathlib import Path

import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.identity import identity_of_settings
from genestill.core.table_schemas import METRICS, metrics_table
from genestill.core.tables import write_table
from genestill.evaluation.result_tables import MARKED, fill_tables, make_table, shown
from genestill.evaluation.results import (
    CELL,
    COLUMNS,
    EXCEPTIONS,
    Run,
    publish,
    read_results,
    rows_of,
    standing,
)
from genestill.student.corrector.settings import NoveltySettings

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "resources" / "results"
RUN = Run("taxdistill", "community 0123456789ab", teacher="none", commit="abc")


def figure(model, kind, value, metric="f1", task="species", **more):
    seed = 1 if kind == "student" else None
    row = {"task": task, "stratum": "all", "metric": metric, "model": model, "kind": kind, "value": value}
    return row | {"threshold": "own", "seed": seed, "n_trainings": int(seed is not None), "n_units": 100} | more


@pytest.fixture
def metrics():
    rows = [
        figure("MMseqs2", "baseline", 0.8, low=0.7, high=0.9),
        figure("corrector", "student", 0.87, low=0.8, high=0.93),
        figure("corrector", "student", 0.07, minus="MMseqs2", low=0.03, high=0.1),
        figure("MMseqs2", "baseline", 656, "absent_called"),
        figure("corrector", "student", 4, "absent_called"),
        figure("corrector", "student", 0.5, threshold="0.8"),
        figure("corrector", "student", 0.6, stratum="status=genus"),
        figure("corrector", "student", 0.6, stratum="length=<1 kb"),
    ]
    return metrics_table(rows, benchmark="taxonomy", dataset="community")


def put(folder, metrics, run=RUN, name="taxdistill.tsv"):
    write_table(folder / "metrics.parquet", metrics, METRICS)
    publish([folder / "metrics.parquet"], run, folder / "results" / name)
    return read_results(folder / "results" / name)


def test_a_benchmark_of_communities_publishes_means_over_seeds_at_the_compared_ranks(metrics):
    rows = [figure("corrector", "student", 0.89, seed=2), figure("corrector", "student", 0.9, task="phylum")]
    rows += [figure("corrector", "student", 0.8, weight="bases", stratum=name) for name in ("all", "status=genus")]
    more = metrics_table(rows, benchmark="taxonomy", dataset="community")
    found = rows_of(pd.concat([metrics, more], ignore_index=True), Run("taxdistill", "c 1", benchmark=True))
    assert found[["model", "stratum", "weight", "value", "low", "n_trainings", "seed"]].to_numpy().tolist() == [
        ["MMseqs2", "all", "", "0.8", "0.7", "0", ""],
        ["corrector", "all", "", "0.88", "", "2", ""],
        ["corrector", "status=genus", "", "0.6", "", "1", ""],
        ["corrector", "all", "bases", "0.8", "", "1", ""],
    ]


def test_rows_have_one_schema_and_the_headline_uses_the_same_cells_for_every_model(tmp_path, metrics):
    table = put(tmp_path, metrics)
    assert list(table.columns) == list(COLUMNS)
    headline = table[table["headline"] == "yes"]
    assert len(headline) > 0
    cells = headline.groupby("model")[["task", "metric"]].apply(lambda rows: sorted(map(tuple, rows.to_numpy())))
    assert cells["MMseqs2"] == cells["corrector"] == [("species", "absent_called"), ("species", "f1")]
    assert set(table.loc[table["kind"] == "student", "teacher"]) == {"none"}
    assert set(table.loc[table["kind"] == "baseline", "teacher"]) == {""}
    assert table["value"].tolist().count("0.07") == 1
    assert not table["stratum"].str.startswith("length=").any()
    assert len(table) == 6


def test_publishing_replaces_its_own_cells_and_leaves_all_others(tmp_path, metrics):
    put(tmp_path, metrics)
    other = metrics.assign(dataset="other")
    put(tmp_path, other, Run("taxdistill", "other fff", commit="def"))
    changed = metrics[metrics["model"] == "corrector"].assign(value=lambda table: table["value"] / 2)
    table = put(tmp_path, changed, Run("taxdistill", "community 999999999999", commit="ghi"))
    assert len(table) == 12
    own = table[(table["task"] == "species") & (table["metric"] == "f1") & (table["minus"] == "")]
    own = own[own["stratum"] == "all"].set_index(["dataset", "model"])
    assert own.loc[("community", "corrector"), ["value", "commit"]].tolist() == ["0.435", "ghi"]
    assert own.loc[("community", "MMseqs2"), ["value", "commit"]].tolist() == ["0.8", "abc"]
    assert own.loc[("other", "corrector"), ["value", "commit"]].tolist() == ["0.87", "def"]


def test_the_order_of_publishing_does_not_change_the_file(tmp_path, metrics):
    other = metrics.assign(dataset="other")
    files = []
    for number, order in enumerate(([metrics, other], [other, metrics], [metrics, other, metrics])):
        for table in order:
            put(tmp_path, table, name=f"{number}.tsv")
        files.append((tmp_path / "results" / f"{number}.tsv").read_bytes())
    assert files[0] == files[1] == files[2]


def _publish(arguments):
    folder, number = arguments
    publish([folder / f"{number}.parquet"], RUN, folder / "results" / "taxdistill.tsv")


def test_concurrent_publishing_loses_no_cell(tmp_path, metrics):
    for number in range(4):
        write_table(tmp_path / f"{number}.parquet", metrics.assign(dataset=f"d{number}"), METRICS)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_publish, [(tmp_path, number) for number in range(4)])
    assert read_results(tmp_path / "results" / "taxdistill.tsv")["dataset"].value_counts().to_dict() == {
        f"d{number}": 6 for number in range(4)
    }


def test_a_table_edited_to_have_two_rows_for_a_cell_is_refused(tmp_path, metrics):
    put(tmp_path, metrics)
    file = tmp_path / "results" / "taxdistill.tsv"
    file.write_text(file.read_text() + file.read_text().splitlines()[1] + "\n")
    with pytest.raises(InputError, match="two rows for dataset 'community'"):
        put(tmp_path, metrics)


def test_two_values_for_one_cell_are_refused(metrics):
    write = pd.concat([metrics, metrics.iloc[:1]], ignore_index=True)
    assert rows_of(write, RUN).duplicated(list(CELL)).any()


def test_seconds_and_memory_are_metrics_of_the_model(tmp_path, metrics):
    for name, seconds, memory in (("a", 10, 500), ("b", 2.5, 700)):
        (tmp_path / f"{name}.tsv").write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0\t{memory}\t{2 * seconds}\n")
    costs = {"corrector": [tmp_path / "a.tsv", tmp_path / "b.tsv"]}
    table = put(tmp_path, metrics, Run("taxdistill", "community 1", costs=costs)).set_index(["task", "metric"])
    assert table.loc[("cost", "seconds"), "value"] == "12.5"
    assert table.loc[("cost", "cpu_seconds"), "value"] == "25"
    assert table.loc[("cost", "peak_memory_mb"), "value"] == "700"
    costs = {"corrector@community": costs["corrector"]}
    table = put(tmp_path, metrics, Run("taxdistill", "community 1", costs=costs)).set_index(["task", "metric"])
    assert table.loc[("cost", "seconds"), "value"] == "6.25"
    with pytest.raises(InputError, match="costs of 'nobody'"):
        put(tmp_path, metrics, Run("taxdistill", "community 1", costs={"nobody": [tmp_path / "a.tsv"]}))


def test_cells_are_identified_by_settings_and_version_and_not_by_the_way_of_running(tmp_path, metrics, monkeypatch):
    configuration = {"recipe": "taxdistill", "seed": 1, "teacher": {"layer": 3, "shards": 2}}
    identity = identity_of_settings(configuration)
    assert identity_of_settings(configuration | {"teacher": {"layer": 3, "shards": 8}}) == identity
    assert identity_of_settings(configuration | {"teacher": {"layer": 4, "shards": 2}}) != identity
    assert identity_of_settings(configuration | {"seed": 2}) != identity
    # The published ledger depends on these.
    assert identity_of_settings(configuration | {"dataset": {"set_aside": ["virus.tsv"]}}) != identity
    assert identity_of_settings(configuration | {"student": {"smallest_group": 5}}) != identity
    defaults = {"smallest_group": NoveltySettings.smallest_group, "false_discovery_rate": 0.05}
    assert identity_of_settings(configuration | {"student": defaults, "dataset": {"set_aside": None}}) == identity
    assert identity_of_settings(configuration | {"evaluation": {"predictions": {"mine": "a.tsv"}}}) == identity
    put(tmp_path, metrics, Run("taxdistill", f"community {identity}"))
    file = tmp_path / "results" / "taxdistill.tsv"
    assert len(standing(file, "community", f"community {identity}")) == 6
    assert standing(file, "community", "community 0").empty
    assert standing(tmp_path / "none.tsv", "community", f"community {identity}").empty
    monkeypatch.setattr("genestill.__version__", "99.0")
    assert identity_of_settings(configuration) != identity


def test_coverage_at_a_risk_is_shown_as_the_result_of_a_threshold_in_hindsight(tmp_path, metrics):
    rows = metrics_table(
        [figure("corrector", "student", 0.4, "coverage_at_risk")], benchmark="taxonomy", dataset="community"
    )
    put(tmp_path, pd.concat([metrics, rows], ignore_index=True))
    made = make_table("taxdistill task=species metric=coverage_at_risk", tmp_path / "results", "page")
    assert made.splitlines()[0] == "| model | species coverage, threshold in hindsight |"


def test_tables_are_generated_between_marks_and_only_there(tmp_path, metrics):
    put(tmp_path, metrics)
    text = "before .123\n<!-- results: taxdistill headline -->\nold\n<!-- end -->\nafter\n"
    made = fill_tables(text, tmp_path / "results", "README.md")
    assert made.startswith("before .123\n<!-- results: taxdistill headline -->\n\n| model | species F1 |")
    assert made.endswith("<!-- end -->\nafter\n")
    assert "old" not in made
    lines = [line for line in made.splitlines() if line.startswith("| ")]
    assert lines[1:] == [
        "| corrector | 0.870 (0.800 to 0.930) | 4 |",
        "| MMseqs2 | 0.800 (0.700 to 0.900) | 656 |",
    ]
    assert fill_tables(made, tmp_path / "results", "README.md") == made
    difference = make_table("taxdistill minus=MMseqs2 metric=f1", tmp_path / "results", "x")
    assert "| corrector − MMseqs2 | +0.070 (+0.030 to +0.100) |" in difference


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("taxdistill colour=red", "expected headline, or a column"),
        ("taxdistill dataset=nowhere", "has no row"),
        ("unknown headline", "which does not exist"),
        ("taxdistill model=corrector metric=f1 minus=", "two rows for corrector"),
    ],
)
def test_marks_that_select_no_rows_or_too_many_are_refused(tmp_path, metrics, words, sentence):
    put(tmp_path, metrics.assign(stratum="all", seed=pd.array(range(len(metrics)), dtype="Int64")))
    with pytest.raises(InputError, match=sentence):
        make_table(words, tmp_path / "results", "page.md")


def test_a_mark_without_an_end_is_refused(tmp_path):
    with pytest.raises(InputError, match="not followed by a line"):
        fill_tables("<!-- results: taxdistill headline -->\n| a |\n", tmp_path, "page.md")


def test_a_table_with_its_own_columns_is_shown_unchanged(tmp_path):
    (tmp_path / "scale.tsv").write_text(
        "\t".join(EXCEPTIONS["scale"])
        + "\n10\t20\t30\ttrain\t1.5\t2\t0.1\ta\tb\n10\t20\t30\tpredict\t2\t2\t0.1\ta\tb\n"
    )
    assert (
        make_table("scale step=train", tmp_path, "x").splitlines()[2]
        == "| 10 | 20 | 30 | train | 1.5 | 2 | 0.1 | a | b |"
    )


def test_the_commands_publish_and_write_tables(tmp_path, metrics, capsys):
    write_table(tmp_path / "metrics.parquet", metrics, METRICS)
    (tmp_path / "configuration.yaml").write_text("recipe: taxdistill\nseed: 1\ndataset: {name: community}\n")
    (tmp_path / "page.md").write_text("<!-- results: taxdistill headline -->\n<!-- end -->\n")
    told = ["--configuration", str(tmp_path / "configuration.yaml"), "--name", "community"]
    told += ["--results", str(tmp_path / "results")]
    assert main(["evaluation", "list-published", *told]) == 0
    assert capsys.readouterr().out == ""
    publish_it = ["evaluation", "publish", *told, "--teacher", "none", "--metrics", str(tmp_path / "metrics.parquet")]
    assert main(publish_it) == 0
    assert main(["evaluation", "list-published", *told]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 6
    tables = ["evaluation", "publish-tables", str(tmp_path / "page.md"), "--results", str(tmp_path / "results")]
    assert main([*tables, "--check"]) == 3
    assert main(tables) == 0
    assert "| corrector | 0.870" in (tmp_path / "page.md").read_text()
    assert main([*tables, "--check"]) == 0


# Files under version control.

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.tsv")), ids=lambda file: file.stem)
def test_published_results_have_the_common_schema_or_are_listed_as_exceptions(file):
    if file.stem in EXCEPTIONS:
        header = tuple(file.read_text(encoding="utf-8").splitlines()[0].split("\t"))
        assert not EXCEPTIONS[file.stem] or header == EXCEPTIONS[file.stem]
        return
    table = read_results(file)
    assert len(table) > 0
    assert (table["configuration"] != "").all()
    with_interval = table[table["low"] != ""]
    assert (with_interval[["n_trainings", "n_clusters"]] != "").all(axis=None), "what the interval resamples"
    headline = table[table["headline"] == "yes"]
    cells = headline.groupby(["model", "variant"])[["dataset", "task", "metric"]].apply(
        lambda rows: frozenset(map(tuple, rows.to_numpy()))
    )
    assert len(set(cells)) <= 1, "every model of the headline has the same cells"


@functools.cache
def shown_numbers(name: str) -> set[str]:
    """Every number of a table of results as it can be shown, without a sign of plus."""
    rows = read_results(RESULTS / f"{name}.tsv").to_dict("records")
    return {
        shown(row[end], row["metric"], signed).lstrip("+")
        for row in rows
        for end in ("value", "low", "high")
        for signed in (False, True)
        if row[end]
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_of_the_documentation_match_the_results_and_every_number_is_a_row(page):
    text = page.read_text(encoding="utf-8")
    assert fill_tables(text, RESULTS, page.name) == text
    for _, words, body, _ in MARKED.findall(text):
        name = words.split()[0]
        if name in EXCEPTIONS:
            continue
        rows = [line.split("|")[2:-1] for line in body.splitlines() if line.startswith("| ")][1:]
        numbers = re.findall(r"[-+]?\d[\d,]*\.?\d*", " ".join(" ".join(row) for row in rows))
        assert {number.lstrip("+") for number in numbers} <= shown_numbers(name)
