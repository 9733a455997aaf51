"""The commands of the student stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill student``."""
    _add_export(commands)


def _add_export(commands) -> None:
    parser = commands.add_parser("export", help="predictions in the formats that other tools read")
    parser.add_argument("--predictions", required=True, metavar="PARQUET", help="table of predictions")
    parser.add_argument("--index", required=True, metavar="PARQUET", help="index of the same contigs")
    parser.add_argument("--abundance", metavar="PARQUET", help="abundances of the same contigs; unknown without")
    parser.add_argument("--taxonomy", metavar="FOLDER", help="lineages.tsv and nodes.dmp; no taxids without")
    parser.add_argument(
        "--name", required=True, help="name of the data set: the SampleID and the stem of the CAMI files"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the files go")
    parser.set_defaults(run=_run_export)


def _run_export(options) -> None:
    from genestill.student.export import export_predictions

    export_predictions(
        options.predictions, options.index, options.abundance, options.taxonomy, options.name, options.output
    )
