"""Features of translation initiation: upstream start codons, and the bases around the start codon (Kozak 1987)."""

import re

import numpy as np
import pandas as pd

from genestill.evaluation.probes.baselines.parts import Parts, parts_of
from genestill.evaluation.settings import TranscriptBaselineSettings

_START = re.compile("(?=ATG)")
_STOP = re.compile("(?:...)*?(?:TAA|TAG|TGA)")
_AROUND = (*range(-6, 0), 3, 4)  # positions of the Kozak context; the A of ATG is 0


def describe(parts: list[Parts]) -> np.ndarray:
    """float32 [rows, 38].

    Logarithms of 1 + the numbers of upstream start codons, of those whose frame ends before the coding sequence, of
    those whose frame overlaps it, and of those with a purine at -3 and G at +4; whether the start codon is ATG; whether
    it has a purine at -3 and G at +4; then the base at each of the eight positions around it (one-hot).
    """
    rows = []
    for one in parts:
        upstream, closed, overlapping, strong = 0, 0, 0, 0
        for match in _START.finditer(one.sequence, 0, one.start):
            place = match.start()
            stop = _STOP.match(one.sequence, place, one.start)
            upstream += 1
            closed += stop is not None
            overlapping += stop is None and (one.start - place) % 3 != 0
            strong += _is_strong(one.sequence, place)
        around = np.zeros((len(_AROUND), 4))
        for row, offset in enumerate(_AROUND):
            place = one.start + offset
            if one.stop and 0 <= place < len(one.codes) and one.codes[place] < 4:
                around[row, one.codes[place]] = 1
        counts = np.log1p([upstream, closed, overlapping, strong])
        begins = one.sequence.startswith("ATG", one.start)
        rows.append([*counts, begins, bool(one.stop) and _is_strong(one.sequence, one.start), *around.ravel()])
    return np.array(rows, np.float32)


def _is_strong(sequence: str, start: int) -> bool:
    return start >= 3 and sequence[start - 3] in "AG" and sequence[start + 3 : start + 4] == "G"


def features(table: pd.DataFrame, settings: TranscriptBaselineSettings) -> dict[str, np.ndarray]:
    """One block: `describe`."""
    return {"initiation": describe(parts_of(table))}
