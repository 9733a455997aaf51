import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from genestill.cli import main
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.table_schemas import INDEX, LABELS, PREDICTIONS, TRUTH, rank_columns
from genestill.core.tables import read_table, write_table

STATUSES = ("exact", "known", "species", "genus", "family")
ALWAYS = {"coverage", "label_changes", "composition"}
WITH_TRUTH = {"f1_by_rank", "precision_recall", "risk_coverage", "reliability", "by_status", "by_length"}


def write_tables(folder):
    """Sixty contigs; names contain markup that would break an SVG without escaping."""
    generator = np.random.default_rng(1)
    number = 60
    ids = [f"c{row}" for row in range(number)]
    kinds = generator.integers(0, 6, number)
    texts = [f"d__B;p__P;c__C;o__O;f__F<{kind % 3}>&;g__G{kind};s__S{kind}" for kind in kinds]
    truth = pd.DataFrame({"id": ids, **rank_columns([parse_lineage(text) for text in texts])})
    truth["genome"] = [f"g{kind}" for kind in kinds]
    truth["length"] = generator.integers(500, 40_000, number)
    truth["status"] = [STATUSES[row % 5] for row in range(number)]
    write_table(folder / "truth.parquet", truth.assign(chimera=None, identity=None, same_species=None), TRUTH)
    cut = [";".join(text.split(";")[: generator.integers(0, 8)]) for text in texts]
    labels = pd.DataFrame({"id": ids, **rank_columns([parse_lineage(text) for text in cut])})
    write_table(folder / "labels.parquet", labels.assign(taxid=None, support=None), LABELS)
    other = [texts[row] if generator.random() < 0.8 else texts[0] for row in range(number)]
    predictions = pd.DataFrame({"id": ids, **rank_columns([parse_lineage(text) for text in other])})
    for level, rank in enumerate(RANKS):
        predictions[f"confidence_{rank}"] = generator.random(number) ** (level / 6)
    predictions["accepted"] = generator.integers(0, 8, number)
    write_table(folder / "student.parquet", predictions.assign(reason=""), PREDICTIONS)
    write_table(folder / "contigs.parquet", truth[["id", "length"]].assign(gc=0.5, sample="", checksum=""), INDEX)
    abundance = pd.DataFrame({"id": ids, "S1": generator.random(number), "S2": 0.0})
    schema = pa.schema([("id", pa.string()), ("S1", pa.float32()), ("S2", pa.float32())])
    write_table(folder / "abundance.parquet", abundance, schema)


def draw(folder, truth=True):
    """Draw the figures of the tables in ``folder`` into its folder figures, which is returned."""
    file = {path.stem: str(path) for path in folder.glob("*.parquet")}
    compared = ["--labels", file["labels"], "--student", f"student={file['student']}"]
    compared += ["--truth", file["truth"]] if truth else []
    metrics = str(folder / "metrics.parquet")
    assert main(["evaluation", "taxonomy", *compared, "--dataset", "d", "--output", metrics]) == 0
    tables = ["--metrics", metrics, "--index", file["contigs"], "--abundance", file["abundance"]]
    assert main(["evaluation", "taxonomy-figures", *tables, *compared, "--output", str(folder / "figures")]) == 0
    return folder / "figures"


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """The figures of the tables, drawn once."""
    folder = tmp_path_factory.mktemp("drawn")
    write_tables(folder)
    return draw(folder)


def test_every_figure_is_a_complete_svg_with_its_data_beside_it(figures):
    assert {file.stem for file in figures.glob("*.svg")} == ALWAYS | WITH_TRUTH
    for file in figures.glob("*.svg"):
        assert ElementTree.parse(file).getroot().tag.endswith("svg")
        assert len(pd.read_csv(file.with_suffix(".tsv"), sep="\t")) > 0


def test_without_ground_truth_the_figures_that_need_none_are_drawn(tmp_path):
    write_tables(tmp_path)
    assert {file.stem for file in draw(tmp_path, truth=False).glob("*.svg")} == ALWAYS


def test_figures_are_drawn_if_no_contig_with_a_status_has_a_true_species(tmp_path):
    write_tables(tmp_path)
    truth = read_table(tmp_path / "truth.parquet", TRUTH)
    write_table(tmp_path / "truth.parquet", truth.assign(status="no prokaryotic chromosome"), TRUTH)
    assert (draw(tmp_path) / "by_length.svg").is_file()
    write_table(tmp_path / "truth.parquet", truth.assign(species=None), TRUTH)
    assert (draw(tmp_path) / "by_status.svg").is_file()


def test_the_same_tables_give_the_same_figures(figures, tmp_path):
    write_tables(tmp_path)
    again = {file.name: file.read_bytes() for file in draw(tmp_path).iterdir()}
    assert again == {file.name: file.read_bytes() for file in figures.iterdir()}


def test_the_flow_contains_every_contig_once(figures):
    flow = pd.read_csv(figures / "label_changes.tsv", sep="\t")
    assert flow["contigs"].sum() == 60
    assert set(flow["kind"]) <= {"kept", "deeper", "shallower", "renamed"}
    assert (flow.loc[flow["kind"] == "kept", "label"] == flow.loc[flow["kind"] == "kept", "prediction"]).all()


def test_risk_at_full_coverage_is_the_share_of_wrong_calls_without_exact_copies(figures):
    curve = pd.read_csv(figures / "risk_coverage.tsv", sep="\t")
    last = curve[curve["model"] == "student"].iloc[-1]
    # 48 of 60 contigs are not exact copies; the student calls all of them down to species.
    assert last["coverage"] == 1
    assert last["risk"] == pytest.approx(5 / 48, abs=1e-6)
    assert (curve["risk"] <= 1).all()
    assert "thresholds in hindsight" in (figures / "risk_coverage.svg").read_text()


def test_shares_of_a_sample_add_up_to_one_and_an_empty_sample_is_empty(figures):
    bars = pd.read_csv(figures / "composition.tsv", sep="\t")
    assert bars["S1"].sum() == pytest.approx(1)
    assert bars["S2"].sum() == 0
