"""Eukaryotic DNA for windows, downloaded from its published addresses: genomes, and regions of genomes."""

import re
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import make_folder
from genestill.core.logs import logger
from genestill.core.sequences import read_fasta, write_fasta
from genestill.core.tables import read_tsv, write_tsv
from genestill.reference.download import fetch
from genestill.reference.sources import Source, read_sources

_REGION = re.compile(r"(?P<chromosome>.+)_(?P<start>\d+)_(?P<end>\d+)")


def fetch_regions(sources: str | Path, genomes: str | Path, downloads: str | Path, output: str | Path) -> None:
    """Write the FASTA files of a table of genomes, and the table beside them.

    Args:
        sources: table of published files (`sources.read_sources`). The dataset is the name of the FASTA file without
            ``.fa.gz``. A file with the role ``genome`` is copied; files with the role ``regions`` are joined by
            `merge_regions`, with the part of their sample before ``/`` in front of the names.
        genomes: the table (TSV, column ``file``); only the names of the files are used.
        downloads: folder in which downloaded files are kept.
        output: the same table, with files in its own folder.

    Raises:
        InputError: a file that has no source, a failed download, other content than published.
    """
    table, output = read_tsv(genomes, ("file",)), Path(output)
    published = read_sources(sources)
    table["file"] = [Path(file).name for file in table["file"]]
    make_folder(output.parent)
    for name in table["file"]:
        files = [source for source in published if f"{source.dataset}.fa.gz" == name]
        if not files:
            raise InputError(f"{genomes}: {sources} has no address of {name}")
        records = _fetch_records(files, Path(downloads))
        write_fasta(output.parent / name, records.items())
        logger.info("%s: %d records", output.parent / name, len(records))
    write_tsv(output, table)


def _fetch_records(files: list[Source], downloads: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in files:
        path = downloads / source.dataset / source.sample / source.url.rsplit("/", 1)[-1]
        fetch(source.url, path, source.checksum, source.size)
        before = f"{source.sample.split('/')[0]}_" if source.role == "regions" else ""
        for name, sequence in read_fasta(path):
            name = before + name
            if found.setdefault(name, sequence) != sequence:
                raise InputError(f"{path}: the record {name} differs from that of another file of {source.dataset}")
    return merge_regions(found) if files[0].role == "regions" else found


def merge_regions(records: dict[str, str]) -> dict[str, str]:
    """Join overlapping regions of a genome, so that no position is contained twice.

    Args:
        records: name and sequence of each region; a name is ``<chromosome>_<start>_<end>``, counted from 0, the end
            excluded.

    Returns:
        The same for the union of the regions, sorted by chromosome and start.

    Raises:
        InputError: a name of another form or length, and regions that differ where they overlap.
    """
    regions = []
    for name, sequence in records.items():
        match = _REGION.fullmatch(name)
        if match is None or int(match["end"]) - int(match["start"]) != len(sequence):
            raise InputError(
                f"region {name}: has {len(sequence)} bases; expected a name <chromosome>_<start>_<end> of this length"
            )
        regions.append((match["chromosome"], int(match["start"]), name, sequence))
    merged: list[tuple[str, int, str]] = []
    for chromosome, start, name, sequence in sorted(regions):
        if merged and merged[-1][0] == chromosome and start < merged[-1][1] + len(merged[-1][2]):
            _, first, before = merged.pop()
            overlap = min(first + len(before) - start, len(sequence))
            if before[start - first :][:overlap].upper() != sequence[:overlap].upper():
                raise InputError(f"region {name}: differs from a region that it overlaps, which starts at {first}")
            merged.append((chromosome, first, before + sequence[overlap:]))
        else:
            merged.append((chromosome, start, sequence))
    return {f"{chromosome}_{start}_{start + len(sequence)}": sequence for chromosome, start, sequence in merged}
