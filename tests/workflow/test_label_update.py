"""A run that updates to a new release of the reference, against a run that searches everything."""

import pandas as pd
import pytest

from genestill.core.table_schemas import LABELS, lineages_of
from genestill.core.tables import read_table
from snakemake_process import ROOT, run_snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CONFIGURATION = """
recipe: taxdistill
dataset: {{name: {name}, contigs: contigs.fna.gz, abundance: abundance.tsv}}
reference: {{genomes: {name}.tsv, genomes_folder: genomes}}
student: {{teacher: none, epochs: 3}}
labels: {{kmer: 5{more}}}
"""


def test_labels_of_an_updated_search_equal_those_of_a_full_search(tmp_path, record_property):
    demo = tmp_path / "results" / "taxdistill" / "test" / "reference"
    made = demo.relative_to(tmp_path) / "community" / "contigs.fna.gz"
    run_snakemake("--cores", 2, made, "--configfile", ROOT / "config" / "test.yaml", folder=tmp_path)
    for name in ("contigs.fna.gz", "abundance.tsv"):
        (demo / "community" / name).rename(tmp_path / name)
    (tmp_path / "genomes").symlink_to(demo / "simulated_genomes")
    reference = pd.read_csv(demo / "community" / "reference.tsv", sep="\t")
    # Two genomes are added, one is withdrawn.
    for name, rows in (("former", reference[2:]), ("updated", reference[:-1]), ("full", reference[:-1])):
        rows.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
        more = ", update_from: results/taxdistill/former/labels" if name == "updated" else ""
        (tmp_path / f"{name}.yaml").write_text(CONFIGURATION.format(name=name, more=more))

    def run(name, *targets, **options):
        return run_snakemake("--cores", 2, *targets, "--configfile", f"{name}.yaml", folder=tmp_path, **options)

    results = tmp_path / "results" / "taxdistill"
    refused = run("updated", check=False)
    assert "run the target keep_search with the former configuration first" in refused.stdout + refused.stderr
    run("former", "keep_search", "results/taxdistill/former/labels/labels.parquet")
    said = run("updated")
    run("full", "results/taxdistill/full/labels/labels.parquet")
    assert "genomes of the reference: 2 added, 1 withdrawn, 0 changed, 0 renamed" in said.stdout

    former, updated, full = (
        lineages_of(read_table(results / name / "labels" / "labels.parquet", LABELS))
        for name in ("former", "updated", "full")
    )
    same = sum(one == two for one, two in zip(updated, full, strict=True))
    assert same >= 0.995 * len(full)
    changed = sum(one != two for one, two in zip(former, updated, strict=True))
    assert changed
    contigs = pd.read_csv(results / "updated" / "labels" / "changed_contigs.tsv", sep="\t")
    assert len(contigs) == changed
    assert {"added", "withdrawn"} <= set(contigs["reason"])
    changes = pd.read_csv(results / "updated" / "labels" / "changes.tsv", sep="\t")
    assert changes["sample"].nunique() == 3
    assert changes.groupby("sample")["share_of_bases"].sum().round(4).eq(1).all()
    # The later steps used the new labels and hits.
    assert (results / "updated" / "evaluation").exists() or (results / "updated" / "student").is_dir()
    seconds = [
        pd.read_csv(results / name / "benchmarks" / "labels" / f"{rule}.tsv", sep="\t")["cpu_time"].iloc[0]
        for name, rule in (("updated", "update_labels"), ("full", "search_contigs"))
    ]
    record_property("equal", float(same / len(full)))
    record_property("cpu_share", float(seconds[0] / seconds[1]))
