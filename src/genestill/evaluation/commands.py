"""The commands of the evaluation stage."""

from genestill.core.errors import InputError
from genestill.core.kinds import KINDS
from genestill.core.label_formats.registry import FORMATS
from genestill.core.options import add_seed, name_and_value, run_and_path
from genestill.core.settings import add_settings, settings_of
from genestill.evaluation.admission_commands import add_commands as add_admission_commands
from genestill.evaluation.binning_commands import add_commands as add_binning_commands
from genestill.evaluation.contig_peers.commands import add_commands as add_peer_commands
from genestill.evaluation.probes.commands import add_commands as add_probe_commands
from genestill.evaluation.result_commands import add_commands as add_result_commands
from genestill.evaluation.sequence_tasks.commands import add_commands as add_sequence_commands
from genestill.evaluation.settings import ComparisonSettings, IntervalSettings
from genestill.evaluation.summary_commands import add_commands as add_summary_commands


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill evaluation``."""
    _add_taxonomy(commands)
    _add_table(commands)
    _add_figures(commands)
    _add_run_figures(commands)
    _add_published_comparison(commands)
    _add_amber_input(commands)
    _add_amber(commands)
    add_sequence_commands(commands)
    _add_novelty(commands)
    _add_import_predictions(commands)
    _add_benchmark(commands)
    add_binning_commands(commands)
    add_probe_commands(commands)
    add_admission_commands(commands)
    add_result_commands(commands)
    add_peer_commands(commands)
    add_summary_commands(commands)


def _named_score(text: str) -> tuple[str, float]:
    name, value = name_and_value(text)
    return name, float(value)


def _add_compared(parser) -> None:
    parser.add_argument("--truth", metavar="PARQUET", help="ground truth; without it, only coverage and label changes")
    parser.add_argument("--labels", metavar="PARQUET", help="labels of the contigs; without them, those of the truth")
    add_settings(parser, ComparisonSettings)
    for kind in KINDS:
        parser.add_argument(
            f"--{kind}",
            type=run_and_path,
            nargs="+",
            action="extend",
            default=[],
            metavar="NAME[@SEED]=PARQUET",
            help=f"predictions of models that the tables list as {kind}",
        )
    parser.add_argument(
        "--threshold",
        type=_named_score,
        action="append",
        default=[],
        metavar="NAME=SCORE",
        help="score above which calls of that model count, instead of its own threshold; may be repeated",
    )


def _compared(options) -> list:
    """The predictions given by the options of `_add_compared`."""
    from genestill.evaluation.calls import Predictions

    thresholds = dict(options.threshold)
    runs = [
        Predictions(model, path, kind, seed, thresholds.get(model))
        for kind in KINDS
        for model, seed, path in getattr(options, kind)
    ]
    for name in thresholds:
        if name not in {run.model for run in runs}:
            raise InputError(f"threshold for {name!r}, but the models are {', '.join(run.model for run in runs)}")
    return runs


def _add_taxonomy(commands) -> None:
    parser = commands.add_parser("taxonomy", help="score labels and predictions against the truth, rank by rank")
    _add_compared(parser)
    parser.add_argument("--abundance", metavar="PARQUET", help="depths of the contigs, to weight them by reads")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="name of the data set in the metric table")
    add_seed(parser, "the run and of the bootstrap")
    add_settings(parser, IntervalSettings)
    parser.add_argument("--output", required=True, metavar="PARQUET", help="metric table")
    parser.add_argument("--output-outcome-counts", metavar="PARQUET", help="outcomes by genome, for a benchmark")
    parser.set_defaults(run=_run_taxonomy)


def _run_taxonomy(options) -> None:
    from genestill.evaluation.taxonomy import evaluate_taxonomy

    evaluate_taxonomy(
        options.truth,
        options.labels,
        _compared(options),
        options.output,
        options.dataset,
        options.seed,
        settings_of(ComparisonSettings, options).labels_name,
        settings_of(IntervalSettings, options).resamples,
        options.abundance,
    )
    if options.output_outcome_counts:
        from genestill.evaluation.outcome_counts import write_outcome_counts

        write_outcome_counts(
            options.truth,
            options.labels,
            _compared(options),
            options.dataset,
            options.output_outcome_counts,
            settings_of(ComparisonSettings, options).labels_name,
        )


def _add_table(commands) -> None:
    parser = commands.add_parser("taxonomy-table", help="print a metric table by rank")
    parser.add_argument("--metrics", required=True, metavar="PARQUET", help="output of evaluation taxonomy")
    parser.add_argument("--baseline", metavar="NAME", help="model that the others are compared with (the labels)")
    parser.add_argument(
        "--output", required=True, metavar="TXT", help="the same table as a file; also written as a page, .html"
    )
    parser.set_defaults(run=_run_table)


def _run_table(options) -> None:
    from genestill.evaluation.taxonomy_table import write_rank_table

    print(write_rank_table(options.metrics, options.output, options.baseline), end="")


def _add_figures(commands) -> None:
    parser = commands.add_parser("taxonomy-figures", help="draw figures of a metric table and the predictions")
    parser.add_argument("--metrics", required=True, metavar="PARQUET", help="output of evaluation taxonomy")
    _add_compared(parser)
    parser.add_argument("--index", metavar="PARQUET", help="index of the contigs; no composition without it")
    parser.add_argument("--abundance", metavar="PARQUET", help="abundances of the contigs; unknown without")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder for the SVG and TSV files")
    parser.set_defaults(run=_run_figures)


def _run_figures(options) -> None:
    from genestill.evaluation.taxonomy_figures import draw_taxonomy

    draw_taxonomy(
        options.metrics,
        options.truth,
        options.labels,
        _compared(options),
        options.index,
        options.abundance,
        options.output,
        settings_of(ComparisonSettings, options).labels_name,
    )


def _add_run_figures(commands) -> None:
    parser = commands.add_parser("run-figures", help="draw the cost, training and representations of a run")
    parser.add_argument("--training", metavar="TSV", help="training.tsv of the student")
    parser.add_argument("--costs", nargs="+", required=True, metavar="TSV", help="Snakemake's benchmark files")
    parser.add_argument(
        "--representations",
        type=name_and_value,
        nargs="*",
        default=[],
        metavar="NAME=PARQUET",
        help="shards of embeddings of the contigs, with the name of their model",
    )
    parser.add_argument("--predictions", required=True, metavar="PARQUET", help="predictions of the same contigs")
    parser.add_argument("--truth", metavar="PARQUET", help="truth, to colour by instead of predictions")
    add_seed(parser, "the choice of contigs and of t-SNE")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder for the SVG and TSV files")
    parser.set_defaults(run=_run_run_figures)


def _run_run_figures(options) -> None:
    from genestill.evaluation.run_figures import draw_run

    representations: dict[str, list[str]] = {}
    for name, shard in options.representations:
        representations.setdefault(name, []).append(shard)
    draw_run(
        options.training,
        options.costs,
        representations,
        options.predictions,
        options.truth,
        options.seed,
        options.output,
    )


def _add_novelty(commands) -> None:
    summary = "write the novelty ledger as a table and a figure, and measure its accuracy"
    parser = commands.add_parser("novelty", help=summary, description=summary)
    parser.add_argument("--ledger", required=True, metavar="FOLDER", help="output of student novelty")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="name of the data set")
    parser.add_argument("--truth", metavar="PARQUET", help="ground truth, to score the ledger; needs --index")
    parser.add_argument("--index", metavar="PARQUET", help="index of the contigs")
    parser.add_argument("--abundance", metavar="PARQUET", help="depths of the contigs, as for the ledger")
    add_seed(parser, "the run, for the metric table")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder for table.txt and shares.svg")
    parser.add_argument("--output-metrics", metavar="PARQUET", help="metric table, with --truth")
    parser.set_defaults(run=_run_novelty)


def _run_novelty(options) -> None:
    from genestill.evaluation.novelty import report_novelty, score_novelty

    if options.truth and not (options.index and options.output_metrics):
        raise InputError("--truth is given; expected --index and --output-metrics too")
    print(report_novelty(options.ledger, options.dataset, options.output), end="")
    if options.truth:
        score_novelty(
            options.ledger,
            options.truth,
            options.index,
            options.abundance,
            options.dataset,
            options.seed,
            options.output_metrics,
        )


def _add_import_predictions(commands) -> None:
    summary = "convert another model's predictions, in any format of 'labels import', to a table of predictions"
    parser = commands.add_parser("import-predictions", help=summary, description=summary)
    parser.add_argument("--predictions", required=True, metavar="FILE", help="the table; or predictions.parquet")
    parser.add_argument("--format", default="auto", choices=FORMATS, help="its format (default: %(default)s)")
    parser.add_argument("--contigs", required=True, metavar="PARQUET", help="the contigs: their index, or the truth")
    parser.add_argument("--taxonomy", metavar="FOLDER", help="output of 'reference taxonomy'; for taxids")
    parser.add_argument("--threshold", type=float, default=0.5, help="score from which a name counts (0.5)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the table of predictions")
    parser.set_defaults(run=_run_import_predictions)


def _run_import_predictions(options) -> None:
    from genestill.evaluation.peers import import_predictions

    import_predictions(
        options.predictions,
        options.format,
        options.contigs,
        options.taxonomy,
        options.threshold,
        options.output,
    )


def _add_benchmark(commands) -> None:
    parser = commands.add_parser("benchmark", help="compare models over several communities and seeds")
    parser.add_argument("--metrics", required=True, nargs="+", metavar="PARQUET", help="metric tables")
    parser.add_argument("--outcome-counts", required=True, nargs="+", metavar="PARQUET", help="outcomes by genome")
    parser.add_argument(
        "--cost",
        type=name_and_value,
        action="append",
        default=[],
        metavar="NAME=TSV",
        help="Snakemake's benchmark of a run",
    )
    parser.add_argument(
        "--compared-with", required=True, metavar="NAME", help="the model that the others are compared with"
    )
    parser.add_argument(
        "--simulated", nargs="*", default=[], metavar="NAME", help="communities that are left out of means"
    )
    add_settings(parser, IntervalSettings)
    add_seed(parser, "the bootstrap")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the joined metric table")
    parser.add_argument("--output-comparison", required=True, metavar="TSV", help="scores with intervals")
    parser.add_argument(
        "--output-table", required=True, metavar="TXT", help="the comparison as text; also written as a page, .html"
    )
    parser.add_argument("--output-figures", metavar="FOLDER", help="folder for the SVG and TSV files")
    parser.set_defaults(run=_run_benchmark)


def _run_benchmark(options) -> None:
    from genestill.evaluation.benchmark import gather_benchmark
    from genestill.evaluation.benchmark_table import draw_benchmark, write_benchmark_table

    gather_benchmark(
        options.metrics,
        options.outcome_counts,
        options.cost,
        options.compared_with,
        options.simulated,
        options.seed,
        options.output,
        options.output_comparison,
        settings_of(IntervalSettings, options).resamples,
    )
    print(write_benchmark_table(options.output_comparison, options.compared_with, options.output_table), end="")
    if options.output_figures:
        draw_benchmark(options.output_comparison, options.output, options.compared_with, options.output_figures)


def _add_published_comparison(commands) -> None:
    summary = "compare published figures with ours for the same data sets"
    parser = commands.add_parser("published-comparison", help=summary, description=summary)
    parser.add_argument("--metrics", nargs="+", required=True, metavar="PARQUET", help="metrics of the data sets")
    parser.add_argument("--published", required=True, metavar="TSV", help="the published figures, with their sources")
    parser.add_argument("--output", required=True, metavar="TSV", help="a row per published figure")
    parser.set_defaults(run=_run_published_comparison)


def _run_published_comparison(options) -> None:
    from genestill.evaluation.published_figures import compare_with_published

    compare_with_published(options.metrics, options.published, options.output)


def _add_amber_input(commands) -> None:
    parser = commands.add_parser("amber-input", help="write gold standard, predictions and taxonomy in AMBER's format")
    _add_compared(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="gold.binning, NAME.binning, taxdump/")
    parser.set_defaults(run=_run_amber_input)


def _run_amber_input(options) -> None:
    from genestill.evaluation.amber import write_amber_input

    write_amber_input(
        options.truth,
        options.labels,
        _compared(options),
        options.output,
        settings_of(ComparisonSettings, options).labels_name,
    )


def _add_amber(commands) -> None:
    summary = "check that AMBER gives the same recall, precision and F1"
    parser = commands.add_parser("amber-comparison", help=summary)
    parser.add_argument("--results", required=True, metavar="TSV", help="results.tsv of AMBER")
    parser.add_argument("--metrics", required=True, metavar="PARQUET", help="output of evaluation taxonomy")
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="models that AMBER scored (default: all of the metrics)"
    )
    parser.add_argument("--seed", type=int, help="the seed of the predictions that AMBER scored, if there are several")
    parser.add_argument("--output", required=True, metavar="TSV", help="the figures of both, for every model and rank")
    parser.set_defaults(run=_run_amber)


def _run_amber(options) -> None:
    from genestill.evaluation.amber import compare_with_amber

    compare_with_amber(options.results, options.metrics, options.output, options.models, options.seed)
