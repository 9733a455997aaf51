"""The commands of the DNA recipes: tokenizer, pretraining, distillation, fine-tuning, features of a task."""

from pathlib import Path

from genestill.core.kinds import KINDS, SPLITS_BY
from genestill.core.options import add_compile, add_device, add_seed
from genestill.core.settings import add_settings, settings_of
from genestill.student.dna.settings import (
    ComputedFeaturesSettings,
    CrossValidation,
    DistillationSettings,
    FineTuning,
    Masking,
    Start,
    TokenizerSettings,
    TrainingSettings,
)


def add_commands(commands) -> None:
    """Add the commands to ``genestill student``."""
    _add_tokenizer(commands)
    _add_pretrain(commands)
    _add_distil(commands)
    _add_finetune(commands)


def _add_tokenizer(commands) -> None:
    parser = commands.add_parser("train-tokenizer", help="make a tokenizer: byte pairs of genome windows, or k-mers")
    parser.add_argument("--sequences", required=True, metavar="FASTA", help="windows of genomes")
    add_settings(parser, TokenizerSettings)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the tokenizer")
    parser.set_defaults(run=_run_tokenizer)


def _add_start(parser) -> None:
    parser.add_argument("--sequences", required=True, metavar="FASTA", help="windows of genomes")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="tokenizer of train-tokenizer, for deberta-…")
    for kind in (Start, TrainingSettings):
        add_settings(parser, kind)
    add_seed(parser)
    add_device(parser)
    add_compile(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the student")
    parser.add_argument("--output-history", metavar="TSV", help="loss of every step")


def _add_pretrain(commands) -> None:
    parser = commands.add_parser(
        "pretrain-dna", help="pretrain a student by masked language modelling, from scratch or continued"
    )
    _add_start(parser)
    add_settings(parser, Masking)
    parser.set_defaults(run=_run_pretrain)


def _add_distil(commands) -> None:
    parser = commands.add_parser(
        "distil-dna", help="distil a student: align it with the tokens of a k-mer teacher, and reconstruct masked bases"
    )
    _add_start(parser)
    parser.add_argument(
        "--features", nargs="+", default=[], metavar="PARQUET", help="shards of token features; or give --teacher"
    )
    add_settings(parser, ComputedFeaturesSettings)
    add_settings(parser, Masking, only=["mask_fraction"])
    add_settings(parser, DistillationSettings)
    parser.set_defaults(run=_run_distil)


def _add_finetune(commands) -> None:
    parser = commands.add_parser("finetune", help="fine-tune a student on a task table and predict its test rows")
    parser.add_argument("--model", required=True, metavar="FOLDER|NAME", help="the student, or a name of student list")
    parser.add_argument("--name", help="of the model, in the predictions (default: that of the folder)")
    parser.add_argument("--task", required=True, metavar="TSV", help="columns sequence, label and optionally split")
    parser.add_argument(
        "--split-by", choices=SPLITS_BY, default="random",
        help="of a table without the column split: rows at random, or near copies together (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--model-kind", choices=KINDS, default="student", help="kind of the model in tables")
    parser.add_argument("--task-name", help="of the task, in the predictions (default: that of the file)")
    parser.add_argument("--training", type=int, metavar="NUMBER", help="of the student, in the predictions")
    for kind in (FineTuning, CrossValidation):
        add_settings(parser, kind)
    add_seed(parser)
    add_device(parser)
    parser.add_argument("--output-model", metavar="FOLDER", help="the classifier, for genestill student classify")
    parser.add_argument("--output", metavar="PARQUET", help="predictions of the test rows")
    parser.set_defaults(run=_run_finetune)


def _run_tokenizer(options) -> None:
    from genestill.core.bpe import make_kmer_tokenizer, train_bpe
    from genestill.core.files import folder_aside
    from genestill.core.logs import logger
    from genestill.core.models import save_tokenizer
    from genestill.core.sequences import read_fasta

    settings = settings_of(TokenizerSettings, options)
    if settings.kmer:
        tokenizer = make_kmer_tokenizer(settings.kmer)
    else:
        windows = (sequence for _, sequence in read_fasta(options.sequences))
        tokenizer = train_bpe(windows, settings.vocabulary)
        if len(tokenizer) < settings.vocabulary:
            logger.warning(
                "%d tokens instead of the requested %d: there are too few windows", len(tokenizer), settings.vocabulary
            )
    with folder_aside(options.output) as folder:
        save_tokenizer(tokenizer, folder)
    logger.info("tokenizer of %d tokens", len(tokenizer))


def _run_pretrain(options) -> dict:
    from genestill.student.dna.pipeline import pretrain_student

    masked = settings_of(Masking, options)
    return pretrain_student(
        settings_of(Start, options),
        options.sequences,
        settings_of(TrainingSettings, options),
        masked.masking,
        masked.mask_fraction,
        options.output,
        options.output_history,
        options.device,
        masked.reverse_complement_augmentation,
        options.compile,
    )


def _run_distil(options) -> dict:
    from genestill.student.dna.pipeline import distil_student

    return distil_student(
        settings_of(Start, options),
        options.sequences,
        options.features,
        settings_of(TrainingSettings, options),
        settings_of(DistillationSettings, options),
        settings_of(Masking, options).mask_fraction,
        options.output,
        options.output_history,
        options.device,
        settings_of(ComputedFeaturesSettings, options),
        options.open_teacher,
        options.compile,
    )


def _run_finetune(options) -> dict:
    from genestill.student.dna.pipeline import fine_tune_on_table
    from genestill.student.released import student_folder

    validation = settings_of(CrossValidation, options)
    return fine_tune_on_table(
        student_folder(options.model),
        options.task,
        options.task_name or Path(options.task).name.split(".")[0],
        options.name or Path(options.model).name,
        settings_of(FineTuning, options),
        validation.folds or 0,
        validation.fold,
        options.output,
        options.device,
        options.model_kind,
        options.output_model,
        options.split_by,
        validation.rows,
        options.training,
    )
