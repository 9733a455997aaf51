"""The commands of the DNA recipes: ``genestill student dna-…``."""

import argparse

from genestill.ground.kinds import KINDS
from genestill.ground.options import add_device, add_seed
from genestill.ground.settings import settings_of


def add_commands(commands) -> None:
    """Add the commands to ``genestill student``."""
    _add_tokenizer(commands)
    _add_pretrain(commands)
    _add_distil(commands)
    _add_finetune(commands)
    _add_embed(commands)


def _add_tokenizer(commands) -> None:
    parser = commands.add_parser("dna-tokenizer", help="train a byte-pair tokenizer on genome windows")
    parser.add_argument("--sequences", required=True, metavar="FASTA", help="windows of genomes")
    parser.add_argument("--vocabulary", type=int, default=4096, help="64 to 65,536 tokens (default: %(default)s)")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the tokenizer")
    parser.set_defaults(run=_run_tokenizer)


def _add_start(parser) -> None:
    parser.add_argument("--sequences", required=True, metavar="FASTA", help="windows of genomes")
    parser.add_argument("--architecture", help="had, had-small, had-tiny, transformer-tiny, deberta-…")
    parser.add_argument("--initial", metavar="FOLDER", help="a student to go on from, instead of an architecture")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="byte-pair tokenizer, for deberta-…")
    either = argparse.BooleanOptionalAction
    parser.add_argument("--reverse-complement", action=either, default=False, help="average both strands")
    parser.add_argument("--cls", action=either, default=False, help="read a [CLS] before the first base")
    parser.add_argument("--max-tokens", type=int, default=1024, help="longest input (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.15, help="of tokens or groups masked (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=10_000, help="0: as it is (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="windows a step (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="peak (default: %(default)s)")
    parser.add_argument("--warmup", type=float, default=0.05, help="share of the steps (default: %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=0.1, help="of AdamW (default: %(default)s)")
    parser.add_argument("--checkpoint-every", type=int, default=500, help="steps (default: %(default)s)")
    add_seed(parser)
    add_device(parser)
    parser.add_argument("--history", metavar="TSV", help="loss of every step")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the student")


def _add_pretrain(commands) -> None:
    parser = commands.add_parser("dna-pretrain", help="masked language modelling, from scratch or continued")
    _add_start(parser)
    parser.add_argument("--masking", default="tokens", choices=("tokens", "groups"), help="(default: %(default)s)")
    parser.set_defaults(run=_run_pretrain)


def _add_distil(commands) -> None:
    parser = commands.add_parser("dna-distil", help="align with a k-mer teacher's tokens and reconstruct masked bases")
    _add_start(parser)
    parser.add_argument("--features", required=True, nargs="+", metavar="PARQUET", help="shards of token features")
    parser.add_argument("--alignment", type=float, default=1.0, help="weight (default: %(default)s)")
    parser.add_argument("--reconstruction", type=float, default=1.0, help="weight (default: %(default)s)")
    parser.add_argument("--scope", default="visible", choices=("visible", "masked", "all"), help="groups aligned")
    parser.add_argument("--meet", default="pooled", choices=("pooled", "repeated"), help="one 6-mer and six bases")
    parser.set_defaults(run=_run_distil)


def _add_finetune(commands) -> None:
    parser = commands.add_parser("dna-finetune", help="fine-tune a student on a task table, predict its test rows")
    parser.add_argument("--model", required=True, metavar="FOLDER", help="the student")
    parser.add_argument("--name", required=True, help="of the model, in the predictions")
    parser.add_argument("--task", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.add_argument("--model-kind", choices=KINDS, default="student", help="what the model stands for in tables")
    parser.add_argument("--task-name", required=True, help="of the task, in the predictions")
    parser.add_argument("--method", default="full", choices=("full", "lora", "frozen"), help="(default: %(default)s)")
    parser.add_argument(
        "--pooling", default="mean", choices=("mean", "max", "cls", "concatenated"), help="(default: %(default)s)"
    )
    parser.add_argument(
        "--learning-rates", type=float, nargs="+", default=[1e-3], help="several: the best on validation is taken"
    )
    parser.add_argument("--epochs", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--search-epochs", type=int, default=2, help="a learning rate tried (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=128, help="sequences a step (default: %(default)s)")
    parser.add_argument("--turn", action="store_true", help="turn half of the training sequences over")
    parser.add_argument("--folds", type=int, default=0, help="cross-validation; 0: one split (default: %(default)s)")
    parser.add_argument("--fold", type=int, default=0, help="which fold validates (default: %(default)s)")
    add_seed(parser)
    add_device(parser)
    parser.add_argument("--output", required=True, metavar="PARQUET", help="table of predictions")
    parser.set_defaults(run=_run_finetune)


def _add_embed(commands) -> None:
    parser = commands.add_parser("dna-embed", help="features of a frozen student for the rows of a task table")
    parser.add_argument("--model", required=True, metavar="FOLDER", help="the student")
    parser.add_argument("--task", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.add_argument(
        "--pooling", default="mean", choices=("mean", "max", "cls", "concatenated"), help="(default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=128, help="sequences a step (default: %(default)s)")
    add_device(parser)
    parser.add_argument("--output", required=True, metavar="PARQUET", help="table of embeddings")
    parser.set_defaults(run=_run_embed)


def _run_tokenizer(options) -> None:
    from genestill.ground.logs import logger
    from genestill.ground.sequences import read_fasta
    from genestill.student.dna.bpe import train_bpe

    windows = (sequence for _, sequence in read_fasta(options.sequences))
    size = train_bpe(windows, options.vocabulary, options.output)
    logger.info("tokenizer of %d tokens (%d asked for)", size, options.vocabulary)


def _run_pretrain(options) -> None:
    from genestill.student.dna.runs import Start, pretrain_student
    from genestill.student.dna.training import Schedule

    pretrain_student(
        settings_of(Start, options),
        options.sequences,
        settings_of(Schedule, options),
        options.masking,
        options.share,
        options.output,
        options.history,
        options.device,
    )


def _run_distil(options) -> None:
    from genestill.student.dna.distillation import Objective
    from genestill.student.dna.runs import Start, distil_student
    from genestill.student.dna.training import Schedule

    distil_student(
        settings_of(Start, options),
        options.sequences,
        options.features,
        settings_of(Schedule, options),
        settings_of(Objective, options),
        options.share,
        options.output,
        options.history,
        options.device,
    )


def _run_finetune(options) -> None:
    from genestill.student.dna.finetuning import FineTuning
    from genestill.student.dna.runs import fine_tune_on_table

    settings = FineTuning(
        method=options.method,
        pooling=options.pooling,
        learning_rates=tuple(options.learning_rates),
        epochs=options.epochs,
        search_epochs=options.search_epochs,
        batch=options.batch,
        reverse_complement_augmentation=options.turn,
        seed=options.seed,
    )
    fine_tune_on_table(
        options.model,
        options.task,
        options.task_name,
        options.name,
        settings,
        options.folds,
        options.fold,
        options.output,
        options.device,
        options.model_kind,
    )


def _run_embed(options) -> None:
    from genestill.student.dna.runs import embed_table

    embed_table(options.model, options.task, options.pooling, options.batch, options.output, options.device)
