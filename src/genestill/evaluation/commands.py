"""The commands of the evaluation stage."""

import argparse

from genestill.evaluation.sequence_tasks.commands import add_commands as add_sequence_commands


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill evaluation``."""
    _add_taxonomy(commands)
    _add_table(commands)
    add_sequence_commands(commands)


def _named(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f"{text!r}; expected NAME=VALUE")
    return name, value


def _named_score(text: str) -> tuple[str, float]:
    name, value = _named(text)
    return name, float(value)


def _add_compared(parser) -> None:
    parser.add_argument("--truth", metavar="PARQUET", help="right answers; without, only coverage and changes are told")
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the same contigs")
    parser.add_argument("--labels-name", default="MMseqs2", metavar="NAME", help="name of the labels (MMseqs2)")
    parser.add_argument(
        "--predictions", type=_named, action="append", default=[], metavar="NAME=PARQUET", help="a model; repeat"
    )
    parser.add_argument(
        "--threshold",
        type=_named_score,
        action="append",
        default=[],
        metavar="NAME=SCORE",
        help="calls of that model count above this score instead of where it accepts them; repeat",
    )


def _add_taxonomy(commands) -> None:
    parser = commands.add_parser("taxonomy", help="score labels and predictions against the truth, rank by rank")
    _add_compared(parser)
    parser.add_argument("--dataset", required=True, metavar="NAME", help="name of the data set in the metric table")
    parser.add_argument("--seed", type=int, default=1, help="the run's seed; also of the bootstrap (1)")
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples of genomes (2000)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="metric table")
    parser.set_defaults(run=_run_taxonomy)


def _run_taxonomy(options) -> None:
    from genestill.evaluation.taxonomy import evaluate_taxonomy

    evaluate_taxonomy(
        options.truth,
        options.labels,
        dict(options.predictions),
        options.output,
        options.dataset,
        options.seed,
        options.labels_name,
        dict(options.threshold),
        options.resamples,
    )


def _add_table(commands) -> None:
    parser = commands.add_parser("table", help="print the rank table of a metric table")
    parser.add_argument("--metrics", required=True, metavar="PARQUET", help="what evaluation taxonomy wrote")
    parser.add_argument("--baseline", metavar="NAME", help="model that the others are compared with (the labels)")
    parser.add_argument("--output", required=True, metavar="TXT", help="the same table as a file")
    parser.set_defaults(run=_run_table)


def _run_table(options) -> None:
    from genestill.evaluation.taxonomy_table import write_rank_table

    print(write_rank_table(options.metrics, options.output, options.baseline), end="")
