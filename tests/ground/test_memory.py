import platform
import subprocess
import sys

import pytest

# Large arrays that go in turn with small objects that stay: what `student predict` does.
PROGRAM = """
import sys
import numpy as np
from genestill.ground.memory import give_back_large_arrays

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

give_back_large_arrays()
kept = []
for number in range(20):
    arrays = [np.ones(16 << 18) for _ in range(2)]
    del arrays
    kept.append([f"{row} of {number}, and some words more" for row in range(20_000)])
    if number == 1:
        before = resident()
after = resident()
print(after - before, sum(sys.getsizeof(text) + 8 for texts in kept[2:] for text in texts) / 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_a_process_grows_by_what_it_keeps_not_by_the_arrays_that_it_had():
    printed = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    grown, kept = map(float, printed.split())
    assert grown < 1.5 * kept + 10
