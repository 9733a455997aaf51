"""The commands of the teacher stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill teacher``."""
    _add_soften(commands)


def _add_soften(commands) -> None:
    parser = commands.add_parser("soften", help="soft labels over the label tree, by light heads on the embeddings")
    parser.add_argument("--embeddings", required=True, nargs="+", metavar="PARQUET", help="shards of embeddings")
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the same contigs")
    parser.add_argument("--tree", required=True, metavar="TSV", help="label tree")
    parser.add_argument(
        "--folds", type=int, default=5, help="heads that each leave a part out; 1: one head, in-sample (default: 5)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the deal and the heads (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the soft labels")
    parser.add_argument("--output-predictions", metavar="PARQUET", help="the heads' own predictions, as a peer")
    parser.set_defaults(run=_run_soften)


def _run_soften(options) -> None:
    from genestill.teacher.head import soften

    soften(
        options.embeddings,
        options.labels,
        options.tree,
        options.folds,
        options.seed,
        options.device,
        options.output,
        options.output_predictions,
    )
