"""Labels of an updated search compared with those of a full search in the new release: equal labels, and costs.

    python benchmarks/label_update.py --contigs contigs.fna.gz --genomes reference.tsv --proteins proteins \
        --added 2 --withdrawn 1 --every 5 --seed 1 --dataset mine --folder compared --output metrics.parquet

Random genomes (by the seed) are withheld from the former release and added in the new one, others are withdrawn. Every
fifth contig is searched. Existing files in the folder are kept. The output is a table of metrics for ``genestill
evaluation publish``.
"""

import argparse
import random
from pathlib import Path

from label_runs import once, take_contigs

from genestill.core.table_schemas import LABELS, METRICS, lineages_of, metrics_table
from genestill.core.tables import read_table, write_table
from genestill.labels.hits import HITS_WITH_PLACES
from genestill.labels.kept_search import keep_search, read_kept
from genestill.labels.search import search_contigs
from genestill.labels.settings import SearchSettings
from genestill.labels.updating import update_labels
from genestill.labels.withholding import withhold
from genestill.reference.database import make_database
from genestill.reference.genomes import read_genomes
from genestill.reference.taxonomy import make_taxonomy


def compare(options) -> list[dict]:
    """Search, update and count equal labels; returns rows of metrics."""
    folder = options.folder.resolve()
    threads = options.threads
    contigs, index = take_contigs(options.contigs, options.every, folder)
    genomes = read_genomes(options.genomes, with_files=False)
    drawn = random.Random(options.seed).sample(range(len(genomes)), options.added + options.withdrawn)
    added, withdrawn = set(drawn[: options.added]), set(drawn[options.added :])
    print("added:", *(genomes[number].name for number in sorted(added)))
    print("withdrawn:", *(genomes[number].name for number in sorted(withdrawn)))

    def release(name: str, without: set[int]) -> Path:
        made = folder / name

        def make(aside: Path) -> None:
            kept = [genome for number, genome in enumerate(genomes) if number not in without]
            make_taxonomy(kept, None, aside / "taxonomy")
            make_database(options.proteins, aside / "taxonomy", aside / "database")

        once(made, make)
        return made

    former, new = release("former", added), release("new", withdrawn)

    def searched(release: Path):
        outputs = ("labels.parquet", "hits.parquet", "labels.tsv", "summary.json")
        database = release / "database" / "proteins"

        def make(aside: Path) -> None:
            files = [aside / name for name in outputs]
            where = contigs, index, database, release / "taxonomy", SearchSettings(), threads
            search_contigs(*where, *files)

        return make

    def keep(aside: Path) -> None:
        database = former / "database" / "proteins"
        keep_search(contigs, index, database, former / "taxonomy", SearchSettings(), threads, aside / "kept")
        # Withholding nothing gives the labels of the search.
        withhold(read_kept(aside / "kept"), index, database, former / "taxonomy", [], threads, aside)

    def update(aside: Path) -> None:
        database = new / "database" / "proteins"
        where = folder / "kept_search", index, database, new / "taxonomy", None, SearchSettings(), threads, aside
        print(update_labels(*where))

    once(folder / "kept_search", keep)
    cost = {"full search": once(folder / "full", searched(new)), "labels update": once(folder / "updated", update)}
    before, real, mine = (
        lineages_of(read_table(folder / name / "labels.parquet", LABELS)) for name in ("kept_search", "full", "updated")
    )
    same = sum(map(lambda one, two: one == two, mine, real))
    changed = [number for number in range(len(real)) if real[number] != before[number]]
    same_changed = sum(mine[number] == real[number] for number in changed)
    print(f"{same} of {len(real)} labels are equal, {same_changed} of {len(changed)} changed ones")
    hits = [read_table(folder / name / "hits.parquet", HITS_WITH_PLACES) for name in ("full", "updated")]
    compared = [name for name in HITS_WITH_PLACES.names if name != "fragment"]
    both = len(hits[0].merge(hits[1].drop_duplicates(compared), on=compared))
    print(f"{both} of {len(hits[0])} hits of the full search are in the update's {len(hits[1])}")
    rows = {
        "equal_hits": (both / len(hits[0]), len(hits[0])),
        "equal": (same / len(real), len(real)),
        "equal_changed": (same_changed / max(1, len(changed)), len(changed)),
    }
    common = {"task": "labels", "stratum": "all", "kind": "baseline"}
    return [
        common | {"model": "labels update", "metric": name, "value": value, "n_units": number}
        for name, (value, number) in rows.items()
    ] + [
        common | {"model": name, "metric": "cpu_seconds", "value": value, "n_units": len(real)}
        for name, value in cost.items()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("contigs", "genomes", "proteins", "folder", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--added", type=int, default=2, help="genomes that the new release adds")
    parser.add_argument("--withdrawn", type=int, default=1, help="genomes that it withdraws")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="take every Nth contig")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    table = metrics_table(compare(given), benchmark="label update", dataset=given.dataset, n_trainings=0)
    print(table[["model", "metric", "value", "n_units"]].to_string(index=False))
    write_table(given.output, table, METRICS)
