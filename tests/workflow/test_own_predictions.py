"""Predictions of the user: scored beside ours or alone, and never replaced."""

import pandas as pd
import pytest
import yaml

from genestill.core.table_schemas import METRICS, PREDICTIONS, TRUTH
from genestill.core.tables import read_table
from snakemake_process import ROOT, run_snakemake

pytestmark = pytest.mark.workflow

SPECIES = ["d__D;p__P;c__C;o__O;f__F;g__G;s__G one", "d__D;p__P;c__C;o__O;f__F;g__G;s__G two"]


def snakemake(folder, configuration, *arguments):
    (folder / "mine.yaml").write_text(yaml.safe_dump(configuration))
    return run_snakemake("--configfile", "mine.yaml", "--cores", 1, *arguments, folder=folder, check=False)


def planned(done):
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("rule ")}


@pytest.fixture
def case(tmp_path):
    """Eight contigs of four genomes with their ground truth, and two tables of predictions."""
    rows = [(f"c{number}", SPECIES[number % 2], f"g{number // 2}", 1000 + number) for number in range(8)]
    truth = pd.DataFrame(rows, columns=["contig", "lineage", "genome", "length"])
    truth.to_csv(tmp_path / "truth.tsv", sep="\t", index=False)
    scored = truth.assign(scores="1;1;1;1;1;0.9;0.6").rename(columns={"contig": "contigs", "lineage": "predictions"})
    scored.loc[7, ["predictions", "scores"]] = [SPECIES[0], "1;1;1;1;1;0.9;0.3"]
    scored[["contigs", "predictions", "scores"]].to_csv(tmp_path / "scored.tsv", sep="\t", index=False)
    plain = truth.rename(columns={"contig": "contigs", "lineage": "predictions"}).iloc[:6]
    plain[["contigs", "predictions"]].to_csv(tmp_path / "plain.tsv", sep="\t", index=False)
    return tmp_path


@pytest.mark.slow
def test_ground_truth_and_predictions_are_sufficient_for_scores(case):
    given = {"sure": "scored.tsv", "short": {"table": "plain.tsv", "format": "taxometer"}}
    configuration = {"recipe": "taxdistill", "dataset": {"name": "alone", "truth": "truth.tsv"}}
    configuration["evaluation"] = {"predictions": given, "resamples": 100}
    rules = {"read_truth", "import_predictions", "evaluate_taxonomy", "print_taxonomy_table", "draw_taxonomy_figures"}
    rules |= {"summarise_taxonomy"}
    assert planned(snakemake(case, configuration, "-n")) - {"all"} == rules
    done = snakemake(case, configuration)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    results = case / "results" / "taxdistill" / "alone"
    assert read_table(results / "reference" / "truth.parquet", TRUTH)["length"].sum() == 8028
    metrics = read_table(results / "evaluation" / "imported" / "metrics.parquet", METRICS)
    own = metrics[(metrics["threshold"] == "own") & (metrics["task"] == "species") & (metrics["stratum"] == "all")]
    recall = own[(own["metric"] == "recall") & (own["weight"] == "")].set_index("model")["value"]
    assert recall.to_dict() == {"sure": 7 / 8, "short": 6 / 8}
    # Rows that describe the content of a stratum belong to no model.
    assert set(metrics.loc[metrics["model"] != "", "kind"]) == {"peer"}
    imported = read_table(results / "evaluation" / "imported" / "short" / "predictions.parquet", PREDICTIONS)
    assert imported["accepted"].tolist() == [7] * 6 + [0] * 2
    # Only the table with scores has confidences, so calls above fixed thresholds.
    assert set(metrics.loc[metrics["threshold"] == "0.8", "model"]) == {"sure"}
    assert "sure" in (results / "evaluation" / "imported" / "table.txt").read_text()
    assert (results / "evaluation" / "imported" / "figures" / "f1_by_rank.svg").is_file()


