import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from genestill.core.configuration import merge, read_yaml
from genestill.core.table_schemas import INDEX, METRICS, PREDICTIONS
from genestill.core.tables import read_table
from snakemake_process import ROOT, run_snakemake

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the small demo: (working folder, results folder)."""
    folder = tmp_path_factory.mktemp("demo")
    # One shard: several shards are tested with the teacher and with faults.
    settings = merge(read_yaml(ROOT / "config" / "test.yaml"), {"teacher": {"shards": 1}})
    (folder / "test.yaml").write_text(yaml.safe_dump(settings))
    done = run_snakemake("--cores", 2, "--configfile", "test.yaml", folder=folder)
    (folder / "said.txt").write_text(done.stdout)
    return folder, folder / "results" / "taxdistill" / "test"


@pytest.mark.parametrize("name", ["community", pytest.param("benchmark", marks=pytest.mark.slow)])
def test_a_dry_run_from_the_root_lists_jobs(name, tmp_path):
    # From another folder, so that finished results of this checkout do not hide the jobs; relative inputs of data that
    # are not part of the project are made up.
    settings = (ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    for word in settings.split():
        if word.startswith("../shared/"):
            path = (tmp_path / "run" / word).resolve()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    (tmp_path / "run").mkdir(exist_ok=True)
    done = run_snakemake("-n", "--cores", 2, "--configfile", ROOT / "config" / f"{name}.yaml", folder=tmp_path / "run")
    jobs = [line for line in done.stdout.splitlines() if line.startswith(("rule ", "localrule "))]
    assert len(jobs) > 10


def test_the_demo_ends_with_a_table_of_labels_and_student(run):
    text = (run[1] / "evaluation" / "corrector" / "table.txt").read_text()
    assert "MMseqs2" in text
    assert "corrector" in text
    assert "species" in text


def test_a_run_ends_with_its_table_and_a_pointer_to_the_results(run):
    said = (run[0] / "said.txt").read_text()
    assert (run[1] / "evaluation" / "corrector" / "table.txt").read_text() in said
    places = dict(re.findall(r"^(predictions|report): +(.*)$", said, re.MULTILINE))
    assert (run[0] / places["predictions"]).is_file()
    assert places["report"].startswith("snakemake --configfile ")


def test_every_contig_of_the_index_has_one_prediction_with_a_reason_where_it_stops(run):
    index = read_table(run[1] / "reference" / "contigs.parquet", INDEX)
    table = read_table(run[1] / "student" / "corrector" / "predictions.parquet", PREDICTIONS)
    assert table["id"].tolist() == index["id"].tolist()
    assert table.loc[table["accepted"] < 7, "reason"].str.len().gt(10).all()


def test_the_metrics_contain_both_models_at_every_rank(run):
    metrics = read_table(run[1] / "evaluation" / "corrector" / "metrics.parquet", METRICS)
    f1 = metrics[(metrics["metric"] == "f1") & (metrics["stratum"] == "all") & (metrics["threshold"] == "own")]
    f1 = f1[(f1["minus"] == "") & (f1["weight"] == "")]
    assert set(f1["model"]) == {"MMseqs2", "corrector"}
    assert len(f1) == 14
    assert f1["value"].between(0, 1).all()


def test_other_tools_find_their_formats(run):
    export = run[1] / "student" / "corrector" / "export"
    for name in ("predictions.tsv", "taxometer.tsv", "test.binning", "test.profile", "kraken.report", "krona.html"):
        assert (export / name).stat().st_size > 100, name
    contigs = len(read_table(run[1] / "reference" / "contigs.parquet", INDEX))
    assert len(pd.read_csv(export / "taxometer.tsv", sep="\t")) == contigs


def test_the_saved_student_annotates_contigs_without_teacher_or_database(run):
    folder, results = run
    genestill = str(Path(sys.executable).with_name("genestill"))
    subprocess.run(
        [genestill, "student", "predict", "--model", results / "student" / "corrector" / "model"]
        + ["--contigs", results / "reference" / "community" / "contigs.fna.gz"]
        + ["--index", results / "reference" / "contigs.parquet", "--output", folder / "again.parquet"],
        check=True,
        timeout=300,
    )
    table = read_table(folder / "again.parquet", PREDICTIONS)
    assert table["domain"].notna().all()


def test_the_same_command_again_finds_nothing_to_do(run):
    done = run_snakemake("--cores", 2, "--configfile", "test.yaml", folder=run[0])
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("setting", "rules"),
    [
        ("evaluation: {labels_name: search}", {"evaluate_taxonomy", "draw_taxonomy_figures"}),
        ("dataset: {minimum_length: 1200}", {"index_contigs", "build_label_tree"}),
    ],
)
def test_a_setting_changed_after_a_finished_run_is_detected(run, setting, rules):
    (run[0] / "changed.yaml").write_text(setting)
    settings = ["test.yaml", run[0] / "changed.yaml"]
    done = run_snakemake("-n", "--cores", 2, "--configfile", *settings, folder=run[0])
    planned = {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("rule ")}
    assert rules <= planned


def test_the_report_is_one_archive_with_the_table_and_the_figures(run):
    archive = run[0] / "report.zip"
    run_snakemake("--configfile", "test.yaml", "--report", archive, folder=run[0])
    names = zipfile.ZipFile(archive).namelist()
    assert any(name.endswith("report.html") for name in names)
    assert any(name.endswith("table.html") for name in names)
    assert sum(name.endswith(".svg") for name in names) >= 5


def test_a_mistake_in_the_configuration_is_reported_before_any_job(tmp_path):
    done = run_snakemake(
        "-n", "--cores", 1, "--configfile", ROOT / "config" / "test.yaml", "--config", "student={epoch: 3}",
        folder=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "unknown key student.epoch; did you mean 'epochs'?" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
