"""What a run survives: kills in every stage, full and read-only disks, a corrupted shard.

The same command is given again, and the results are compared with those of a run that nobody disturbed.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
RESULTS = Path("results/taxdistill/test")
KILLS_AT_LEAST = 20

pytestmark = pytest.mark.faults


def start(folder: Path) -> subprocess.Popen:
    """The command that a user gives, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [
            BIN / "snakemake",
            *("--snakefile", ROOT / "Snakefile", "--directory", folder),
            *("--configfile", ROOT / "config" / "test.yaml", "--cores", "2"),
        ],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(folder: Path) -> str:
    """Run to the end; return what was printed."""
    with start(folder) as run:
        output, _ = run.communicate()
    assert run.returncode == 0, output
    return output


def read_results(folder: Path) -> dict[str, object]:
    """Every table and text of the results, by name: what must not depend on what the run went through."""
    found = {}
    for path in sorted((folder / RESULTS).rglob("*")):
        name = str(path.relative_to(folder / RESULTS))
        if name.startswith(("benchmarks/", "logs/")):
            continue
        if path.suffix == ".parquet":
            found[name] = pq.read_table(path)
        elif path.name == "training.tsv":  # the course of a training, with the seconds that each step took
            table = pd.read_csv(path, sep="\t")
            found[name] = table[[column for column in table if "second" not in column]].to_csv()
        elif path.suffix in (".tsv", ".txt", ".safetensors", ".binning", ".profile", ".report", ".gz", ".faa"):
            found[name] = path.read_bytes()
    return found


def differences(found: dict[str, object], expected: dict[str, object]) -> list[str]:
    """Names of results that are missing, new, or not the same."""
    names = found.keys() ^ expected.keys()
    return sorted(names | {name for name in found.keys() & expected.keys() if found[name] != expected[name]})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, list[tuple[str, float]]]:
    """A finished run and its jobs in order: (rule, seconds)."""
    folder = tmp_path_factory.mktemp("undisturbed")
    jobs, began = [], {}
    with start(folder) as run:
        for line in run.stdout:
            if rule := re.match(r"(?:local)?rule (\w+):", line):
                latest = rule[1]
            elif job := re.match(r"    jobid: (\d+)", line):
                began[job[1]] = (latest, time.monotonic())
            elif done := re.match(r"Finished jobid: (\d+)", line):
                rule, at = began[done[1]]
                jobs.append((rule, time.monotonic() - at))
    assert run.returncode == 0
    assert read_results(folder)
    return folder, [(rule, seconds) for rule, seconds in jobs if rule != "all"]


def kill_at(run: subprocess.Popen, targets: list[tuple[str, float]]) -> int | None:
    """Kill the whole group while the first job of ``targets`` that starts is at work.

    ``targets`` are (rule, seconds after its start). Returns the index of the target, or None if the run ended first.
    """
    rules = [rule for rule, _ in targets]
    for line in run.stdout:
        started = re.match(r"(?:local)?rule (\w+):", line)
        if started and started[1] in rules:
            index = rules.index(started[1])
            time.sleep(targets[index][1])
            os.killpg(run.pid, signal.SIGKILL)
            return index
    return None


def finished_shards(folder: Path) -> dict[Path, int]:
    """The embedding shards that are there, with the time of their last change."""
    return {path: path.stat().st_mtime_ns for path in folder.glob(f"{RESULTS}/teacher/*/shards/[0-9]*.parquet")}


def test_a_run_killed_at_any_moment_ends_as_one_that_nobody_disturbed(undisturbed, tmp_path):
    folder, jobs = undisturbed
    # Early and late in every job, in the order in which the jobs run.
    plan = [(rule, share * seconds) for rule, seconds in jobs for share in (0.3, 0.9)]
    disturbed = tmp_path / "disturbed"
    tried, survived, stages = 0, 0, {}
    shards: dict[Path, int] = {}
    while plan:
        with start(disturbed) as run:
            index = kill_at(run, plan)
        if index is None:
            # The plan's jobs are all done: either this run came to its end, or it could not go on.
            survived += run.returncode == 0
            break
        survived += tried > 0  # that the run came this far again says that the last kill was survived
        tried += 1
        stages[plan[index][0]] = stages.get(plan[index][0], 0) + 1
        plan = plan[index + 1 :]
        again = finished_shards(disturbed)
        assert all(again.get(path) == changed for path, changed in shards.items()), "a finished shard was made again"
        shards = again
    else:
        finish(disturbed)
        survived += 1
    lost = differences(read_results(disturbed), read_results(folder))
    print(f"\nkilled {tried} times: " + ", ".join(f"{rule} {count}" for rule, count in stages.items()))
    print(f"tried {tried}, survived {survived}, lost {len(lost)}")
    assert lost == []
    assert survived == tried
    assert tried >= KILLS_AT_LEAST


def mount(folder: Path, *options: str) -> None:
    """Mount a disk of our own at ``folder``, or change the one that is there."""
    done = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk of our own can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    """A run folder whose results lie on a disk of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    results = tmp_path / "run" / "results"
    results.mkdir(parents=True)
    mount(results, "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    yield tmp_path / "run"
    subprocess.run(["umount", "--lazy", results], check=True)


def test_a_full_disk_stops_the_run_and_with_space_it_goes_on(undisturbed, small_disk):
    with start(small_disk) as run:
        output, _ = run.communicate()
    assert run.returncode != 0
    logs = "".join(path.read_text() for path in (small_disk / RESULTS / "logs").rglob("*.log"))
    assert re.search(r"No space left on device|GB free, but|disk full", output + logs, re.IGNORECASE)
    mount(small_disk / "results", "-o", "remount,size=500m")
    finish(small_disk)
    assert differences(read_results(small_disk), read_results(undisturbed[0])) == []


def test_results_that_cannot_be_written_are_said_before_any_job_runs(small_disk):
    mount(small_disk / "results", "-o", "remount,ro")
    with start(small_disk) as run:
        output, _ = run.communicate()
    assert run.returncode != 0
    assert re.search(r"cannot be written|[Rr]ead-only file system", output)
    assert "Finished jobid" not in output


def test_a_corrupted_shard_is_named_and_only_it_is_made_again(undisturbed, tmp_path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "--archive", undisturbed[0], folder], check=True)
    shards = sorted(finished_shards(folder))
    damaged, whole = shards[1], [shards[0], *shards[2:]]
    # As after a crash of the disk under a run that has not come further than its shards.
    for later in (*(folder / RESULTS).glob("teacher/*/soft_labels*"), folder / RESULTS / "evaluation"):
        subprocess.run(["rm", "-r", later], check=True)
    subprocess.run(["rm", "-r", folder / RESULTS / "student"], check=True)
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    with start(folder) as run:
        output, _ = run.communicate()
    logs = "".join(path.read_text() for path in (folder / RESULTS / "logs").rglob("*.log"))
    assert run.returncode != 0, "a corrupted shard must not be read as whole"
    assert f"{damaged.relative_to(folder)}: not a whole Parquet file" in output + logs
    damaged.unlink()
    before = finished_shards(folder)
    finish(folder)
    assert all(path.stat().st_mtime_ns == before[path] for path in whole)
    assert differences(read_results(folder), read_results(undisturbed[0])) == []


def test_two_undisturbed_runs_agree_bit_for_bit(undisturbed, tmp_path):
    finish(tmp_path / "second")
    assert differences(read_results(tmp_path / "second"), read_results(undisturbed[0])) == []
    metrics = pd.read_parquet(undisturbed[0] / RESULTS / "evaluation" / "metrics.parquet")
    assert len(metrics)
