"""Genomes by accession: downloaded from the original archive, and compared with a checksum of their sequences."""

import hashlib
import shutil
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import make_folder, scratch_folder, write_compressed
from genestill.core.logs import logger
from genestill.core.sequences import read_fasta
from genestill.core.tables import read_tsv, write_tsv
from genestill.reference.archive import unpack
from genestill.reference.download import fetch

COLUMNS = ("file", "accession", "lineage", "sequences_sha256", "url")


def fetch_genomes(table: str | Path, output: str | Path) -> None:
    """Download the genomes of a table, and write the table beside them.

    Args:
        table: TSV with the columns ``COLUMNS``; others are kept. ``url`` is the address of a zip archive with one file
            ``*_genomic.fna``, as from NCBI Datasets, and ``sequences_sha256`` the `checksum_of_sequences`.
        output: the same table; the genome files are written to its folder. Existing files with the right checksum are
            not downloaded again.

    Raises:
        InputError: a failed download, an archive with other content, and a genome with other sequences.
    """
    output = Path(output)
    genomes = read_tsv(table, COLUMNS)
    for row in genomes.itertuples():
        target = output.parent / row.file
        if target.is_file() and checksum_of_sequences(target) == row.sequences_sha256:
            logger.info("%s: already complete", target)
            continue
        _fetch_genome(row, target)
    write_tsv(output, genomes)
    logger.info("%s: %d genomes", output, len(genomes))


def _fetch_genome(row, target: Path) -> None:
    make_folder(target.parent)
    with scratch_folder(target.parent, "unpacked") as scratch:
        archive = target.parent / f"{row.accession}.zip"  # an interrupted download is continued by the next run
        fetch(row.url, archive)
        files = unpack(archive, scratch / "archive", ["*_genomic.fna"])
        if len(files) != 1:
            raise InputError(f"{archive}: has {len(files)} files *_genomic.fna; expected one")
        if (found := checksum_of_sequences(files[0])) != row.sequences_sha256:
            raise InputError(
                f"{row.url}: the sequences of {row.accession} have the SHA-256 {found}; expected "
                f"{row.sequences_sha256}. The assembly may have another version or other records"
            )
        with open(files[0], "rb") as content, write_compressed(target) as handle:
            shutil.copyfileobj(content, handle)
    archive.unlink()


def checksum_of_sequences(path: str | Path) -> str:
    """Hex SHA-256 of the upper-case sequences of a FASTA file, sorted and joined by line feeds.

    It does not depend on names, on the order of the records or on the length of lines.
    """
    sequences = sorted(sequence.upper() for _, sequence in read_fasta(path))
    return hashlib.sha256("\n".join(sequences).encode()).hexdigest()
