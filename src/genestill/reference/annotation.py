"""Gene annotations: GTF, GFF3 and BED12, read as exons and coding segments of transcripts."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from genestill.core.cells import LeftOut, read_gene
from genestill.core.errors import InputError
from genestill.core.text import COMPRESSED, blanks_for_tabs, text_lines

_EXON, _CODING, _STOP = "exon", "cds", "stop_codon"
_UNTRANSLATED = {"five_prime_utr", "three_prime_utr", "utr", "5utr", "3utr", "5'utr", "3'utr"}
# Features of which a transcript consists. The stop codon is a separate feature in GTF; in GFF3 and BED it is in CDS.
_PARTS = {_EXON, _CODING, _STOP, "start_codon", *_UNTRANSLATED}
_TRANSCRIPTS = {"transcript", "mrna"}
_SYMBOLS = ("gene_name", "gene_symbol", "gene", "symbol")
_GFF3_ATTRIBUTE = re.compile(r"\s*[^\s=;\"]{1,100}=")


@dataclass
class Model:
    """The gene model of one transcript. Segments are (start, stop): 0-based, half-open, on the forward strand.

    ``phases`` maps the start of a coding segment to the number of bases before its first codon. ``in_frame`` is False
    if the coding segments have gaps or overlaps on the transcript (ribosomal slippage).
    """

    id: str
    gene: str
    contig: str
    strand: str
    exons: list[tuple[int, int]] = field(default_factory=list)
    coding: list[tuple[int, int]] = field(default_factory=list)
    phases: dict[int, int] = field(default_factory=dict)
    symbol: str = ""
    in_frame: bool = True


@dataclass
class Annotation:
    """Gene models of a file, transcripts that were left out, models without codons, and circular contigs."""

    models: list[Model]
    left_out: LeftOut
    without_codons: LeftOut
    circular: set[str]


class _Part(NamedTuple):
    kind: str
    contig: str
    strand: str
    start: int
    stop: int
    phase: int
    number: str  # number of the exon in GTF


@dataclass
class _Listed:
    """The lines of a transcript; fault: why it cannot be used."""

    gene: str
    symbol: str
    parts: dict[_Part, None] = field(default_factory=dict)  # in the order of the file, without repeated lines
    fault: str = ""


def read_annotation(path: str | Path) -> Annotation:
    """Read the gene models of a file: ``.bed`` is BED12, ``.gtf``, ``.gff`` and ``.gff3`` are GTF or GFF3.

    Segments are sorted along the contig. For a transcript with CDS or UTR but no exons (a prokaryotic gene; older
    releases of Ensembl and Phytozome), the exons are made from these. An id that occurs at several places of a GTF
    (UCSC's refGene) gives several transcripts, named ``id``, ``id_dup1``, ….

    Transcripts that cannot be spliced are left out and counted by reason: without a strand, on several contigs or
    strands, with overlapping exons, with coding segments outside of the exons, or with an end before the start.

    Raises:
        InputError: with the line, for another number of columns and positions that are not integers; for a file
            without transcripts, or without any that can be used.
    """
    path = Path(path)
    suffixes = [suffix for suffix in path.suffixes if suffix not in COMPRESSED]
    kind = suffixes[-1].lower() if suffixes else ""
    readers = {".bed": _read_bed, ".gtf": _read_gff, ".gff": _read_gff, ".gff3": _read_gff}
    if kind not in readers:
        raise InputError(
            f"{path}: expected an annotation that ends in .gtf, .gff3, .gff or .bed (and {', '.join(COMPRESSED)})"
        )
    left_out, without_codons = LeftOut(), LeftOut()
    circular: set[str] = set()
    models = []
    for model, fault in readers[kind](path, _lines(path), circular, left_out):
        fault = fault or _fault_of(model)
        if fault:
            left_out.add(fault, model.id)
            continue
        models.append(model)
        if not model.in_frame:
            without_codons.add("whose coding segments overlap or leave a gap (ribosomal slippage)", model.id)
    if not models and not left_out:
        raise InputError(
            f"{path}: has no transcripts; expected lines of exons or CDS (GTF, GFF3) or lines of 12 columns (BED12)"
        )
    if not models:
        raise InputError(f"{path}: no usable transcript; left out are {left_out}")
    return Annotation(models, left_out, without_codons, circular)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text_lines(path), 1):
        if line.startswith("##FASTA"):
            return
        if line.strip() and not line.startswith(("#", "track ", "browser ")):
            yield number, line


def _read_bed(path: Path, lines: Iterable[tuple[int, str]], _circular, _left_out) -> Iterator[tuple[Model, str]]:
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
        exons = sorted((start + begin, start + begin + size) for begin, size in zip(starts, sizes, strict=True))
        coding = [(max(begin, thick_start), min(stop, thick_stop)) for begin, stop in exons]
        coding = [(begin, stop) for begin, stop in coding if begin < stop]
        yield Model(name, read_gene(name), contig, strand, exons, coding), ""


def _read_gff(
    path: Path, lines: Iterable[tuple[int, str]], circular: set[str], left_out: LeftOut
) -> Iterator[tuple[Model, str]]:
    listed: dict[str, _Listed] = {}
    places: dict[str, list[tuple[str, str, int, int]]] = {}  # of the transcript's own lines
    parents: dict[str, str] = {}
    symbols: dict[str, str] = {}
    unique = False  # in GFF3, ids are unique
    for number, line in lines:
        columns = line.split("\t")
        if len(columns) != 9:
            raise InputError(
                f"{path}, line {number}: {len(columns)} tab-separated columns; expected 9{blanks_for_tabs(line)}"
            )
        contig, _, kind, start, stop, _, strand, phase, text = columns
        first, last = _integer(path, number, start, "start") - 1, _integer(path, number, stop, "end")
        kind, contig, strand = map(sys.intern, (kind.lower(), contig, strand))
        attributes, gff3 = _attributes(text)
        unique |= gff3
        if kind not in _PARTS:
            name = attributes.get("ID") or attributes.get("transcript_id")
            if attributes.get("Is_circular", "").lower() == "true":
                circular.add(contig)
            if name and kind in _TRANSCRIPTS:
                places.setdefault(name, []).append((contig, strand, first, last))
            if name and gff3:
                parents.setdefault(name, attributes.get("Parent", "").split(",")[0])
                symbols.setdefault(name, _symbol(attributes) or attributes.get("Name", ""))
            continue
        if gff3:
            # A CDS without a parent is a gene (Prodigal, Prokka); all of its lines have the same id.
            names = attributes.get("Parent", attributes.get("ID", "") if kind == _CODING else "").split(",")
        else:
            names = [attributes.get("transcript_id", "")]
        if not names[0]:
            left_out.add(f"lines without {'Parent' if gff3 else 'transcript_id'}", f"line {number}")
            continue
        skipped = int(phase) if phase in ("0", "1", "2") else 0
        part = _Part(kind, contig, strand, first, last, skipped, attributes.get("exon_number", ""))
        for name in names:
            gene = attributes.get("locus_tag" if gff3 else "gene_id") or name
            transcript = listed.setdefault(name, _Listed(gene, _symbol(attributes)))
            transcript.parts[part] = None
            if "trans" in attributes.get("exception", "") and "splicing" in attributes["exception"]:
                transcript.fault = "trans-spliced"
    for name, transcript in listed.items():
        above = parents.get(name, "")
        if unique:
            transcript.gene = above or (name if name in parents else transcript.gene)
            transcript.symbol = transcript.symbol or symbols.get(above, "") or symbols.get(name, "")
        yield from _models_of(name, transcript, places.get(name, []), unique)


def _symbol(attributes: dict[str, str]) -> str:
    return next((attributes[key] for key in _SYMBOLS if attributes.get(key)), "")


def _attributes(text: str) -> tuple[dict[str, str], bool]:
    """Parse the ninth column of GTF or GFF3, in linear time; also returns whether it is GFF3."""
    if _GFF3_ATTRIBUTE.match(text):
        pairs = (pair.split("=", 1) for pair in text.split(";") if "=" in pair)
        return {key.strip(): unquote(value.strip()) for key, value in pairs}, True
    found: dict[str, str] = {}
    pieces = text.split('"')  # every second piece was in quotes
    for place, piece in enumerate(pieces[::2]):
        *plain, key = piece.split(";")
        for pair in plain:
            words = pair.split(None, 1)
            if len(words) == 2:
                found.setdefault(words[0], words[1].strip())
        if 2 * place + 1 < len(pieces) and key.strip():
            found.setdefault(key.split()[-1], pieces[2 * place + 1])
        elif len(words := key.split(None, 1)) == 2:
            found.setdefault(words[0], words[1].strip())
    return found, False


def _models_of(
    name: str, listed: _Listed, places: list[tuple[str, str, int, int]], unique: bool
) -> Iterator[tuple[Model, str]]:
    """The transcripts with one name, each with the reason why it cannot be used (empty if it can)."""
    copies = [] if listed.fault else _copies(list(listed.parts), list(dict.fromkeys(places)), unique)
    if not copies:
        fault = listed.fault or "spliced from several places (trans-splicing, or one id at several places)"
        yield Model(name, listed.gene, "", ""), fault
    for number, parts in enumerate(copies):
        yield _model(f"{name}_dup{number}" if number else name, listed, parts)


def _copies(parts: list[_Part], places: list[tuple[str, str, int, int]], unique: bool) -> list[list[_Part]]:
    """Group the features of a name by transcript, using positions; empty if positions are ambiguous."""
    strands: dict[tuple[str, str], list[_Part]] = {}
    for part in parts:
        strands.setdefault((part.contig, part.strand), []).append(part)
    if len(places) > 1:
        return _within(parts, places)
    if len(strands) > 1:
        numbers = [part.number for part in parts if part.kind == _EXON and part.number]
        # Repeated exon numbers mean several transcripts; without numbers, several contigs do.
        apart = len(numbers) > len(set(numbers)) if numbers else len({contig for contig, _ in strands}) == len(strands)
        return list(strands.values()) if apart and not unique else []
    exons: list[list[_Part]] = [[]]
    for part in parts:
        if part.kind == _EXON:
            if part.number and part.number in {other.number for other in exons[-1]}:
                exons.append([])
            exons[-1].append(part)
    if len(exons) == 1:
        return [parts]
    return _within(
        parts, [(*next(iter(strands)), min(e.start for e in copy), max(e.stop for e in copy)) for copy in exons]
    )


def _within(parts: list[_Part], places: list[tuple[str, str, int, int]]) -> list[list[_Part]]:
    copies: list[list[_Part]] = [[] for _ in places]
    for part in parts:
        for copy, (contig, strand, start, stop) in zip(copies, places, strict=True):
            if (contig, strand) == (part.contig, part.strand) and start <= part.start and part.stop <= stop:
                copy.append(part)
                break
        else:
            return []
    return [copy for copy in copies if copy]


def _model(name: str, listed: _Listed, parts: list[_Part]) -> tuple[Model, str]:
    first = parts[0]
    model = Model(name, read_gene(listed.gene), first.contig, first.strand, symbol=listed.symbol)
    segments = {
        kind: sorted({(part.start, part.stop) for part in parts if part.kind in kinds})
        for kind, kinds in (("exons", {_EXON}), ("cds", {_CODING}), ("stop", {_STOP}), ("rest", _UNTRANSLATED))
    }
    for kind in ("start_codon", _STOP):
        if sum(stop - start for start, stop in {part[3:5] for part in parts if part.kind == kind}) > 3:
            return model, f"with two lines of {kind}: one id at two places"
    if any(start < 0 for ends in segments.values() for start, _ in ends):
        return model, "that start before the first base"
    if any(stop <= start for ends in segments.values() for start, stop in ends):
        return model, "that end before they start"
    model.coding = _joined([*segments["cds"], *segments["stop"]])
    model.exons = segments["exons"] or _joined([*model.coding, *segments["rest"]])
    model.phases = {part.start: part.phase for part in parts if part.kind == _CODING}
    model.in_frame = not _overlap(segments["cds"])
    return model, "" if model.exons else "without exons"


def _fault_of(model: Model) -> str:
    """Why a transcript cannot be spliced, or an empty text; sets ``in_frame``."""
    if model.strand not in ("+", "-"):
        return "without a strand"
    if model.exons[0][0] < 0:
        return "that start before the first base"
    if any(stop <= start for start, stop in model.exons):
        return "with an empty exon"
    if _overlap(model.exons):
        return "with exons that overlap"
    exons = _joined(model.exons)
    inside = [
        next((exon for exon in exons if exon[0] <= start and stop <= exon[1]), None) for start, stop in model.coding
    ]
    if None in inside:
        return "that code outside of their exons"
    whole = [exon for exon in inside if exon is not None]
    for (_, stop), (start, _), left, right in zip(model.coding, model.coding[1:], whole, whole[1:], strict=False):
        if stop != left[1] or start != right[0] or exons.index(right) != exons.index(left) + 1:
            model.in_frame = False
    return ""


def _overlap(segments: list[tuple[int, int]]) -> bool:
    return any(after < stop for (_, stop), (after, _) in pairwise(segments))


def _integer(path: Path, number: int, text: str, column: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise InputError(f"{path}, line {number}: {column} is {text[:40]!r}; expected a whole number")
    return int(text)


def _joined(segments: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(segments):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined
