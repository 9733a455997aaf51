"""The workflow on a real SLURM of one node: through the project's own profile, with GPUs, failures and retries."""

import itertools
import os
import re
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from snakemake_process import BIN, ROOT, start_snakemake

HERE = Path(__file__).parent

pytestmark = pytest.mark.cluster

# The smallest workflow with every kind of failure: two GPU jobs at once, one that is killed on its first attempt,
# one that asks for more memory each time.
SMALL = """
rule all:
    input: "gathered.txt"

rule embed:
    output: "shard-{n}.txt"
    resources: gpu=1, mem_mb=100, runtime=5
    shell: "sleep 3; echo cuda=$CUDA_VISIBLE_DEVICES > {output}"

rule unlucky:
    output: "unlucky.txt"
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt, runtime=5
    shell: "if [ ! -e tried ]; then touch tried; sleep 60; fi; scontrol show job $SLURM_JOB_ID > {output}"

rule gather:
    input: "shard-0.txt", "shard-1.txt", "unlucky.txt"
    output: "gathered.txt"
    resources: mem_mb=100, runtime=5
    shell: "cat {input} > {output}"
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The folder of a running SLURM."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([HERE / "start_slurm", folder], capture_output=True, text=True)
    if started.returncode == 77:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    yield folder
    subprocess.run([HERE / "stop_slurm", folder], check=False)
    wait_until_gone(folder)


def wait_until_gone(folder: Path) -> None:
    """Fail if a daemon or a process of a job still exists ten seconds after the end."""
    for _ in range(100):
        left = [path for path in Path("/proc").glob("[0-9]*") if belongs_to_slurm(path, folder)]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError([(path.name, (path / "cmdline").read_bytes()) for path in left])


def belongs_to_slurm(process: Path, folder: Path) -> bool:
    """Whether a process (its folder in /proc) is a daemon of the SLURM in ``folder``, or belongs to one of its jobs."""
    try:
        program = (process / "cmdline").read_bytes().split(b"\0")[0].rpartition(b"/")[2]
        job = b"SLURM_WORKING_CLUSTER=test:127.0.0.1:16817:" in (process / "environ").read_bytes()
        munged = program == b"munged" and (folder / "started_munge").exists()
        return job or munged or program in (b"slurmctld", b"slurmd")
    except OSError:
        return False


def start_on_cluster(folder: Path, *more, snakefile: Path | None = None) -> subprocess.Popen:
    """Snakemake with the project's profile and the settings that differ on this cluster."""
    return start_snakemake(
        *("--workflow-profile", ROOT / "workflow" / "profiles" / "slurm"),
        *("--slurm-partition-config", HERE / "partitions.yaml"),
        *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
        *("--seconds-between-status-checks", "1", "--latency-wait", "10"),
        *more,
        folder=folder,
        snakefile=snakefile,
        environment={"PATH": f"{BIN}:{os.environ['PATH']}"},
    )


def rule_of_job(output: str) -> dict[str, str]:
    """SLURM's job id -> rule, from what Snakemake prints at submission."""
    submitted = re.findall(r"submitted with SLURM jobid (\d+) \(log: \S*/(?:rule|group)_([^/]+)/", output)
    return dict(submitted)


def read_history() -> list[dict[str, str]]:
    """SLURM's own record of every job."""
    shown = subprocess.run(["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=True).stdout
    return [dict(field.partition("=")[::2] for field in line.split()) for line in shown.splitlines()]


def check_gpu_jobs(history: list[dict[str, str]], rule_of: dict[str, str], gpu_rules: set[str]) -> int:
    """Every job of a GPU rule held one GPU, no other held any, and no two overlap; return how many there were."""
    mine = [job for job in history if job["JobId"] in rule_of]
    assert mine
    holders = [job for job in mine if job.get("TresPerJob") == "gres:gpu:1"]
    assert {rule_of[job["JobId"]] for job in holders} == gpu_rules
    assert {rule_of[job["JobId"]] for job in mine if job not in holders} & gpu_rules == set()
    assert {job["Partition"] for job in holders} == {"gpu"}
    times = sorted(
        (datetime.fromisoformat(job["StartTime"]), datetime.fromisoformat(job["EndTime"])) for job in holders
    )
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(times)), times
    return len(holders)


def wait_for_running_job(folder: Path, snakemake: subprocess.Popen, condition) -> str:
    """The id of a running SLURM job once ``condition`` holds."""
    for _ in range(600):
        assert snakemake.poll() is None, snakemake.stdout.read()
        if condition():
            running = subprocess.run(
                ["squeue", "--noheader", "--states=RUNNING", "--format=%i %k"],
                capture_output=True,
                text=True,
                check=True,
            )
            if running.stdout.strip():
                return running.stdout
        time.sleep(0.2)
    raise AssertionError("no job was running for two minutes")


def test_gpus_are_allocated_one_at_a_time_and_a_killed_job_is_retried_with_more_memory(slurm, tmp_path):
    (tmp_path / "Snakefile").write_text(SMALL)
    snakemake = start_on_cluster(tmp_path)
    running = wait_for_running_job(tmp_path, snakemake, (tmp_path / "tried").exists)
    killed = next(line.split()[0] for line in running.splitlines() if "unlucky" in line)
    subprocess.run(["scancel", "--signal=KILL", "--full", killed], check=True)
    output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    gathered = (tmp_path / "gathered.txt").read_text()
    assert gathered.count("cuda=0\n") == 2
    assert "mem=200M" in gathered, "the second attempt asks for twice the memory"
    assert check_gpu_jobs(read_history(), rule_of_job(output), {"embed"}) == 2
    assert {job["JobState"] for job in read_history() if job["JobId"] == killed} == {"CANCELLED"}


def test_the_demo_runs_through_the_scheduler_and_survives_the_loss_of_a_job(slurm, tmp_path):
    snakemake = start_on_cluster(tmp_path, "--configfile", ROOT / "config" / "test.yaml", snakefile=ROOT / "Snakefile")
    first_done = tmp_path / "results/taxdistill/test/reference/contigs.parquet"
    running = wait_for_running_job(tmp_path, snakemake, first_done.exists)
    killed = running.split()[0]
    subprocess.run(["scancel", "--signal=KILL", "--full", killed], check=True)
    output, _ = snakemake.communicate(timeout=1500)
    assert snakemake.returncode == 0, output
    rules = rule_of_job(output)
    gpu_rules = {"pretrain_teacher", "check_teacher", "embed_shard", "make_soft_labels"}
    assert check_gpu_jobs([job for job in read_history() if job["JobId"] != killed], rules, gpu_rules) >= 6
    assert (tmp_path / "results/taxdistill/test/evaluation/corrector/table.txt").stat().st_size
