"""Command-line options that several stages take."""


def add_seed(parser, of: str = "every random number") -> None:
    """Add ``--seed``; ``of`` says what it seeds."""
    parser.add_argument("--seed", type=int, default=1, help=f"seed of {of} (default: %(default)s)")


def add_device(parser) -> None:
    """Add ``--device``, for `devices.choose_device`."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def add_contigs_and_index(parser) -> None:
    """Add ``--contigs`` and ``--index``: sequences, and which of them take part."""
    parser.add_argument("--contigs", required=True, metavar="FASTA", help="the sequences, gzipped or not")
    parser.add_argument("--index", required=True, metavar="PARQUET", help="which of them take part, in their order")
