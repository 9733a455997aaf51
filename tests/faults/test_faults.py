"""What a run survives: kills in every stage, full and read-only disks, damaged shards and models.

The same command is given again, and every file of the results is compared with that of an undisturbed run.
"""

import os
import random
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from genestill.core.contents import content_checksum
from snakemake_process import ROOT, start_snakemake

RESULTS = Path("results/taxdistill/test")
STAGES = ("reference", "labels", "teacher", "student", "evaluation")
KILLS_AT_LEAST = 20
SEED = 1

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def start(folder: Path) -> subprocess.Popen:
    """The command that a user gives, in a separate process group; one job at a time, so that the order is definite."""
    folder.mkdir(exist_ok=True)
    return start_snakemake("--configfile", ROOT / "config" / "test.yaml", "--cores", "1", folder=folder)


def finish(folder: Path) -> str:
    """Run to the end; return what was printed."""
    with start(folder) as run:
        output, _ = run.communicate()
    assert run.returncode == 0, output
    return output


def fail(folder: Path) -> str:
    """Run to an error; return what was printed and logged."""
    with start(folder) as run:
        output, _ = run.communicate()
    assert run.returncode != 0, output
    return output + "".join(path.read_text() for path in sorted((folder / RESULTS / "logs").rglob("*.log")))


