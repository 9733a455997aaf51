"""The commands of correctors: train, accept, predict, export."""

from dataclasses import fields

from genestill.core.errors import InputError
from genestill.core.options import add_contigs_and_index, add_seed
from genestill.core.settings import add_settings, settings_of
from genestill.student.corrector.settings import (
    EVIDENCE,
    AcceptanceSettings,
    CorrectorSettings,
    EvidenceSettings,
    NoveltySettings,
    PublishedSettings,
    VirtualTrainingSettings,
)


def add_commands(commands) -> None:
    """Add the commands of correctors to ``genestill student``."""
    _add_train(commands)
    _add_train_published(commands)
    _add_train_virtual(commands)
    _add_accept(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_novelty(commands)


def _add_export(commands) -> None:
    parser = commands.add_parser("export", help="write predictions in the formats of other tools")
    parser.add_argument("--predictions", required=True, metavar="PARQUET", help="table of predictions")
    parser.add_argument("--index", required=True, metavar="PARQUET", help="index of the same contigs")
    parser.add_argument("--abundance", metavar="PARQUET", help="abundances of the same contigs; unknown without")
    parser.add_argument("--taxonomy", metavar="FOLDER", help="lineages.tsv and nodes.dmp; no taxids without")
    parser.add_argument(
        "--name", required=True, help="name of the data set: the SampleID and the stem of the CAMI files"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="output folder")
    parser.set_defaults(run=_run_export)


def _run_export(options) -> None:
    from genestill.student.corrector.export import export_predictions

    export_predictions(
        options.predictions, options.index, options.abundance, options.taxonomy, options.name, options.output
    )


def _add_novelty(commands) -> None:
    summary = "estimate what the reference lacks: shares of each sample, and groups of contigs"
    parser = commands.add_parser("novelty", help=summary, description=summary)
    _add_sources(parser)
    parser.add_argument("--hits", required=True, metavar="PARQUET", help="output of labels search")
    parser.add_argument("--alignments", metavar="PARQUET", help="output of labels align, for identities of groups")
    parser.add_argument(
        "--set-aside", nargs="*", default=[], metavar="TSV", help="plasmid and virus summaries of geNomad"
    )
    parser.add_argument("--tree", required=True, metavar="TSV", help="label tree with leaves for absent taxa")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="folder with lineages.tsv")
    add_settings(parser, NoveltySettings)
    add_seed(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="output folder")
    parser.set_defaults(run=_run_novelty)


def _run_novelty(options) -> dict:
    from genestill.student.corrector.novelty.ledger import Files, write_ledger

    names = ("contigs", "index", "hits", "tree", "taxonomy", "abundance", "alignments", "set_aside")
    files = Files(**{name: getattr(options, name) for name in names})
    return write_ledger(files, settings_of(NoveltySettings, options), options.seed, options.output)


def _add_sources(parser) -> None:
    add_contigs_and_index(parser)
    parser.add_argument("--abundance", metavar="PARQUET", help="abundances of the same contigs; unknown without")


# The table that `student accept` reads.
_PROBABILITIES = "its lineages of these contigs, with a probability at every rank"


def _add_evidence(parser) -> None:
    for name, source in EVIDENCE.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="PARQUET", help=f"evidence: {source.what}")


def _evidence(options) -> dict:
    return {name: getattr(options, name) for name in EVIDENCE if getattr(options, name) is not None}


def _add_train(commands) -> None:
    parser = commands.add_parser("train-corrector", help="train a corrector on labels, hits, neighbours and teacher")
    _add_sources(parser)
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the same contigs")
    _add_evidence(parser)
    parser.add_argument("--tree", required=True, metavar="TSV", help="label tree with leaves for absent taxa")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="folder with lineages.tsv")
    parser.add_argument("--soft-labels", metavar="PARQUET", help="the teacher's soft labels over the same tree")
    parser.add_argument("--embeddings", nargs="*", default=[], metavar="PARQUET", help="shards of teacher embeddings")
    parser.add_argument("--genomes", metavar="TSV", help="the reference's genomes (column file), for --fragments")
    parser.add_argument("--genomes-folder", metavar="FOLDER", help="folder with the files of the genomes")
    add_settings(parser, CorrectorSettings)
    add_seed(parser)
    parser.add_argument("--output-model", required=True, metavar="FOLDER", help="the student")
    parser.add_argument("--output-probabilities", required=True, metavar="PARQUET", help=_PROBABILITIES)
    parser.add_argument("--output-embeddings", metavar="PARQUET", help="its last hidden layer, for maps")
    parser.set_defaults(run=_run_train)


def _run_train(options) -> dict:
    from genestill.student.corrector.pipeline import Sources, learn

    sources = Sources(
        contigs=options.contigs,
        index=options.index,
        labels=options.labels,
        tree=options.tree,
        taxonomy=options.taxonomy,
        abundance=options.abundance,
        evidence=_evidence(options),
        soft_labels=options.soft_labels,
        embeddings=_embeddings(options),
        genomes=options.genomes,
        genomes_folder=options.genomes_folder,
    )
    return learn(
        sources,
        settings_of(CorrectorSettings, options),
        options.seed,
        options.output_model,
        options.output_probabilities,
        options.output_embeddings,
    )


