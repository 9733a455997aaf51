"""Task tables of sequence benchmarks, downloaded from their published addresses.

Those of the Nucleotide Transformer are tables of sequences; those of Genomic Benchmarks are coordinates, whose
sequences are cut out of genomes. Other tasks are listed file by file, with checksums.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import yaml

from genestill.core.errors import InputError
from genestill.core.files import make_folder
from genestill.core.logs import logger
from genestill.core.sequences import read_fasta, reverse_complement
from genestill.core.tables import read_tsv
from genestill.core.task_tables import write_task_table
from genestill.reference.download import fetch
from genestill.reference.sources import ROLES, Source, read_sources

COLUMNS = ("benchmark", "form", "url", "licence", "state")
COORDINATES = ("id", "region", "start", "end", "strand")
SPLITS = ("train", "validation", "test")


def fetch_task(
    task: str, sources: str | Path, files: str | Path, rows: str | Path, downloads: str | Path, output: str | Path
) -> None:
    """Write a published task as a table (TSV, columns sequence, label and split).

    Args:
        task: ``benchmark/task``.
        sources: the table of addresses of whole benchmarks. With the format ``parquet``, ``{task}`` and ``{split}`` in
            an address are replaced, and the file has the columns sequence and label; with the format ``coordinates``,
            it is the folder of a task of Genomic Benchmarks.
        files: table of files (`sources.read_sources`) of tasks that are listed separately: dataset and sample are
            benchmark and task, and the role is the split, or ``table`` for a file without splits. Files are CSV with
            the columns sequence and label, or class.
        rows: the rows and splits of files without splits: TSV with the columns task, row (from 1, without the header)
            and split, in the order of the result.
        downloads: folder for downloaded files; genomes are shared by the tasks.
        output: TSV, gzipped if it ends in ``.gz``.

    Raises:
        InputError: a task that is in neither table, a failed download, a file with another format, and
            coordinates outside of the records of the genome.
    """
    benchmark, _, name = task.partition("/")
    folder = Path(downloads) / task
    listed = [source for source in read_sources(files) if (source.dataset, source.sample) == (benchmark, name)]
    table = read_tsv(sources, COLUMNS).set_index("benchmark")
    if listed:
        parts = list(_read_files(sorted(listed, key=lambda one: ROLES.index(one.role)), task, rows, folder))
    elif benchmark not in table.index:
        raise InputError(
            f"{task}: no address. {sources} has the benchmarks {', '.join(table.index)}, and {files} has other tasks"
        )
    elif table.loc[benchmark, "form"] == "parquet":
        parts = [_read_parquet(table.loc[benchmark, "url"], name, split, folder) for split in ("train", "test")]
    else:
        address = table.loc[benchmark, "url"].format(task=name)
        parts = list(_read_coordinates(address, folder, Path(downloads) / "genomes"))
    whole = pd.concat(parts, ignore_index=True)
    logger.info("%s: %d rows", task, len(whole))
    write_task_table(output, whole)


def _require(columns: Sequence[str], table: pd.DataFrame, file: Path) -> None:
    if missing := set(columns) - set(table.columns):
        raise InputError(f"{file}: no column {', '.join(sorted(missing))}; found {', '.join(table.columns)}")


def _read_parquet(url: str, name: str, split: str, folder: Path) -> pd.DataFrame:
    file = folder / f"{split}.parquet"
    fetch(url.format(task=name, split=split), file)
    try:
        table = pd.read_parquet(file)
    except Exception as error:  # pyarrow raises several types of errors for other files
        raise InputError(f"{file}: not a complete Parquet file ({error})") from None
    _require(("sequence", "label"), table, file)
    return table[["sequence", "label"]].assign(split=split)


def _read_files(listed: list[Source], task: str, rows: str | Path, folder: Path) -> Iterator[pd.DataFrame]:
    for source in listed:
        file = folder / source.url.rsplit("/", 1)[-1]
        fetch(source.url, file, source.checksum, source.size)
        table = pd.read_csv(file, dtype=str, skipinitialspace=True, keep_default_na=False)
        table = table.rename(columns=lambda name: name.strip().lower()).rename(columns={"class": "label"})
        _require(("sequence", "label"), table, file)
        table = table[["sequence", "label"]].apply(lambda column: column.str.strip())
        yield table.assign(split=source.role) if source.role in SPLITS else _with_splits(table, task, rows, file)


def _with_splits(table: pd.DataFrame, task: str, rows: str | Path, file: Path) -> pd.DataFrame:
    chosen = read_tsv(rows, ("task", "row", "split"))
    chosen = chosen[chosen["task"] == task]
    numbers = chosen["row"].astype(int) - 1
    if chosen.empty or not numbers.between(0, len(table) - 1).all():
        raise InputError(
            f"{rows}: has {len(chosen)} rows of {task}; expected numbers from 1 to {len(table)}, as in {file}"
        )
    return table.iloc[numbers].assign(split=chosen["split"].to_numpy())


def _read_coordinates(address: str, folder: Path, genomes: Path) -> Iterator[pd.DataFrame]:
    """One table per split and class, for the classes in metadata.yaml."""
    fetch(f"{address}/metadata.yaml", folder / "metadata.yaml")
    described = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
    classes = described.get("classes") if isinstance(described, dict) else None
    if not classes or not all(isinstance(one, dict) and "url" in one for one in classes.values()):
        raise InputError(f"{folder / 'metadata.yaml'}: expected classes, each with the url of its genome")
    for label, one in classes.items():
        genome = genomes / one["url"].rsplit("/", 1)[-1]
        with _alone(genome):
            if not genome.is_file():
                # The files of Ensembl are available by both protocols.
                fetch(one["url"].replace("ftp://", "https://", 1), genome)
        for split in ("train", "test"):
            file = folder / f"{split}.{label}.csv.gz"
            fetch(f"{address}/{split}/{label}.csv.gz", file)
            rows = pd.read_csv(file, dtype={"region": str, "strand": str})
            _require(COORDINATES, rows, file)
            yield pd.DataFrame({"sequence": _cut(rows, genome, file), "label": label, "split": split})


def _cut(rows: pd.DataFrame, genome: Path, file: Path) -> list[str]:
    """Sequences of intervals (from 0, the end excluded); regions are records, with or without chr or version."""
    places = {region: group for region, group in rows.groupby("region", sort=False)}
    found: dict[int, str] = {}
    for name, sequence in read_fasta(genome, unique=False):
        for spelling in (name, f"chr{name}", name.split(".")[0]):
            group = places.pop(spelling, None)
            for row in group.itertuples() if group is not None else ():
                cut = sequence[row.start : row.end]
                found[row.Index] = reverse_complement(cut) if row.strand == "-" else cut
        if not places:
            break
    if places:
        raise InputError(f"{file}: the region {next(iter(places))!r} is not a record of {genome}")
    short = next((row for row in rows.itertuples() if len(found[row.Index]) != row.end - row.start), None)
    if short is not None:
        raise InputError(
            f"{file}: {short.region}:{short.start}-{short.end} is beyond the end of its record in {genome}"
        )
    return [found[index].upper() for index in rows.index]


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Allow one process at a time, because tasks of a benchmark are downloaded in parallel and share genomes."""
    make_folder(file.parent)
    with open(file.with_name(f".{file.name}.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
