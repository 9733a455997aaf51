import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import CheckFailed, InputError
from genestill.core.lineage import parse_lineage
from genestill.core.table_schemas import LABELS, METRICS, TRUTH, metrics_table, rank_columns
from genestill.core.tables import write_table
from genestill.evaluation.amber import METRICS_OF_AMBER, UNITS_OF_AMBER, compare_with_amber, write_amber_input

KNOWN = "d__D;p__P;c__C;o__O;f__F;g__G;s__a"
OTHER = "d__D;p__P;c__C;o__O;f__F;g__G;s__b"


@pytest.fixture
def case(tmp_path):
    ids = ["c1", "c2", "c3"]
    truth = pd.DataFrame({"id": ids, **rank_columns([parse_lineage(text) for text in (KNOWN, OTHER, "d__D")])})
    unknown = dict.fromkeys(("status", "chimera", "identity", "same_species"))
    write_table(tmp_path / "truth.parquet", truth.assign(genome=ids, length=[10, 20, 30], **unknown), TRUTH)
    labels = pd.DataFrame({"id": ids, **rank_columns([parse_lineage(text) for text in (KNOWN, "d__D;p__P", "")])})
    write_table(tmp_path / "labels.parquet", labels.assign(taxid=None, support=None), LABELS)
    return tmp_path


def read_dump(path):
    return [[field.strip() for field in line.split("|")[:-1]] for line in path.read_text().splitlines()]


def test_gold_standard_and_calls_refer_to_a_taxonomy_dump_that_leads_to_the_root(case):
    arguments = ["evaluation", "amber-input", "--truth", str(case / "truth.parquet")]
    arguments += ["--labels", str(case / "labels.parquet"), "--output", str(case / "amber")]
    assert main(arguments) == 0
    parent = {row[0]: (row[1], row[2]) for row in read_dump(case / "amber" / "taxdump" / "nodes.dmp")}
    name = {row[0]: row[1] for row in read_dump(case / "amber" / "taxdump" / "names.dmp")}
    gold = (case / "amber" / "gold.binning").read_text().splitlines()
    assert gold[2] == "@@SEQUENCEID\tBINID\tTAXID\tLENGTH"
    path, taxid = [], gold[3].split("\t")[2]
    while taxid != "1":
        path.append((parent[taxid][1], name[taxid]))
        taxid = parent[taxid][0]
    assert [word for _, word in reversed(path)] == ["D", "P", "C", "O", "F", "G", "a"]
    assert (path[0][0], path[-1][0]) == ("species", "superkingdom")
    calls = [line.split("\t") for line in (case / "amber" / "MMseqs2.binning").read_text().splitlines()[3:]]
    assert [(contig, name[taxid]) for contig, taxid in calls] == [("c1", "a"), ("c2", "P")]
    # c3's species is unknown, so it is not scored.
    assert [line.split("\t")[0] for line in gold[3:]] == ["c1", "c2"]
    assert "strain" in {rank for _, rank in parent.values()}


def test_without_ground_truth_there_is_nothing_to_score(case):
    with pytest.raises(InputError, match="the true species is not known for any contig"):
        write_amber_input(None, case / "labels.parquet", [], case / "amber")
    assert not (case / "amber").exists()


def write_results(folder, amber):
    """One model with recall, precision and F1 of 1 at domain and .5 at species, of contigs and of bases."""
    table = pd.DataFrame(
        {"task": task, "value": value, "metric": metric, "weight": weight, "n_units": 2}
        for task, value in (("domain", 1.0), ("species", 0.5))
        for metric in METRICS_OF_AMBER
        for weight in UNITS_OF_AMBER
    )
    same = {"benchmark": "taxonomy", "dataset": "d", "model": "MMseqs2", "kind": "baseline"}
    write_table(folder / "metrics.parquet", metrics_table(table, **same, stratum="all", threshold="own"), METRICS)
    names = [f"{name}_{unit}" for name in METRICS_OF_AMBER.values() for unit in UNITS_OF_AMBER.values()]
    theirs = {"Tool": "MMseqs2", "rank": ["superkingdom", "species"]} | {name: [1.0, 0.5] for name in names}
    table = pd.DataFrame(theirs | {"accuracy_seq": [1.0, amber]})
    table.to_csv(folder / "results.tsv", sep="\t", index=False)
    return folder / "results.tsv", folder / "metrics.parquet", folder / "amber.tsv"


def test_agreement_with_amber_is_recorded(tmp_path):
    made = compare_with_amber(*write_results(tmp_path, 0.5))
    assert made["difference"].tolist() == [0] * 12
    assert pd.read_csv(tmp_path / "amber.tsv", sep="\t", keep_default_na=False)["weight"].tolist() == [
        *[""] * 6,
        *["bases"] * 6,
    ]


def test_a_different_recall_from_amber_stops_the_run_and_keeps_the_table(tmp_path):
    with pytest.raises(CheckFailed, match=r"AMBER's recall is 0\.510000 for MMseqs2 at species, ours 0\.500000"):
        compare_with_amber(*write_results(tmp_path, 0.51))
    assert pd.read_csv(tmp_path / "amber.tsv", sep="\t")["difference"].min() == pytest.approx(-0.01)


def test_results_without_a_model_are_refused(tmp_path):
    with pytest.raises(InputError, match="no accuracy_seq of MMseqs2 at species"):
        compare_with_amber(*write_results(tmp_path, None))
