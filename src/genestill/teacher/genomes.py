"""The genomes that a teacher is pretrained or checked on."""

from pathlib import Path

import numpy as np

from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta, reverse_complement
from genestill.core.tables import read_tsv


def genome_files(paths: list[str | Path], folder: str | Path | None = None) -> list[Path]:
    """FASTA files named by ``paths``: each a FASTA file, or a ``.tsv`` table with a column ``file``.

    Files of a table lie in ``folder``, by default the table's own.
    """
    files = []
    for path in map(Path, paths):
        if path.suffix != ".tsv":
            files.append(path)
            continue
        files.extend(Path(folder or path.parent) / name for name in read_tsv(path, ["file"])["file"])
    if not files:
        raise InputError(f"no genome is listed in {', '.join(map(str, paths))}")
    return files


class Genomes:
    """Sequences held in memory, from which windows are drawn at random, in proportion to length."""

    def __init__(self, sequences: list[str]):
        self.sequences = sequences
        self._ends = np.cumsum([len(sequence) for sequence in sequences], dtype=np.float64)

    @classmethod
    def read(cls, files: list[Path], shortest: int = 100) -> "Genomes":
        """Read all records of at least ``shortest`` bases."""
        sequences = [sequence for file in files for _, sequence in read_fasta(file) if len(sequence) >= shortest]
        if not sequences:
            raise InputError(f"{', '.join(map(str, files))}: no sequence of at least {shortest} bases")
        return cls(sequences)

    @property
    def bases(self) -> int:
        """Bases in all."""
        return int(self._ends[-1])

    def draw(
        self, generator: np.random.Generator, length: int, count: int, strands: str = "both", unit: int = 1
    ) -> list[str]:
        """``count`` windows of ``length`` bases (whole sequences where those are shorter).

        Args:
            generator: of the draws.
            length, count: of the windows.
            strands: ``both``, or ``one`` for sequences whose sense is known.
            unit: with ``one``, windows start at a multiple of this; 3 keeps coding sequences in frame.
        """
        windows = []
        for place, where, strand in generator.random((count, 3)):
            sequence = self.sequences[int(np.searchsorted(self._ends, place * self._ends[-1], side="right"))]
            start = int(where * max(1, len(sequence) - length + 1))
            if strands == "one":
                start -= start % unit
            window = sequence[start : start + length]
            windows.append(reverse_complement(window) if strands == "both" and strand < 0.5 else window)
        return windows
