"""Memory requests of jobs, from the size of their inputs, with a margin.

Steps of the recipe taxdistill grow with the contigs, the species (nodes of the label tree) and the hits, by what
benchmarks/scale.py measured. Models and the steps of the other recipes grow with what they hold whole: weights,
sequences, embeddings of so many numbers each. All of this is known from files once these are there, and Snakemake asks
again when a job is ready to run.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """Memory of a command: ``mb`` for nothing, and bytes for each contig, node of the label tree, hit and byte held.

    ``held`` is how many copies there are of what is held whole, conversions to wider types among them.
    """

    mb: int
    contig: float = 0
    node: float = 0
    hit: float = 0
    held: float = 0


# A test compares them with the rows of resources/results/scale.tsv, the benchmark's steps in parentheses.
NEEDS = {
    "labels import": Need(1000, contig=1000),
    "labels tree": Need(1000, contig=1000, node=4000),  # (label tree)
    "teacher soft-labels": Need(2000, contig=2000, node=30_000),  # (soft labels)
    "student train-corrector": Need(2000, contig=9000, node=8000, hit=8),  # (training, training from labels)
    "student predict": Need(2000, contig=4000, node=8000, hit=8),  # (prediction, prediction with hits)
    "student export": Need(1500, contig=2000),
    "student novelty": Need(2000, contig=9000, node=8000, hit=8),  # as for the training, which holds the same
    # Weights are stored in two bytes a number, and are four in the memory of a CPU.
    "teacher check": Need(6000, held=2.5),
    "teacher randomise": Need(2000, held=5),
    "teacher embed": Need(6000, contig=1000, held=2.5),
    # The first number leaves room for the activations of a batch on a CPU, whose size the settings bound.
    "student distil-transcripts": Need(6000, held=6),
    "student pretrain-dna": Need(6000, held=3),
    "student distil-dna": Need(6000, held=3),
    "student train-tokenizer": Need(4000, held=8),
    # Embeddings are stored as float16, and probes are fitted in float64, on a copy of the rows of a split.
    "evaluation probe": Need(4000, held=10),
    "evaluation sequence-fit": Need(2000, held=10),
    "reference relatives": Need(6000, held=4),
}
_BYTES_OF_NODE = 20  # of a line of label_tree.tsv, at least
_BYTES_OF_VALUE = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_UNZIPPED = 4.5  # times as large as a gzipped FASTA file, at most: a base has two bits of information


def request_mb(need: Need, attempt: int, contigs: int = 0, nodes: int = 0, hits: int = 0, held: int = 0) -> int:
    """Memory to ask for, in MB; ``attempt`` is 1 for the first, and each further one asks for as much again."""
    grown = need.contig * contigs + need.node * nodes + need.hit * hits + need.held * held
    return attempt * (need.mb + round(grown / 1e6))


def memory_mb(command: str, attempt: int, index=None, tree=None, hits=None, held=(), shards=()) -> int:
    """`request_mb` of a command of `NEEDS`, by its input files.

    Args:
        command: stage and name of the command.
        attempt: from Snakemake.
        index: the index of the contigs, or another table with a row for each.
        tree: the label tree, or the lineages that it is made of.
        hits: the table of hits.
        held: tables, FASTA files and folders of models that are held whole: a path, or lists of them.
        shards: tables of which one is held at a time.

    Of a file that is not given, or is not there yet, nothing is counted.
    """
    nodes = Path(tree).stat().st_size // _BYTES_OF_NODE if tree and Path(tree).is_file() else 0
    whole = sum(map(_unpacked_bytes, _paths(held))) + max(map(_unpacked_bytes, _paths(shards)), default=0)
    return request_mb(NEEDS[command], attempt, _rows(index), nodes, _rows(hits), whole)


def _paths(given) -> list[Path]:
    return [Path(given)] if isinstance(given, str | Path) else [path for part in given for path in _paths(part)]


def _rows(path) -> int:
    found = _parquet(Path(path)) if path and Path(path).is_file() else None
    return found.num_rows if found else 0


def _unpacked_bytes(path: Path) -> int:
    """Bytes of a table's values, of a FASTA file without gzip, or of the weights in a model's folder."""
    if path.is_dir():
        return sum(file.stat().st_size for kind in ("*.safetensors", "*.bin") for file in path.glob(kind))
    if not path.is_file():
        return 0
    if path.suffix != ".parquet":
        return int(path.stat().st_size * (_UNZIPPED if path.suffix == ".gz" else 1))
    table = _parquet(path)
    if table is None:
        return 0
    total = 0
    for number in range(table.num_columns):
        chunks = [table.row_group(group).column(number) for group in range(table.num_row_groups)]
        column = table.schema.column(number)
        size = _BYTES_OF_VALUE.get(column.physical_type, column.length)
        # Text has no width; what is written of it repeats nothing that is worth the difference.
        total += sum(chunk.num_values * size if size else chunk.total_uncompressed_size for chunk in chunks)
    return total


def _parquet(path: Path):
    """Metadata of a table; None for what is none: the job itself says what is wrong with its input."""
    import pyarrow.parquet as pq

    from genestill.core.tables import NOT_PARQUET

    try:
        return pq.read_metadata(path)
    except NOT_PARQUET:
        return None
