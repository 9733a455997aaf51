"""The command of the ``mrna`` recipe: ``genestill student distil-transcripts``."""

from genestill.core.options import add_compile, add_device, add_seed, thread_count
from genestill.core.settings import add_settings, settings_of
from genestill.student.transcripts.settings import DistillationSettings, EncoderSettings


def add_commands(commands) -> None:
    """Add ``distil-transcripts`` to ``genestill student``."""
    summary = "distil a transcript encoder from a teacher's embeddings (or logits, or from masked bases alone)"
    parser = commands.add_parser("distil-transcripts", help=summary, description=summary)
    parser.add_argument("--transcripts", required=True, metavar="PARQUET", help="the distillation set")
    parser.add_argument("--embeddings", nargs="*", default=[], metavar="PARQUET", help="the teacher's embeddings")
    parser.add_argument("--token-features", nargs="*", default=[], metavar="PARQUET", help="its token features")
    parser.add_argument(
        "--base-log-probabilities", nargs="*", default=[], metavar="PARQUET", help="its log-probabilities of bases"
    )
    parser.add_argument("--pairs", metavar="PARQUET", help="output of 'reference pair-transcripts'")
    parser.add_argument(
        "--teacher-reads", default="transcript", choices=("transcript", "cds"),
        help="the part of a transcript that the teacher read; cds: from its first codon to its last (default: "
        "%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--teacher-model", metavar="FOLDER", help="its folder, for the size of the student; with --compression-ratio"
    )
    for kind in (EncoderSettings, DistillationSettings):
        add_settings(parser, kind)
    parser.add_argument(
        "--keep-diverged",
        action="store_true",
        help="keep the last finite weights instead of failing if a training diverges",
    )
    add_seed(parser)
    add_device(parser)
    add_compile(parser)
    parser.add_argument(
        "--threads", type=thread_count, default=0, help="threads of torch (default: 0, chosen by torch)"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="model/, training.tsv, training.json")
    parser.set_defaults(run=_run_match)


def _run_match(options) -> dict:
    import torch

    from genestill.core.devices import choose_device
    from genestill.core.errors import InputError
    from genestill.student.encoders.sizing import size_for_budget
    from genestill.student.model_card import parameters_of
    from genestill.student.transcripts.corpus import TeacherFiles
    from genestill.student.transcripts.distillation import distil_transcripts

    student, training = settings_of(EncoderSettings, options), settings_of(DistillationSettings, options)
    if options.threads:
        torch.set_num_threads(options.threads)
    if (options.parameters is None) == (options.teacher_model is None):
        raise InputError("student size not set: give either --parameters, or --teacher-model and --compression-ratio")
    parameters = student.parameters or round(parameters_of(options.teacher_model) / student.compression_ratio)
    config = size_for_budget(
        student.backbone,
        parameters,
        tracks=2 if student.tracks else 0,
        pooling=student.pooling,
        lengths=student.lengths,
        max_length=student.max_length,
        attention_window=student.attention_window,
        expansion=student.expansion,
    )
    return distil_transcripts(
        config,
        options.transcripts,
        TeacherFiles(options.embeddings, options.token_features, options.base_log_probabilities, options.teacher_reads),
        training,
        options.output,
        choose_device(options.device),
        options.keep_diverged,
        options.compile,
        options.pairs,
    )
