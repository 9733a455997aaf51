"""Labels of virtual references compared with those of real searches in databases without the withheld sequences.

    python benchmarks/virtual_labels.py --contigs contigs.fna.gz --database database/proteins --taxonomy taxonomy \
        --withheld withheld.tsv --community mine --references fitting-001 judging-001 judging-002 --every 5 \
        --folder compared --output metrics.parquet

Every fifth contig is searched in the whole database and in each of the smaller ones. Existing files in the folder are
kept. The output is a table of metrics for ``genestill evaluation publish``.
"""

import argparse
from pathlib import Path

from label_runs import once, take_contigs

from genestill.core.files import scratch_folder
from genestill.core.lineage import NO_LINEAGE
from genestill.core.programs import run_program
from genestill.core.table_schemas import INDEX, LABELS, METRICS, lineages_of, metrics_table
from genestill.core.tables import read_table, write_table
from genestill.core.taxonomy import read_taxonomy
from genestill.core.virtual_references import references_of
from genestill.labels.kept_search import keep_search, read_kept
from genestill.labels.search import classify, read_labels, write_queries
from genestill.labels.settings import SearchSettings
from genestill.labels.withholding import withhold


def search(contigs: Path, index: Path, database: Path, taxids: list[int], threads: int, output: Path) -> None:
    """Write labels.tsv of a real search in the database without some taxa."""
    with scratch_folder(output, "search") as folder:
        searched = database
        if taxids:
            kept = "&&".join(f"!{taxid}" for taxid in taxids)
            words = ["--taxon-list", kept, "--subdb-mode", 1, "-v", 1]
            run_program(["mmseqs", "filtertaxseqdb", database, "left", *words], folder)
            searched = folder.resolve() / "left"
        write_queries(contigs, read_table(index, INDEX)["id"], folder / "contigs.fna")
        classify(searched, SearchSettings(), threads, folder)
        (folder / "labels.tsv").rename(output / "labels.tsv")


def compare(options) -> list[dict]:
    """Search, withhold and count equal labels; returns rows of metrics."""
    folder, database, names = options.folder, options.database.resolve(), read_taxonomy(options.taxonomy)
    contigs, index = take_contigs(options.contigs, options.every, folder)
    ids = read_table(index, INDEX)["id"].tolist()

    def keep(made: Path) -> None:
        keep_search(contigs, index, database, options.taxonomy, SearchSettings(), options.threads, made / "search")

    def labels_of(name: str) -> list:
        return names.lineages_of(read_labels(folder / "real" / name / "labels.tsv", ids))

    def searched(name: str, taxids: list[int]) -> float:
        return once(
            folder / "real" / name, lambda made: search(contigs, index, database, taxids, options.threads, made)
        )

    cost = {"search": searched("whole", []), "kept search": once(folder / "kept", keep)}
    whole, kept = labels_of("whole"), read_kept(folder / "kept" / "search")
    equal = changed = equal_changed = number = 0
    seconds = []
    for name in options.references:
        reference = references_of(options.withheld, options.community, name)[0]
        taxids = [names.taxid_of(clade + NO_LINEAGE[len(clade) :]) for clade in reference.clades]
        searched(name, taxids)

        def make(made: Path, clades=reference.clades) -> None:
            withhold(kept, index, database, options.taxonomy, clades, options.threads, made)

        seconds.append(once(folder / "virtual" / name, make))
        virtual = lineages_of(read_table(folder / "virtual" / name / "labels.parquet", LABELS))
        for mine, real, before in zip(virtual, labels_of(name), whole, strict=True):
            number += 1
            equal += mine == real
            changed += real != before
            equal_changed += mine == real != before
        print(f"{name}: {equal} of {number} labels are equal so far, {equal_changed} of {changed} changed ones")
    cost["virtual reference"] = sum(seconds) / len(seconds)
    same = {"task": "labels", "stratum": "all", "model": "virtual reference", "kind": "baseline"}
    rows = [
        same | {"metric": "equal", "value": equal / number, "n_units": number},
        same | {"metric": "equal_changed", "value": equal_changed / changed, "n_units": changed},
    ]
    return rows + [
        same | {"model": name, "metric": "cpu_seconds", "value": value, "n_units": len(ids)}
        for name, value in cost.items()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("contigs", "database", "taxonomy", "withheld", "folder", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--community", required=True)
    parser.add_argument("--references", nargs="+", required=True)
    parser.add_argument("--every", type=int, default=1, help="take every Nth contig")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    table = metrics_table(compare(given), benchmark="virtual labels", dataset=given.community, n_trainings=0)
    print(table[["model", "metric", "value", "n_units"]].to_string(index=False))
    write_table(given.output, table, METRICS)
