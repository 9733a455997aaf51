"""File names that a shell would interpret as commands are treated as names."""

import gzip
from pathlib import Path

import pandas as pd
import pytest
import yaml

from genestill.cli import main
from genestill.core.table_schemas import PREDICTIONS
from genestill.core.tables import read_table
from snakemake_process import ROOT, run_snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture
def data(tmp_path):
    """A community in a folder with an odd name: contigs, abundances, labels and ground truth, oddly named as well."""
    folder = tmp_path / 'it\'s "my" folder; $(touch pwned)'
    biosphere = "--phyla 2 --classes 2 --orders 2 --families 2 --genera 2 --species 4 --genomes 6 --genome-length 30000"
    assert main(["reference", "simulate-genomes", *biosphere.split(), "--output", f"{tmp_path}/simulated_genomes"]) == 0
    cut = ["--genomes", f"{tmp_path}/simulated_genomes/genomes.tsv", "--contigs", "60", "--samples", "2"]
    assert main(["reference", "community", *cut, "--output", str(folder)]) == 0
    names = {
        "contigs": "my contigs;$(touch pwned).fna", "abundance": "a'b`touch pwned`.tsv", "truth": "-x & \"truth\".tsv",
        "labels": "new\nline | touch pwned.tsv",
    }  # fmt: skip
    (folder / names["contigs"]).write_bytes(gzip.decompress((folder / "contigs.fna.gz").read_bytes()))
    (folder / "abundance.tsv").rename(folder / names["abundance"])
    truth = pd.read_csv(folder / "truth.tsv", sep="\t")
    labels = truth[["contig", "lineage"]].set_axis(["contigs", "predictions"], axis=1)
    labels.to_csv(folder / names["labels"], sep="\t", index=False)
    (folder / "truth.tsv").rename(folder / names["truth"])
    return {role: str(folder / name) for role, name in names.items()}


def test_no_file_name_is_interpreted_as_a_command(data, tmp_path):
    settings = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    del settings["reference"]
    settings["dataset"] = {"name": "odd", "minimum_length": 500, **data}
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "run").mkdir()
    run_snakemake("--configfile", tmp_path / "odd.yaml", "--cores", "1", folder=tmp_path / "run")
    table = read_table(tmp_path / "run/results/taxdistill/odd/student/corrector/predictions.parquet", PREDICTIONS)
    assert len(table) > 10
    assert [path for path in tmp_path.rglob("pwned*")] == []
    assert not Path("pwned").exists()
