"""The download rules, run by Snakemake against a local server: table in, contigs with ground truth out."""

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from genestill.core.lineage import format_lineage
from genestill.core.sequences import read_fasta
from genestill.core.table_schemas import TRUTH, lineages_of
from genestill.core.tables import read_table, read_tsv
from genestill.reference.sources import COLUMNS
from local_server import FolderRequests, serve
from snakemake_process import BIN, ROOT, run_snakemake

SNAKEFILE = f"""
import sys
from pathlib import Path
sys.path.insert(0, "{ROOT}/src")
ROOT = Path.cwd()
shell.prefix("set -euo pipefail; export PYTHONPATH='{ROOT}/src' PATH='{BIN}':$PATH; ")
config["reference"] = {{"taxdump": None, "database": None}}
include: "rules/downloads.smk"
rule all:
    default_target: True
    input: "resources/downloads/cami2/marine/community/truth.tsv"
"""
MAPPING = "#anonymous_contig_id\tgenome_id\ttax_id\tcontig_id\tnumber_reads\tstart_position\tend_position\n"

pytestmark = [pytest.mark.workflow, pytest.mark.faults]


class Handler(FolderRequests):
    """Answers with the files of a folder; every second request fails with status 500."""

    asked = 0

    def do_GET(self):
        Handler.asked += 1
        if Handler.asked % 2:
            self.send_error(500)
        else:
            super().do_GET()


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path / "published", Handler) as address:
        yield tmp_path / "published", address