def read_results(folder: Path) -> dict[str, str]:
    """Checksum of the content of every file of the results, hidden ones too: what must not depend on interruptions."""
    found = {}
    for path in sorted((folder / RESULTS).rglob("*")):
        name = path.relative_to(folder / RESULTS)
        # Progress, resource use, and records of time and place of a run are not part of its result.
        aside = name.parts[0] in ("benchmarks", "logs", ".lock") or "provenance" in name.parts or name.stem == "cost"
        if path.is_file() and not aside and name.name != "provenance.json":
            found[str(name)] = content_checksum(path)
    return found


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Names of results that are missing, new, or different."""
    names = found.keys() ^ expected.keys()
    return sorted(names | {name for name in found.keys() & expected.keys() if found[name] != expected[name]})


@dataclass
class Job:
    """A job that Snakemake has announced: what it makes, its log, when it began, and what it took."""

    rule: str
    output: str = ""
    log: Path = Path()
    began: float = 0.0  # monotonic clock
    announced: float = 0.0  # wall clock, as times of files are
    seconds: float = 0.0

    @property
    def stage(self) -> str:
        """The stage whose results it makes."""
        return self.log.parent.name


def jobs_of(run: subprocess.Popen, started, finished) -> None:
    """Read what Snakemake prints to its end; call ``started(job)`` and ``finished(job)`` as it goes."""
    jobs: dict[str, Job] = {}
    job = None
    for line in run.stdout:
        if rule := re.match(r"(?:local)?rule (\w+):", line):
            job = Job(rule[1], began=time.monotonic(), announced=time.time())
        elif job and (output := re.match(r"    output: (.*)", line)):
            job.output = output[1]
        elif job and (log := re.match(r"    log: (\S+)", line)):
            job.log = Path(log[1])
        elif job and (number := re.match(r"    jobid: (\d+)", line)):
            jobs[number[1]] = job
            if job.output:
                started(job)
        elif done := re.match(r"Finished jobid: (\d+)", line):
            jobs[done[1]].seconds = time.monotonic() - jobs[done[1]].began
            if jobs[done[1]].output:
                finished(jobs[done[1]])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, list[Job]]:
    """A finished run and its jobs in order."""
    folder = tmp_path_factory.mktemp("undisturbed")
    jobs: list[Job] = []
    with start(folder) as run:
        jobs_of(run, lambda job: None, jobs.append)
    assert run.returncode == 0
    assert len(read_results(folder)) > 50
    return folder, jobs


def files_of(folder: Path) -> dict[Path, int]:
    """Everything in the results but logs and benchmarks, including hidden files and those set aside, with times."""
    found = {}
    # Unlike rglob, walk tolerates folders that disappear during the traversal.
    for parent, folders, files in os.walk(folder / RESULTS):
        if Path(parent) == folder / RESULTS:
            folders[:] = [name for name in folders if name not in ("benchmarks", "logs")]
        for path in (Path(parent, name) for name in folders + files if name != ".lock"):
            with suppress(OSError):
                found[path] = path.stat().st_mtime_ns
    return found


def is_written_since(path: Path, moment: float) -> bool:
    """Whether a file is there and was written at ``moment`` (wall clock) or later; Snakemake removes old logs."""
    try:
        return path.stat().st_mtime >= moment
    except FileNotFoundError:
        return False


def await_moment(folder: Path, job: Job, moment: str | float, usual: float, over: threading.Event) -> None:
    """Return at a moment of ``job``: "log" (its log appears), "output" (something of it appears), or a share.

    A share is one of the time from the log's appearance to the end that the undisturbed run took. Returns at once when
    ``over`` says that the job has ended before.
    """
    before = files_of(folder) if moment == "output" else {}
    while not over.is_set() and not is_written_since(folder / job.log, job.announced - 0.1):
        time.sleep(0.002)
    appeared = time.monotonic()
    if moment == "output":
        while not over.is_set() and files_of(folder).items() <= before.items():
            time.sleep(0.002)
    elif isinstance(moment, float):
        while not over.is_set() and time.monotonic() < appeared + moment * usual:
            time.sleep(0.002)


def run_until(folder: Path, targets: list[tuple[str, str | float]], usual: dict[str, float], kill):
    """Start the command and kill the first job of ``targets`` (output, moment) at its moment, by ``kill(run)``.

    Returns (the target's index or None, the jobs that were started, those that finished, the run's exit code).
    """
    wanted = [output for output, _ in targets]
    announced, finished, struck, watchers = [], [], [], []
    over = threading.Event()
    with start(folder) as run:

        def watch(job: Job, index: int) -> None:
            await_moment(folder, job, targets[index][1], usual[job.output], over)
            struck.append(index)
            kill(run)

        def started(job: Job) -> None:
            announced.append(job)
            if not watchers and job.output in wanted:
                watchers.append(threading.Thread(target=watch, args=(job, wanted.index(job.output))))
                watchers[0].start()

        def ended(job: Job) -> None:
            finished.append(job)
            if watchers:
                over.set()

        jobs_of(run, started, ended)
        over.set()
        for thread in watchers:
            thread.join()
    assert len(struck) == len(watchers), "who was to strike failed"
    return (struck[0] if struck else None), announced, finished, run.returncode


def kill_all(run: subprocess.Popen) -> None:
    """As when a node fails: Snakemake and all its jobs end at once."""
    os.killpg(run.pid, signal.SIGKILL)


def kill_job(run: subprocess.Popen) -> None:
    """As the kernel does when memory runs out: the job ends, Snakemake continues."""
    killed = False
    while not killed and run.poll() is None:  # a job that has just begun may not be a separate process yet
        found = subprocess.run(["ps", "-o", "pid=,args=", "--sid", str(run.pid)], capture_output=True, text=True).stdout
        for line in found.splitlines():
            number, _, command = line.strip().partition(" ")
            if "-m genestill" in command and not command.startswith(("/bin/sh", "/usr/bin/bash", "bash", "/bin/bash")):
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
                    killed = True


def plan_of(jobs: list[Job]) -> list[tuple[str, str | float]]:
    """Three moments in every job: when its log appears, at a drawn share of its time, when its first output appears."""
    draw = random.Random(SEED)
    return [(job.output, moment) for job in jobs for moment in ("log", round(draw.uniform(0.1, 0.9), 3), "output")]


def test_a_run_killed_at_any_moment_gives_the_results_of_an_undisturbed_run(undisturbed, tmp_path, tally):
    folder, jobs = undisturbed
    usual, of = {job.output: job.seconds for job in jobs}, {job.output: job for job in jobs}
    plan = plan_of(jobs)
    disturbed = tmp_path / "disturbed"
    done: set[str] = set()
    kills: list[tuple[str, str | float]] = []
    while plan:
        strike, announced, finished, code = run_until(disturbed, plan, usual, kill_all)
        again = done & {job.output for job in announced}
        assert not again, "finished before the kill, and made again"
        done |= {job.output for job in finished}
        if strike is None:
            assert code == 0, "the same command did not go on after a kill"
            break
        # If the job had ended already, the kill was between two jobs.
        kills.append(plan.pop(strike))
        plan = [target for target in plan if target[0] not in done]
    finish(disturbed)
    lost = differences(read_results(disturbed), read_results(folder))
    print(f"\nkilled (seed {SEED}):")
    for output, moment in kills:
        print(f"  {of[output].stage:<10} {of[output].rule:<18} {moment}")
    tally("kill -9 of the whole run", len(kills), len(kills) if not lost else 0)
    assert lost == []
    assert len(kills) >= KILLS_AT_LEAST
    assert {of[output].stage for output, _ in kills} == set(STAGES)


@pytest.mark.parametrize("rule", ["predict_proteins", "search_contigs", "embed_shard", "train_corrector"])
def test_a_job_killed_by_the_kernel_is_reported_and_the_same_command_completes_it(undisturbed, tmp_path, tally, rule):
    folder, jobs = undisturbed
    usual = {job.output: job.seconds for job in jobs}
    target = next(job for job in jobs if job.rule == rule)
    # If the machine is less busy than in the undisturbed run, the job may have ended already: then try earlier.
    for share in (0.5, 0.2, 0.1, "log"):
        subprocess.run(["rm", "-rf", tmp_path / "disturbed"], check=True)
        disturbed = copy_before(folder, tmp_path / "disturbed", jobs, target)
        strike, _, finished, code = run_until(disturbed, [(target.output, share)], usual, kill_job)
        assert strike == 0
        if target.output not in {job.output for job in finished}:
            break
    assert target.output not in {job.output for job in finished}, "nothing was killed"
    assert code != 0
    finish(disturbed)
    lost = differences(read_results(disturbed), read_results(folder))
    tally("kill -9 of one job", 1, int(not lost))
    assert lost == []


def copy_before(folder: Path, copy: Path, jobs: list[Job], target: Job) -> Path:
    """A copy of a finished run without what ``target`` and the jobs after it made."""
    subprocess.run(["cp", "--archive", folder, copy], check=True)
    kept = {Path(name).parent for job in jobs[: jobs.index(target)] for name in job.output.split(", ")}
    for job in jobs[jobs.index(target) :]:
        for name in map(Path, job.output.split(", ")):
            subprocess.run(["rm", "-rf", copy / name], check=True)
            # A job may leave more than Snakemake knows of, in a separate folder, and would continue from there.
            if name.parent.parent.parent == RESULTS and not any(at.is_relative_to(name.parent) for at in kept):
                subprocess.run(["rm", "-rf", copy / name.parent], check=True)
    return copy


def mount(folder: Path, *options: str) -> None:
    """Mount a separate disk at ``folder``, or change the one that is mounted there."""
    done = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk of our own can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    """A run folder whose results are on a disk of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    results = tmp_path / "run" / "results"
    results.mkdir(parents=True)
    mount(results, "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    yield tmp_path / "run"
    subprocess.run(["umount", "--lazy", results], check=True)


def test_a_full_disk_stops_the_run_and_it_continues_once_there_is_space(undisturbed, small_disk, tally):
    said = fail(small_disk)
    assert re.search(r"No space left on device|GB free, but|disk full", said, re.IGNORECASE)
    mount(small_disk / "results", "-o", "remount,size=500m")
    finish(small_disk)
    lost = differences(read_results(small_disk), read_results(undisturbed[0]))
    tally("full disk", 1, int(not lost))
    assert lost == []


# Where the disk fills up in the middle: enough for the files before, not for all of this stage.
@pytest.mark.parametrize("rule", ["make_database", "search_contigs", "pretrain_teacher", "train_corrector"])
def test_a_disk_that_fills_up_during_a_stage_leaves_no_partial_file(undisturbed, small_disk, tally, rule):
    folder, jobs = undisturbed
    target = next(job for job in jobs if job.rule == rule)
    whole = copy_before(folder, small_disk.parent / "copy", jobs, target)
    used = int(subprocess.run(["du", "-sk", whole / "results"], capture_output=True, text=True).stdout.split()[0])
    mount(small_disk / "results", "-o", f"remount,size={used + 1024}k")
    subprocess.run(["cp", "--archive", whole / ".snakemake", small_disk], check=True)
    subprocess.run(["cp", "--archive", f"{whole}/results/.", small_disk / "results"], check=True)
    # All but a few pages of what is left.
    free = os.statvfs(small_disk / "results")
    ballast = small_disk / "results" / "ballast"
    ballast.write_bytes(b"\0" * max(0, free.f_bavail * free.f_frsize - 24 * 1024))
    fail(small_disk)
    mount(small_disk / "results", "-o", "remount,size=500m")
    ballast.unlink()
    finish(small_disk)
    lost = differences(read_results(small_disk), read_results(folder))
    tally("full disk", 1, int(not lost))
    assert lost == []


def test_unwritable_results_are_reported_before_any_job_runs(small_disk, tally):
    mount(small_disk / "results", "-o", "remount,ro")
    with start(small_disk) as run:
        output, _ = run.communicate()
    assert run.returncode != 0
    assert re.search(r"cannot be written|[Rr]ead-only file system", output)
    assert "Finished jobid" not in output
    tally("read-only results", 1, 1)


def cut(content: bytes) -> bytes:
    """Half of it, as after a crash of the disk."""
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    """One bit of the data is flipped."""
    return content[:200] + bytes([content[200] ^ 4]) + content[201:]


@pytest.mark.parametrize("damage", [cut, flip, lambda content: b"\0" * len(content)], ids=["cut", "flipped", "zeros"])
def test_a_damaged_shard_is_named_and_the_same_command_recomputes_only_that_shard(undisturbed, tmp_path, tally, damage):
    folder, jobs = undisturbed
    target = next(job for job in jobs if job.rule == "make_soft_labels")
    disturbed = copy_before(folder, tmp_path / "run", jobs, target)
    shards = sorted(disturbed.glob(f"{RESULTS}/teacher/*/contigs/sequence/[0-9].parquet"))
    times = {path: path.stat().st_mtime_ns for path in shards}
    shards[1].write_bytes(damage(shards[1].read_bytes()))
    os.utime(shards[1], ns=(times[shards[1]], times[shards[1]]))
    said = fail(disturbed)
    assert f"{shards[1].relative_to(disturbed)}: not a complete Parquet file" in said
    assert "run the same command again to compute it" in said
    made: list[Job] = []
    with start(disturbed) as run:
        jobs_of(run, lambda job: None, made.append)
    assert run.returncode == 0
    assert [job.output for job in made if job.rule == "embed_shard"] == [str(shards[1].relative_to(disturbed))]
    assert all(path.stat().st_mtime_ns == times[path] for path in shards if path != shards[1])
    shards[1].with_name("1.parquet.damaged").unlink()
    lost = differences(read_results(disturbed), read_results(folder))
    tally("damaged shard", 1, int(not lost))
    assert lost == []


def test_a_truncated_teacher_is_named_and_never_read_as_complete(undisturbed, tmp_path, tally):
    folder, jobs = undisturbed
    target = next(job for job in jobs if job.rule == "check_teacher")
    disturbed = copy_before(folder, tmp_path / "run", jobs, target)
    model = disturbed / RESULTS / "teacher" / "miniature" / "model"
    weights = model / "model.safetensors"
    weights.write_bytes(cut(weights.read_bytes()))
    said = fail(disturbed)
    # The record of the command that wrote it contains its size.
    assert f"{weights.relative_to(disturbed)}: has " in said
    assert f"Remove {model.relative_to(disturbed)} and make it again" in said
    assert not (disturbed / RESULTS / "teacher" / "miniature" / "check.json").exists()
    subprocess.run(["rm", "-r", model], check=True)
    finish(disturbed)
    lost = differences(read_results(disturbed), read_results(folder))
    tally("teacher folder cut in the middle", 1, int(not lost))
    assert lost == []


def test_two_undisturbed_runs_are_bit_identical(undisturbed, tmp_path, tally):
    finish(tmp_path / "second")
    assert differences(read_results(tmp_path / "second"), read_results(undisturbed[0])) == []
    tally("none: a second undisturbed run", 1, 1)
