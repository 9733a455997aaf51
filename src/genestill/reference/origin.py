"""Classification tasks for the origin of a window of DNA: plasmid or chromosome, or the kind of organism.

seqLens (doi 10.1093/molbev/msag139) reports improvements on such tasks. These tables are made from the given genomes;
they are not the published tables.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.lineage import RANKS
from genestill.core.logs import logger
from genestill.core.tables import read_tsv
from genestill.core.task_tables import write_task_table
from genestill.core.text import open_text
from genestill.reference.genomes import Genome, read_tables_of_genomes
from genestill.reference.settings import OriginTaskSettings
from genestill.reference.windows import draw_windows, refuse_lacking_windows

FEWEST_GENERA = 4  # a class with fewer genera is split by genome
FEWEST_TESTED = 10  # genera for the test, if they are at most half of the genera of a class
_STREAM = 3  # separate random numbers for the windows of these tasks


@dataclass(frozen=True)
class Part:
    """Records of a genome that belong to one class and one split; None for all records.

    ``group`` is the genus, or the genome if genomes are divided; empty if each record is a group, because the genome is
    in both splits.
    """

    genome: Genome
    label: str
    split: str
    records: frozenset[str] | None = None
    group: str = ""

    def group_of(self, window: str) -> str:
        """The group of a window, by the name that `draw_windows` gives it."""
        return self.group or window.rsplit("|", 1)[0]


def write_origin_task(
    tables: Sequence[str | Path], folder: str | Path | None, settings: OriginTaskSettings, seed: int, output: str | Path
) -> list[Genome]:
    """Write a task table (sequence, label, split, group) and return the genomes from which it was made.

    With the classes ``plasmid``, a record is a plasmid if its header has this word; only genomes with plasmids are
    used, so that both classes come from the same organisms. With ``kingdom``, the class is the column ``origin`` of the
    table, else the domain. A quarter of the genera of a class is for the test, but at least ten of them, or half if
    there are fewer than twenty, because intervals are over groups of rows, which are genera. In a class with fewer than
    four genera, genomes are divided in the same way. For a genome with a value in the column ``tested``, the records
    that match this regular expression are for the test, and the others for training. Groups of a class and split have
    equal numbers of windows, and so have the genomes of a group.

    Args:
        tables: tables of genomes for `read_genomes`.
        folder: folder of the files; None for the folder of each table.
        settings: classes, length and number of windows.
        seed: seed of split and windows.
        output: TSV, gzipped if it ends in ``.gz``.

    Raises:
        InputError: as `read_genomes`; fewer than two classes; a class without training or test windows.
    """
    genomes, origin, tested = _read(tables, folder)
    generator = np.random.default_rng([seed, _STREAM])
    if settings.classes == "plasmid":
        parts = _plasmids(genomes, generator)
    else:
        parts = _kingdoms(genomes, origin, tested, generator)
    labels = sorted({part.label for part in parts})
    if len(labels) < 2:
        raise InputError(f"{', '.join(map(str, tables))}: windows of {len(labels)} classes; expected at least two")
    rows = []
    for label in labels:
        mine = [part for part in parts if part.label == label]
        if {part.split for part in mine} != {"train", "test"}:
            raise InputError(
                f"{', '.join(map(str, tables))}: all genomes of the class {label} are in one split; expected "
                "at least two genomes, or the column tested"
            )
        for part in mine:
            groups = [other.group or other.genome.name for other in mine if other.split == part.split]
            beside = len(set(groups)) * groups.count(part.group or part.genome.name)
            share = settings.test_share if part.split == "test" else 1 - settings.test_share
            wanted = max(1, round(settings.number * share / len(labels) / beside))
            drawn = draw_windows(part.genome, settings.length, wanted, [seed, _STREAM], part.records)
            rows += [(window, label, part.split, part.group_of(name)) for name, window in drawn]
    table = pd.DataFrame(rows, columns=["sequence", "label", "split", "group"])
    refuse_lacking_windows(table, labels, settings.length, ", ".join(map(str, tables)))
    counts = table.groupby(["label", "split"]).size().to_dict()
    logger.info("%s", ", ".join(f"{label} {split} {count}" for (label, split), count in counts.items()))
    write_task_table(output, table)
    return list({part.genome.name: part.genome for part in parts}.values())


def _read(tables, folder) -> tuple[list[Genome], dict[str, str], dict[str, str]]:
    """Genomes, and the columns ``origin`` and ``tested`` by genome name."""
    genomes = read_tables_of_genomes(tables, folder)
    origin: dict[str, str] = {}
    tested: dict[str, str] = {}
    for table in tables:
        beside = read_tsv(table, ["file"]).set_index("file")
        for column, kept in (("origin", origin), ("tested", tested)):
            if column in beside.columns:
                kept |= {
                    one.name: beside.at[one.file, column]
                    for one in genomes
                    if one.file in beside.index and beside.at[one.file, column]
                }
    for name, pattern in tested.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise InputError(
                f"genome {name}: tested is {pattern!r}, which is not a regular expression ({error})"
            ) from None
    return genomes, origin, tested


def _plasmids(genomes: Sequence[Genome], generator: np.random.Generator) -> list[Part]:
    found = []
    for genome in genomes:
        plasmids: set[str] = set()
        others: set[str] = set()
        for name, header in _headers(genome.path):
            (plasmids if re.search(r"\bplasmid\b", header, re.IGNORECASE) else others).add(name)
        if plasmids and others:
            found.append((genome, {"plasmid": frozenset(plasmids), "chromosome": frozenset(others)}))
    split, group = _split_by_genus([genome for genome, _ in found], generator)
    return [
        Part(genome, label, split[genome.name], names, group[genome.name])
        for genome, classes in found
        for label, names in classes.items()
    ]


def _kingdoms(genomes, origin: dict, tested: dict, generator) -> list[Part]:
    by_class: dict[str, list[Genome]] = {}
    for genome in genomes:
        label = origin.get(genome.name) or genome.lineage[0]
        if label:
            by_class.setdefault(label.lower(), []).append(genome)
    parts = []
    for label, found in sorted(by_class.items()):
        split, group = _split_by_genus([genome for genome in found if genome.name not in tested], generator)
        for genome in found:
            if genome.name not in tested:
                parts.append(Part(genome, label, split[genome.name], group=group[genome.name]))
                continue
            names = frozenset(name for name, _ in _headers(genome.path))
            held = frozenset(name for name in names if re.search(tested[genome.name], name))
            whole = Part(genome, label, "test", held)
            parts += [part for part in (whole, replace(whole, split="train", records=names - held)) if part.records]
    return parts


def _split_by_genus(genomes: Sequence[Genome], generator: np.random.Generator) -> tuple[dict[str, str], dict[str, str]]:
    """The split and the group of each genome, by name; all genomes of a group are in one split."""
    genus = RANKS.index("genus")
    groups = {genome.name: genome.lineage[genus] or genome.name for genome in genomes}
    if len(set(groups.values())) < FEWEST_GENERA:
        groups = {name: name for name in groups}
    names = sorted(set(groups.values()))
    tested = min(max(len(names) // 4, FEWEST_TESTED), len(names) // 2)
    held = set(generator.permutation(names)[:tested].tolist())
    return {name: "test" if group in held else "train" for name, group in groups.items()}, groups


def _headers(path: Path) -> Iterator[tuple[str, str]]:
    """(id, header) of each record of a FASTA file."""
    with open_text(path, errors="surrogateescape") as lines:
        for line in lines:
            if line.startswith(">"):
                yield (line[1:].split(maxsplit=1) or [""])[0], line[1:].strip()
