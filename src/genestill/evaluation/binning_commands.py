"""The commands that score taxonomic binning as in CAMI."""

from genestill.core.options import name_and_value


def add_commands(commands) -> None:
    """Add these commands to ``genestill evaluation``."""
    _add_binning(commands)
    _add_files(commands)
    _add_comparison(commands)


def _add_tables(parser, option: str, words: str, required: bool = False) -> None:
    parser.add_argument(
        option, type=name_and_value, nargs="+", default=[], required=required, metavar="NAME=FILE", help=words
    )


def _add_binning(commands) -> None:
    summary = "compute purity, completeness and Rand indices of each tool, rank by rank, as defined by CAMI"
    parser = commands.add_parser("binning", help=summary, description=summary)
    parser.add_argument("--truth", required=True, metavar="PARQUET", help="ground truth, with the lengths of contigs")
    _add_tables(parser, "--predictions", "tables of predictions, each with the name of its tool", required=True)
    parser.add_argument("--output", required=True, metavar="TSV", help="tool, rank, metric, value")
    parser.set_defaults(run=_run_binning)


def _run_binning(options) -> None:
    from genestill.evaluation.binning_table import score_binnings

    score_binnings(options.truth, dict(options.predictions), options.output)


def _add_files(commands) -> None:
    summary = "write gold standard, binnings and taxonomy as input files for AMBER"
    parser = commands.add_parser("binning-amber-input", help=summary, description=summary)
    parser.add_argument("--truth", nargs="+", required=True, metavar="FILE", help="parts of a gold standard of CAMI")
    _add_tables(parser, "--predictions", "files in CAMI's binning format, each with its tool's name", required=True)
    parser.add_argument("--taxdump", required=True, metavar="FOLDER", help="taxonomy dump of their taxids")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="gold.binning, NAME.binning, taxdump/")
    parser.set_defaults(run=_run_files)


def _run_files(options) -> None:
    from genestill.evaluation.binning_table import write_amber_files

    write_amber_files(options.truth, dict(options.predictions), options.taxdump, options.output)


def _add_comparison(commands) -> None:
    summary = "compare binning metrics with those of AMBER on the same files and with published ones"
    parser = commands.add_parser("binning-comparison", help=summary, description=summary)
    _add_tables(
        parser, "--metrics", "output of 'evaluation binning', each with the name of its data set", required=True
    )
    _add_tables(parser, "--amber", "AMBER's results.tsv on the same data sets; a difference is an error")
    _add_tables(parser, "--published", "published results of AMBER on the same data sets")
    parser.add_argument("--output", required=True, metavar="TSV", help="table, tool, rank, metric, and the values")
    parser.set_defaults(run=_run_comparison)


def _run_comparison(options) -> None:
    from genestill.evaluation.binning_table import compare_binnings

    compare_binnings(dict(options.metrics), dict(options.amber), dict(options.published), options.output)
