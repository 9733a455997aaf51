"""All formats of label tables, and the detection of a file's format from its first lines.

For a new format, add a module to this package and an entry here (and in ``labels.format`` of the schema).
"""

from collections.abc import Sequence

from genestill.core.cells import unquoted
from genestill.core.errors import InputError
from genestill.core.label_formats.cami import CAMI
from genestill.core.label_formats.cat import CAT
from genestill.core.label_formats.centrifuge import CENTRIFUGE
from genestill.core.label_formats.diamond import DIAMOND
from genestill.core.label_formats.kaiju import KAIJU
from genestill.core.label_formats.kraken2 import KRAKEN2
from genestill.core.label_formats.megan import MEGAN
from genestill.core.label_formats.metabuli import METABULI
from genestill.core.label_formats.mmseqs2 import MMSEQS2
from genestill.core.label_formats.row import LabelFormat, is_number
from genestill.core.label_formats.taxometer import TAXOMETER
from genestill.core.text import blanks_for_tabs

_ALL = (MMSEQS2, TAXOMETER, KRAKEN2, CENTRIFUGE, KAIJU, CAT, DIAMOND, MEGAN, CAMI, METABULI)
_WITH_HEADER = (TAXOMETER, CENTRIFUGE, CAT, CAMI)
LABEL_FORMATS = {form.name: form for form in _ALL}
FORMATS = ("auto", *LABEL_FORMATS)

_EXPECTED = (
    "MMseqs2 (id, taxid, rank, name, …), Kraken 2 (C or U, id, taxid, length, k-mers), Kaiju (C or U, id, taxid, …), "
    "Centrifuge (readID, seqID, taxID, …), CAT (# contig, classification, …), DIAMOND (query, taxid, E-value), "
    "Metabuli (1 or 0, id, taxid, length, score, …), MEGAN (id and taxon), CAMI (@@SEQUENCEID, TAXID, …) or "
    "Taxometer (contigs, predictions)"
)


def recognise(lines: Sequence[str], source: str) -> LabelFormat:
    """Detect the format of a file from its first lines: by a header, else by the form of most lines.

    Raises `InputError`, naming ``source``, for lines of no known format, lines that match two formats equally well, and
    reports of Kraken 2 and others, which count taxa and have no contigs.
    """
    # There may be comments before a header.
    found = next((form for line in lines[:20] for form in _WITH_HEADER if form.fits(form.cells_of(line))), None)
    if found is not None:
        return found
    fitting = {form: sum(form.fits(form.cells_of(line)) for line in lines) for form in _ALL}
    most = max(fitting.values())
    best = [form for form, number in fitting.items() if number == most]
    if sum(_is_report([unquoted(cell) for cell in line.split("\t")]) for line in lines) > most:
        raise InputError(
            f"{source}: a report (counts of contigs per taxon); expected the table with one row per contig, which the "
            "same program writes"
        )
    if 2 * most <= len(lines):
        raise InputError(
            f"{source}: line 1 is {lines[0][:60]!r}; not recognised as {_EXPECTED}{blanks_for_tabs(lines[0])}"
        )
    if len(best) > 1:
        raise InputError(
            f"{source}: line 1 is {lines[0][:60]!r}, which may be {' or '.join(form.name for form in best)}; choose "
            "one "
            "with labels.format (--format)"
        )
    return best[0]


def _is_report(cells: list[str]) -> bool:
    if len(cells) not in (6, 8) or not all(is_number(cell) for cell in cells[1:3]):
        return False
    try:
        return 0 <= float(cells[0]) <= 100 and is_number(cells[-2])
    except ValueError:
        return False
