import numpy as np
import pandas as pd
import pytest

from genestill.core.novelty import LEDGER_RANKS
from genestill.core.table_schemas import CONTIG_GROUPS, GROUPED_CONTIGS, INDEX, NOVEL_SHARES, TRUTH
from genestill.core.tables import read_table, read_tsv, write_table
from genestill.evaluation.novelty import novelty_sentence, report_novelty, score_novelty


def shares_of(values, low=None, sample=""):
    ends = (np.nan, np.nan) if low is None else (low, 0.9)
    rows = [(sample, rank, "bases", value, *ends, 0.01, 2e6) for rank, value in zip(LEDGER_RANKS, values, strict=True)]
    return pd.DataFrame(rows, columns=NOVEL_SHARES.names)


def test_the_summary_sentence_gives_share_and_interval_of_each_rank():
    shares = pd.concat([shares_of([0.5, 0.25, 0.125], 0.1), shares_of([0, 0, 0], sample="S1")])
    assert novelty_sentence(shares) == (
        "The reference lacks the species of 50 % (10 to 90 %) of the bases with hits, the genus of 25 % (10 to 90 %) "
        "and the family of 12 % (10 to 90 %)."
    )


def test_the_summary_sentence_states_when_calibration_or_hits_are_missing():
    assert novelty_sentence(shares_of([0.5, 0.25, 0.125])).startswith(
        "The reference probably lacks the species of 50 %"
    )
    assert "no contig has a hit" in novelty_sentence(shares_of([np.nan] * 3))


@pytest.fixture
def folder(tmp_path):
    """Genome a of an absent genus, in one group; genome b, whose species the reference holds, in another one."""
    write_table(tmp_path / "shares.parquet", shares_of([0.6, 0.5, 0.4], 0.45), NOVEL_SHARES)
    groups = pd.DataFrame(
        {
            "group": [1, 2],
            "novel": ["genus", "species"],
            "contigs": [2, 1],
            "bases": [300_000, 250_000],
            "depth": 8.0,
            "nearest": ["d__A;p__B;c__C;o__D;f__E;g__G;s__G x", None],
            "identity_proteins": [0.7, np.nan],
            "identity_nucleotides": np.nan,
            "genes": 200,
            "agreement": 0.4,
            **dict.fromkeys(["absent_species", "absent_genus", "absent_family"], 0.5),
        }
    )
    write_table(tmp_path / "groups.parquet", groups, CONTIG_GROUPS)
    contigs = pd.DataFrame({"id": ["a1", "a2", "b1"], "group": [1, 1, 2], "set_aside": None})
    write_table(tmp_path / "contigs.parquet", contigs, GROUPED_CONTIGS)
    lengths = [200_000, 100_000, 250_000]
    index = pd.DataFrame({"id": contigs["id"], "length": lengths, "gc": 0.5, "sample": None, "checksum": "0"})
    write_table(tmp_path / "index.parquet", index, INDEX)
    truth = pd.DataFrame({name: None for name in TRUTH.names}, index=range(3)).assign(
        id=contigs["id"],
        genome=["a", "a", "b"],
        length=lengths,
        status=["absent genus", "absent genus", "other strain"],
    )
    write_table(tmp_path / "truth.parquet", truth, TRUTH)
    return tmp_path


def test_the_page_begins_with_the_summary_sentence_and_shows_the_novel_groups(folder):
    text = report_novelty(folder, "gut", folder / "page")
    assert text.startswith("The reference lacks the species of 60 % (45 to 90 %) of the bases with hits, the genus")
    assert "Groups of contigs that are probably new: 2 of 2" in text
    assert [line.split()[-2:] for line in text.splitlines() if line.startswith("1 ")] == [["G", "x"]]
    assert (folder / "page" / "table.html").is_file()
    assert read_tsv(folder / "page" / "shares.tsv", ["sample"])["sample"].tolist() == ["all"] * 3


def test_the_true_share_is_of_the_contigs_that_the_ledger_counts(folder):
    """Contigs d1, in a group without hits, and e1, which is set aside, are of absent families."""
    for name, schema, more in (
        ("groups", CONTIG_GROUPS, [{"group": 3, "contigs": 1, "bases": 90_000, "genes": 0}]),
        ("contigs", GROUPED_CONTIGS, [{"id": "d1", "group": 3}, {"id": "e1", "set_aside": "plasmid"}]),
        ("index", INDEX, [{"id": name, "length": 90_000, "gc": 0.5, "checksum": "0"} for name in ("d1", "e1")]),
        ("truth", TRUTH, [{"id": name, "length": 90_000, "status": "absent family"} for name in ("d1", "e1")]),
    ):
        table = pd.concat([read_table(folder / f"{name}.parquet", schema), pd.DataFrame(more)], ignore_index=True)
        write_table(folder / f"{name}.parquet", table, schema)
    files = (folder / "truth.parquet", folder / "index.parquet", None)
    table = score_novelty(folder, *files, "gut", 1, folder / "metrics.parquet")
    chosen = table[(table["task"] == "species") & (table["metric"] == "novel_share_true")]
    assert chosen["value"].tolist() == [pytest.approx(300 / 550)]
    assert chosen["n_units"].tolist() == [3]


def test_shares_and_groups_are_compared_with_the_ground_truth(folder):
    files = (folder / "truth.parquet", folder / "index.parquet", None)
    table = score_novelty(folder, *files, "gut", 1, folder / "metrics.parquet")
    value = table.set_index(["task", "metric"])["value"]
    true = 300 / 550
    assert value["genus", "novel_share_true"] == pytest.approx(true)
    assert value["genus", "novel_share_error"] == pytest.approx(abs(0.5 - true))
    assert value["family", "novel_share_true"] == 0
    assert [value[rank, "novel_share_covered"] for rank in LEDGER_RANKS] == [1, 1, 0]
    # Group 2 is wrongly called a new species; group 1 is correct at genus and is not a new family.
    assert value["species", "novel_groups_false"] == pytest.approx(0.5)
    assert value["species", "novel_groups_found"] == value["genus", "novel_groups_f1"] == 1
    assert value["species", "novel_groups_f1"] == pytest.approx(2 / 3)
    assert ("family", "novel_groups_f1") not in value.index
