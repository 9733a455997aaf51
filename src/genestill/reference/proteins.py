"""Proteins of the reference genomes, predicted by Pyrodigal (GPL: a program that runs, never an import)."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import read_json, require_disk_space, scratch_folder, sha256_of, write_aside, write_json
from genestill.core.logs import logger, progress
from genestill.core.programs import run_program
from genestill.core.sequences import read_fasta
from genestill.reference.genomes import Genome

# Pyrodigal and Prodigal refuse to train on less; such a genome (a plasmid, a virus) is read with the general models.
TRAINING_LENGTH = 20_000

# Code 11 cuts the genes of a genome of code 4 at every TGA. A genome is tried with code 4 too if with code 11 less than
# this share of it codes for proteins, or if these have fewer residues on average ...
DENSE, LONG = 0.85, 200
# ... and is named if with code 4 this much more of it codes, and at least that share: the rule of CheckM (Parks et al.,
# Genome Research 25, 2015) and GTDB-Tk.
DENSER, DENSE_WITH_4 = 0.05, 0.7


def predict_proteins(genomes: list[Genome], threads: int, output: str | Path) -> str:
    """Write one protein FASTA a genome, ``<genome>.faa`` with the names ``<genome>|<number>``.

    A genome whose proteins are there, made from the same file by the same release with the same genetic code, is not
    predicted again, so that a run that was stopped goes on where it was. A genome without ``translation_table`` is
    read with code 11; the log and the summary name those that seem to have code 4 (or 25).

    Args:
        genomes: as `read_genomes` returns them.
        threads: genomes at a time.
        output: the folder; ``summary.json`` in it is written last, when all are there.

    Returns:
        The version that Pyrodigal gives of itself.

    Raises:
        InputError: a genome that is no nucleotide FASTA or has no gene; no disk space.
    """
    output = Path(output)
    version = run_program(["pyrodigal", "--version"]).strip()
    require_disk_space(output, 4 * sum(genome.path.stat().st_size for genome in genomes), "the proteins")
    output.mkdir(parents=True, exist_ok=True)
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
            "%s: genetic code 11 seems wrong: its coding density is %.2f, with code 4 it is %.2f; put 4 (Mycoplasma, "
            "Spiroplasma) or 25 (Gracilibacteria) into the column translation_table of the table of genomes",
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
        # The general models of the mode meta have each their genetic code, 4 among them.
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
    """Lines of the proteins that Pyrodigal finds in ``source``, as FASTA."""
    found = source.with_suffix(".faa")
    command = ["pyrodigal", "-i", source, "-a", found, "-o", "/dev/null", "-p", mode]
    command += [] if code is None else ["-g", code]
    run_program(command)
    return found.read_text(encoding="ascii").splitlines()


def _coding(proteins: list[str], length: int) -> tuple[float, float]:
    """Share of a genome of ``length`` bases that codes for ``proteins``, and their mean length in residues."""
    number = sum(line.startswith(">") for line in proteins)
    residues = sum(len(line.rstrip("*")) for line in proteins if not line.startswith(">"))
    return round(3 * residues / length, 4), residues / max(1, number)
