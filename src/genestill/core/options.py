"""Command-line options of several stages."""

import argparse


def add_seed(parser, of: str = "every random number") -> None:
    """Add ``--seed``; ``of`` names what is seeded, for the help."""
    parser.add_argument("--seed", type=_seed, default=1, metavar="N", help=f"seed of {of} (default: %(default)s)")


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of 0 to 2^32 - 1")
    return seed


def thread_count(text: str) -> int:
    """Type of an option ``--threads``; some commands accept 0 for all cores."""
    try:
        threads = int(text)
    except ValueError:
        threads = -1
    if not 0 <= threads <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of 0 to 10,000")
    return threads


def add_device(parser) -> None:
    """Add ``--device``, for `devices.choose_device`."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def add_compile(parser) -> None:
    """Add ``--compile``, for `devices.compile_on_gpu`."""
    parser.add_argument(
        "--compile", action="store_true", help="compile the model with torch.compile; on a GPU, for long trainings"
    )


def add_contigs_and_index(parser) -> None:
    """Add ``--contigs`` and ``--index``: the sequences, and the table of those that are used."""
    parser.add_argument("--contigs", required=True, metavar="FASTA", help="the sequences, compressed or not")
    parser.add_argument("--index", required=True, metavar="PARQUET", help="the ids to use, in this order")


def name_and_value(text: str) -> tuple[str, str]:
    """Type of an option ``NAME=VALUE``: the pair (name, value)."""
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f"{text!r}; expected NAME=VALUE")
    return name, value


def run_and_path(text: str) -> tuple[str, int | None, str]:
    """Type of an option ``NAME=PATH`` or ``NAME@SEED=PATH``: (model, seed of its training or None, path)."""
    name, path = name_and_value(text)
    model, mark, seed = name.partition("@")
    if not model or (mark and not seed.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}; expected NAME=PATH or NAME@SEED=PATH")
    return model, int(seed) if mark else None, path
