"""Speed of tetranucleotide composition compared with VAMB, on the same contigs; whole processes, best of several runs.

    python benchmarks/composition.py CONTIGS.fna.gz --vamb PYTHON_OF_VAMB [--runs 3]

``--vamb`` is the Python of an environment with VAMB (``.snakemake/peers/vamb/bin/python``).
"""

import argparse
import subprocess
import sys

OURS = """
import sys, time
from genestill.core.sequences import read_fasta
from genestill.student.corrector.composition import composition_of, projection_kernel
start = time.perf_counter()
bases = 0
def sequences():
    global bases
    for _, sequence in read_fasta(sys.argv[1]):
        bases += len(sequence)
        yield sequence
composition_of(sequences())
print(time.perf_counter() - start, bases)
"""

THEIRS = """
import sys, time, vamb
start = time.perf_counter()
with vamb.vambtools.Reader(sys.argv[1]) as handle:
    composition = vamb.parsecontigs.Composition.from_file(handle, sys.argv[1], minlength=4)
print(time.perf_counter() - start, int(composition.metadata.lengths.sum()))
"""


def measure(python: str, code: str, contigs: str) -> tuple[float, int]:
    """Seconds and bases of one process that reads the gzipped file, counts and projects."""
    out = subprocess.run([python, "-c", code, contigs], capture_output=True, text=True, check=True).stdout.split()
    return float(out[-2]), int(out[-1])


def main() -> None:
    """Print bases per second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contigs")
    parser.add_argument("--vamb", required=True)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    pairs = [
        (measure(sys.executable, OURS, options.contigs), measure(options.vamb, THEIRS, options.contigs))
        for _ in range(options.runs)
    ]
    ours, theirs = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    print(f"genestill {ours[1] / ours[0] / 1e6:8.1f} Mbp/s")
    print(f"VAMB      {theirs[1] / theirs[0] / 1e6:8.1f} Mbp/s")
    print(f"ratio     {theirs[0] / ours[0]:8.2f}")


if __name__ == "__main__":
    main()
