"""The commands of the sequence benchmarks: ``genestill evaluation sequence-…``."""

from genestill.core.errors import InputError
from genestill.core.kinds import KINDS
from genestill.core.options import add_seed
from genestill.core.recipes import STRONGEST_BASELINE
from genestill.core.settings import add_settings, settings_of
from genestill.evaluation.settings import SEQUENCE_BASELINES, BaselineSettings, SequenceTaskSettings


def add_commands(commands) -> None:
    """Add the commands to ``genestill evaluation``."""
    _add_draw(commands)
    _add_rows(commands)
    _add_baseline(commands)
    _add_import(commands)
    _add_scores(commands)
    _add_tsne(commands)


def _add_draw(commands) -> None:
    summary = "draw rows of a task table, in the proportions of its classes"
    parser = commands.add_parser("draw-sequence-rows", help=summary, description=summary)
    parser.add_argument("--task", required=True, metavar="TSV", help="columns sequence, label, split")
    add_settings(parser, SequenceTaskSettings, only=["maximum_training_rows", "maximum_test_rows"])
    add_seed(parser, "the rows")
    parser.add_argument("--output", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.set_defaults(run=_run_draw)


def _add_rows(commands) -> None:
    parser = commands.add_parser(
        "sequence-rows", help="write the rows of a task table as FASTA, as input for a teacher"
    )
    parser.add_argument("--task", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.add_argument("--output", required=True, metavar="FASTA", help="the sequences; ids are row numbers")
    parser.add_argument(
        "--output-test-rows", metavar="TSV", help="the group of each test row, and whether it also occurs in training"
    )
    parser.set_defaults(run=_run_rows)


def _add_baseline(commands) -> None:
    parser = commands.add_parser(
        "sequence-fit", help="fit a baseline, or the linear probe of embeddings, on a task table"
    )
    parser.add_argument("--task", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.add_argument("--task-name", required=True, metavar="BENCHMARK/TASK", help="as in the catalogue")
    parser.add_argument("--name", required=True, help="of the model, in the predictions")
    parser.add_argument("--kind", required=True, choices=(*SEQUENCE_BASELINES, "probe"), help="what is fitted")
    parser.add_argument(
        "--model-kind",
        choices=KINDS,
        help="kind of the model in tables (default: student for the probe, else baseline)",
    )
    parser.add_argument(
        "--embeddings", nargs="+", metavar="PARQUET", help="shards of the rows' features, for the probe"
    )
    add_settings(parser, BaselineSettings)
    add_seed(parser)
    parser.add_argument("--training", type=int, metavar="NUMBER", help="of the model whose embeddings are probed")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="table of predictions")
    parser.set_defaults(run=_run_baseline)


def _add_import(commands) -> None:
    summary = "convert another program's predictions of a task's test rows to a table of predictions"
    parser = commands.add_parser("import-sequence-predictions", help=summary, description=summary)
    parser.add_argument(
        "--predictions", required=True, metavar="TSV", help="columns id and target, or id and a score per class"
    )
    parser.add_argument("--task", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.add_argument("--task-name", required=True, metavar="BENCHMARK/TASK", help="as in the catalogue")
    parser.add_argument("--name", required=True, help="of the model, in the predictions")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="table of predictions")
    parser.set_defaults(run=_run_import)


def _add_scores(commands) -> None:
    parser = commands.add_parser(
        "sequence-scores", help="compute metrics with intervals, and a table with published rows"
    )
    parser.add_argument(
        "--predictions", required=True, nargs="+", metavar="PARQUET", help="one per model, task and seed"
    )
    parser.add_argument("--dataset", required=True, help="name in the metrics")
    parser.add_argument("--catalogue", required=True, metavar="TSV", help="metric of each task")
    parser.add_argument(
        "--published", nargs="*", default=[], metavar="TSV", help="published rows to show with the measured ones"
    )
    parser.add_argument(
        "--compared-with",
        metavar="MODEL",
        help=f"model that the others are compared with, as 'cnn', 'NAME (fit=probe)' or '{STRONGEST_BASELINE}'",
    )
    parser.add_argument(
        "--question", action="append", nargs="+", default=[], metavar="NAME",
        help="a name, a model, the model that is subtracted, the ratio of their training rows (default: 1), optionally "
        "fit=… and minus-fit=…, and the tasks of the mean (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--test-rows", action="append", nargs=2, default=[], metavar=("TASK", "TSV"),
        help="a task and the output-test-rows of sequence-rows: groups are resampled together, and rows without a copy "
        "in training are scored as well (stratum clean)",
    )  # fmt: skip
    parser.add_argument("--output-answers", metavar="TSV", help="the answers, one row per way of fitting")
    add_seed(parser, "the resampling")
    parser.add_argument("--output-metrics", required=True, metavar="PARQUET", help="every score with its interval")
    parser.add_argument(
        "--output-table", required=True, metavar="TSV", help="one row per model; also written as a page, .html"
    )
    parser.add_argument("--output-figure", required=True, metavar="SVG", help="scores with intervals")
    parser.set_defaults(run=_run_scores)


def _add_tsne(commands) -> None:
    parser = commands.add_parser("sequence-tsne", help="draw t-SNE maps of a task's test rows for several models")
    parser.add_argument("--task", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.add_argument(
        "--embeddings", required=True, action="append", nargs="+", metavar="NAME PARQUET",
        help="a model, then the shards of its features",
    )  # fmt: skip
    parser.add_argument(
        "--maximum-rows", type=int, default=1000, help="maximum number of test rows (default: %(default)s)"
    )
    add_seed(parser, "the choice and of t-SNE")
    parser.add_argument("--output", required=True, metavar="SVG", help="one map per model")
    parser.set_defaults(run=_run_tsne)


def _run_draw(options) -> None:
    from genestill.evaluation.sequence_tasks.pipeline import draw_rows

    settings = settings_of(SequenceTaskSettings, options)
    draw_rows(options.task, settings.maximum_training_rows, settings.maximum_test_rows, options.seed, options.output)


def _run_rows(options) -> None:
    from genestill.evaluation.sequence_tasks.pipeline import write_rows

    write_rows(options.task, options.output, options.output_test_rows)


def _run_baseline(options) -> None:
    from genestill.evaluation.sequence_tasks.pipeline import fit_on_table

    fit_on_table(
        options.kind,
        options.task,
        options.task_name,
        options.name,
        options.embeddings,
        settings_of(BaselineSettings, options),
        options.seed,
        options.output,
        options.model_kind or ("student" if options.kind == "probe" else "baseline"),
        options.training,
    )


def _run_import(options) -> None:
    from genestill.evaluation.sequence_tasks.peers import import_sequence_predictions

    import_sequence_predictions(options.predictions, options.task, options.task_name, options.name, options.output)


def _run_scores(options) -> None:
    from genestill.evaluation.sequence_tasks.pipeline import score_tables

    score_tables(
        options.predictions,
        options.dataset,
        options.catalogue,
        options.published,
        options.compared_with,
        options.seed,
        options.output_metrics,
        options.output_table,
        options.output_figure,
        [_question(words) for words in options.question],
        options.output_answers,
        dict(options.test_rows),
    )


def _question(words: list[str]):
    from genestill.evaluation.sequence_tasks.scores import Question

    if len(words) < 3 or not all(word.isdigit() for word in words[3:4]):
        raise InputError(
            f"--question {' '.join(words)}: expected a name, two models and, where it is not 1, a number, then tasks"
        )
    fits = {key: value for key, equals, value in (word.partition("=") for word in words[4:]) if equals}
    return Question(
        words[0],
        words[1],
        words[2],
        int(words[3]) if len(words) > 3 else 1,
        tuple(word for word in words[4:] if "=" not in word),
        fits.get("fit", ""),
        fits.get("minus-fit", ""),
    )


def _run_tsne(options) -> None:
    from genestill.evaluation.sequence_tasks.pipeline import draw_task

    features = {name: shards for name, *shards in options.embeddings}
    draw_task(options.task, features, options.maximum_rows, options.seed, options.output)
