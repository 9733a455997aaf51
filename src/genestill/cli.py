"""The command line: ``genestill STAGE COMMAND``.

Each stage has a module ``commands`` with a function ``add_commands(subparsers)``. Heavy libraries are imported inside
the functions that use them, so that ``--help`` is fast.
"""

import argparse
import functools
import importlib
import os
import signal
import sys
import time

import genestill
from genestill.completion import SHELLS, PrintCompletion
from genestill.core.errors import CheckFailed, InputError, ProgramFailed, refusal
from genestill.core.files import taken_away
from genestill.core.installation import EXTRA_OF
from genestill.core.logs import configure_logging
from genestill.core.manifest import refuse_changed, refuse_unreadable
from genestill.core.provenance import earlier_record, inputs_of, outputs_of, record_command
from genestill.core.streams import streams_as_files

STAGES = {
    "reference": "genomes, communities, contigs and databases: fetched, verified, indexed",
    "labels": "noisy, partial lineages of contigs, from MMseqs2 or from an existing table",
    "teacher": "embeddings, logits and soft labels of a large pretrained model",
    "student": "the small model: train, predict, embed, release",
    "evaluation": "benchmarks, metrics, figures, tables",
}

EXIT_CODES = """exit codes:
  0    done
  1    a defect of genestill (the log holds the traceback)
  2    the input or the command line is wrong: the message describes what to fix; or an external program failed:
       its last lines are shown
  3    a check failed, for example a teacher that does not read DNA better than chance
  130  stopped with Ctrl-C; partial files do not get their final names
"""

EXAMPLES = """examples:
  The whole chain, which the workflow runs for you (config/config.yaml is the embedded demo):
    snakemake --cores 2

  One step of it by hand: annotate new contigs with a corrector that a run has trained.
    genestill reference contigs --contigs new.fna.gz --output-index new.parquet --output-abundance depths.parquet
    genestill student predict --model model --contigs new.fna.gz --index new.parquet --output predictions.parquet
    genestill student export --predictions predictions.parquet --index new.parquet --name new --output export

  The options of a command, and completion of commands and options in this shell:
    genestill student predict --help
    source <(genestill --print-completion bash)
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands from the ``commands`` modules of the stages."""
    parser = argparse.ArgumentParser(
        prog="genestill",
        description=genestill.__doc__,
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"genestill {genestill.__version__}")
    parser.add_argument("--quiet", action="store_true", help="log warnings and errors only")
    parser.add_argument(
        "--print-completion", action=PrintCompletion, choices=SHELLS, help="print a completion script for this shell"
    )
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for stage, summary in STAGES.items():
        stage_parser = stages.add_parser(stage, help=summary, description=summary)
        commands = stage_parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
        importlib.import_module(f"genestill.{stage}.commands").add_commands(commands)
        for entry in commands._choices_actions:
            command = commands.choices[entry.dest]
            command.description = command.description or entry.help
            # A student whose teacher computes features in every step needs both stages in one process.
            if entry.dest == "distil-dna":
                command.set_defaults(open_teacher=_open_teacher)
    _add_run(stages)
    _add_reproduce(stages)
    return parser


def _open_teacher(folder: str, device, dtype: str, layer: int | str):
    from genestill.teacher.loading import load_teacher

    return load_teacher(folder, device, dtype, layer)


def _add_run(stages) -> None:
    summary = "run the workflow from any folder; further arguments are passed to Snakemake"
    parser = stages.add_parser(
        "run",
        help=summary,
        description=f"{summary}. Results, logs and environments are written to the current folder.",
        epilog="example: genestill run --configfile mine.yaml --cores 8 --use-conda",
        add_help=False,
        prefix_chars="\0",  # all options that follow are Snakemake's
    )
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="…", help="arguments for snakemake: snakemake --help"
    )
    parser.set_defaults(run=functools.partial(_run_workflow, parser))


def _run_workflow(parser, options) -> None:
    from genestill.core.installation import run_workflow

    if options.words in (["--help"], ["-h"]):
        parser.print_help()
    else:
        run_workflow(options.words)


def _add_reproduce(stages) -> None:
    summary = "report differences from a record of provenance; if there are none, compute the result again and compare"
    parser = stages.add_parser("reproduce", help=summary, description=summary)
    parser.add_argument(
        "record",
        metavar="JSON",
        help="a file in a folder called provenance; paths in it are relative to the current folder",
    )
    parser.add_argument("--force", action="store_true", help="run the command again even if something differs")
    parser.set_defaults(run=_run_reproduce)


def _run_reproduce(options) -> None:
    from genestill.core.reproduction import reproduce

    reproduce(options.record, build_parser().parse_args, options.force)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code (see ``EXIT_CODES``). On Ctrl-C, print one line and end the process."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("genestill: stopped; partial files do not get their final names", file=sys.stderr)
        # Ended by the signal itself, so that the calling shell or program sees an interruption and not a failure.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        return 130  # if the parent process has blocked the signal


def _run(arguments: list[str] | None) -> int:
    # For small networks, threads that wait actively cost more time than a second core saves.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = sys.argv[1:] if arguments is None else [str(word) for word in arguments]
    options = build_parser().parse_args(arguments)
    configure_logging(quiet=options.quiet)
    try:
        with streams_as_files(vars(options)):
            inputs = inputs_of(vars(options))
            refuse_unreadable(inputs)
            refuse_changed(inputs, outputs_of(vars(options)))
            began = time.time()
            # Without this, a process killed after its output and before its record would leave an outdated record.
            with taken_away(earlier_record(vars(options))):
                found = options.run(options)
            record_command(arguments, vars(options), found, began)
    except (InputError, ProgramFailed) as error:
        print(f"genestill: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (extra := EXTRA_OF.get(name := (error.name or "").split(".")[0])) is None:
            raise
        print(f"genestill: {name} is not installed; install it with: pip install 'genestill[{extra}]'", file=sys.stderr)
        return 2
    except OSError as error:
        if (sentence := refusal(error)) is None:
            raise
        print(f"genestill: {sentence}", file=sys.stderr)
        return 2
    except CheckFailed as error:
        print(f"genestill: check failed: {error}", file=sys.stderr)
        return 3
    return 0
