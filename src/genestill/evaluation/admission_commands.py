"""The command ``genestill evaluation admission``."""

from genestill.core.errors import InputError
from genestill.core.options import add_seed
from genestill.core.settings import add_settings, settings_of
from genestill.evaluation.settings import AdmissionSettings, ProbeSettings


def add_commands(commands) -> None:
    """Add ``admission`` to ``genestill evaluation``."""
    summary = "measure whether a teacher's features improve a cheap baseline on training rows"
    parser = commands.add_parser("admission", help=summary, description=summary)
    parser.add_argument("--tasks", nargs="+", default=[], metavar="PARQUET", help="probe tasks; with --embeddings")
    parser.add_argument("--groups", metavar="PARQUET", help="homology groups of the probe tasks")
    parser.add_argument(
        "--sequence-task", action="append", nargs="+", default=[], metavar="NAME",
        help="a name, its task table, and the shards of its rows",
    )  # fmt: skip
    parser.add_argument("--labels", metavar="PARQUET", help="labels of contigs; with --contigs and --embeddings")
    parser.add_argument("--contigs", metavar="FASTA", help="the contigs")
    parser.add_argument("--embeddings", nargs="+", default=[], metavar="PARQUET", help="the teacher's shards")
    parser.add_argument(
        "--kmers", nargs=2, type=int, action="append", metavar="K",
        help="a baseline: shortest and longest k-mer; the strongest of several is used (default: 1 4)",
    )  # fmt: skip
    add_settings(parser, ProbeSettings, only=["split_seeds"])
    add_settings(parser, AdmissionSettings)
    add_seed(parser, "rows, folds and replicates")
    parser.add_argument("--output-table", required=True, metavar="TSV", help="one row per task")
    parser.add_argument("--output", required=True, metavar="JSON", help="the verdict")
    parser.set_defaults(run=_run_admission)


def _run_admission(options) -> None:
    from genestill.evaluation.admission import (
        admit,
        label_questions,
        probe_questions,
        require_inputs,
        table_questions,
        teacher_of,
    )

    rows, seed = settings_of(AdmissionSettings, options), options.seed
    seeds = settings_of(ProbeSettings, options).split_seeds
    given = {"--tasks": options.tasks, "--sequence-task": options.sequence_task, "--labels": options.labels}
    require_inputs({name: bool(value) for name, value in given.items()})
    if any(len(row) < 3 for row in options.sequence_task):
        raise InputError("--sequence-task: expected a name, a task table and the shards of its rows")
    if not (options.sequence_task or options.embeddings):
        raise InputError("give the teacher's shards with --embeddings")
    kmers = [tuple(pair) for pair in options.kmers or [(1, 4)]]
    shards = options.embeddings
    if options.tasks:
        questions = probe_questions(options.tasks, options.groups, shards, kmers, seeds, rows.maximum_rows, seed)
    elif options.labels:
        questions = label_questions(options.labels, options.contigs, shards, kmers, rows.maximum_rows, seed)
    else:
        tasks = {name: (table, files) for name, table, *files in options.sequence_task}
        shards = next(iter(tasks.values()))[1]
        questions = table_questions(tasks, kmers, rows.maximum_rows, seed)
    admit(questions, teacher_of(shards), rows.admission == "stop", seed, options.output, options.output_table)
