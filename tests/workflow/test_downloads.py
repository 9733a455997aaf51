"""The download rules, run by Snakemake against a local server: table in, contigs with right answers out."""

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from genestill.reference.sources import COLUMNS
from snakemake_process import BIN, ROOT, run_snakemake

SNAKEFILE = f"""
import sys
from pathlib import Path
sys.path.insert(0, "{ROOT}/src")
ROOT = Path.cwd()
shell.prefix("set -euo pipefail; export PYTHONPATH='{ROOT}/src' PATH='{BIN}':$PATH; ")
config["reference"] = {{"taxdump": None}}
include: "rules/downloads.smk"
rule all:
    default_target: True
    input: "resources/downloads/cami2/marine/community/truth.tsv"
"""
MAPPING = "#anonymous_contig_id\tgenome_id\ttax_id\tcontig_id\tnumber_reads\tstart_position\tend_position\n"

pytestmark = [pytest.mark.workflow, pytest.mark.faults]


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder; every second request is answered 500."""

    asked = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        Handler.asked += 1
        if Handler.asked % 2:
            self.send_error(500)
        else:
            super().do_GET()


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


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
    return run_snakemake("--cores", "2", folder=folder, snakefile=None, check=False)


def test_a_published_data_set_becomes_contigs_with_right_answers(tmp_path, server):
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


@pytest.mark.slow
def test_a_wrong_checksum_stops_the_run_and_leaves_no_file(tmp_path, server):
    rows = publish(*server)
    rows[0]["checksum"] = "sha256:" + "0" * 64
    finished = run(tmp_path, rows)
    assert finished.returncode != 0
    log = (tmp_path / "logs/downloads/cami2/marine/taxonomy.log").read_text()
    assert "was expected; the file was damaged on its way or is another version" in log
    assert not (tmp_path / "resources/downloads/cami2/marine/taxonomy.archive").exists()
    assert not (tmp_path / "resources/downloads/cami2/marine/community").exists()
