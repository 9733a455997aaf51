"""The command that writes the first page of the report."""

from genestill.core.options import name_and_value


def add_commands(commands) -> None:
    """Add ``genestill evaluation summary``."""
    summary = "write the first page of the report: results, settings and versions"
    parser = commands.add_parser("summary", help=summary, description=summary)
    parser.add_argument("--recipe", required=True, help="recipe of the run")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="name of the data set")
    parser.add_argument("--configuration", metavar="YAML", help="effective configuration of the run; may be missing")
    parser.add_argument("--logs", required=True, metavar="FOLDER", help="logs of the run; their warnings are shown")
    parser.add_argument("--citations", metavar="CFF", help="citation file; may be missing")
    parser.add_argument(
        "--fact", type=name_and_value, nargs="+", action="extend", default=[], metavar="NAME=JSON",
        help="sizes of the reference and versions of programs; missing files are left out",
    )  # fmt: skip
    parser.add_argument(
        "--download", type=name_and_value, nargs="+", action="extend", default=[], metavar="WORDS=FILE",
        help="file to save, and its content",
    )  # fmt: skip
    parser.add_argument("--predictions", metavar="PARQUET", help="predictions of the contigs")
    parser.add_argument("--index", metavar="PARQUET", help="index of the contigs; with --predictions")
    parser.add_argument("--abundance", metavar="PARQUET", help="abundances of the contigs; unknown without")
    parser.add_argument("--metrics", metavar="PARQUET", help="scores; unknown without")
    parser.add_argument("--comparison", metavar="TSV", help="comparison of a benchmark")
    parser.add_argument("--student", metavar="NAME", help="the model that the others are compared with")
    parser.add_argument("--ledger", metavar="FOLDER", help="output of student novelty; its summary comes first")
    parser.add_argument("--picture", metavar="SVG", help="figure to show; for contigs one is drawn")
    parser.add_argument(
        "--output", required=True, metavar="HTML", help="the page; for contigs also outcomes.svg and .tsv"
    )
    parser.set_defaults(run=_run)


def _run(options) -> None:
    from pathlib import Path

    from genestill.core.errors import InputError
    from genestill.evaluation.summary import Run, write_summary

    if options.predictions and not options.index:
        raise InputError("--predictions needs --index")
    run = Run(
        options.recipe,
        options.dataset,
        options.configuration,
        options.logs,
        options.citations,
        dict(options.fact),
        [(Path(path), words) for words, path in options.download],
        options.predictions,
        options.index,
        options.abundance,
        options.metrics,
        options.comparison,
        options.student,
        options.picture,
        options.ledger,
    )
    write_summary(run, options.output)
