"""Gene annotations: GTF, GFF3 and BED12, read as exons and coding segments of transcripts."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genestill.ground.errors import InputError
from genestill.ground.text import COMPRESSED, text_lines

_GTF_ATTRIBUTE = re.compile(r'(\w+) "([^"]*)"')
# Parts that make a transcript; a stop codon is a part of its own in GTF and belongs to the CDS in GFF3 and BED.
_EXON, _CODING = {"exon"}, {"CDS", "stop_codon"}


@dataclass
class Model:
    """The gene model of one transcript. Segments are (start, stop): 0-based, half-open, on the forward strand."""

    id: str
    gene: str
    contig: str
    strand: str
    exons: list[tuple[int, int]] = field(default_factory=list)
    coding: list[tuple[int, int]] = field(default_factory=list)
    phases: dict[int, int] = field(default_factory=dict)  # start of a coding segment: bases before its first codon


def read_annotation(path: str | Path) -> list[Model]:
    """Read the gene models of a file: ``.bed`` is BED12, ``.gtf`` GTF, ``.gff`` and ``.gff3`` GFF3 (also compressed).

    Segments come back sorted along the contig and joined where they touch. A GFF3 parent that has CDS but no exon (a
    prokaryotic gene) counts as a transcript of its CDS. Raises `InputError` with the line for anything malformed, and
    for overlapping exons, coding bases outside the exons, and a transcript on two contigs or strands.
    """
    path = Path(path)
    suffixes = [suffix for suffix in path.suffixes if suffix not in COMPRESSED]
    kind = suffixes[-1].lower() if suffixes else ""
    readers = {".bed": _read_bed, ".gtf": _read_gtf, ".gff": _read_gff3, ".gff3": _read_gff3}
    if kind not in readers:
        raise InputError(
            f"{path}: expected an annotation that ends in .gtf, .gff3, .gff or .bed (and {', '.join(COMPRESSED)})"
        )
    models = readers[kind](path, _lines(path))
    if not models:
        raise InputError(f"{path}: holds no transcript; expected exon lines (GTF, GFF3) or 12 columns a line (BED12)")
    return [_checked(path, model) for model in models]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text_lines(path), 1):
        if line.startswith("##FASTA"):
            return
        if line.strip() and not line.startswith(("#", "track ", "browser ")):
            yield number, line


def _read_bed(path: Path, lines: Iterable[tuple[int, str]]) -> list[Model]:
    models = []
    for number, line in lines:
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) < 12:
            raise InputError(f"{path}, line {number}: {len(columns)} columns; expected the 12 of BED12")
        contig, name, strand = columns[0], columns[3], columns[5]
        start, thick_start, thick_stop, count = (
            _integer(path, number, columns[column], name)
            for column, name in ((1, "chromStart"), (6, "thickStart"), (7, "thickEnd"), (9, "blockCount"))
        )
        sizes = [_integer(path, number, size, "blockSizes") for size in columns[10].strip(",").split(",")]
        starts = [_integer(path, number, begin, "blockStarts") for begin in columns[11].strip(",").split(",")]
        if not len(sizes) == len(starts) == count:
            raise InputError(
                f"{path}, line {number}: blockCount is {count}, but there are {len(sizes)} sizes and "
                f"{len(starts)} starts"
            )
        exons = [(start + begin, start + begin + size) for begin, size in zip(starts, sizes, strict=True)]
        coding = [(max(begin, thick_start), min(stop, thick_stop)) for begin, stop in exons]
        coding = [(begin, stop) for begin, stop in coding if begin < stop]
        models.append(Model(name, name, contig, _strand(path, number, strand), exons, coding))
    return models


def _read_gtf(path: Path, lines: Iterable[tuple[int, str]]) -> list[Model]:
    models: dict[str, Model] = {}
    for number, line in lines:
        contig, part, start, stop, strand, phase, text = _nine_columns(path, number, line)
        if part not in _EXON | _CODING:
            continue
        attributes = dict(_GTF_ATTRIBUTE.findall(text))
        if not attributes.get("transcript_id"):
            raise InputError(f'{path}, line {number}: {part} without transcript_id "…"')
        name = attributes["transcript_id"]
        gene = attributes.get("gene_id") or name
        _add(path, number, models, name, gene, contig, strand, part, start, stop, phase)
    return list(models.values())


def _read_gff3(path: Path, lines: Iterable[tuple[int, str]]) -> list[Model]:
    models: dict[str, Model] = {}
    parents: dict[str, str] = {}
    for number, line in lines:
        contig, part, start, stop, strand, phase, text = _nine_columns(path, number, line)
        attributes = dict(pair.strip().split("=", 1) for pair in text.split(";") if "=" in pair)
        if part not in _EXON | _CODING:
            if "ID" in attributes and "Parent" in attributes:
                parents[attributes["ID"]] = attributes["Parent"].split(",")[0]
            continue
        if "Parent" not in attributes:
            continue  # a feature that belongs to no transcript
        for name in attributes["Parent"].split(","):
            _add(path, number, models, name, name, contig, strand, part, start, stop, phase)
    for model in models.values():
        model.gene = parents.get(model.id, model.id)
        model.exons = model.exons or list(model.coding)
    return list(models.values())


def _nine_columns(path: Path, number: int, line: str):
    columns = line.split("\t")
    if len(columns) != 9:
        raise InputError(f"{path}, line {number}: {len(columns)} tab-separated columns; expected 9")
    contig, _, part, start, stop, _, strand, phase, text = columns
    first, last = _integer(path, number, start, "start"), _integer(path, number, stop, "end")
    if not 1 <= first <= last:
        raise InputError(f"{path}, line {number}: {part} from {first} to {last}; expected 1 <= start <= end")
    return contig, part, first - 1, last, strand, phase, text


def _add(path, number, models, name, gene, contig, strand, part, start, stop, phase) -> None:
    strand = _strand(path, number, strand)
    model = models.setdefault(name, Model(name, gene, contig, strand))
    if (model.contig, model.strand) != (contig, strand):
        raise InputError(
            f"{path}, line {number}: transcript {name!r} is on {model.contig} ({model.strand}) and {contig} ({strand})"
        )
    (model.exons if part in _EXON else model.coding).append((start, stop))
    if part == "CDS":
        model.phases[start] = int(phase) if phase in ("0", "1", "2") else 0


def _strand(path: Path, number: int, strand: str) -> str:
    if strand not in ("+", "-"):
        raise InputError(f"{path}, line {number}: strand {strand!r}; expected + or -")
    return strand


def _integer(path: Path, number: int, text: str, column: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{path}, line {number}: {column} is {text!r}; expected a whole number") from None


def _checked(path: Path, model: Model) -> Model:
    model.exons.sort()
    if not model.exons:
        raise InputError(f"{path}: transcript {model.id!r} has coding segments but no exon")
    for (start, stop), (after, _) in zip(model.exons, model.exons[1:], strict=False):
        if after < stop:
            raise InputError(
                f"{path}: exons of transcript {model.id!r} overlap ({start + 1}-{stop} and one from {after + 1})"
            )
    model.coding = _joined(model.coding)
    for start, stop in model.coding:
        if not any(begin <= start and stop <= end for begin, end in _joined(model.exons)):
            raise InputError(f"{path}: transcript {model.id!r} codes at {start + 1}-{stop}, outside of its exons")
    return model


def _joined(segments: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(segments):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined
