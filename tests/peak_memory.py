"""The peak memory of one command of the program, in a process of its own."""

import os
import subprocess
import sys

# ``ru_maxrss`` would not do: Linux starts it at the peak of the process that launched the program, here all of pytest.
PROGRAM = """
import sys
from genestill.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(code, peak)
"""


def peak_megabytes(*words: object) -> float:
    """MB (10^6 bytes) that ``genestill WORDS`` holds at most, with one thread; the command must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    code, kilobytes = map(int, done.stdout.split()[-2:])
    assert code == 0, done.stderr
    return kilobytes * 1024 / 1e6
