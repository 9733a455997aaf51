"""The commands of the teacher stage."""

from genestill.core.options import add_compile, add_contigs_and_index, add_device, add_seed
from genestill.core.settings import add_settings, settings_of
from genestill.teacher.settings import (
    CheckSettings,
    EmbeddingSettings,
    PretrainingSettings,
    ShardSettings,
    SoftLabelSettings,
)


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill teacher``."""
    _add_fetch(commands)
    _add_pretrain(commands)
    _add_randomise(commands)
    _add_check(commands)
    _add_embed(commands)
    _add_sequences(commands)
    _add_import(commands)
    _add_soft_labels(commands)


def _add_fetch(commands) -> None:
    parser = commands.add_parser("fetch", help="download a named teacher: a fixed commit, only safetensors")
    parser.add_argument("name", metavar="NAME", help="a name of resources/teachers.yaml")
    parser.add_argument("--registry", metavar="YAML", help="another table of teachers")
    parser.add_argument("--revision", help="commit, tag or branch instead of the table's")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="the model")
    parser.set_defaults(run=_run_fetch)


def _run_fetch(options) -> dict:
    from genestill.teacher.fetching import fetch
    from genestill.teacher.registry import REGISTRY

    fetched = fetch(options.name, options.output, options.registry or REGISTRY, options.revision)
    return {"teacher": fetched["name"], "revision": fetched["revision"]}


def _add_pretrain(commands) -> None:
    parser = commands.add_parser(
        "pretrain", help="pretrain a small teacher, with the architecture and tokenizer type of a large one"
    )
    _add_genomes(parser)
    add_settings(parser, PretrainingSettings)
    add_seed(parser)
    parser.add_argument("--name", help="name recorded in the folder (default: <architecture>-miniature)")
    add_device(parser)
    add_compile(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="the model")
    parser.set_defaults(run=_run_pretrain)


def _run_pretrain(options) -> dict:
    from genestill.core.devices import choose_device
    from genestill.core.files import checksums_of
    from genestill.teacher.genomes import genome_files
    from genestill.teacher.loading import describe
    from genestill.teacher.pretraining import pretrain

    settings = settings_of(PretrainingSettings, options)
    genomes = genome_files(options.genomes, options.genomes_folder)
    loss = pretrain(genomes, options.output, settings, choose_device(options.device), options.name, options.compile)
    made = describe(options.output)
    return {
        "teacher": made["name"], "revision": made["revision"], "final_loss": loss, "checksums": checksums_of(genomes)
    }  # fmt: skip


def _add_randomise(commands) -> None:
    summary = "make a control for a teacher: its architecture and tokenizer with random weights"
    parser = commands.add_parser("randomise", help=summary, description=summary)
    _add_model(parser)
    add_seed(parser, "the weights")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="the model")
    parser.set_defaults(run=_run_randomise)


def _run_randomise(options) -> dict:
    from genestill.teacher.fetching import teacher_folder
    from genestill.teacher.loading import describe
    from genestill.teacher.random_weights import randomise

    randomise(teacher_folder(options.model), options.output, options.seed)
    made = describe(options.output)
    return {"teacher": made["name"], "revision": made["revision"]}


def _add_genomes(parser) -> None:
    parser.add_argument(
        "--genomes", required=True, nargs="+", metavar="FILE", help="FASTA files, or .tsv tables with a column 'file'"
    )
    parser.add_argument(
        "--genomes-folder", metavar="FOLDER", help="folder with the files of a table (default: that of the table)"
    )


def _add_model(parser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="FOLDER|NAME", help="model folder, or the name of a fetched one"
    )


def _add_check(commands) -> None:
    parser = commands.add_parser(
        "check", help="check that a teacher predicts known genomes better than chance, or stop"
    )
    _add_model(parser)
    add_device(parser)
    _add_genomes(parser)
    add_settings(parser, EmbeddingSettings, only=["dtype"])
    add_settings(parser, PretrainingSettings, only=["strands"])
    add_settings(parser, CheckSettings)
    add_seed(parser)
    parser.add_argument("-o", "--output", required=True, metavar="JSON", help="results of the check, if it passes")
    parser.set_defaults(run=_run_check)


def _run_check(options) -> dict:
    from genestill.core.devices import choose_device
    from genestill.core.files import checksums_of, read_json
    from genestill.teacher.check import check_teacher
    from genestill.teacher.fetching import teacher_folder
    from genestill.teacher.genomes import genome_files

    settings = settings_of(CheckSettings, options)
    genomes = genome_files(options.genomes, options.genomes_folder)
    check_teacher(
        teacher_folder(options.model),
        genomes,
        options.output,
        share=settings.maximum_relative_loss,
        windows=settings.windows,
        seed=options.seed,
        device=choose_device(options.device),
        dtype=options.dtype,
        strands=options.strands,
    )
    passed = read_json(options.output)
    return {"teacher": passed["teacher"], "revision": passed["revision"], "checksums": checksums_of(genomes)}


def _add_embed(commands) -> None:
    parser = commands.add_parser(
        "embed", help="compute one shard of embeddings, token features or base log-probabilities"
    )
    _add_model(parser)
    add_device(parser)
    add_contigs_and_index(parser)
    parser.add_argument("--shard", type=int, default=0, help="number of this shard, from 0 (default: %(default)s)")
    for kind in (EmbeddingSettings, ShardSettings):
        add_settings(parser, kind)
    parser.add_argument(
        "--transcripts", metavar="PARQUET",
        help="their coding sequences, for pooling regions; without them, the longest open reading frame is used",
    )  # fmt: skip
    parser.add_argument("-o", "--output", required=True, metavar="PARQUET", help="one row per sequence")
    parser.set_defaults(run=_run_embed)


def _run_embed(options) -> dict:
    from genestill.core.shards import teacher_of
    from genestill.teacher.fetching import teacher_folder
    from genestill.teacher.sharding import embed_shard

    settings, spread = settings_of(EmbeddingSettings, options), settings_of(ShardSettings, options)
    embed_shard(
        teacher_folder(options.model),
        options.contigs,
        options.index,
        options.output,
        settings,
        options.shard,
        spread.shards,
        options.device,
        spread.processes,
        options.transcripts,
    )
    return teacher_of(options.output)


def _add_sequences(commands) -> None:
    parser = commands.add_parser("list-sequences", help="list the sequences that another program has to embed")
    parser.add_argument(
        "--set", required=True, action="append", nargs=4, metavar=("SET", "FASTA", "REPRESENTATION", "PARQUET"),
        help="name of a set, its sequences, the representation, and the path of the embeddings",
    )  # fmt: skip
    parser.add_argument("-o", "--output", required=True, metavar="TSV", help="the same as a table")
    parser.set_defaults(run=_run_sequences)


def _run_sequences(options) -> None:
    from genestill.teacher.stored import list_sequences

    list_sequences([tuple(row) for row in options.set], options.output)


def _add_import(commands) -> None:
    parser = commands.add_parser("import", help="import one shard of embeddings that another program has stored")
    parser.add_argument(
        "--embeddings", required=True, nargs="+", metavar="PARQUET", help="columns id, start, end, embedding"
    )
    parser.add_argument("--index", required=True, metavar="PARQUET", help="index of the sequences")
    parser.add_argument(
        "--representation", default="sequence", choices=("sequence", "token"),
        help="one row per sequence, or one per token (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--shard", type=int, default=0, help="number of this shard, from 0 (default: %(default)s)")
    add_settings(parser, ShardSettings, only=["shards"])
    parser.add_argument("-o", "--output", required=True, metavar="PARQUET", help="the shard")
    parser.set_defaults(run=_run_import)


def _run_import(options) -> None:
    from genestill.teacher.stored import import_shard

    shards = ShardSettings(shards=options.shards).shards
    import_shard(options.embeddings, options.index, options.representation, options.output, options.shard, shards)


def _add_soft_labels(commands) -> None:
    parser = commands.add_parser(
        "soft-labels", help="compute soft labels over the label tree with linear heads on the embeddings"
    )
    parser.add_argument("--embeddings", required=True, nargs="+", metavar="PARQUET", help="shards of embeddings")
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the same contigs")
    parser.add_argument("--tree", required=True, metavar="TSV", help="label tree")
    add_settings(parser, SoftLabelSettings)
    add_seed(parser, "the folds and the heads")
    add_device(parser)
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the soft labels")
    parser.add_argument("--output-predictions", metavar="PARQUET", help="the heads' own predictions, as a peer")
    parser.set_defaults(run=_run_soft_labels)


def _run_soft_labels(options) -> dict:
    from genestill.core.shards import teacher_of
    from genestill.teacher.head import make_soft_labels

    make_soft_labels(
        options.embeddings,
        options.labels,
        options.tree,
        settings_of(SoftLabelSettings, options).folds,
        options.seed,
        options.device,
        options.output,
        options.output_predictions,
    )
    return teacher_of(options.embeddings[0])
