"""CAMI's gold standards as the truth of a data set: contigs of all samples in one file, with their lineages.

Two formats of CAMI are read: the mapping of a gold standard assembly, as CAMISIM writes it (header
``#anonymous_contig_id``, ``genome_id``, ``tax_id``, …), and the binning format of bioboxes (header ``@@SEQUENCEID``,
``BINID``, ``TAXID``, …).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, write_json
from genestill.core.label_formats.cami import BinningRow, binning_rows
from genestill.core.label_formats.row import is_number
from genestill.core.lineage import NO_LINEAGE, Lineage, common_lineage, depth, format_lineage
from genestill.core.logs import log_counts
from genestill.core.sequences import read_fasta, write_fasta
from genestill.core.text import blanks_for_tabs, text_lines
from genestill.reference.gtdb import gtdb_names
from genestill.reference.taxdump import Taxdump, read_taxdump

# The columns (contig, genome, taxid) of CAMISIM's format.
_CAMISIM = ("#anonymous_contig_id", "genome_id", "tax_id")


def is_gold_standard(line: str) -> bool:
    """Whether a file with the first line ``line`` has one of the two formats."""
    return line.startswith(("@", _CAMISIM[0]))


def read_mapping(path: str | Path) -> Iterator[tuple[str, str, int]]:
    """Yield (contig, genome, taxid) of each row of a gold standard; taxid 0 for none. See `mapping_rows`."""
    for row in mapping_rows(path):
        yield row.id, row.bin, row.taxid or 0


def mapping_rows(path: str | Path) -> Iterator[BinningRow]:
    """Yield the rows of a gold standard, compressed or not.

    A contig of a pooled assembly has one row for each of its genomes. Raises `InputError`, with the line, for a file in
    neither format and for a row that does not match its header.
    """
    read = None
    for number, line in enumerate(text_lines(path), 1):
        cells = line.split("\t")
        if not line.strip() or (line.startswith("#") and not line.startswith(_CAMISIM[0])):
            continue
        try:
            if read is None:
                read = _camisim_rows() if line.startswith(_CAMISIM[0]) else binning_rows()
            row = read(cells)
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
        if row is not None:
            yield row


def _camisim_rows() -> Callable[[list[str]], BinningRow | None]:
    columns: list[int] = []
    width = 0

    def read(cells: list[str]) -> BinningRow | None:
        nonlocal columns, width
        if cells[0].startswith(_CAMISIM[0]):
            missing = [name for name in _CAMISIM if name not in cells]
            if missing:
                raise InputError(f"no column {missing[0]}; found {', '.join(cells)}{blanks_for_tabs(cells[0])}")
            columns, width = [cells.index(name) for name in _CAMISIM], len(cells)
            return None
        if len(cells) != width:
            raise InputError(f"{len(cells)} columns; expected {width}")
        contig, genome, taxid = (cells[column].strip() for column in columns)
        digits = taxid.split(".")[
            0
        ]  # CAMI numbers strains of a species as 1234.5; the part before the dot is the taxid of NCBI
        if not contig or not is_number(digits):
            raise InputError(f"contig {contig!r}, taxid {taxid!r}; expected an id and a number")
        return BinningRow(contig, genome, int(digits), None)

    return read


def lineages_of_contigs(
    mappings: Sequence[str | Path], dump: Taxdump, lineage_of: Callable[[int], Lineage] | None = None
) -> tuple[dict[str, tuple[Lineage, str | None]], dict[str, int]]:
    """Turn gold standards into contig -> (lineage, genome), and counts of problems.

    A contig of several genomes gets the common part of their lineages, and no genome. Taxids that were merged in the
    dump are resolved; deleted and unknown taxids have an empty lineage. ``lineage_of`` converts a taxid of the dump to
    a lineage; None for the names of the dump.
    """
    lineage_of = dump.lineage if lineage_of is None else lineage_of
    found: dict[str, tuple[Lineage, str | None]] = {}
    known: dict[int, Lineage] = {}
    counts = {"contigs": 0, "taxids_merged": 0, "taxids_unknown": 0, "contigs_of_several_genomes": 0}
    several = set()
    for path in mappings:
        for contig, genome, taxid in read_mapping(path):
            if taxid not in known:
                current = dump.current(taxid)
                counts["taxids_merged"] += current not in (None, taxid)
                counts["taxids_unknown"] += current is None
                known[taxid] = NO_LINEAGE if current is None else lineage_of(current)
            lineage = known[taxid]
            if contig in found and found[contig][1] != genome:
                several.add(contig)
                found[contig] = (common_lineage([found[contig][0], lineage]), None)
            else:
                found[contig] = (lineage, genome)
    counts |= {"contigs": len(found), "contigs_of_several_genomes": len(several)}
    return found, counts


def write_gold_standard(
    contigs: Sequence[str | Path],
    mappings: Sequence[str | Path],
    taxdump: str | Path,
    output: str | Path,
    gtdb: Sequence[str | Path] = (),
) -> None:
    """Collect the samples of a data set: ``contigs.fna.gz``, ``truth.tsv`` and ``summary.json`` in ``output``.

    Args:
        contigs: FASTA files, one per sample; ids must be unique over all of them (CAMISIM's S<sample>C<number> are).
            Or folders, each with one ``anonymous_gsa.fasta.gz`` in it or in a subfolder.
        mappings: gold standards of the same contigs, or folders with one ``gsa_mapping.tsv.gz``.
        taxdump: folder with the NCBI taxonomy dump of the data, in it or in a subfolder.
        output: the folder; replaced as a whole.
        gtdb: metadata tables of GTDB; if given, the truth has GTDB's names (`gtdb.gtdb_names`).

    Raises:
        InputError: an id in two files; contigs of which none is in the gold standards; as the functions that read them.
    """
    contigs = [find_file(path, "anonymous_gsa.fasta.gz") for path in contigs]
    mappings = [find_file(path, "gsa_mapping.tsv.gz") for path in mappings]
    dump = read_taxdump(find_file(taxdump, "nodes.dmp").parent)
    found, counts = lineages_of_contigs(mappings, dump, gtdb_names(gtdb, dump) if gtdb else None)
    lengths: dict[str, int] = {}
    file_of: dict[str, str] = {}

    def records() -> Iterator[tuple[str, str]]:
        for path in contigs:
            for name, sequence in read_fasta(path):
                if name in file_of:
                    raise InputError(f"{path}: the contig {name!r} is also in {file_of[name]}; ids must be unique")
                file_of[name], lengths[name] = str(path), len(sequence)
                yield name, sequence

    with folder_aside(output) as aside:
        write_fasta(aside / "contigs.fna.gz", records())
        if not lengths.keys() & found.keys():
            raise InputError(
                f"{mappings[0]}: none of its contigs (first: {next(iter(found), None)!r}) is in {contigs[0]} "
                f"(first: {next(iter(lengths))!r}); does the gold standard belong to other contigs?"
            )
        with open(aside / "truth.tsv", "w", encoding="utf-8") as table:
            table.write("contig\tlineage\tgenome\tlength\n")
            for name, length in lengths.items():
                lineage, genome = found.get(name, (NO_LINEAGE, None))
                table.write(f"{name}\t{format_lineage(lineage)}\t{genome or ''}\t{length}\n")
        counts["contigs_without_answer"] = sum(depth(found.get(name, (NO_LINEAGE,))[0]) == 0 for name in lengths)
        write_json(aside / "summary.json", counts | {"contigs": len(lengths)})
    log_counts("gold standard", counts)


def find_file(path: str | Path, name: str) -> Path:
    """``path`` if it is a file, else the only file called ``name`` in it or in a subfolder."""
    path = Path(path)
    if path.is_file():
        return path
    inside = sorted(path.rglob(name))
    if len(inside) != 1:
        raise InputError(f"{path}: contains {len(inside)} files named {name}; expected one")
    return inside[0]
