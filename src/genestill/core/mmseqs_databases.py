"""Checks of existing MMseqs2 databases before a search starts.

Files of a database (github.com/soedinglab/mmseqs2/wiki, "MMseqs2 database format"): sequences, ``.index`` and
``.dbtype``, the same three for the headers (``_h``), and for the taxonomy ``_mapping`` (sequence, taxid) and
``_taxonomy`` (the tree).
"""

import struct
import tempfile
from pathlib import Path

from genestill.core.errors import InputError, ProgramFailed
from genestill.core.programs import mmseqs_version, run_program

# The files that a search needs; other files of the database are used if they exist.
NEEDED = (".dbtype", ".index", "_h", "_h.dbtype", "_h.index", "_mapping", "_taxonomy")
# The lower half of the number in .dbtype; the upper half has flags, for example for compressed databases.
_KINDS = {0: "proteins", 1: "nucleotides", 2: "profiles", 6: "clusters", 12: "other content"}
_BINARY_MAPPING = b"TAXM"


def check_database(database: str | Path) -> None:
    """Raise `InputError`, with the reason, unless ``database`` is a protein database with a taxonomy for MMseqs2.

    Checked are missing files, databases of other sequences than proteins, an empty mapping or one without taxids, and
    files that the installed release of MMseqs2 cannot open.
    """
    database = Path(database).absolute()
    absent = next((part for part in NEEDED if not Path(f"{database}{part}").exists()), None)
    if absent is not None:
        raise InputError(
            f"{database}: not an MMseqs2 taxonomy database: {database}{absent} is missing (mmseqs createdb makes a "
            "database, mmseqs createtaxdb adds the taxonomy)"
        )
    _require_proteins(Path(f"{database}.dbtype"))
    if Path(f"{database}.index").stat().st_size == 0:
        raise InputError(f"{database}: has no sequences ({database}.index is empty)")
    _require_mapping(Path(f"{database}_mapping"))
    _require_whole_taxonomy(Path(f"{database}_taxonomy"))
    _require_readable(database)


def _require_proteins(path: Path) -> None:
    content = path.read_bytes()
    if len(content) != 4:
        raise InputError(f"{path}: has {len(content)} bytes; expected 4, the kind of an MMseqs2 database")
    kind = struct.unpack("<I", content)[0] & 0xFFFF
    if kind != 0:
        what = _KINDS.get(kind, f"an unknown kind ({kind}), perhaps of another release of MMseqs2")
        raise InputError(f"{path}: a database of {what}; contigs are searched against proteins")


def _require_mapping(path: Path) -> None:
    again = "run mmseqs createtaxdb again, with --tax-mapping-file or with headers that contain the taxon"
    with open(path, "rb") as handle:
        if handle.read(len(_BINARY_MAPPING)) == _BINARY_MAPPING:
            return
        handle.seek(0)
        number = 0
        for number, line in enumerate(handle, 1):
            sequence, _, taxid = line.strip().partition(b"\t")
            if not (sequence.isdigit() and taxid.isdigit()):
                raise InputError(
                    f"{path}: line {number} is {line[:40].decode(errors='replace').strip()!r}; expected two numbers, "
                    f"the sequence's and the taxid's; {again}"
                )
            if int(taxid) > 0:
                return
    what = "no sequence has a taxid" if number else "the file is empty: no sequence has a taxid"
    raise InputError(f"{path}: {what}; {again}")


def _require_whole_taxonomy(path: Path) -> None:
    size = path.stat().st_size
    with open(path, "rb") as handle:
        head = handle.read(16)
    # Version (int32), number of nodes (int64), highest taxid (int32), then 32 bytes per node: version 2 of the file.
    version, nodes = struct.unpack("<iq", head[:12]) if len(head) == 16 else (0, 0)
    if not version or (version == 2 and not 0 < nodes <= (size - 16) // 32):
        raise InputError(f"{path}: not a complete taxonomy ({size} bytes); run mmseqs createtaxdb again")


def _require_readable(database: Path) -> None:
    """Let MMseqs2 open the taxonomy, with a report on no sequences; the time does not depend on the database's size."""
    with tempfile.TemporaryDirectory(prefix="genestill.") as scratch:
        empty = Path(scratch) / "empty"
        empty.write_bytes(b"")
        Path(f"{empty}.index").write_bytes(b"")
        Path(f"{empty}.dbtype").write_bytes(bytes(4))
        try:
            run_program(["mmseqs", "taxonomyreport", database, empty, Path(scratch) / "report", "-v", 1])
        except ProgramFailed as error:
            raise InputError(
                f"{database}: MMseqs2 {mmseqs_version()} cannot open its taxonomy; was it made by another release? Run "
                f"mmseqs createtaxdb again. {error}"
            ) from None
