"""Memory requests of jobs, from the size of their inputs, with a margin.

The memory of steps of the recipe taxdistill grows with the numbers of contigs, species (nodes of the label tree) and
hits, as measured by benchmarks/scale.py. Models and the steps of other recipes grow with the data that are loaded
completely: weights, sequences, embeddings. These sizes are known once the files exist, and Snakemake computes a request
again when a job is ready to run.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """Memory of a command: ``mb`` at least, and bytes per contig, node of the label tree, hit and byte of ``held``.

    ``held`` is the number of copies of the data that are loaded completely, including conversions to wider types.
    """

    mb: int
    contig: float = 0
    node: float = 0
    hit: float = 0
    held: float = 0


# A test compares them with rows of resources/results/scale.tsv; the steps of the benchmark are in parentheses.
NEEDS = {
    "labels import": Need(1000, contig=1000),
    "labels tree": Need(1000, contig=1000, node=4000),  # (label tree)
    "teacher soft-labels": Need(2000, contig=2000, node=30_000),  # (soft labels)
    "student train-corrector": Need(2000, contig=11_000, node=8000, hit=8),  # (training, training from labels)
    "student accept": Need(1000, contig=4000),
    "student predict": Need(2000, contig=6000, node=8000, hit=8),  # (prediction, prediction with hits)
    "student export": Need(1500, contig=2000),
    "student novelty": Need(2000, contig=9000, node=8000, hit=8),  # as for the training, which loads the same data
    # Weights are stored with two bytes per number, and have four in the memory of a CPU.
    "teacher check": Need(6000, held=2.5),
    "teacher randomise": Need(2000, held=5),
    "teacher embed": Need(6000, contig=1000, held=2.5),
    # The first number includes the activations of a batch on a CPU, whose size is limited by the settings.
    "student distil-transcripts": Need(6000, held=6),
    "student pretrain-dna": Need(6000, held=3),
    "student distil-dna": Need(6000, held=3),
    "student train-tokenizer": Need(4000, held=8),
    # Embeddings are stored as float16; probes are fitted in float64, on a copy of the rows of a split.
    "evaluation probe": Need(4000, held=10),
    "evaluation sequence-fit": Need(2000, held=10),
    "reference relatives": Need(6000, held=4),
}
_BYTES_OF_NODE = 20  # minimum length of a line of label_tree.tsv
_BYTES_OF_VALUE = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_UNZIPPED = 4.5  # largest compression ratio of a gzipped FASTA file: a base has two bits of information


def request_mb(need: Need, attempt: int, contigs: int = 0, nodes: int = 0, hits: int = 0, held: int = 0) -> int:
    """Memory to request, in MB; ``attempt`` is 1 for the first, and each further attempt adds the same amount."""
    grown = need.contig * contigs + need.node * nodes + need.hit * hits + need.held * held
    return attempt * (need.mb + round(grown / 1e6))


def memory_mb(command: str, attempt: int, index=None, tree=None, hits=None, held=(), shards=()) -> int:
    """`request_mb` of a command of `NEEDS`, from its input files.

    Args:
        command: stage and name of the command.
        attempt: from Snakemake.
        index: the index of the contigs, or another table with one row per contig.
        tree: the label tree, or the lineages from which it is made.
        hits: the table of hits.
        held: tables, FASTA files and folders of models that are loaded completely: a path, or lists of paths.
        shards: tables of which one is loaded at a time.

    Returns:
        Memory in MB. Files that are not given or do not exist yet count as empty.
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
    """Bytes of the values of a table, of an uncompressed FASTA file, or of the weights in a model folder."""
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
        # Text has no fixed width; its stored size is close enough.
        total += sum(chunk.num_values * size if size else chunk.total_uncompressed_size for chunk in chunks)
    return total


def _parquet(path: Path):
    """Metadata of a table; None if it cannot be read: the job reports what is wrong with its input."""
    import pyarrow.parquet as pq

    from genestill.core.tables import NOT_PARQUET

    try:
        return pq.read_metadata(path)
    except NOT_PARQUET:
        return None
