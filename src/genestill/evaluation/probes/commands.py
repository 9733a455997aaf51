"""The commands of the ``mrna`` recipe in the evaluation stage: ``import-embeddings`` and ``probe…``."""

from genestill.core.kinds import KINDS
from genestill.core.options import add_seed, run_and_path
from genestill.core.settings import add_settings, settings_of
from genestill.evaluation.settings import ProbeSettings, ProbeTableSettings, TranscriptBaselineSettings


def add_commands(commands) -> None:
    """Add the commands of this module to ``genestill evaluation``."""
    _add_import(commands)
    _add_probe(commands)
    _add_table(commands)
    _add_maps(commands)


def _add_import(commands) -> None:
    summary = "import another program's embeddings of the benchmark's transcripts, for a probe"
    parser = commands.add_parser("import-embeddings", help=summary, description=summary)
    parser.add_argument(
        "--embeddings", required=True, metavar="FILE", help="Parquet, TSV or .npz: the id and the vector of each"
    )
    parser.add_argument("--transcripts", required=True, metavar="PARQUET", help="index of the benchmark's transcripts")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="one shard of embeddings")
    parser.set_defaults(run=_run_import)


def _run_import(options) -> None:
    from genestill.evaluation.probes.peers import import_embeddings

    import_embeddings(options.embeddings, options.transcripts, options.output)


def _add_probe(commands) -> None:
    summary = "fit linear probes of frozen embeddings, or of a baseline, by the protocol of mRNABench"
    parser = commands.add_parser("probe", help=summary, description=summary)
    parser.add_argument("--tasks", required=True, nargs="+", metavar="PARQUET", help="output of 'reference task'")
    parser.add_argument("--groups", metavar="PARQUET", help="homology groups; without them, every row is a group")
    parser.add_argument(
        "--embeddings",
        nargs="+",
        metavar="PARQUET",
        help="shards of the model's embeddings; without them, a baseline is probed",
    )
    add_settings(parser, TranscriptBaselineSettings)
    parser.add_argument("--model", required=True, help="its name in the tables")
    parser.add_argument("--model-kind", choices=KINDS, default="student", help="kind of the model in tables")
    parser.add_argument("--training-seed", type=int, help="seed of its training, where several are probed")
    parser.add_argument("--dataset", required=True, help="name of the data set")
    add_settings(parser, ProbeSettings)
    parser.add_argument(
        "--features-folder",
        metavar="FOLDER",
        help="folder in which features of baselines are stored for further runs",
    )
    parser.add_argument("--output-metrics", required=True, metavar="PARQUET", help="table of metrics")
    parser.add_argument("--output-predictions", required=True, metavar="PARQUET", help="predictions of the test rows")
    parser.set_defaults(run=_run_probe)


def _run_probe(options) -> None:
    from genestill.evaluation.probes.tables import probe_tasks

    probe_tasks(
        options.tasks,
        options.groups,
        options.embeddings or settings_of(TranscriptBaselineSettings, options),
        options.model,
        options.dataset,
        settings_of(ProbeSettings, options),
        options.output_metrics,
        options.output_predictions,
        options.model_kind,
        options.training_seed,
        options.features_folder,
    )


def _add_table(commands) -> None:
    summary = (
        "write one table of all models: scores, intervals, what the student retained; and the stability of training"
    )
    parser = commands.add_parser("probe-table", help=summary, description=summary)
    parser.add_argument("--predictions", required=True, nargs="+", metavar="PARQUET", help="output of 'probe'")
    parser.add_argument("--dataset", required=True, help="name of the data set")
    parser.add_argument("--teacher", required=True, help="the teacher's name among the models")
    parser.add_argument("--baselines", required=True, nargs="+", help="names of the baselines")
    parser.add_argument(
        "--baseline-metrics", required=True, nargs="+", metavar="PARQUET", help="output of 'probe' for the baselines"
    )
    parser.add_argument("--student", required=True, help="the student with which the other models are compared")
    parser.add_argument(
        "--training",
        nargs="*",
        type=run_and_path,
        default=[],
        metavar="NAME@SEED=FOLDER",
        help="output of 'student distil-transcripts'",
    )
    add_settings(parser, ProbeTableSettings)
    add_seed(parser, "the bootstrap")
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="metrics.parquet, table.tsv, .txt, .html, stability.tsv, SVGs"
    )
    parser.set_defaults(run=_run_table)


def _run_table(options) -> None:
    from pathlib import Path

    from genestill.evaluation.probes.report import Training, write_tables

    write_tables(
        options.predictions,
        options.dataset,
        options.teacher,
        options.baselines,
        options.baseline_metrics,
        options.student,
        [Training(model, seed, Path(folder)) for model, seed, folder in options.training],
        settings_of(ProbeTableSettings, options).replicates,
        options.seed,
        options.output,
    )


def _add_maps(commands) -> None:
    summary = "draw t-SNE maps of the benchmark's transcripts, one panel per model"
    parser = commands.add_parser("probe-tsne", help=summary, description=summary)
    parser.add_argument("--tasks", required=True, nargs="+", metavar="PARQUET", help="output of 'reference task'")
    parser.add_argument(
        "--model", required=True, action="append", nargs="+", metavar="NAME PARQUET", help="a name, then its shards"
    )
    parser.add_argument(
        "--rows", type=int, default=300, help="maximum number of transcripts per task (default: %(default)s)"
    )
    add_seed(parser)
    parser.add_argument("--output", required=True, metavar="SVG", help="the figure")
    parser.set_defaults(run=_run_maps)


def _run_maps(options) -> None:
    from genestill.evaluation.probes.figures import draw_maps

    draw_maps(
        options.tasks, {name: shards for name, *shards in options.model}, options.rows, options.seed, options.output
    )
