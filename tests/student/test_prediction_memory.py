import platform
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from genestill.core.label_tree import LabelTree
from genestill.core.memory import give_back_large_arrays
from genestill.student.corrector.network import Corrector, CorrectorConfig
from genestill.student.corrector.prediction import ROWS_AT_ONCE, predict_lineages
from genestill.student.corrector.training import Inputs

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

SWITCH
lineages = [("B", *(f"{rank}{k >> level}" for level, rank in zip(range(5, -1, -1), "PCOFGS"))) for k in range(800)]
tree = LabelTree.from_lineages(lineages, other_children=True)
student = Corrector(CorrectorConfig({"composition": 103}, len(tree.leaves)), tree).eval()
random = np.random.default_rng(0)
found = []
for number in range(6):
    inputs = Inputs(student, {"composition": random.normal(size=(ROWS_AT_ONCE, 103)).astype(np.float32)}, None)
    found.append(predict_lineages(student, inputs, [str(row) for row in range(ROWS_AT_ONCE)]))
    if number == 1:
        before = resident()
print(resident() - before)
"""


def growth(switch: str) -> float:
    """By how many MB the process grows over four blocks of contigs."""
    program = PROGRAM.replace("SWITCH", switch)
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
@pytest.mark.slow
def test_prediction_grows_by_its_table_and_not_by_the_probabilities_that_it_had():
    assert growth("give_back_large_arrays()") < 0.6 * growth("")
