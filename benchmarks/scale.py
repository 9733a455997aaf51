"""Time and peak memory of the steps of the recipe taxdistill by numbers of contigs and species, with simulated tables.

    python benchmarks/scale.py                          # every point that is not in the table yet: many hours
    python benchmarks/scale.py --points 5000x20000x2000000 --steps "label tree" training
    python benchmarks/scale.py --short                  # small points, and whether growth is linear: minutes

A point is SPECIES x CONTIGS x HITS. Its tables are simulated: index, abundances, labels, hits, taxonomy, embeddings
and soft labels, in the workflow's formats, and contigs of 200 bases, so that all commands have sequences. Each step
runs in a new process with two threads. The operating system gives its CPU time and its peak resident memory; a process
that exceeds ``--most-gb`` is stopped. Rows are appended to resources/results/scale.tsv as they are measured; existing
rows are not measured again without ``--again``.

Not included: MMseqs2, whose memory depends on its database, and the forward pass of the teacher.
"""

import argparse
import csv
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "resources" / "results" / "scale.tsv"
COLUMNS = ("species", "contigs", "hits", "step", "seconds", "cpu_seconds", "peak_gb", "commit", "date")
# (species, contigs, hits): the axis of contigs, the axis of species, and an assembly with a present-day reference.
CONTIG_AXIS = [(5000, 20_000, 2_000_000), (5000, 100_000, 10_000_000), (5000, 500_000, 50_000_000),
               (5000, 1_000_000, 100_000_000)]  # fmt: skip
SPECIES_AXIS = [(1000, 20_000, 2_000_000), (5000, 20_000, 2_000_000), (30_000, 20_000, 2_000_000),
                (150_000, 20_000, 2_000_000)]  # fmt: skip
LARGE_ASSEMBLY = (30_000, 500_000, 100_000_000)
POINTS = [*dict.fromkeys([*SPECIES_AXIS[:2], CONTIG_AXIS[1], *SPECIES_AXIS[2:], CONTIG_AXIS[2]]), LARGE_ASSEMBLY,
          CONTIG_AXIS[3]]  # fmt: skip
SHORT_CONTIG_AXIS = [(400, 1000, 50_000), (400, 4000, 200_000), (400, 16_000, 800_000)]
SHORT_SPECIES_AXIS = [(100, 4000, 200_000), (400, 4000, 200_000), (1600, 4000, 200_000)]
SAMPLES, BASES, HITS_OF_GENE, RELATIVES, CHILDREN, SEED = 8, 200, 10, 10, 4, 1
HIDDEN_SIZE, SHORT_HIDDEN_SIZE = 1536, 64  # size of the teacher's embeddings
BLOCK = 1 << 18  # rows that are simulated at once
# Limit for linear growth: the slope of the last part of an axis divided by that of the previous part.
STEEPER = 1.6
# Another limit: the exponent of a power law through all points of an axis.
MOST_EXPONENT = 1.1
MOST_HOURS, LARGE = 2, 500_000  # longest training, and largest number of contigs for this limit
# Differences below these values, or below a tenth of the cost, are noise: seconds of CPU time and GB.
NOISE = {"cpu_seconds": 2.0, "peak_gb": 0.05}
NOISY_SHARE = 0.1
ONE_EPOCH = "training of one epoch"  # for points at which all epochs would take hours
# Steps that take long are measured at these points only: a whole training at small points, and where its time is
# limited; a training without a teacher (which has no embeddings) at the three smallest points; soft labels, whose heads
# have the same number of steps at every point, at three points of the axis of contigs.
MEASURED_AT = {
    "training": [*SPECIES_AXIS[:2], LARGE_ASSEMBLY],
    "training from labels": [SPECIES_AXIS[0], *CONTIG_AXIS[:2]],
    "soft labels": [*SPECIES_AXIS, CONTIG_AXIS[1], CONTIG_AXIS[3], LARGE_ASSEMBLY],
}


def lineage(species: int) -> list[str]:
    """Seven names: four species per genus, four genera per family, and so on."""
    return [
        "Bacteria",
        *(f"{rank}{species // CHILDREN**level}" for rank, level in zip("PCOFGS", range(5, -1, -1), strict=True)),
    ]


