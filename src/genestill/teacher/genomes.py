"""The genomes for pretraining and checking teachers."""

from pathlib import Path

import numpy as np

from genestill.core.errors import InputError
from genestill.core.sequences import read_fasta, reverse_complement
from genestill.core.tables import read_tsv


def genome_files(paths: list[str | Path], folder: str | Path | None = None) -> list[Path]:
    """FASTA files from ``paths``: each is a FASTA file, or a ``.tsv`` table with a column ``file``.

    Files of a table are relative to ``folder``, by default the folder of the table.
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


MANY = 100  # number of sequences from which complete sequences are held out


class Genomes:
    """Sequences in memory, from which windows are drawn at random, in proportion to length."""

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

    def split(self, share: float, seed: int, shortest: int = 100) -> tuple["Genomes", "Genomes | None"]:
        """Training sequences, and held-out ones with ``share`` of the bases.

        Complete sequences are held out if there are many, otherwise the end of each sequence. The second result is None
        if ``share`` is 0, or less than ``shortest`` bases of every sequence.
        """
        if share and len(self.sequences) >= MANY:
            order = np.random.default_rng([seed, 2]).permutation(len(self.sequences))
            ends = np.cumsum([len(self.sequences[place]) for place in order])
            number = int(np.searchsorted(ends, share * self.bases)) + 1
            parts = (order[number:], order[:number])
            learnt, held = ([self.sequences[place] for place in sorted(part)] for part in parts)
        else:
            kept = [len(sequence) - int(share * len(sequence)) for sequence in self.sequences]
            held = [sequence[stop:] for sequence, stop in zip(self.sequences, kept, strict=True)]
            held = [sequence for sequence in held if len(sequence) >= shortest]
            learnt = [sequence[:stop] for sequence, stop in zip(self.sequences, kept, strict=True)]
        return (Genomes(learnt), Genomes(held)) if learnt and held else (self, None)

    @property
    def bases(self) -> int:
        """Total number of bases."""
        return int(self._ends[-1])

    def draw(
        self, generator: np.random.Generator, length: int, count: int, strands: str = "both", unit: int = 1
    ) -> list[str]:
        """Draw ``count`` windows of ``length`` bases (whole sequences if they are shorter).

        Args:
            generator: random number generator.
            length, count: length and number of the windows.
            strands: ``both``, or ``one`` for sequences with a known strand.
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
