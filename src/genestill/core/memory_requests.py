"""How much memory a job of the recipe taxdistill asks for: what benchmarks/scale.py measured, with room to spare.

What a job needs grows with the contigs, with the species (nodes of the label tree) and with the hits. Their numbers
are known from files once these are there, and Snakemake asks again when a job is ready to run.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """Memory of a command: ``mb`` for nothing, and bytes for each contig, node of the label tree and hit."""

    mb: int
    contig: float = 0
    node: float = 0
    hit: float = 0


# A test compares them with the rows of resources/results/scale.tsv, the benchmark's steps in parentheses.
NEEDS = {
    "labels import": Need(1000, contig=1000),
    "labels tree": Need(1000, contig=1000, node=4000),  # (label tree)
    "teacher soft-labels": Need(2000, contig=2000, node=60_000),  # (soft labels)
    "student train-corrector": Need(2000, contig=15_000, node=20_000, hit=40),  # (training, training from labels)
    "student predict": Need(2000, contig=4000, node=20_000, hit=40),  # (prediction, prediction with hits)
    "student export": Need(1500, contig=2000),
}
_BYTES_OF_NODE = 20  # of a line of label_tree.tsv, at least


def request_mb(need: Need, attempt: int, contigs: int = 0, nodes: int = 0, hits: int = 0) -> int:
    """Memory to ask for, in MB; ``attempt`` is 1 for the first, and each further one asks for as much again."""
    grown = need.contig * contigs + need.node * nodes + need.hit * hits
    return attempt * (need.mb + round(grown / 1e6))


def memory_mb(command: str, attempt: int, index=None, tree=None, hits=None) -> int:
    """`request_mb` of a command of `NEEDS`, by its input files.

    Args:
        command: stage and name of the command.
        attempt: from Snakemake.
        index: the index of the contigs, or another table with a row for each.
        tree: the label tree, or the lineages that it is made of.
        hits: the table of hits. Of a file that is not given, or is not there yet, nothing is counted.
    """
    nodes = Path(tree).stat().st_size // _BYTES_OF_NODE if tree and Path(tree).is_file() else 0
    return request_mb(NEEDS[command], attempt, _rows(index), nodes, _rows(hits))


def _rows(path) -> int:
    if not path or not Path(path).is_file():
        return 0
    import pyarrow.parquet as pq

    from genestill.core.tables import NOT_PARQUET

    try:
        return pq.read_metadata(path).num_rows
    except NOT_PARQUET:  # the job itself says what is wrong with its input
        return 0
