"""Peak memory and CPU time of every stage of the taxonomy recipes by the number of contigs.

    python benchmarks/memory.py --folder FOLDER [--contigs 10000 100000] [--length 2000] [--only contigs import …]

and after these runs, one of their students on more contigs than can be used for training in an hour:

    python benchmarks/memory.py --folder FOLDER --contigs 1000000 --student FOLDER/100000/student \
        --only contigs taxonomy import tree predict export evaluate figures

Contigs, labels, hits, abundances, ground truth and shards of embeddings are simulated, so that the stages can be run
with any size without hours of search and embedding; then each stage runs with the command of its rule in a new process,
and the operating system gives its peak resident memory. Disk: about (LENGTH + 2 x HIDDEN SIZE) bytes per contig.
Not included: MMseqs2, whose memory depends on the database, and the forward pass of a teacher over all contigs; it is
represented by one shard of 500 contigs, because the size of shards does not depend on their number.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

SPECIES, SAMPLES, HITS_OF_CONTIG, SHARD, SEED = 500, 4, 6, 2000, 1


def lineage(species: int) -> list[str]:
    """Seven names: two species per genus, two genera per family, and so on."""
    return [
        "Bacteria",
        *(f"{rank}{species // 2**level}" for rank, level in zip("PCOFGS", range(5, -1, -1), strict=True)),
    ]


def text(names: list[str]) -> str:
    """``d__…;p__…``, with as many ranks as there are names."""
    return ";".join(f"{letter}__{name}" for letter, name in zip("dpcofgs", names, strict=False))


def make_inputs(folder: Path, contigs: int, length: int, size: int) -> None:
    """Write the input files of a run, and the shards of embeddings of a teacher."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from genestill.core.table_schemas import embeddings

    random = np.random.default_rng(SEED)
    species = random.integers(0, SPECIES, contigs)
    # A base is looked up by a random byte, in a table with different shares for each species.
    shares = random.dirichlet(np.full(4, 20), SPECIES)
    bases = np.stack([np.frombuffer(b"ACGT", np.uint8)[np.searchsorted(np.cumsum(row)[:3], np.arange(256) / 256)]
                      for row in shares])  # fmt: skip
    with open(folder / "contigs.fna", "wb") as out:
        for row, kind in enumerate(species):
            out.write(b">c%d\n" % row + bases[kind][random.integers(0, 256, length, np.uint8)].tobytes() + b"\n")
    genomes = folder / "genomes"
    genomes.mkdir()
    with open(genomes / "genomes.tsv", "w") as out:
        out.write("file\tlineage\n")
        for kind in range(SPECIES):
            genome = bases[kind][random.integers(0, 256, 10_000, np.uint8)].tobytes().decode()
            (genomes / f"g{kind}.fna").write_text(f">g{kind}\n{genome}\n")
            out.write(f"g{kind}.fna\t{text(lineage(kind))}\n")
    depth = random.gamma(1.0, 5.0, (SPECIES, SAMPLES))
    # 10 % of the labels are wrong, 10 % are missing, the others end at genus or at species.
    labelled = np.where(random.random(contigs) < 0.1, random.integers(0, SPECIES, contigs), species)
    ranks = random.choice([0, 6, 7], contigs, p=[0.1, 0.2, 0.7])
    with (
        open(folder / "abundance.tsv", "w") as abundance,
        open(folder / "labels.tsv", "w") as labels,
        open(folder / "truth.tsv", "w") as truth,
    ):
        abundance.write("contigname\t" + "\t".join(f"sample{number}" for number in range(SAMPLES)) + "\n")
        labels.write("contigs\tpredictions\n")
        truth.write("contig\tlineage\tgenome\tlength\tstatus\n")
        for row, kind in enumerate(species):
            abundance.write(f"c{row}\t" + "\t".join(f"{value:.3f}" for value in depth[kind]) + "\n")
            labels.write(f"c{row}\t{text(lineage(labelled[row])[: ranks[row]])}\n")
            truth.write(f"c{row}\t{text(lineage(kind))}\tg{kind}\t{length}\texact\n")
    centres = random.normal(size=(SPECIES, size)).astype(np.float32)
    (folder / "shards").mkdir()
    for shard, start in enumerate(range(0, contigs, 10 * SHARD)):
        with pq.ParquetWriter(folder / "shards" / f"{shard}.parquet", embeddings(size)) as writer:
            for first in range(start, min(start + 10 * SHARD, contigs), SHARD // 2):
                kinds = species[first : first + SHARD // 2]
                values = centres[kinds] + random.standard_normal((len(kinds), size), np.float32)
                column = pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float16).ravel()), size)
                ids = pa.array([f"c{row}" for row in range(first, first + len(kinds))])
                rest = [pa.array([length // 5] * len(kinds), pa.int32()), pa.array([False] * len(kinds))]
                writer.write_table(pa.table([ids, column, *rest], schema=embeddings(size)))


def make_hits(folder: Path, contigs: int) -> None:
    """Write hits as from a search: two genes per contig, each with hits to its species and two relatives."""
    import numpy as np
    import pandas as pd

    from genestill.core.table_schemas import HITS
    from genestill.core.tables import write_table
    from genestill.core.taxonomy_folder import read_lineages

    taxid_of = {found[-1]: taxid for taxid, found in read_lineages(folder / "taxonomy").items() if found[-1]}
    taxids = np.array([taxid_of[lineage(kind)[-1]] for kind in range(SPECIES)])
    random = np.random.default_rng(SEED)
    species = np.repeat(random.integers(0, SPECIES, contigs), HITS_OF_CONTIG)
    relative = np.tile(np.arange(HITS_OF_CONTIG) % 3, contigs)
    identity = np.clip(random.normal(0.98, 0.01, len(species)) - 0.1 * relative, 0, 1)
    table = pd.DataFrame(
        {
            "id": np.repeat([f"c{row}" for row in range(contigs)], HITS_OF_CONTIG),
            "fragment": np.tile(np.repeat(np.arange(2), 3), contigs).astype(np.int32),
            "fragment_length": np.int32(300),
            "target_taxid": taxids[(species + relative) % SPECIES],
            "identity": identity.astype(np.float32),
            "bits": (600 * identity).astype(np.float32),
            "alignment_length": np.int32(290),
        }
    )
    write_table(folder / "hits.parquet", table, HITS)


def stages(folder: Path, contigs: int, options: argparse.Namespace) -> dict[str, list]:
    """The command of every stage, as in the rules."""
    shards = [folder / "shards" / f"{number}.parquet" for number in range(-(-contigs // (10 * SHARD)))]
    both = ["--contigs", folder / "contigs.fna", "--index", folder / "index.parquet"]
    depths, taxonomy = ["--abundance", folder / "abundance.parquet"], ["--taxonomy", folder / "taxonomy"]
    labels, tree = ["--labels", folder / "labels.parquet"], ["--tree", folder / "tree.tsv"]
    student, epochs = options.student or folder / "student", options.epochs
    predictions = folder / ("alone.parquet" if options.student else "predictions.parquet")
    genomes = ["--genomes", folder / "genomes" / "genomes.tsv"]
    scored = ["--student", f"corrector={predictions}", "--truth", folder / "truth.parquet"]
    return {
        "contigs": ["reference", "contigs", *both[:2], "--abundance", folder / "abundance.tsv", "--labels",
                    folder / "labels.tsv", "--truth", folder / "truth.tsv", "--output-index", both[3],
                    "--output-abundance", depths[1], "--output-truth", folder / "truth.parquet"],
        "taxonomy": ["reference", "taxonomy", *genomes, "--output", folder / "taxonomy"],
        "import": ["labels", "import", "--labels", folder / "labels.tsv", *both[2:], *taxonomy, "--output-labels",
                   labels[1], "--output-tsv", folder / "labels_used.tsv", "--output-summary", folder / "labels.json"],
        "tree": ["labels", "tree", *taxonomy, *labels, "--hits", folder / "hits.parquet", "--other-children",
                 "--output", tree[1]],
        "pretrain": ["teacher", "pretrain", *genomes, "--steps", "20", "--device", "cpu", "-o", folder / "teacher"],
        "embed": ["teacher", "embed", "--model", folder / "teacher", *both, "--shard", "0", "--shards",
                  max(1, contigs // 500), "--device", "cpu", "-o", folder / "shard.parquet"],
        "soft labels": ["teacher", "soft-labels", "--embeddings", *shards, *labels, *tree, "--folds", "2", "--device",
                        "cpu", "--output", folder / "soft_labels.parquet"],
        "train": ["student", "train-corrector", *both, *depths, *labels, "--hits", folder / "hits.parquet", *tree,
                  *taxonomy, "--soft-labels", folder / "soft_labels.parquet", "--embeddings", *shards, "--epochs",
                  epochs, "--output-model", folder / "student", "--output-probabilities",
                  folder / "probabilities.parquet", "--output-embeddings", folder / "representations.parquet"],
        "accept": ["student", "accept", "--probabilities", folder / "probabilities.parquet", "--output",
                   folder / "predictions.parquet"],
        "train from labels": ["student", "train-corrector", *both, *depths, *labels, *tree, *taxonomy, "--epochs",
                              epochs, "--output-model", folder / "other", "--output-probabilities",
                              folder / "other.parquet"],
        "predict": ["student", "predict", "--model", student, *both, *depths, "--output",
                    folder / "alone.parquet"],
        "predict with hits": ["student", "predict", "--model", student, *both, *depths, "--hits",
                              folder / "hits.parquet", *taxonomy, "--output", folder / "searched.parquet"],
        "export": ["student", "export", "--predictions", predictions, *both[2:], *depths,
                   *taxonomy, "--name", "x", "--output", folder / "export"],
        "evaluate": ["evaluation", "taxonomy", *labels, *scored, "--dataset", "x", "--output",
                     folder / "metrics.parquet"],
        "figures": ["evaluation", "taxonomy-figures", "--metrics", folder / "metrics.parquet", *labels, *scored,
                    *both[2:], *depths, "--output", folder / "figures"],
        "run figures": ["evaluation", "run-figures", "--representations", *(f"teacher={shard}" for shard in shards),
                        f"student={folder / 'representations.parquet'}", "--costs", folder / "cost.tsv",
                        "--predictions", predictions, *scored[2:],
                        "--training", folder / "student" / "training.tsv", "--output", folder / "run"],
    }  # fmt: skip


def measure(command: list[str]) -> tuple[float, float, str]:
    """CPU seconds and peak resident memory (MB) of a process, and "" or its error."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ended = "" if process.returncode == 0 else f"ended with {process.returncode}: {said.strip()[-300:]}"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, ended


def main() -> None:
    """Simulate, run, and print one line per stage and size; the lines are also written to FOLDER/memory.tsv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where everything is written, and left")
    parser.add_argument("--contigs", type=int, nargs="+", default=[10_000, 100_000], help="default: %(default)s")
    parser.add_argument("--length", type=int, default=2000, help="of a contig, in bases (default: %(default)s)")
    parser.add_argument("--hidden-size", type=int, default=1536, help="of the teacher (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="memory does not depend on them (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="measure these; what they need must have run")
    parser.add_argument("--student", type=Path, help="what `predict` uses instead of what `train` has made")
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        return make_inputs(options.folder, options.make, options.length, options.hidden_size)
    # This process must stay small: in Linux, a child has the memory of its parent until its program starts.
    genestill, itself = [sys.executable, "-m", "genestill"], [sys.executable, __file__, "--folder"]
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"{'contigs':>9} {'stage':<18} {'MB':>7} {'CPU s':>8}")
    for contigs in options.contigs:
        folder = options.folder / str(contigs)
        if not (folder / "truth.tsv").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            settings = ["--length", options.length, "--hidden-size", options.hidden_size, "--make", contigs]
            subprocess.run([str(word) for word in [*itself, folder, *settings]], check=True)
        for stage, command in stages(folder, contigs, options).items():
            if stage == "tree" and not (folder / "hits.parquet").exists():
                make = f"import sys; from pathlib import Path; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
                make += f"from memory import make_hits; make_hits(Path({str(folder)!r}), {contigs})"
                subprocess.run([sys.executable, "-c", make], check=True)
            if stage == "run figures":
                (folder / "cost.tsv").write_text("s\tmax_rss\tcpu_time\n1\t1\t1\n")
            if stage in (options.only or [stage]):
                seconds, memory, ended = measure(genestill + command)
                print(f"{contigs:>9} {stage:<18} {memory:>7.0f} {seconds:>8.1f} {ended}", flush=True)
                with open(options.folder / "memory.tsv", "a") as out:
                    out.write("\t".join(map(str, (contigs, stage, round(memory), round(seconds, 1), ended))) + "\n")


if __name__ == "__main__":
    main()
