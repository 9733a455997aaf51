"""The command of the ``mrna`` recipe: ``genestill student match``."""

from genestill.ground.options import add_device, add_seed
from genestill.ground.settings import settings_of


def add_commands(commands) -> None:
    """Add ``match`` to ``genestill student``."""
    summary = "distil a transcript encoder from a teacher's embeddings (or logits, or from masked bases alone)"
    parser = commands.add_parser("match", help=summary, description=summary)
    parser.add_argument("--transcripts", required=True, metavar="PARQUET", help="the distillation set")
    parser.add_argument(
        "--objective",
        default="mse",
        help="terms cosine, mse, relational, contrastive, token, logits, masked; a mix such as mse+0.5*relational "
        "(default: %(default)s)",
    )
    parser.add_argument("--embeddings", nargs="*", default=[], metavar="PARQUET", help="the teacher's embeddings")
    parser.add_argument("--token-features", nargs="*", default=[], metavar="PARQUET", help="its token features")
    parser.add_argument(
        "--base-log-probabilities", nargs="*", default=[], metavar="PARQUET", help="its log-probabilities of bases"
    )
    parser.add_argument(
        "--teacher-reads", default="transcript", choices=("transcript", "cds"),
        help="what of a transcript the teacher read; cds: from its first codon to its last (default: %(default)s)",
    )  # fmt: skip
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--teacher-model", metavar="FOLDER", help="its folder, to size the student by; with --smaller")
    size.add_argument("--parameters", type=int, help="size of the student instead")
    parser.add_argument("--smaller", type=float, default=200, help="teacher over student (default: %(default)g times)")
    parser.add_argument("--backbone", default="delta_hybrid", help="delta_hybrid or transformer (default: %(default)s)")
    parser.add_argument("--pooling", default="mean", help="mean, max, cls or concatenated (default: %(default)s)")
    parser.add_argument("--expansion", type=int, default=0, help="width of the embedding; 0: of the hidden states")
    parser.add_argument(
        "--attention-window", type=int, metavar="BP", help="a base attends to so many to each side; 0: all (default: "
        "256; all for transformer)",
    )  # fmt: skip
    parser.add_argument("--max-length", type=int, default=12_288, help="bases the student reads (default: %(default)s)")
    parser.add_argument("--tracks", action="store_true", help="read CDS and splice tracks beside the bases")
    parser.add_argument("--steps", type=int, default=2000, help="0: leave it untrained (default: %(default)s)")
    parser.add_argument("--batch-bases", type=int, default=16_384, help="bases a batch (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak, of AdamW (default: %(default)s)")
    parser.add_argument("--clip", type=float, default=1.0, help="largest gradient norm; 0: none (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=2.0, help="of the logits term (default: %(default)s)")
    parser.add_argument("--checkpoint-every", type=int, default=200, help="steps (default: %(default)s)")
    parser.add_argument("--keep-diverged", action="store_true", help="a run that diverged is a result, not a failure")
    add_seed(parser)
    add_device(parser)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: its own choice (default: %(default)s)")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="model/, training.tsv, training.json")
    parser.set_defaults(run=_run_match)


def _run_match(options) -> None:
    import torch

    from genestill.ground.devices import choose_device
    from genestill.ground.errors import InputError
    from genestill.student.encoders.sizing import size_for_budget
    from genestill.student.release import parameters_of
    from genestill.student.transcripts.corpus import TeacherFiles
    from genestill.student.transcripts.distillation import MatchSettings, match_student

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.parameters is None and options.teacher_model is None:
        raise InputError("how large shall the student be? give --parameters, or --teacher-model and --smaller")
    parameters = options.parameters or round(parameters_of(options.teacher_model) / options.smaller)
    config = size_for_budget(
        options.backbone,
        parameters,
        tracks=2 if options.tracks else 0,
        pooling=options.pooling,
        max_length=options.max_length,
        attention_window=options.attention_window,
        expansion=options.expansion,
    )
    match_student(
        config,
        options.transcripts,
        TeacherFiles(options.embeddings, options.token_features, options.base_log_probabilities, options.teacher_reads),
        settings_of(MatchSettings, options),
        options.output,
        choose_device(options.device),
        options.keep_diverged,
    )
