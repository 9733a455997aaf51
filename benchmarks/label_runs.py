"""Functions for the benchmarks of labels: existing results are kept, and every Nth contig is used."""

import os
from pathlib import Path

from genestill.cli import main as genestill
from genestill.core.files import folder_aside, read_json, write_json
from genestill.core.sequences import read_fasta, write_fasta


def once(folder: Path, make) -> float:
    """CPU seconds of ``make(folder)`` and its programs; if the folder exists, those of when it was made."""
    if not folder.is_dir():
        start = sum(os.times()[:4])
        with folder_aside(folder) as aside:
            make(aside)
            write_json(aside / "cpu_seconds.json", {"cpu_seconds": round(sum(os.times()[:4]) - start, 1)})
    return read_json(folder / "cpu_seconds.json")["cpu_seconds"]


def take_contigs(source: Path, every: int, folder: Path) -> tuple[Path, Path]:
    """Write every Nth contig of ``source`` and its index to ``folder``; an existing index is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    contigs, index = folder / "contigs.fna", folder / "contigs.parquet"
    if not index.is_file():
        chosen = [record for number, record in enumerate(read_fasta(source)) if number % every == 0]
        write_fasta(contigs, chosen)
        words = ["--contigs", contigs, "--output-index", index, "--output-abundance", folder / "abundance.parquet"]
        assert genestill(["reference", "contigs", *map(str, words)]) == 0
    return contigs, index
