"""Snakemake inside the process of a test: plans of a configuration, and jobs that are made or noted as made.

A process of its own for each job costs seconds, most of them for imports.
"""

import asyncio
import contextlib
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml
from snakemake import api
from snakemake.settings import types as settings

from genestill.cli import main
from snakemake_process import ROOT

# What Snakemake measures of a job, by the clock of another machine.
MEASURED = (
    "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    "1.0\t0:00:01\t100\t100\t100\t100\t1\t1\t100\t1.0\n"
)


@contextlib.contextmanager
def parsed_once():
    """Snakemake parses the rule files of one workflow over and over: keep what it makes of each."""
    from snakemake import workflow

    parse, known = workflow.parse, {}

    def remembered(path, workflow, linemap, rulecount=0, **options):
        key = (path.get_path_or_uri(secret_free=True), rulecount)
        if key not in known:
            lines = {}
            known[key] = (parse(path, workflow, linemap=lines, rulecount=rulecount, **options), lines)
        found, lines = known[key]
        linemap.update(lines)
        return found

    workflow.parse = remembered
    try:
        yield
    finally:
        workflow.parse = parse


def build(folder: Path, configuration: dict, targets: list[str]):
    """Snakemake's workflow of a configuration in ``folder``, with its jobs and why each would run."""
    file = folder / "given.yaml"
    file.write_text(yaml.safe_dump(configuration, sort_keys=False))
    with api.SnakemakeApi(settings.OutputSettings(quiet={settings.Quietness.ALL})) as snakemake:
        one = snakemake.workflow(
            resource_settings=settings.ResourceSettings(cores=1),
            config_settings=settings.ConfigSettings(configfiles=[file]),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        one.dag(settings.DAGSettings(targets=set(targets)))
        workflow = one._workflow
        workflow.execution_settings = settings.ExecutionSettings(lock=False)
        workflow.scheduling_settings = settings.SchedulingSettings()
        workflow.remote_execution_settings = settings.RemoteExecutionSettings()
        workflow.group_settings = settings.GroupSettings()
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True, nolock=True)
        workflow._build_dag()
        return workflow


def pretend(workflow) -> None:
    """Note every job that would run as done, with empty outputs."""
    _finish_jobs(workflow, _write_empty)


def make(workflow) -> list[str]:
    """Run the command of every job that would run, in this process, and note it as done; return their outputs."""
    made: list[str] = []

    def command(job) -> None:
        if job.is_shell:
            setting, _, words = job.shellcmd.partition("python -m genestill ")
            assert setting in ("", "OMP_NUM_THREADS=1 "), job.shellcmd
            words = shlex.split(words)
            assert main(["--quiet", *words[: words.index("2>")]]) == 0, job.shellcmd
            made.extend(map(str, job.output))

    _finish_jobs(workflow, command)
    return made


def _finish_jobs(workflow, do: Callable) -> None:
    """Do every job that would run, in order, and write down what Snakemake would write down of it."""
    workflow.persistence.deactivate_cache()
    for level in workflow.dag.toposorted():
        for job in filter(workflow.dag.needrun, level):
            workflow.persistence.started(job)
            for output in job.output:
                if output.is_directory and Path(output).is_dir():
                    shutil.rmtree(output)
                else:
                    Path(output).unlink(missing_ok=True)
            for path in [*job.output, *job.log, *filter(None, [job.benchmark])]:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            for log in job.log:
                Path(log).touch()
            do(job)
            if job.benchmark:
                Path(job.benchmark).write_text(MEASURED)
            for output in job.output:
                if output.is_directory:
                    (Path(output) / ".snakemake_timestamp").touch()
            asyncio.run(workflow.persistence.finished(job))


def _write_empty(job) -> None:
    for output in job.output:
        if output.is_directory:
            Path(output).mkdir(parents=True, exist_ok=True)
        else:
            # Of tables and records nothing is read before a run; an empty JSON file would be a damaged one.
            Path(output).write_text("{}" if output.endswith(".json") else "")