def simulate(folder: Path, species: int, contigs: int, hits: int, size: int) -> None:
    """Write the inputs of all steps, including embeddings of ``size`` numbers, except for `simulate_soft_labels`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from genestill.core.lineage import RANKS
    from genestill.core.table_schemas import INDEX, LABELS, embeddings

    random = np.random.default_rng(SEED)
    ids = pa.array([f"k141_{row}" for row in range(contigs)])
    true = random.integers(0, species, contigs)
    lengths = np.maximum(1000, random.lognormal(8.2, 0.9, contigs)).astype(np.int64)
    bases = np.frombuffer(b"ACGT", np.uint8)
    with open(folder / "contigs.fna", "wb") as out:
        for start in range(0, contigs, 10_000):
            rows = range(start, min(start + 10_000, contigs))
            drawn = bases[random.integers(0, 4, (len(rows), BASES), np.uint8)]
            out.write(b"".join(b">k141_%d\n%b\n" % (row, drawn[row - start].tobytes()) for row in rows))
    index = {
        "id": ids, "length": lengths, "gc": np.full(contigs, 0.5, np.float32),
        "sample": pa.nulls(contigs, pa.string()), "checksum": pa.array(["0" * 16] * contigs),
    }  # fmt: skip
    pq.write_table(pa.table(index, schema=INDEX), folder / "index.parquet")
    depths = random.gamma(1.0, 5.0, (species, SAMPLES)).astype(np.float32)
    measured = depths[true] * random.lognormal(0, 0.2, (contigs, SAMPLES)).astype(np.float32)
    samples = {f"sample{number}": measured[:, number] for number in range(SAMPLES)}
    pq.write_table(pa.table({"id": ids, **samples}), folder / "abundance.parquet")

    taxid_of = {tuple(lineage(number)): 10 + number for number in range(species)}
    for number in range(species):
        names = lineage(number)
        for depth in range(1, len(names)):
            taxid_of.setdefault(tuple(names[:depth]), 10 + len(taxid_of))
    (folder / "taxonomy").mkdir()
    with open(folder / "taxonomy" / "lineages.tsv", "w", encoding="utf-8") as out:
        out.write("taxid\tlineage\n")
        for names, taxid in taxid_of.items():
            text = ";".join(f"{letter}__{name}" for letter, name in zip("dpcofgs", names, strict=False))
            out.write(f"{taxid}\t{text}\n")

    # 10 % of the labels are wrong, 10 % are missing, the others end between phylum and species.
    labelled = np.where(random.random(contigs) < 0.1, random.integers(0, species, contigs), true)
    ranks = random.choice([0, 2, 4, 5, 6, 7], contigs, p=[0.1, 0.02, 0.03, 0.05, 0.2, 0.6])
    columns: dict[str, list] = {rank: [] for rank in RANKS}
    taxids = []
    for number, depth in zip(labelled.tolist(), ranks.tolist(), strict=True):
        names = tuple(lineage(number)[:depth])
        for place, rank in enumerate(RANKS):
            columns[rank].append(names[place] if place < depth else None)
        taxids.append(taxid_of.get(names))
    labels = {"id": ids, **columns, "taxid": taxids, "support": np.ones(contigs, np.float32)}
    pq.write_table(pa.table(labels, schema=LABELS), folder / "labels.parquet")
    del columns, labels, taxids
    simulate_hits(folder, true, species, hits)

    centres = random.normal(size=(min(species, 4096), size)).astype(np.float16)
    with pq.ParquetWriter(folder / "shard.parquet", embeddings(size)) as writer:
        for start in range(0, contigs, 4096):
            kinds = true[start : start + 4096] % len(centres)
            values = centres[kinds] + random.standard_normal((len(kinds), size), np.float32)
            column = pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float16).ravel()), size)
            rest = [pa.array([1000] * len(kinds), pa.int32()), pa.array([False] * len(kinds))]
            part = pa.table([ids[start : start + 4096], column, *rest], schema=embeddings(size))
            writer.write_table(part)
    (folder / "simulated").touch()


def simulate_hits(folder: Path, true, species: int, hits: int) -> None:
    """Write alignments in the format of MMseqs2 (hits.tsv, fragments in no order) and the table that is made from it.

    The number of genes of a contig corresponds to its share of ``hits``; each gene has hits to the best `HITS_OF_GENE`
    proteins among those of its species and of the `RELATIVES` nearest species.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    from genestill.labels.hits import HITS_WITH_PLACES

    random = np.random.default_rng(SEED + 1)
    genes = max(1, hits // (len(true) * HITS_OF_GENE))
    contigs_at_once = max(1, BLOCK // (genes * HITS_OF_GENE))
    plain = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    starts = random.permutation(np.arange(0, len(true), contigs_at_once))
    text_schema = pa.schema([("taxid", pa.int64()), ("fident", pa.float32()), ("bits", pa.int32()),
                             ("alnlen", pa.int32()), ("qlen", pa.int32()), ("contig", pa.int64()),
                             ("place", pa.string())])  # fmt: skip
    with csv.CSVWriter(folder / "hits.tsv", text_schema, write_options=plain) as text:
        for start in starts.tolist():
            part = _hits_of(true, start, contigs_at_once, genes, species, random)
            first, span = part["start"], part["stop"] - 1 - part["start"]
            place = [f"{one}+{two}" for one, two in zip(first[::HITS_OF_GENE], span[::HITS_OF_GENE], strict=True)]
            columns = [part["taxid"], part["identity"], part["bits"].astype(np.int32), part["aligned"],
                       part["length"], part["contig"], pa.array(place).take(pa.array(part["gene"]))]  # fmt: skip
            text.write_table(pa.table(columns, schema=text_schema))
    with pq.ParquetWriter(folder / "hits.parquet", HITS_WITH_PLACES, compression="zstd") as writer:
        for start in range(0, len(true), contigs_at_once):
            part = _hits_of(true, start, contigs_at_once, genes, species, random)
            names = pa.array([f"k141_{row}" for row in range(start, min(start + contigs_at_once, len(true)))])
            columns = [names.take(pa.array(part["contig"] - start)), part["fragment"], part["length"], part["taxid"],
                       part["identity"], part["bits"], part["aligned"], part["start"], part["stop"],
                       np.ones(len(part["gene"]), np.int8)]  # fmt: skip
            writer.write_table(pa.table(columns, schema=HITS_WITH_PLACES))


def _hits_of(true, start: int, contigs: int, genes: int, species: int, random) -> dict:
    """Columns of the hits of some contigs, sorted by contig, gene and descending bits."""
    import numpy as np

    kinds = true[start : start + contigs]
    gene = np.arange(len(kinds) * genes)
    place = np.repeat(gene % genes, HITS_OF_GENE)
    relative = np.sort(random.integers(0, RELATIVES + 1, (len(gene), HITS_OF_GENE)), axis=1)
    relative[:, 0] = 0
    target = np.repeat(np.repeat(kinds, genes), HITS_OF_GENE) + relative.ravel() * random.choice([-1, 1], relative.size)
    identity = np.clip(random.normal(0.985, 0.01, len(gene))[:, None] - 0.02 * relative, 0.2, 1)
    return {
        "contig": np.repeat(np.repeat(np.arange(start, start + len(kinds)), genes), HITS_OF_GENE),
        "gene": np.repeat(gene, HITS_OF_GENE),
        "fragment": place.astype(np.int32),
        "length": np.full(relative.size, 300, np.int32),
        "taxid": 10 + target % species,
        "identity": identity.ravel().astype(np.float32),
        "bits": np.round(600 * identity.ravel()).astype(np.float32),
        "aligned": np.full(relative.size, 290, np.int32),
        "start": (920 * place).astype(np.int32),
        "stop": (920 * place + 900).astype(np.int32),
    }


def simulate_soft_labels(folder: Path) -> None:
    """Write soft labels over the label tree: the labelled leaf of each contig and its neighbours."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from genestill.core.label_tree import LabelTree
    from genestill.core.soft_labels import KEPT
    from genestill.core.table_schemas import INDEX, SOFT_LABELS
    from genestill.core.tables import read_arrow

    tree = LabelTree.load(folder / "tree.tsv")
    ids = read_arrow(folder / "index.parquet", INDEX, ["id"])["id"].combine_chunks()
    random = np.random.default_rng(SEED + 2)
    kept = min(KEPT, len(tree.leaves))
    shares = np.sort(random.dirichlet(np.full(kept, 0.3)).astype(np.float32))[::-1]
    with pq.ParquetWriter(folder / "soft_labels.parquet", SOFT_LABELS, compression="zstd") as writer:
        for start in range(0, len(ids), BLOCK):
            part = ids[start : start + BLOCK]
            first = random.integers(0, len(tree.leaves), (len(part), 1))
            leaves = tree.leaves[(first + np.arange(kept)) % len(tree.leaves)]
            offsets = pa.array(np.arange(len(part) + 1, dtype=np.int32) * kept)
            nodes = pa.ListArray.from_arrays(offsets, pa.array(leaves.ravel(), pa.int32()))
            values = pa.ListArray.from_arrays(offsets, pa.array(np.tile(shares, len(part))))
            writer.write_table(pa.table([part, nodes, values], schema=SOFT_LABELS))


def simulate_student(folder: Path) -> None:
    """Write an untrained student over the label tree: the cost of predictions does not depend on the training."""
    import torch

    from genestill.core.label_tree import LabelTree
    from genestill.student.corrector.network import Corrector, CorrectorConfig

    torch.manual_seed(SEED)
    tree, samples = LabelTree.load(folder / "tree.tsv"), [f"sample{number}" for number in range(SAMPLES)]
    groups = {"composition": 103, "abundance": len(samples) + 1}
    Corrector(CorrectorConfig(groups, len(tree.leaves), samples=samples), tree).save_pretrained(folder / "untrained")


def commands(folder: Path) -> dict[str, list]:
    """The command of every step, as in its rule; "evidence", "neighbours" and "hits" are parts of commands."""
    both = ["--contigs", folder / "contigs.fna", "--index", folder / "index.parquet"]
    depths, taxonomy = ["--abundance", folder / "abundance.parquet"], ["--taxonomy", folder / "taxonomy"]
    labels, tree = ["--labels", folder / "labels.parquet"], ["--tree", folder / "tree.tsv"]
    hits, shards = folder / "hits.parquet", ["--embeddings", folder / "shard.parquet"]
    evidence = ["--agreeing-hits", hits]
    genestill = [sys.executable, "-m", "genestill"]
    part = [sys.executable, __file__, "--folder", folder, "--part"]
    training = [*genestill, "student", "train-corrector", *both, *depths, *labels, *evidence, *tree, *taxonomy,
                "--soft-labels", folder / "soft_labels.parquet", *shards, "--output-model", folder / "student",
                "--output-probabilities", folder / "probabilities.parquet", "--output-embeddings",
                folder / "representations.parquet"]  # fmt: skip
    return {
        "hits": [*part, "hits"],
        "label tree": [*genestill, "labels", "tree", *taxonomy, *labels, "--hits", hits, "--other-children", "--output",
                       tree[1]],
        "soft labels": [*genestill, "teacher", "soft-labels", *shards, *labels, *tree, "--device", "cpu", "--output",
                        folder / "softened.parquet"],
        "evidence": [*part, "evidence"],
        "neighbours": [*part, "neighbours"],
        "training": training,
        ONE_EPOCH: [*training, "--epochs", "1"],
        "training from labels": [*genestill, "student", "train-corrector", *both, *depths, *labels, *tree, *taxonomy,
                                 "--output-model", folder / "other", "--output-probabilities",
                                 folder / "other.parquet"],
        "prediction": [*genestill, "student", "predict", "--model", folder / "untrained", *both, *depths, "--output",
                       folder / "alone.parquet"],
        "prediction with hits": [*genestill, "student", "predict", "--model", folder / "untrained", *both, *depths,
                                 *evidence, *taxonomy, "--output", folder / "searched.parquet"],
    }  # fmt: skip


def run_part(folder: Path, part: str, size: int) -> None:
    """Run a part of a command that is measured separately."""
    if part == "simulation":
        return simulate(folder, *_point(folder.name), size)
    if part == "soft labels":
        return simulate_soft_labels(folder)
    if part == "student":
        return simulate_student(folder)
    from genestill.core.memory import give_back_large_arrays

    give_back_large_arrays()
    import numpy as np
    import pandas as pd

    from genestill.core.files import scratch_folder
    from genestill.core.table_schemas import INDEX
    from genestill.core.tables import read_table

    ids = read_table(folder / "index.parquet", INDEX, ["id"])["id"].tolist()
    if part == "hits":
        from genestill.labels.hits import write_hits

        with scratch_folder(folder, "parts") as parts:
            write_hits(folder / "hits.tsv", np.arange(len(ids)), ids, folder / "assembled.parquet", {}, parts)
    elif part == "evidence":
        from genestill.core.hit_tables import read_hits
        from genestill.core.label_tree import LabelTree
        from genestill.core.taxonomy_folder import read_lineages
        from genestill.student.corrector.evidence.hits import sum_hits

        tree = LabelTree.load(folder / "tree.tsv")
        sum_hits(read_hits(folder / "hits.parquet", ids), ids, read_lineages(folder / "taxonomy"), tree, with_best=True)
    else:
        from genestill.core.shards import Embeddings
        from genestill.student.corrector.features import read_contigs
        from genestill.student.corrector.neighbours import (
            find_neighbours,
            principal_components,
            profile_abundance,
            reduce_composition,
        )

        contigs = read_contigs(folder / "contigs.fna", folder / "index.parquet", folder / "abundance.parquet")
        spaces = [reduce_composition(contigs.composition), profile_abundance(contigs.abundance)]
        spaces.append(principal_components(Embeddings([folder / "shard.parquet"], ids)))
        named = pd.read_parquet(folder / "labels.parquet", columns=["species"])["species"]
        species, confident = pd.factorize(named)[0], named.notna().to_numpy()
        find_neighbours(spaces, contigs.lengths, species, confident, np.random.default_rng(SEED))


def measure(command: list, threads: int, most_gb: float) -> tuple[float, float, float, str]:
    """Wall and CPU seconds and peak resident memory (GB) of a process, and "" or its error."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen([str(word) for word in command], stdout=said, stderr=said, env=environment)
        ended = threading.Event()
        stopped: list[str] = []

        def watch() -> None:
            while not ended.wait(0.2):
                if _resident_gb(process.pid) > most_gb:
                    stopped.append(f"stopped at {most_gb} GB")
                    process.kill()
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        ended.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        reason = "".join(stopped)
        if process.returncode and not reason:
            reason = f"ended with {process.returncode}: {said.read().decode(errors='replace').strip()[-500:]}"
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024**2, reason


def _resident_gb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**3


def read_rows(path: Path) -> dict[tuple, dict]:
    """The rows of a table with the columns `COLUMNS`, by point and step."""
    if not path.exists():
        return {}
    with open(path, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return {(int(row["species"]), int(row["contigs"]), int(row["hits"]), row["step"]): row for row in rows}


def write_rows(path: Path, rows: dict[tuple, dict]) -> None:
    """Write the table, sorted by point and in the order of the steps."""
    steps = list(commands(Path()))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.aside")
    with open(aside, "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows, key=lambda key: (*key[:3], steps.index(key[3]))))
    aside.replace(path)


def growth(rows: dict[tuple, dict], axis: list[tuple], place: int) -> list[str]:
    """Steps and quantities that grow faster than linearly along an axis, as sentences; empty if there are none.

    The slope between the last two points of the ``axis`` in ``rows`` is compared with the previous slope, and the costs
    with the sizes, because the constant cost of a process (libraries, one batch) may hide the first slope. ``place`` is
    0 for species and 1 for contigs.
    """
    found = []
    for step in commands(Path()):
        points = [point for point in axis if (*point, step) in rows]
        for quantity, least in NOISE.items():
            for first, second, third in zip(points, points[1:], points[2:], strict=False):
                costs = [float(rows[*point, step][quantity]) for point in (first, second, third)]
                noise = max(least, NOISY_SHARE * costs[1])
                before = max(costs[1] - costs[0], noise) / (second[place] - first[place])
                after = max(costs[2] - costs[1] - noise, 0) / (third[place] - second[place])
                larger = third[place] / second[place]
                if after > STEEPER * before and costs[2] - noise > larger * costs[1]:
                    axis_name = ("species", "contigs")[place]
                    found.append(
                        f"{step}: {quantity} grows {after / before:.1f} times as steeply from {second[place]} to "
                        f"{third[place]} {axis_name} as from {first[place]} to {second[place]}"
                    )
    return found


def exponents(rows: dict[tuple, dict], axis: list[tuple], place: int) -> list[tuple[str, str, float]]:
    """Step, quantity, and exponent of the power law through the points of ``axis`` in ``rows``; see `growth`.

    Fitted by least squares of logarithms; steps with fewer than two points are left out.
    """
    found = []
    for step in commands(Path()):
        points = [point for point in axis if (*point, step) in rows]
        for quantity, noise in NOISE.items():
            if len(points) > 1:
                size = [math.log(point[place]) for point in points]
                cost = [math.log(max(float(rows[*point, step][quantity]), noise)) for point in points]
                found.append((step, quantity, statistics.linear_regression(size, cost).slope))
    return found


def whole_training(rows: dict[tuple, dict]) -> dict[tuple, float]:
    """CPU seconds of all epochs at the points where only `ONE_EPOCH` was measured.

    An epoch is assumed to have the same cost per contig as at a point with the same number of species at which both
    were measured: the same steps, each with the same numbers of contigs and leaves.
    """

    def cost(point: tuple, step: str) -> float:
        return float(rows[*point, step]["cpu_seconds"])

    one = [key[:3] for key in rows if key[3] == ONE_EPOCH]
    both = [point for point in one if (*point, "training") in rows]
    found = {}
    for point in one:
        like = [other for other in both if other[0] == point[0]]
        if point not in both and like:
            largest = max(like, key=lambda other: other[1])
            further = (cost(largest, "training") - cost(largest, ONE_EPOCH)) / largest[1]
            found[point] = cost(point, ONE_EPOCH) + further * point[1]
    return found


def judge(rows: dict[tuple, dict], axes: list[tuple[list[tuple], int]]) -> list[str]:
    """Print the exponents and the estimated full trainings; return what grows too fast or takes too long."""
    wrong = []
    for axis, place in axes:
        name = ("species", "contigs")[place]
        for step, quantity, exponent in exponents(rows, axis, place):
            print(f"{step}: {quantity} grows as {name} to the power of {exponent:.2f}")
            if exponent > MOST_EXPONENT:
                wrong.append(f"{step}: {quantity} grows as {name} to the power of {exponent:.2f}")
        wrong += growth(rows, axis, place)
    hours = {key[:3]: float(row["cpu_seconds"]) / 3600 for key, row in rows.items() if key[3] == "training"}
    for point, seconds in whole_training(rows).items():
        hours[point] = seconds / 3600
        print(f"{_name(point)}: training takes {hours[point]:.2f} CPU hours, going by its first epoch and by the other "
              f"epochs of the point of {point[0]} species that was trained to the end")  # fmt: skip
    long = {point: h for point, h in hours.items() if h > MOST_HOURS and point[1] <= LARGE}
    return wrong + [f"{_name(point)}: training takes {h:.1f} CPU hours" for point, h in long.items()]


def measure_point(point: tuple[int, int, int], options: argparse.Namespace) -> list[str]:
    """Measure the steps of a point that are not in the table; return errors as sentences."""
    default = [step for step in commands(Path()) if point in MEASURED_AT.get(step, [point]) or point not in POINTS]
    steps = options.steps or default
    standing = {} if options.again else read_rows(options.output)
    missing = [step for step in steps if (*point, step) not in standing]
    if not missing:
        return []
    folder = options.folder / _name(point)
    itself = [sys.executable, __file__, "--hidden-size", options.hidden_size, "--folder", folder, "--part"]
    if not (folder / "simulated").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"{folder.name}: tables are simulated", flush=True)
        *_, reason = measure([*itself, "simulation"], options.threads, options.most_gb)
        if reason:
            return [f"{folder.name}: simulation: {reason}"]
    failed = []
    for step, command in commands(folder).items():
        # All later steps read the label tree.
        if step not in missing and not (step == "label tree" and not (folder / "tree.tsv").exists()):
            continue
        for part, output, readers in (
            ("soft labels", "soft_labels.parquet", "training"),
            ("student", "untrained", "prediction"),
        ):
            if step.startswith(readers) and not (folder / output).exists():
                *_, reason = measure([*itself, part], options.threads, options.most_gb)
                if reason:
                    failed.append(f"{folder.name}: simulated {part}: {reason}")
        seconds, cpu_seconds, peak_gb, reason = measure(command, options.threads, options.most_gb)
        print(f"{folder.name:>24} {step:<22} {seconds:>9.1f} s {cpu_seconds:>9.1f} s CPU {peak_gb:>6.2f} GB {reason}",
              flush=True)  # fmt: skip
        if reason:
            failed.append(f"{folder.name}: {step}: {reason}")
            continue
        if step in missing:
            values = [*point, step, f"{seconds:.1f}", f"{cpu_seconds:.1f}", f"{peak_gb:.2f}", _commit(),
                      datetime.now(UTC).date().isoformat()]  # fmt: skip
            rows = read_rows(options.output)  # another process may have written since
            rows[*point, step] = dict(zip(COLUMNS, map(str, values), strict=True))
            write_rows(options.output, rows)
    if not options.keep:
        shutil.rmtree(folder)
    return failed


def _commit() -> str:
    found = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip()


def _name(point: tuple[int, int, int]) -> str:
    return "x".join(map(str, point))


def _point(text: str) -> tuple[int, int, int]:
    species, contigs, hits = (int(word.replace("_", "").replace(",", "")) for word in text.split("x"))
    return species, contigs, hits


def main() -> int:
    """Measure, and print errors and steps that grow too fast; returns 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", nargs="+", type=_point, metavar="SPECIESxCONTIGSxHITS", help="default: all")
    parser.add_argument("--steps", nargs="+", choices=list(commands(Path())), metavar="STEP",
                        help="default: all; those of MEASURED_AT only at its points")  # fmt: skip
    parser.add_argument("--short", action="store_true", help="small points only, and no table of results is touched")
    parser.add_argument("--again", action="store_true", help="measure rows that stand, and replace them")
    parser.add_argument("--keep", action="store_true", help="leave the simulated tables for the next steps")
    parser.add_argument("--folder", type=Path, help="where tables are simulated (default: a temporary folder)")
    parser.add_argument("--output", type=Path, help="the table (default: resources/results/scale.tsv)")
    parser.add_argument("--threads", type=int, default=2, help="of a step (default: %(default)s)")
    parser.add_argument("--most-gb", type=float, default=16, help="a step that needs more is stopped (default: 16)")
    parser.add_argument(
        "--hidden-size", type=int, help=f"of the teacher (default: {HIDDEN_SIZE}, {SHORT_HIDDEN_SIZE} with --short)"
    )
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.hidden_size = options.hidden_size or (SHORT_HIDDEN_SIZE if options.short else HIDDEN_SIZE)
    if options.part:
        run_part(options.folder, options.part, options.hidden_size)
        return 0
    axes = [(CONTIG_AXIS, 1), (SPECIES_AXIS, 0)]
    points = options.points or POINTS
    with tempfile.TemporaryDirectory(prefix="scale.") as scratch:
        options.folder = options.folder or Path(scratch)
        if options.short:
            axes = [(SHORT_CONTIG_AXIS, 1), (SHORT_SPECIES_AXIS, 0)]
            points = options.points or list(dict.fromkeys([*SHORT_CONTIG_AXIS, *SHORT_SPECIES_AXIS]))
            options.output = options.output or Path(scratch) / "scale.tsv"
        options.output = options.output or TABLE
        wrong = [sentence for point in points for sentence in measure_point(point, options)]
        rows = read_rows(options.output)
        wrong += judge(rows, axes)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