def _add_train_virtual(commands) -> None:
    summary = "train correctors on the labels and hits of virtual references, without a teacher"
    parser = commands.add_parser("train-virtual", help=summary, description=summary)
    _add_sources(parser)
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="folder with lineages.tsv")
    parser.add_argument("--withheld", required=True, metavar="TSV", help="output of 'reference withheld'")
    parser.add_argument("--community", required=True, metavar="NAME", help="community in that table")
    parser.add_argument("--both-halves", action="store_true", help="for both halves, not only the judging half")
    add_settings(parser, EvidenceSettings)
    parser.add_argument(
        "--alignments",
        metavar="PARQUET",
        help="output of 'labels align', if alignments are evidence; filtered by genome",
    )
    add_settings(parser, VirtualTrainingSettings)
    parser.add_argument("--virtual", required=True, metavar="FOLDER", help="output of 'labels withhold'")
    # The genomes of the virtual references are not given, so that there are no fragments of them.
    add_settings(
        parser, CorrectorSettings, [field.name for field in fields(CorrectorSettings) if field.name != "fragments"]
    )
    add_settings(parser, AcceptanceSettings)
    parser.add_argument("--output", required=True, metavar="TSV", help="seconds by reference and seed")
    parser.set_defaults(run=_run_train_virtual)


def _run_train_virtual(options) -> None:
    from genestill.student.corrector.pipeline import Sources
    from genestill.student.corrector.virtual import learn_virtual

    evidence = settings_of(EvidenceSettings, options).evidence
    tables = {}
    if "alignments" in evidence:
        if options.alignments is None:
            raise InputError("--alignments is missing: --evidence names alignments; give the output of 'labels align'")
        tables["alignments"] = options.alignments
    sources = Sources(options.contigs, options.index, "", "", options.taxonomy, options.abundance, tables)
    learn_virtual(
        sources,
        evidence,
        settings_of(CorrectorSettings, options),
        options.withheld,
        options.community,
        options.both_halves,
        settings_of(VirtualTrainingSettings, options).corrector_seeds,
        settings_of(AcceptanceSettings, options).threshold,
        options.virtual,
        options.output,
    )


def _embeddings(options):
    if not options.embeddings:
        return None
    from genestill.core.shards import Embeddings
    from genestill.core.table_schemas import INDEX
    from genestill.core.tables import read_table

    return Embeddings(options.embeddings, read_table(options.index, INDEX, ["id"])["id"].tolist())


def _add_train_published(commands) -> None:
    parser = commands.add_parser(
        "train-published-corrector", help="train TaxDistill as published, or one of its controls"
    )
    _add_sources(parser)
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the same contigs")
    parser.add_argument("--tree", required=True, metavar="TSV", help="label tree without leaves for absent taxa")
    parser.add_argument("--embeddings", nargs="*", default=[], metavar="PARQUET", help="shards of teacher embeddings")
    add_settings(parser, PublishedSettings)
    add_seed(parser)
    parser.add_argument("--output-probabilities", required=True, metavar="PARQUET", help=_PROBABILITIES)
    parser.set_defaults(run=_run_train_published)


def _run_train_published(options) -> dict:
    from genestill.student.corrector.published import learn_published

    embeddings = _embeddings(options)
    learn_published(options, embeddings, settings_of(PublishedSettings, options))
    return embeddings.teacher() if embeddings is not None else {}


def _add_accept(commands) -> None:
    summary = "accept the names of a corrector whose confidence exceeds a threshold"
    parser = commands.add_parser("accept", help=summary, description=summary)
    parser.add_argument(
        "--probabilities", required=True, metavar="PARQUET", help="output of the training of a corrector"
    )
    add_settings(parser, AcceptanceSettings)
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the table of predictions")
    parser.set_defaults(run=_run_accept)


def _run_accept(options) -> None:
    from genestill.student.corrector.pipeline import accept_names

    accept_names(options.probabilities, settings_of(AcceptanceSettings, options).threshold, options.output)


def _add_predict(commands) -> None:
    parser = commands.add_parser(
        "predict", help="annotate contigs with a trained corrector, without teacher or database"
    )
    _add_sources(parser)
    parser.add_argument("--model", required=True, metavar="FOLDER", help="the student")
    _add_evidence(parser)
    parser.add_argument("--taxonomy", metavar="FOLDER", help="folder with lineages.tsv, for the evidence")
    add_settings(parser, AcceptanceSettings)
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the table of predictions")
    parser.set_defaults(run=_run_predict)


def _run_predict(options) -> None:
    from genestill.student.corrector.pipeline import predict

    predict(
        options.model,
        options.contigs,
        options.index,
        options.abundance,
        _evidence(options),
        options.taxonomy,
        settings_of(AcceptanceSettings, options).threshold,
        options.output,
    )
