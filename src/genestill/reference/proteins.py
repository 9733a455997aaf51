"""Proteins of the reference genomes, predicted by Pyrodigal (GPL, therefore run as a program and not imported)."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import (
    make_folder,
    read_json,
    require_disk_space,
    scratch_folder,
    sha256_of,
    write_aside,
    write_json,
)
from genestill.core.logs import logger, progress
from genestill.core.programs import run_program
from genestill.core.sequences import read_fasta
from genestill.reference.genomes import Genome

# Minimum length for the training of Pyrodigal and Prodigal; for shorter genomes (plasmids, viruses), the general models
# are used.
TRAINING_LENGTH = 20_000

# With code 11, the genes of a genome of code 4 end at every TGA. A genome is also read with code 4 if with code 11 its
# coding share is below the first value, or the mean number of residues of its proteins below the second ...
DENSE, LONG = 0.85, 200
# ... and it is reported if with code 4 the coding share is higher by the first value, and at least the second: the rule
# of CheckM (Parks et al., Genome Research 25, 2015) and GTDB-Tk.
DENSER, DENSE_WITH_4 = 0.05, 0.7


def predict_proteins(genomes: list[Genome], threads: int, output: str | Path) -> str:
    """Write one protein FASTA per genome, ``<genome>.faa`` with records named ``<genome>|<number>``.

    Proteins that exist already, made from the same file by the same release with the same genetic code, are not
    predicted again, so that an interrupted run can be continued. A genome without ``translation_table`` is read with
    code 11; the log and the summary name genomes that probably have code 4 (or 25).

    Args:
        genomes: from `read_genomes`.
        threads: number of genomes that are processed in parallel.
        output: the folder; its ``summary.json`` is written when all proteins exist.

    Returns:
        The version of Pyrodigal.

    Raises:
        InputError: a genome that is not a nucleotide FASTA file or has no gene; not enough disk space.
    """
    output = Path(output)
    version = run_program(["pyrodigal", "--version"]).strip()
    require_disk_space(output, 4 * sum(genome.path.stat().st_size for genome in genomes), "the proteins")
    make_folder(output)
    done_before, records = 0, {}
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        waiting = {}
        for genome in genomes:
            made_of = {
                "sha256": sha256_of(genome.path),
                "program": version,
                "translation_table": genome.translation_table,
            }
            record = output / f"{genome.name}.json"
            if record.is_file() and (output / f"{genome.name}.faa").is_file():
                before = read_json(record)
                if {key: before.get(key) for key in made_of} == made_of and "coding_density" in before:
                    done_before += 1
                    records[genome.name] = before
                    continue
            waiting[pool.submit(_predict, genome, made_of, output)] = genome
        try:
            for future in progress(as_completed(waiting), len(waiting), "genomes", "predicting proteins"):
                records[waiting[future].name] = future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    records = {genome.name: records[genome.name] for genome in genomes}
    counts = {name: record["proteins"] for name, record in records.items()}
    recoded = [name for name, record in records.items() if record["other_code"]]
    write_json(output / "summary.json", {"pyrodigal": version, "proteins": counts, "other_genetic_code": recoded})
    for name in recoded:
        record = records[name]
        logger.warning(
            "%s: genetic code 11 seems wrong: the coding density is %.2f, but %.2f with code 4; write 4 (Mycoplasma, "
            "Spiroplasma) or 25 (Gracilibacteria) in the column translation_table of the table of genomes",
            name, record["coding_density"], record["coding_density_4"],
        )  # fmt: skip
    logger.info(
        "proteins: %d of %d genomes, %d of them made before (%s)",
        sum(counts.values()),
        len(genomes),
        done_before,
        version,
    )
    return version


def _predict(genome: Genome, made_of: dict, output: Path) -> dict:
    with scratch_folder(output, f"proteins.{genome.name}") as scratch:
        source = scratch / "genome.fna"
        length = 0
        with open(source, "w", encoding="ascii") as handle:
            for name, sequence in read_fasta(genome.path):
                handle.write(f">{name}\n{sequence}\n")
                length += len(sequence)
        # Each general model of the mode meta has a genetic code, for example 4.
        mode = "single" if length >= TRAINING_LENGTH else "meta"
        code = (genome.translation_table or 11) if mode == "single" else None
        proteins = _run(source, mode, code)
        density, residues = _coding(proteins, length)
        made_of = made_of | {"mode": mode, "base_pairs": length, "coding_density": density, "other_code": False}
        if mode == "single" and genome.translation_table is None and (density < DENSE or residues < LONG):
            with_4, _ = _coding(_run(source, mode, 4), length)
            made_of["coding_density_4"] = with_4
            made_of["other_code"] = with_4 > DENSE_WITH_4 and with_4 - density > DENSER
    number = sum(line.startswith(">") for line in proteins)
    if number == 0:
        raise InputError(f"{genome.path}: no gene found in {length} bp; expected a genome")
    names = iter(range(1, number + 1))
    with write_aside(output / f"{genome.name}.faa") as aside, open(aside, "w", encoding="ascii") as handle:
        for line in proteins:
            handle.write(f">{genome.name}|{next(names)}\n" if line.startswith(">") else f"{line}\n")
    made_of["proteins"] = number
    write_json(output / f"{genome.name}.json", made_of)
    return made_of


def _run(source: Path, mode: str, code: int | None) -> list[str]:
    """Lines of the FASTA output of Pyrodigal for ``source``."""
    found = source.with_suffix(".faa")
    command = ["pyrodigal", "-i", source, "-a", found, "-o", "/dev/null", "-p", mode]
    command += [] if code is None else ["-g", code]
    run_program(command)
    return found.read_text(encoding="ascii").splitlines()


def _coding(proteins: list[str], length: int) -> tuple[float, float]:
    """The coding share of a genome of ``length`` bases with ``proteins``, and their mean length in residues."""
    number = sum(line.startswith(">") for line in proteins)
    residues = sum(len(line.rstrip("*")) for line in proteins if not line.startswith(">"))
    return round(3 * residues / length, 4), residues / max(1, number)
