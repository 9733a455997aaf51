"""The MMseqs2 taxonomy database: made from proteins, or an existing one by path or by name."""

import struct
import tempfile
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, require_disk_space, write_json
from genestill.core.logs import logger
from genestill.core.mmseqs_databases import check_database
from genestill.core.programs import mmseqs_version, run_program
from genestill.reference.taxonomy import make_taxonomy_of_report

# Protein databases with a taxonomy that `mmseqs databases` of release 18 can fetch.
DOWNLOADS = ("UniRef100", "UniRef90", "UniRef50", "UniProtKB", "UniProtKB/TrEMBL", "UniProtKB/Swiss-Prot", "NR", "GTDB")


def make_database(proteins: str | Path, taxonomy: str | Path, output: str | Path) -> None:
    """Make a taxonomy database ``output/proteins`` from the FASTA files in ``proteins``.

    Args:
        proteins: folder with ``<genome>.faa``, records named ``<genome>|<number>``.
        taxonomy: folder written by `make_taxonomy`.
        output: the folder; replaced as a whole, with ``summary.json`` beside the database.

    Raises:
        InputError: a genome of the taxonomy has no proteins; not enough disk space.
    """
    # MMseqs2 runs in the folder of the new database, so all paths must be absolute.
    taxonomy, output = Path(taxonomy).resolve(), Path(output).resolve()
    rows = (taxonomy / "genomes.tsv").read_text(encoding="utf-8").splitlines()[1:]
    taxid_of = dict(row.split("\t") for row in rows)
    files = [Path(proteins) / f"{genome}.faa" for genome in taxid_of]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise InputError(f"{missing}: no such file, but {taxonomy / 'genomes.tsv'} lists the genome")
    size = sum(file.stat().st_size for file in files)
    require_disk_space(output, 6 * size + 100_000_000, "the MMseqs2 database")
    with folder_aside(output) as aside, tempfile.TemporaryDirectory(prefix=".database.", dir=aside) as scratch:
        mapping, joined, count = Path(scratch) / "mapping.tsv", Path(scratch) / "proteins.faa", 0
        # One file, because thousands of genomes are too many for a command line.
        with open(mapping, "w", encoding="utf-8") as taxids, open(joined, "w", encoding="ascii") as sequences:
            for taxid, file in zip(taxid_of.values(), files, strict=True):
                with open(file, encoding="ascii") as lines:
                    for line in lines:
                        sequences.write(line)
                        if line.startswith(">"):
                            taxids.write(f"{line[1:].split()[0]}\t{taxid}\n")
                            count += 1
        run_program(["mmseqs", "createdb", joined, "proteins", "-v", 1], aside)
        dump = ["--ncbi-tax-dump", taxonomy, "--tax-mapping-file", mapping]
        run_program(["mmseqs", "createtaxdb", "proteins", Path(scratch) / "tmp", *dump, "-v", 1], aside)
        _blank_padding(aside / "proteins_taxonomy")
        # MMseqs2 stores the paths of its inputs here, which are not needed.
        (aside / "proteins.source").unlink(missing_ok=True)
        version = mmseqs_version()
        write_json(aside / "summary.json", {"mmseqs2": version, "genomes": len(taxid_of), "proteins": count})
    logger.info("database: %d proteins of %d genomes (MMseqs2 %s)", count, len(taxid_of), version)


def _blank_padding(path: Path) -> None:
    """Overwrite uninitialised bytes in the taxonomy file of MMseqs2, so that equal databases have equal bytes.

    The file begins with version (int32), number of nodes (int64) and highest taxid (int32); a node has id, taxid and
    parent (int32), 4 bytes of padding, rank and name (int64). Files of other versions are not changed.
    """
    with open(path, "r+b") as handle:
        version, nodes, _ = struct.unpack("<iqi", handle.read(16))
        if version != 2:
            return
        table = bytearray(handle.read(32 * nodes))
        for start in range(12, len(table), 32):
            table[start : start + 4] = bytes(4)
        handle.seek(16)
        handle.write(table)


def fetch_database(wanted: str, output: str | Path, threads: int) -> None:
    """Write an existing taxonomy database to ``output/proteins``.

    Args:
        wanted: the path of an MMseqs2 taxonomy database, which is linked; or a name for ``mmseqs databases`` (GTDB,
            UniRef50, …), which is downloaded.
        output: the folder; replaced as a whole, with ``summary.json`` beside the database.
        threads: number of threads of MMseqs2.

    Raises:
        InputError: neither a database nor a known name; as `check_database`.
    """
    path = Path(wanted)
    by_path = Path(f"{path}.dbtype").is_file()
    if not by_path and wanted not in DOWNLOADS:
        raise InputError(
            f"reference.database: {wanted!r} is neither an MMseqs2 database ({path}.dbtype does not exist) nor a name "
            f"that can be downloaded ({', '.join(DOWNLOADS)})"
        )
    with folder_aside(output) as aside:
        if by_path:
            for part in path.parent.glob(f"{path.name}*"):
                if part.name[len(path.name) :][:1] in ("", ".", "_"):
                    (aside / f"proteins{part.name[len(path.name) :]}").symlink_to(part.resolve())
        else:
            with tempfile.TemporaryDirectory(prefix=".database.", dir=aside) as scratch:
                words = ["databases", wanted, "proteins", Path(scratch) / "tmp", "--threads", threads, "-v", 2]
                run_program(["mmseqs", *words], aside)
        try:
            check_database(aside / "proteins")
        except InputError as error:
            # The message must not contain the path of the temporary copy.
            raise InputError(str(error).replace(str((aside / "proteins").absolute()), wanted)) from None
        version = mmseqs_version()
        write_json(aside / "summary.json", {"mmseqs2": version, "database": wanted, "downloaded": not by_path})
    logger.info("database: %s, %s (MMseqs2 %s)", wanted, "linked" if by_path else "downloaded", version)


def report_taxonomy(database: str | Path, output: str | Path) -> None:
    """Write the taxonomy folder of an existing database to ``output``, from the database.

    Raises `InputError` as `check_database`, and for fewer than two species.
    """
    check_database(database)
    with tempfile.TemporaryDirectory(prefix="genestill.") as scratch:
        report = Path(scratch) / "report.tsv"
        run_program(["mmseqs", "taxonomyreport", database, database, report, "-v", 1])
        make_taxonomy_of_report(report, output, str(database))
