"""Metabuli (Kim and Steinegger 2024, doi 10.1038/s41592-024-02273-y) with the genomes of a reference."""

from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import require_disk_space, scratch_folder, write_aside
from genestill.core.logs import logger
from genestill.core.programs import find_program, run_program
from genestill.core.sequences import genome_name, read_fasta, write_fasta
from genestill.core.tables import read_tsv
from genestill.core.taxonomy_folder import read_taxids_of_genomes

_MEMORY = 8  # GiB, for --max-ram; the default of Metabuli is 128
_CONTIGS = 3  # for --seq-mode: long sequences


def run_metabuli(
    contigs: str | Path,
    genomes: str | Path,
    folder: str | Path,
    taxonomy: str | Path,
    threads: int,
    output: str | Path,
) -> None:
    """Build a database of the genomes, classify the contigs, and keep Metabuli's table of classifications.

    Args:
        contigs: FASTA file, compressed or not.
        genomes: table of genomes with the column ``file``; only these are in the database.
        folder: folder of these files.
        taxonomy: folder written by ``reference taxonomy``.
        threads: number of threads of Metabuli.
        output: TSV: classified or not, contig, taxid, length, score, rank, matches.

    Raises:
        InputError: Metabuli is missing; a genome without a file or a taxid.
        ProgramFailed: Metabuli fails.
    """
    metabuli = find_program("metabuli")
    taxonomy, output = Path(taxonomy).resolve(), Path(output).resolve()
    taxid_of = read_taxids_of_genomes(taxonomy)
    files = [Path(folder) / file for file in read_tsv(genomes, ["file"])["file"]]
    size = sum(file.stat().st_size for file in files if file.is_file())
    require_disk_space(output.parent, 20 * size + 200_000_000, "the database of Metabuli")
    with scratch_folder(output.parent, "metabuli") as scratch:
        scratch = scratch.resolve()
        library, accessions, listed = scratch / "library.fna", scratch / "accessions.tsv", scratch / "files.txt"
        with open(library, "w", encoding="ascii") as sequences, open(accessions, "w", encoding="ascii") as rows:
            rows.write("accession\taccession.version\ttaxid\tgi\n")
            number = 0
            for file in files:
                name = genome_name(file)
                if name not in taxid_of or not file.is_file():
                    raise InputError(f"{genomes}: {name}: not in {taxonomy}/genomes.tsv, or no such file: {file}")
                for _, sequence in read_fasta(file):
                    number += 1  # Metabuli cuts accessions at the first dot, so records are renamed
                    rows.write(f"r{number}\tr{number}\t{taxid_of[name]}\t0\n")
                    sequences.write(f">r{number}\n{sequence}\n")
        listed.write_text(f"{library}\n", encoding="utf-8")
        limits = ["--threads", threads, "--max-ram", _MEMORY]
        database = scratch / "database"
        database.mkdir()
        # All species are in one file.
        words = ["--taxonomy-path", taxonomy, "--make-library", 1]
        run_program([metabuli, "build", database, listed, accessions, *words, *limits], scratch)
        queries = scratch / "contigs.fna"
        write_fasta(queries, read_fasta(contigs))
        words = ["--seq-mode", _CONTIGS, queries, database, scratch, "contigs"]
        run_program([metabuli, "classify", *words, "--taxonomy-path", taxonomy, *limits], scratch)
        said = scratch / "contigs_classifications.tsv"
        if not said.is_file():
            raise InputError(f"metabuli did not write {said.name}; is it release 1.0 or newer?")
        with write_aside(output) as aside:
            aside.write_bytes(said.read_bytes())
    logger.info("metabuli: %d genomes, %d sequences", len(files), number)
