"""The commands of the student stage."""

from pathlib import Path

from genestill.ground.options import add_contigs_and_index, add_seed
from genestill.ground.settings import add_settings, settings_of
from genestill.student.dna.commands import add_commands as add_dna_commands
from genestill.student.encoder_commands import add_commands as add_encoder_commands
from genestill.student.settings import CorrectorSettings, PublishedSettings
from genestill.student.transcripts.commands import add_commands as add_transcript_commands


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill student``."""
    _add_train(commands)
    _add_train_published(commands)
    _add_predict(commands)
    _add_export(commands)
    add_dna_commands(commands)
    add_transcript_commands(commands)
    add_encoder_commands(commands)
    _add_card(commands)


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


def _add_sources(parser) -> None:
    add_contigs_and_index(parser)
    parser.add_argument("--abundance", metavar="PARQUET", help="abundances of the same contigs; unknown without")


def _add_train(commands) -> None:
    parser = commands.add_parser("train", help="train a corrector on labels, hits, neighbours and teacher")
    _add_sources(parser)
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the same contigs")
    parser.add_argument("--hits", metavar="PARQUET", help="what the search saw; without, labels alone are believed")
    parser.add_argument("--tree", required=True, metavar="TSV", help="label tree with 'other child' leaves")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="folder with lineages.tsv")
    parser.add_argument("--soft-labels", metavar="PARQUET", help="the teacher's soft labels over the same tree")
    parser.add_argument("--embeddings", nargs="*", default=[], metavar="PARQUET", help="shards of teacher embeddings")
    add_settings(parser, CorrectorSettings)
    add_seed(parser)
    parser.add_argument("--output-model", required=True, metavar="FOLDER", help="the student")
    parser.add_argument("--output-predictions", required=True, metavar="PARQUET", help="its table of predictions")
    parser.add_argument("--output-embeddings", metavar="PARQUET", help="its last hidden layer, for maps")
    parser.set_defaults(run=_run_train)


def _run_train(options) -> dict:
    from genestill.student.taxdistill import Sources, learn

    sources = Sources(
        contigs=options.contigs,
        index=options.index,
        labels=options.labels,
        tree=options.tree,
        taxonomy=options.taxonomy,
        abundance=options.abundance,
        hits=options.hits,
        soft_labels=options.soft_labels,
        embeddings=_embeddings(options),
    )
    return learn(
        sources,
        settings_of(CorrectorSettings, options),
        options.seed,
        options.output_model,
        options.output_predictions,
        options.output_embeddings,
    )


def _embeddings(options):
    if not options.embeddings:
        return None
    from genestill.ground.artefacts import INDEX
    from genestill.ground.shards import Embeddings
    from genestill.ground.tables import read_table

    return Embeddings(options.embeddings, read_table(options.index, INDEX, ["id"])["id"].tolist())


def _add_train_published(commands) -> None:
    parser = commands.add_parser("train-published", help="train TaxDistill as its authors do, or one of its controls")
    _add_sources(parser)
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the same contigs")
    parser.add_argument("--tree", required=True, metavar="TSV", help="label tree without 'other child' leaves")
    parser.add_argument("--embeddings", nargs="*", default=[], metavar="PARQUET", help="shards of teacher embeddings")
    add_settings(parser, PublishedSettings)
    add_seed(parser)
    parser.add_argument("--output-predictions", required=True, metavar="PARQUET", help="the student's predictions")
    parser.add_argument("--output-head-predictions", metavar="PARQUET", help="those of the teacher's head")
    parser.set_defaults(run=_run_train_published)


def _run_train_published(options) -> dict:
    from genestill.student.published import learn_published

    embeddings = _embeddings(options)
    learn_published(options, embeddings, settings_of(PublishedSettings, options))
    return embeddings.teacher() if embeddings is not None else {}


def _add_predict(commands) -> None:
    parser = commands.add_parser(
        "predict", help="annotate contigs with a trained corrector, without teacher or database"
    )
    _add_sources(parser)
    parser.add_argument("--model", required=True, metavar="FOLDER", help="the student")
    parser.add_argument("--hits", metavar="PARQUET", help="what a search saw, if one was made")
    parser.add_argument("--taxonomy", metavar="FOLDER", help="folder with lineages.tsv, for the hits")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the table of predictions")
    parser.set_defaults(run=_run_predict)


def _run_predict(options) -> None:
    from genestill.student.taxdistill import predict

    predict(
        options.model,
        options.contigs,
        options.index,
        options.abundance,
        options.hits,
        options.taxonomy,
        options.output,
    )


def _add_card(commands) -> None:
    summary = "write the model card of a student: figures with intervals, teacher, training, limits"
    parser = commands.add_parser("card", help=summary, description=summary)
    parser.add_argument("--model", required=True, metavar="FOLDER", help="the student; README.md is written into it")
    parser.add_argument("--output", metavar="FOLDER", help="a copy of the student gets the card instead: a release")
    parser.add_argument("--title", required=True, help="first line of the card")
    parser.add_argument("--summary", required=True, help="a paragraph for readers who have never heard of it")
    parser.add_argument(
        "--limit", required=True, nargs="+", action="extend", help="what it cannot do; may be given more than once"
    )
    parser.add_argument("--metrics", metavar="PARQUET", help="its figures; not measured without")
    parser.add_argument(
        "--metrics-model", metavar="NAME", help="which model of the metrics it is, if there are several"
    )
    parser.add_argument("--measured-on", default="", metavar="TEXT", help="where the figures come from")
    parser.add_argument("--training", metavar="JSON", help="object with what training took: hardware, hours, steps, …")
    parser.add_argument("--licence", default="mit", help="of the weights (default: %(default)s)")
    parser.set_defaults(run=_run_card)


def _run_card(options) -> None:
    import shutil

    from genestill.ground.artefacts import METRICS
    from genestill.ground.errors import InputError
    from genestill.ground.files import folder_aside, read_json, write_json
    from genestill.ground.provenance import find_record
    from genestill.ground.reproduction import read_record
    from genestill.ground.tables import read_table
    from genestill.student.release import Card, write_model_card

    figures = read_table(options.metrics, METRICS) if options.metrics else None
    if figures is not None and options.metrics_model:
        figures = figures[figures["model"] == options.metrics_model]
    place = find_record(options.model)
    record = read_record(place) if place is not None else None
    card = Card(
        title=options.title,
        summary=options.summary,
        limits=options.limit,
        licence=options.licence,
        training=read_json(options.training) if options.training else {},
        record=record,
        figures=figures,
        figures_source=options.measured_on,
    )
    if not Path(options.model).is_dir():
        raise InputError(f"{options.model}: no such folder; expected a student")
    if options.output is None:
        write_model_card(options.model, card)
        return
    with folder_aside(options.output) as release:
        shutil.copytree(options.model, release, dirs_exist_ok=True)
        if record is not None:
            write_json(release / "provenance.json", record)
        write_model_card(release, card)
