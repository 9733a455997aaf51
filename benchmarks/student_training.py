"""Training and prediction of the corrector compared with `vamb taxometer`, whole processes in turn on the same contigs.

    python benchmarks/student_training.py RESULTS CONTIGS ABUNDANCE.tsv --vamb PROGRAM [--runs 2]

RESULTS is the results folder of a finished run (results/taxdistill/community), whose labels are used by both. The
published metric of both is printed with the seconds, because speed matters only if the results are correct.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from genestill.evaluation.calls import read_calls
from genestill.evaluation.peers import import_predictions
from genestill.evaluation.taxonomy import measure


def run(command: list[str], threads: int) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory (MB) of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    # Without /usr/bin/time, which would be another dependency; wait4 gives the peak of this child.
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"},
    )
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{command[0]} failed: {error.decode()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    """Print one row per tool and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("contigs")
    parser.add_argument("abundance")
    parser.add_argument("--vamb", required=True)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--minimum-length", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    reference, labels = options.results / "reference", options.results / "labels"
    rows: dict[str, list[tuple[float, float, float]]] = {"genestill": [], "Taxometer": []}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for number in range(options.runs):
            rows["genestill"].append(
                run(
                    [sys.executable, "-m", "genestill", "student", "train-corrector", "--contigs", options.contigs]
                    + ["--index", str(reference / "contigs.parquet")]
                    + ["--abundance", str(reference / "abundance.parquet")]
                    + ["--labels", str(labels / "labels.parquet"), "--hits", str(labels / "hits.parquet")]
                    + ["--tree", str(labels / "label_tree.tsv"), "--taxonomy", str(reference / "taxonomy")]
                    + ["--seed", str(number + 1), "--output-model", str(scratch / "model")]
                    + ["--output-predictions", str(scratch / "genestill.parquet")],
                    options.threads,
                )
            )
            folder = scratch / f"taxometer{number}"
            rows["Taxometer"].append(
                run(
                    [options.vamb, "taxometer", "--outdir", str(folder), "--fasta", options.contigs]
                    + ["--abundance_tsv", options.abundance, "--taxonomy", str(labels / "labels.tsv")]
                    + ["-m", str(options.minimum_length), "-p", str(options.threads)],
                    options.threads,
                )
            )
        taxometer = scratch / "taxometer.parquet"
        import_predictions(
            folder / "results_taxometer.tsv", "taxometer", reference / "contigs.parquet", None, 0.5, taxometer
        )
        predictions = {"genestill": scratch / "genestill.parquet", "Taxometer": taxometer}
        community, models = read_calls(
            reference / "truth.parquet", labels / "labels.parquet", predictions, "MMseqs2", {}
        )
        metrics = measure(community, models, seed=1, resamples=100)
    species = metrics[(metrics["task"] == "species") & (metrics["split"] == "all")]
    best = {}
    print(f"{'':10} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'species F1':>11} {'best of 0.5/0.8/0.95':>21}")
    for name, runs in rows.items():
        best[name] = [min(values) for values in zip(*runs, strict=True)]
        own = species[species["model"] == name].set_index("metric")["value"]
        fixed = max(own[f"f1@{threshold}"] for threshold in ("0.5", "0.8", "0.95"))
        wall, cpu, peak = best[name]
        print(f"{name:10} {wall:8.1f} {cpu:8.1f} {peak:8.0f} {own['f1']:11.4f} {fixed:21.4f}")
    ratios = [theirs / ours for theirs, ours in zip(best["Taxometer"], best["genestill"], strict=True)]
    print(f"{'ratio':10} {ratios[0]:8.1f} {ratios[1]:8.1f} {ratios[2]:8.1f}")


if __name__ == "__main__":
    main()