def test_own_predictions_appear_beside_the_student_in_tables_figures_and_amber(case):
    configuration = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    configuration["evaluation"] = {"predictions": {"mine": "scored.tsv"}, "amber": True}
    done = snakemake(case, configuration, "-n", "-p")
    assert "import_predictions" in planned(done)
    file = "results/taxdistill/test/evaluation/imported/mine/predictions.parquet"
    calls = [line for line in done.stdout.splitlines() if "genestill evaluation" in line]
    for command in ("taxonomy", "taxonomy-figures", "amber-input"):
        assert f" --peer mine={file} " in next(line for line in calls if f" evaluation {command} " in line)


def test_a_user_table_at_the_path_of_a_students_predictions_is_never_deleted(case):
    configuration = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    configuration |= {"recipe": "taxdistill-published", "student": {"name": "mine"}}
    file = case / "results" / "taxdistill-published" / "test" / "student" / "mine" / "predictions.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"somebody's work")
    done = snakemake(case, configuration, file.relative_to(case))
    assert done.returncode != 0
    assert "was not made by this workflow" in done.stderr + done.stdout
    assert file.read_bytes() == b"somebody's work"


def test_predictions_made_by_the_workflow_can_be_regenerated(case):
    configuration = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    file = case / "results" / "taxdistill" / "test" / "student" / "corrector" / "predictions.parquet"
    log = case / "results" / "taxdistill" / "test" / "logs" / "student" / "train_corrector.log"
    for path in (file, log):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert "train_corrector" in planned(snakemake(case, configuration, "-n"))


def test_a_second_student_does_not_change_the_evaluation_of_the_first(case):
    configuration = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    configuration["student"] = {"name": "other", "epochs": 3}
    done = snakemake(case, configuration, "-n", "-p")
    calls = [line for line in done.stdout.splitlines() if " evaluation taxonomy " in line]
    written = {word for line in calls for word in line.split() if word.endswith("metrics.parquet")}
    # That of the first is in evaluation/corrector.
    assert written == {"results/taxdistill/test/evaluation/other/metrics.parquet"}


def test_own_predictions_of_a_sequence_task_are_read_and_scored_beside_the_students(tmp_path):
    recipe = "had"  # the rules of seqlens are the same
    (tmp_path / "mine.tsv").write_text("id\ttarget\n")
    configuration = yaml.safe_load((ROOT / "config" / f"{recipe}-demo.yaml").read_text())
    configuration["evaluation"] = {"predictions": {"mine": {"origin/phylum": "mine.tsv"}}}
    done = snakemake(tmp_path, configuration, "-n", "-p")
    assert "import_sequence_predictions" in planned(done)
    file = f"results/{recipe}/{recipe}-demo/evaluation/imported/mine/origin/phylum.parquet"
    calls = [line for line in done.stdout.splitlines() if "genestill evaluation" in line]
    read = next(line for line in calls if " import-sequence-predictions " in line)
    assert f" --predictions mine.tsv --task results/{recipe}/{recipe}-demo/reference/phylum.tsv.gz " in read
    assert f" {file} " in next(line for line in calls if " sequence-scores " in line)


def test_own_embeddings_of_transcripts_are_read_and_probed_beside_the_students(tmp_path):
    (tmp_path / "mine.npz").touch()
    configuration = yaml.safe_load((ROOT / "config" / "mrna-demo.yaml").read_text())
    configuration["evaluation"] = {"predictions": {"mine": "mine.npz"}}
    done = snakemake(tmp_path, configuration, "-n", "-p")
    assert "import_transcript_embeddings" in planned(done)
    place = "results/mrna/mrna-demo/evaluation"
    calls = [line for line in done.stdout.splitlines() if "genestill evaluation" in line]
    probe = next(line for line in calls if " evaluation probe " in line and " --model mine " in line)
    assert f" --embeddings {place}/imported/mine/embeddings.parquet " in probe
    assert " --model-kind peer " in probe
    assert "--training-seed" not in probe
    assert f" {place}/probes/mine/predictions.parquet" in next(line for line in calls if " probe-table " in line)
