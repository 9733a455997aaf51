"""Binning metrics as tables: taxa of lineages, files for AMBER, and the comparison with published values."""

import gzip

import numpy as np
import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import CheckFailed, InputError
from genestill.core.lineage import RANKS, depth, parse_lineage
from genestill.core.table_schemas import PREDICTIONS, TRUTH, rank_columns
from genestill.core.tables import write_table
from genestill.evaluation.binning_table import compare_binnings, score_binnings, write_amber_files

ONE = "d__B;p__P;c__C;o__O;f__F;g__G;s__one"
TWO = "d__B;p__P;c__C;o__O;f__F;g__G;s__two"
GAP = "d__B;p__P;o__X;f__Y;g__Z;s__three"


def write_truth(path, lineages, lengths):
    parsed = [parse_lineage(text) for text in lineages]
    table = pd.DataFrame({"id": [f"c{row}" for row in range(len(parsed))], **rank_columns(parsed)})
    lengths = pd.array(lengths, dtype="Int64")
    unknown = dict.fromkeys(("genome", "status", "chimera", "identity", "same_species"))
    write_table(path, table.assign(length=lengths, **unknown), TRUTH)


def write_predictions(path, lineages, accepted=None):
    parsed = [parse_lineage(text) for text in lineages.values()]
    table = pd.DataFrame({"id": list(lineages), **rank_columns(parsed)})
    for rank in RANKS:
        table[f"confidence_{rank}"] = np.float32("nan")
    table["accepted"] = np.array(accepted or [depth(lineage) for lineage in parsed], dtype=np.int8)
    write_table(path, table.assign(reason=None), PREDICTIONS)


@pytest.fixture
def scored(tmp_path):
    write_truth(tmp_path / "truth.parquet", [ONE, TWO, GAP, "d__B"], [600, 300, 80, 20])
    write_predictions(tmp_path / "tool.parquet", {"c1": TWO, "c0": ONE, "c2": TWO, "other": ONE}, [7, 5, 7, 7])
    table = score_binnings(tmp_path / "truth.parquet", {"tool": tmp_path / "tool.parquet"}, tmp_path / "ours.tsv")
    return table.set_index(["rank", "metric"])["value"]


def test_contigs_are_matched_by_id_and_calls_end_where_they_are_accepted(scored):
    assert scored["superkingdom", "Accuracy (bp)"] == pytest.approx(980 / 1000)
    assert scored["family", "Accuracy (bp)"] == pytest.approx(900 / 980)
    assert scored["genus", "Accuracy (bp)"] == pytest.approx(300 / 980)
    assert scored["species", "Accuracy (seq) (unfiltered)"] == pytest.approx(1 / 3)
    assert scored["species", "Purity (bp)"] == pytest.approx(300 / 380)
    assert scored["species", "Percentage of binned sequences"] == pytest.approx(2 / 3)


def test_filled_ranks_are_not_counted_as_taxa(scored):
    # c2 has no true class: there it is neither missed nor wrong.
    assert scored["class", "Accuracy (bp)"] == 1
    assert scored["order", "Accuracy (bp)"] == pytest.approx(900 / 980)


def test_a_contig_without_length_is_refused(tmp_path):
    write_truth(tmp_path / "truth.parquet", [ONE, TWO], [600, None])
    with pytest.raises(InputError, match="'c1' has no length"):
        score_binnings(tmp_path / "truth.parquet", {}, tmp_path / "ours.tsv")


def as_amber(ours, path, tool, change=0.0):
    """The table that AMBER would write for our values."""
    short = {"Accuracy": "accuracy_{}", "Adjusted Rand index": "adjusted_rand_index_{}",
             "Average completeness": "recall_avg_{}", "Std error of av. completeness": "recall_avg_{}_sem",
             "Average purity": "precision_avg_{}", "Std error of av. purity": "precision_avg_{}_sem",
             "Percentage of binned": "percentage_of_assigned_{}s", "Completeness": "recall_weighted_{}",
             "F1 score for sample": "f1_score_per_{}", "F1 score": "f1_score_{}", "Purity": "precision_weighted_{}",
             "Misclassification rate": "misclassification_{}", "Rand index": "rand_index_{}"}  # fmt: skip
    table = ours.assign(Tool=tool)
    names = []
    for metric in table["metric"]:
        plain = metric.removesuffix(" (unfiltered)")
        unit = "seq" if "(seq)" in plain or "sequences" in plain else "bp"
        word = plain.replace(" (bp)", "").replace(" (seq)", "").replace(" sequences", "").replace(" bp", "")
        names.append(short[word].format(unit) + metric[len(plain) :])
    wide = table.assign(name=names).pivot_table(index=["Tool", "rank"], columns="name", values="value", dropna=False)
    wide.iloc[0, 0] += change
    wide.reset_index().to_csv(path, sep="\t", index=False)


