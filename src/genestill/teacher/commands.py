"""The commands of the teacher stage."""

from genestill.ground.options import add_contigs_and_index, add_device, add_seed
from genestill.ground.settings import settings_of


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill teacher``."""
    _add_fetch(commands)
    _add_pretrain(commands)
    _add_check(commands)
    _add_embed(commands)
    _add_soften(commands)


def _add_fetch(commands) -> None:
    parser = commands.add_parser("fetch", help="download a named teacher: one commit, safetensors only")
    parser.add_argument("name", metavar="NAME", help="a name of resources/teachers.yaml")
    parser.add_argument("--registry", metavar="YAML", help="another table of teachers")
    parser.add_argument("--revision", help="commit, tag or branch instead of the table's")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="the model")
    parser.set_defaults(run=_run_fetch)


def _run_fetch(options) -> None:
    from genestill.teacher.fetching import fetch
    from genestill.teacher.registry import REGISTRY

    fetch(options.name, options.output, options.registry or REGISTRY, options.revision)


def _add_pretrain(commands) -> None:
    parser = commands.add_parser(
        "pretrain", help="pretrain a teacher in miniature, with a large one's architecture and tokenizer type"
    )
    _add_genomes(parser)
    parser.add_argument(
        "--architecture", default="genomeocean", choices=("genomeocean", "nucleotide-transformer"),
        help="genomeocean: Mistral, causal, byte-pair tokens; nucleotide-transformer: v2, masked, k-mers "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--hidden-size", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--layers", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--heads", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--vocabulary", type=int, default=1024, help="byte-pair tokens (default: %(default)s)")
    parser.add_argument("--k", type=int, default=6, help="bases of a k-mer; 3 reads codons (default: %(default)s)")
    _add_sense(parser)
    parser.add_argument("--context", type=int, default=256, help="tokens of one input (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="inputs a step (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="stop after so long if that comes first; weights then vary")
    parser.add_argument("--learning-rate", type=float, default=4e-3, help="peak (default: %(default)s)")
    add_seed(parser)
    parser.add_argument("--name", help="name recorded in the folder (default: <architecture>-miniature)")
    add_device(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="the model")
    parser.set_defaults(run=_run_pretrain)


def _run_pretrain(options) -> None:
    from genestill.ground.devices import choose_device
    from genestill.teacher.genomes import genome_files
    from genestill.teacher.pretraining import PretrainingSettings, pretrain

    settings = settings_of(PretrainingSettings, options)
    genomes = genome_files(options.genomes, options.genomes_folder)
    pretrain(genomes, options.output, settings, choose_device(options.device), options.name)


def _add_genomes(parser) -> None:
    parser.add_argument(
        "--genomes", required=True, nargs="+", metavar="FILE", help="FASTA files, or .tsv tables with a column 'file'"
    )
    parser.add_argument(
        "--genomes-folder", metavar="FOLDER", help="where the files of a table lie (default: beside it)"
    )


def _add_sense(parser) -> None:
    parser.add_argument("--strands", default="both", choices=("one", "both"), help="one: transcripts, and in frame "
                        "(default: %(default)s)")  # fmt: skip


def _add_model(parser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="FOLDER|NAME", help="model folder, or the name of a fetched one"
    )
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"),
                        help="auto: bfloat16 on CUDA, float32 elsewhere (default: %(default)s)")  # fmt: skip
    add_device(parser)


def _add_check(commands) -> None:
    parser = commands.add_parser("check", help="stop unless a teacher reads known genomes better than chance")
    _add_model(parser)
    _add_genomes(parser)
    _add_sense(parser)
    parser.add_argument(
        "--loss-share", type=float, metavar="SHARE", help="the loss must be below this share of ln(vocabulary) "
        "(default: 0.93; 0.98 for k-mers)",
    )  # fmt: skip
    parser.add_argument("--windows", type=int, default=64, help="windows to look at (default: %(default)s)")
    add_seed(parser)
    parser.add_argument("-o", "--output", required=True, metavar="JSON", help="the figures, if it passes")
    parser.set_defaults(run=_run_check)


def _run_check(options) -> None:
    from genestill.ground.devices import choose_device
    from genestill.teacher.check import check_teacher
    from genestill.teacher.fetching import teacher_folder
    from genestill.teacher.genomes import genome_files

    check_teacher(
        teacher_folder(options.model),
        genome_files(options.genomes, options.genomes_folder),
        options.output,
        share=options.loss_share,
        windows=options.windows,
        seed=options.seed,
        device=choose_device(options.device),
        dtype=options.dtype,
        strands=options.strands,
    )


def _add_embed(commands) -> None:
    parser = commands.add_parser("embed", help="one shard of embeddings, token features or base log-probabilities")
    _add_model(parser)
    add_contigs_and_index(parser)
    parser.add_argument("--shard", type=int, default=0, help="number of this shard, from 0 (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=1, help="shards in all (default: %(default)s)")
    parser.add_argument(
        "--representation", default="sequence", choices=("sequence", "token", "base-log-probabilities"),
        help="one vector per sequence, one per token, or the probabilities of A, C, G, T at every base "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--layer", default="-1", help="0: embedding layer; -1: last; middle (default: %(default)s)")
    parser.add_argument(
        "--pooling", default="mean", choices=("mean", "max", "first", "last", "concatenated"),
        help="over the tokens of a window; concatenated: first, max and mean (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--window", metavar="BASES|first", help="default: what the context holds; first: only the first 512 tokens"
    )
    parser.add_argument("--strands", default="one", choices=("one", "both"),
                        help="both: mean with the reverse complement (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--batch-tokens", type=int, help="tokens of a batch, padding included (default: 2048; GPU 65536)"
    )
    parser.add_argument("--masked-passes", type=int, default=7, metavar="N",
                        help="base log-probabilities of a masked model: mask one token in N a pass; 0: mask none "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--processes", type=int, default=1, help="processes, one a GPU (default: %(default)s)")
    parser.add_argument("-o", "--output", required=True, metavar="PARQUET", help="one row a sequence")
    parser.set_defaults(run=_run_embed)


def _run_embed(options) -> None:
    from genestill.teacher.embedding import EmbeddingSettings
    from genestill.teacher.fetching import teacher_folder
    from genestill.teacher.sharding import embed_shard

    settings = settings_of(EmbeddingSettings, options)
    embed_shard(
        teacher_folder(options.model),
        options.contigs,
        options.index,
        options.output,
        settings,
        options.shard,
        options.shards,
        options.device,
        options.processes,
    )


def _add_soften(commands) -> None:
    parser = commands.add_parser("soften", help="soft labels over the label tree, by light heads on the embeddings")
    parser.add_argument("--embeddings", required=True, nargs="+", metavar="PARQUET", help="shards of embeddings")
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the same contigs")
    parser.add_argument("--tree", required=True, metavar="TSV", help="label tree")
    parser.add_argument(
        "--folds", type=int, default=5, help="heads that each leave a part out; 1: one head, in-sample (default: 5)"
    )
    add_seed(parser, "the deal and the heads")
    add_device(parser)
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
