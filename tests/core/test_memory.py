import platform
import subprocess
import sys

import pytest

from genestill.core import memory

PROGRAM = """
import numpy as np
from genestill.core.label_tree import LabelTree
from genestill.core.memory import give_back_large_arrays
from genestill.core.predictions import predictions_of

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

SWITCH
lineages = [("B", *(f"{rank}{k >> level}" for level, rank in zip(range(5, -1, -1), "PCOFGS"))) for k in range(800)]
tree = LabelTree.from_lineages(lineages, other_children=True)
random, ids, found = np.random.default_rng(0), [str(row) for row in range(4096)], []
for number in range(6):
    found.append(predictions_of(ids, random.random((4096, len(tree.leaves)), np.float32), tree, 0.5))
    if number == 1:
        before = resident()
print(resident() - before)
"""


def growth(switch: str) -> float:
    """Growth of the process in MB over four blocks of contigs."""
    program = PROGRAM.replace("SWITCH", switch)
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
@pytest.mark.slow
def test_memory_of_prediction_grows_with_its_table_and_not_with_past_probabilities():
    # The probabilities of each of the four blocks take 25 MB.
    assert growth("give_back_large_arrays()") < 10


@pytest.mark.parametrize("row_bytes", [1, 10_000, 1 << 20, 1 << 30])
def test_blocks_of_rows_cover_all_rows_and_have_a_limited_size_in_bytes(row_bytes):
    blocks = list(memory.row_blocks(10_000, row_bytes))
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(10_000))
    assert max((block.stop - block.start) * row_bytes for block in blocks) <= max(memory.BLOCK_BYTES, row_bytes)