def make_archive(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as bundle:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            bundle.addfile(header, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def publish(folder: Path, address: str) -> list[dict[str, str]]:
    nodes = "1\t|\t1\t|\tno rank\t|\n2\t|\t1\t|\tsuperkingdom\t|\n"
    names = "1\t|\troot\t|\t\t|\tscientific name\t|\n2\t|\tBacteria\t|\t\t|\tscientific name\t|\n"
    dump = {"ncbi/nodes.dmp": nodes.encode(), "ncbi/names.dmp": names.encode()}
    rows = [
        {"role": "taxonomy", "url": "tax.tar.gz", "checksum": "sha256:" + make_archive(folder / "tax.tar.gz", dump)}
    ]
    for sample in (0, 10, 2):
        inside = f"simulation/2018_sample_{sample}/contigs"
        make_archive(
            folder / f"s{sample}.tar.gz",
            {
                f"{inside}/anonymous_gsa.fasta.gz": gzip.compress(f">S{sample}C0\nACGTACGT\n".encode()),
                f"{inside}/gsa_mapping.tsv.gz": gzip.compress(f"{MAPPING}S{sample}C0\tA\t2\tx\t1\t0\t8\n".encode()),
                f"{inside}/other.bin": b"not wanted",
            },
        )
        rows.append({"role": "contigs", "sample": str(sample), "url": f"s{sample}.tar.gz", "checksum": ""})
    content = (folder / "s2.tar.gz").read_bytes()
    rows[-1] |= {"checksum": "md5:" + hashlib.md5(content).hexdigest(), "bytes": str(len(content))}
    plain = {"dataset": "Marine", "version": "1", "licence": "CC0", "state": "checked", "holds": "all"}
    return [plain | row | {"url": f"{address}/{row['url']}"} for row in rows]


def run(folder: Path, rows: list[dict[str, str]]) -> subprocess.CompletedProcess:
    (folder / "workflow" / "rules").mkdir(parents=True)
    (folder / "resources").mkdir()
    shutil.copy(ROOT / "workflow" / "rules" / "downloads.smk", folder / "workflow" / "rules")
    shutil.copytree(ROOT / "envs", folder / "envs")
    (folder / "workflow" / "Snakefile").write_text(SNAKEFILE)
    table = ["\t".join(COLUMNS)] + ["\t".join(row.get(column, "") for column in COLUMNS) for row in rows]
    (folder / "resources" / "cami2.tsv").write_text("\n".join(table) + "\n")
    for name in ("gtdb.tsv", "transcript_tables.tsv"):
        (folder / "resources" / name).write_text(table[0] + "\n")
    return run_snakemake("--cores", "2", folder=folder, snakefile=None, check=False)


@pytest.mark.slow
def test_a_published_data_set_becomes_contigs_with_ground_truth(tmp_path, server):
    finished = run(tmp_path, publish(*server))
    assert finished.returncode == 0, finished.stderr
    community = tmp_path / "resources/downloads/cami2/marine/community"
    assert (community / "truth.tsv").read_text().splitlines() == [
        "contig\tlineage\tgenome\tlength",
        "S0C0\td__Bacteria\tA\t8",
        "S10C0\td__Bacteria\tA\t8",
        "S2C0\td__Bacteria\tA\t8",
    ]
    assert gzip.decompress((community / "contigs.fna.gz").read_bytes()).count(b">") == 3


# As `strobealign --aemb` writes: a row per contig, no header.
STROBEALIGN = """#!/bin/sh
set -e
test "$1 $2" = "--aemb --interleaved"
gzip -cd "$6" | grep -q '^@r1'
grep '>' "$5" | tr -d '>' | while read -r name; do printf '%s\\t2.5\\n' "$name"; done
"""


@pytest.fixture
def miniature(tmp_path, server):
    """A copy of the workflow whose tables of addresses lead to one miniature data set; its reference is the demo's.

    Contigs of the demo stand for two samples of Marine. The reads of sample 0 lie in the archive of its contigs, as
    those of the human data sets do. The database of the demo is at the path to which that of GTDB would be downloaded.
    """
    published, address = server
    demo = tmp_path / "demo"
    demo.mkdir()
    run_snakemake("--cores", 2, "--configfile", ROOT / "config" / "test.yaml", folder=demo)
    made = demo / "results" / "taxdistill" / "test"
    taxids = read_tsv(made / "reference" / "taxonomy" / "lineages.tsv")
    taxid_of = dict(zip(taxids["lineage"], taxids["taxid"], strict=True))
    truth = read_table(made / "reference" / "truth.parquet", TRUTH).set_index("id")
    lineages = dict(zip(truth.index, map(format_lineage, lineages_of(truth)), strict=True))
    rows = [{"dataset": "Marine", "role": "taxonomy"}]
    make_archive(
        published / "taxonomy.tar.gz",
        {
            f"t/{name}.dmp": (made / "reference" / "taxonomy" / f"{name}.dmp").read_bytes()
            for name in ("nodes", "names")
        },
    )
    contigs = list(read_fasta(made / "reference" / "community" / "contigs.fna.gz"))
    reads = {"x/reads/anonymous_reads.fq.gz": gzip.compress(b"@r1/1\nA\n+\nI\n@r1/2\nC\n+\nI\n")}
    for sample in (0, 1):
        fasta, mapping = "", MAPPING
        for number, (name, sequence) in enumerate(contigs[sample::2]):
            fasta += f">S{sample}C{number}\n{sequence}\n"
            taxid = taxid_of.get(lineages[name], 0)
            mapping += f"S{sample}C{number}\t{truth.loc[name, 'genome']}\t{taxid}\tx\t1\t0\t8\n"
        inside = {
            "x/anonymous_gsa.fasta.gz": gzip.compress(fasta.encode()),
            "x/gsa_mapping.tsv.gz": gzip.compress(mapping.encode()),
        }
        make_archive(published / f"contigs-{sample}.tar.gz", inside | (reads if sample == 0 else {}))
        rows.append({"dataset": "Marine", "role": "contigs", "sample": str(sample)})
    make_archive(published / "reads-1.tar.gz", reads)
    rows.append({"dataset": "Marine", "role": "reads", "sample": "1"})
    metadata = ["accession\tgtdb_taxonomy\tncbi_taxid\tncbi_species_taxid"]
    metadata += [f"G\t{lineage}\t{taxid}\t{taxid}" for lineage, taxid in taxid_of.items() if "s__" in lineage]
    (published / "metadata-bac.tar.gz").write_bytes(gzip.compress("\n".join([*metadata, ""]).encode()))

    folder = tmp_path / "run"
    for name in ("workflow", "config", "envs", "resources", "src", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    gtdb = [{"dataset": "GTDB", "role": "metadata", "sample": "bac"}]
    for name, these in (("cami2", rows), ("gtdb", gtdb)):
        lines = ["\t".join(COLUMNS)]
        for row in these:
            file = "-".join(filter(None, [row["role"], row.get("sample")]))
            whole = row | {"version": "1", "licence": "CC0", "state": "unchecked", "holds": "all"}
            whole |= {"url": f"{address}/{file}.tar.gz"}
            lines.append("\t".join(whole.get(column, "") for column in COLUMNS))
        (folder / "resources" / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    shutil.copytree(made / "reference" / "database", folder / "resources/downloads/databases/GTDB")
    program = tmp_path / "bin" / "strobealign"
    program.parent.mkdir()
    program.write_text(STROBEALIGN)
    program.chmod(0o755)
    return folder, made, {"PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.mark.slow
def test_the_published_comparison_runs_on_a_miniature_data_set(miniature):
    folder, demo, environment = miniature
    settings = yaml.safe_load((ROOT / "config" / "taxdistill-published.yaml").read_text())
    settings["benchmark"]["communities"] = {"marine": settings["benchmark"]["communities"]["marine"]}
    # Taxometer has an environment of its own; one run of each of the others.
    del settings["evaluation"]["benchmark"]["taxometer"]
    settings["evaluation"]["benchmark"] = dict.fromkeys(settings["evaluation"]["benchmark"], 1)
    settings["dataset"]["minimum_length"] = 500
    settings["labels"] = {"kmer": 5, "orf_filter": 0}
    (teacher,) = (demo / "teacher").glob("*/model")
    settings["teacher"] = {"model": str(teacher), "shards": 1}
    (folder / "config" / "miniature.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    command = ("benchmark_taxonomy", "--cores", 2, "--configfile", "config/miniature.yaml")
    run_snakemake(*command, folder=folder, snakefile=None, environment=environment)
    community = folder / "resources/downloads/cami2/marine"
    assert (community / "abundance.tsv").read_text().splitlines()[:2] == [
        "contigname\tsample_0\tsample_1",
        "S0C0\t2.5\t2.5",
    ]
    assert list(community.rglob("*.fq.gz")) == [], "reads are kept no longer than needed"
    comparison = read_tsv(folder / "results/taxdistill/taxdistill-published/evaluation/comparison.tsv")
    measured = comparison[(comparison["rank"] == "species") & (comparison["threshold"] == "own")].set_index("model")
    assert set(measured.index) == {"MMseqs2", *settings["evaluation"]["benchmark"]}
    assert measured.loc[["MMseqs2"], "f1"].astype(float).min() > 0.2


@pytest.mark.slow
def test_a_wrong_checksum_stops_the_run_and_leaves_no_file(tmp_path, server):
    rows = publish(*server)
    rows[0]["checksum"] = "sha256:" + "0" * 64
    finished = run(tmp_path, rows)
    assert finished.returncode != 0
    log = (tmp_path / "logs/downloads/cami2/marine/taxonomy.log").read_text()
    assert "was expected; the file was damaged or is another version" in log
    assert not (tmp_path / "resources/downloads/cami2/marine/taxonomy.archive").exists()
    assert not (tmp_path / "resources/downloads/cami2/marine/community").exists()