def as_published(ours, path, tool):
    wide = ours.assign(Tool=tool).pivot_table(index=["Tool", "rank"], columns="metric", values="value", dropna=False)
    with gzip.open(path, "wt") as handle:
        wide.reset_index().to_csv(handle, sep="\t", index=False)


def test_values_are_shown_beside_those_of_amber_and_published_ones(tmp_path, scored, capsys):
    ours = pd.read_csv(tmp_path / "ours.tsv", sep="\t")
    as_amber(ours, tmp_path / "amber.tsv", "tool")
    as_published(ours, tmp_path / "published.tsv.gz", "Tool 1.0 beta")
    words = ["evaluation", "binning-comparison", "--metrics", f"all={tmp_path / 'ours.tsv'}"]
    words += ["--amber", f"all={tmp_path / 'amber.tsv'}", "--published", f"all={tmp_path / 'published.tsv.gz'}"]
    assert main([*words, "--output", str(tmp_path / "table.tsv")]) == 0
    table = pd.read_csv(tmp_path / "table.tsv", sep="\t")
    assert list(table.columns) == ["table", "tool", "rank", "metric", "published", "ours", "amber"]
    assert len(table) == 7 * 52
    pd.testing.assert_series_equal(table["ours"], table["amber"], check_names=False, atol=1e-5)
    pd.testing.assert_series_equal(table["ours"], table["published"], check_names=False, atol=1e-5)
    assert "all: 364 published values; 100.0 % within .01, 100.0 % within .001" in capsys.readouterr().err


def test_a_value_that_differs_from_amber_fails_the_check(tmp_path, scored):
    as_amber(pd.read_csv(tmp_path / "ours.tsv", sep="\t"), tmp_path / "amber.tsv", "tool", change=1e-5)
    with pytest.raises(CheckFailed, match="1 of 364 values differ from AMBER's; the first: "):
        compare_binnings({"all": tmp_path / "ours.tsv"}, {"all": tmp_path / "amber.tsv"}, {}, tmp_path / "table.tsv")
    assert (tmp_path / "table.tsv").is_file()


def test_files_for_amber_are_copied_and_parts_of_a_gold_standard_are_joined(tmp_path):
    header = "@SampleID:x\n@@SEQUENCEID\tBINID\tTAXID\tLENGTH\n"
    (tmp_path / "one.binning").write_text(f"{header}c0\tg\t9\t600\n")
    (tmp_path / "two.binning.gz").write_bytes(gzip.compress(f"{header}c1\tg\t8\t300\n".encode()))
    (tmp_path / "tool.gz").write_bytes(gzip.compress(b"@SampleID:x\n@@SEQUENCEID\tTAXID\nc0\t9\n"))
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "nodes.dmp.gz").write_bytes(gzip.compress(b"1\t|\t1\t|\tno rank\t|\n"))
    (tmp_path / "dump" / "names.dmp").write_text("1\t|\troot\t|\t\t|\tscientific name\t|\n")
    parts = [tmp_path / "one.binning", tmp_path / "two.binning.gz"]
    write_amber_files(parts, {"tool": tmp_path / "tool.gz"}, tmp_path / "dump", tmp_path / "out")
    assert (tmp_path / "out" / "gold.binning").read_text() == f"{header}c0\tg\t9\t600\nc1\tg\t8\t300\n"
    assert (tmp_path / "out" / "tool.binning").read_text().endswith("c0\t9\n")
    assert (tmp_path / "out" / "taxdump" / "nodes.dmp").read_text().startswith("1\t|")
    assert (tmp_path / "out" / "taxdump" / "merged.dmp").read_text() == ""
    (tmp_path / "two.binning.gz").write_text("@@SEQUENCEID\tTAXID\nc1\t8\n")
    with pytest.raises(InputError, match="its header differs"):
        write_amber_files(parts, {"tool": tmp_path / "tool.gz"}, tmp_path / "dump", tmp_path / "out")
    with pytest.raises(InputError, match="cannot be used with AMBER"):
        write_amber_files(parts, {"a/b": tmp_path / "tool.gz"}, tmp_path / "dump", tmp_path / "out")
