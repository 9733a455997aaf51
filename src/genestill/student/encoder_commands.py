"""The commands of encoder students: ``genestill student list``, ``embed``, ``classify`` and ``export-onnx``."""

from genestill.core.options import add_device, thread_count
from genestill.core.pooling import TRANSCRIPT_POOLINGS


def add_commands(commands) -> None:
    """Add ``list``, ``embed``, ``classify`` and ``export-onnx`` to ``genestill student``."""
    _add_list(commands)
    _add_embed(commands)
    _add_classify(commands)
    _add_export_onnx(commands)


def _add_list(commands) -> None:
    summary = "list the students that are part of genestill, as names for --model"
    parser = commands.add_parser("list", help=summary, description=summary)
    parser.set_defaults(run=_run_list)


def _run_list(options) -> None:
    from genestill.student.released import released_students

    for student in released_students().values():
        print(f"{student.name}  ({student.kilobytes} kB, licence {student.licence})")
        print(f"    {student.title}. {student.summary}")
        print(f"    {student.folder}")


def _add_embed(commands) -> None:
    summary = "embed any number of sequences with an encoder student, in bounded memory"
    parser = commands.add_parser("embed", help=summary, description=summary)
    parser.add_argument(
        "sequences", metavar="FASTA", help="sequences of any length, also FASTQ, compressed, or - for stdin"
    )
    parser.add_argument("--model", required=True, metavar="FOLDER|NAME", help="the student, or a name of student list")
    parser.add_argument("-o", "--output", required=True, metavar="PARQUET", help="one row per sequence, in their order")
    parser.add_argument(
        "--tracks",
        metavar="PARQUET",
        help="columns id, cds, splice, in the order of the sequences (default: all zeros)",
    )
    parser.add_argument("--pooling", choices=TRANSCRIPT_POOLINGS, help="pooling instead of that of the student")
    _add_speed(parser)
    parser.set_defaults(run=_run_embed)


def _add_speed(parser) -> None:
    parser.add_argument(
        "--batch-tokens", type=int, help="tokens per batch, with padding (default: 4,096; on CUDA 262,144)"
    )
    parser.add_argument(
        "--threads", type=thread_count, default=0, help="batches in parallel (default: 0, torch's choice)"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"),
        help="number format of matrix products (default: bfloat16 on a GPU, float32 elsewhere)",
    )  # fmt: skip
    add_device(parser)


def _add_classify(commands) -> None:
    summary = "classify any number of sequences with a fine-tuned student, in bounded memory"
    parser = commands.add_parser("classify", help=summary, description=summary)
    parser.add_argument(
        "sequences", metavar="FASTA", help="sequences of any length, also FASTQ, compressed, or - for stdin"
    )
    parser.add_argument("--model", required=True, metavar="FOLDER", help="output of student finetune --output-model")
    parser.add_argument(
        "-o", "--output", required=True, metavar="TSV", help="id, label and probabilities; one row per sequence"
    )
    _add_speed(parser)
    parser.set_defaults(run=_run_classify)


def _run_classify(options) -> None:
    from genestill.student.encoders.classification import classify_fasta

    classify_fasta(
        options.sequences,
        options.model,
        options.output,
        device=options.device,
        batch_tokens=options.batch_tokens,
        threads=options.threads,
        dtype=options.dtype or "auto",
    )


def _run_embed(options) -> None:
    from genestill.student.encoders.streaming import embed_fasta
    from genestill.student.released import student_folder

    embed_fasta(
        options.sequences,
        student_folder(options.model),
        options.output,
        tracks=options.tracks,
        device=options.device,
        pooling=options.pooling,
        batch_tokens=options.batch_tokens,
        threads=options.threads,
        dtype=options.dtype or "auto",
    )


def _add_export_onnx(commands) -> None:
    summary = "write an encoder student as ONNX, and compare the outputs"
    parser = commands.add_parser("export-onnx", help=summary, description=summary)
    parser.add_argument("--model", required=True, metavar="FOLDER|NAME", help="the student, or a name of student list")
    parser.add_argument("-o", "--output", required=True, metavar="ONNX", help="with dynamic batch size and length")
    parser.set_defaults(run=_run_export_onnx)


def _run_export_onnx(options) -> None:
    from genestill.student.encoders.onnx_export import export_onnx
    from genestill.student.released import student_folder

    export_onnx(student_folder(options.model), options.output)
