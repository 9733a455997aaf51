"""Proteins of the reference genomes, predicted by Pyrodigal (GPL: a program that runs, never an import)."""

import subprocess
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from genestill.ground.errors import InputError
from genestill.ground.files import read_json, require_disk_space, scratch_folder, sha256_of, write_aside, write_json
from genestill.ground.logs import logger, progress
from genestill.ground.programs import find_program, run_program
from genestill.ground.sequences import read_fasta
from genestill.reference.genomes import Genome

# Pyrodigal and Prodigal refuse to train on less; such a genome (a plasmid, a virus) is read with the general models.
TRAINING_LENGTH = 20_000


def predict_proteins(genomes: list[Genome], threads: int, output: str | Path) -> None:
    """Write one protein FASTA a genome, ``<genome>.faa`` with the names ``<genome>|<number>``.

    A genome whose proteins are there, made from the same file by the same release, is not predicted again, so that
    a run that was stopped goes on where it was.

    Args:
        genomes: as `read_genomes` returns them.
        threads: genomes at a time.
        output: the folder; ``summary.json`` in it is written last, when all are there.

    Raises:
        InputError: a genome that is no nucleotide FASTA or has no gene; no disk space.
    """
    output = Path(output)
    pyrodigal = find_program("pyrodigal")
    version = run_program([pyrodigal, "--version"]).strip()
    require_disk_space(output, 4 * sum(genome.path.stat().st_size for genome in genomes), "the proteins")
    output.mkdir(parents=True, exist_ok=True)
    done_before, counts = 0, {}
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        waiting = {}
        for genome in genomes:
            made_of = {"sha256": sha256_of(genome.path), "program": version}
            record = output / f"{genome.name}.json"
            if record.is_file() and (output / f"{genome.name}.faa").is_file():
                before = read_json(record)
                if {key: before.get(key) for key in made_of} == made_of:
                    done_before += 1
                    counts[genome.name] = before["proteins"]
                    continue
            waiting[pool.submit(_predict, pyrodigal, genome, made_of, output)] = genome
        try:
            for future in progress(as_completed(waiting), len(waiting), "genomes", "predicting proteins"):
                counts[waiting[future].name] = future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    write_json(output / "summary.json", {"pyrodigal": version, "proteins": counts})
    logger.info(
        "proteins: %d of %d genomes, %d of them made before (%s)",
        sum(counts.values()),
        len(genomes),
        done_before,
        version,
    )


def _predict(pyrodigal: Path, genome: Genome, made_of: dict[str, str], output: Path) -> int:
    with scratch_folder(output, f"proteins.{genome.name}") as scratch:
        source, found = scratch / "genome.fna", scratch / "proteins.faa"
        length = 0
        with open(source, "w", encoding="ascii") as handle:
            for name, sequence in read_fasta(genome.path):
                handle.write(f">{name}\n{sequence}\n")
                length += len(sequence)
        mode = "single" if length >= TRAINING_LENGTH else "meta"
        command = [pyrodigal, "-i", source, "-a", found, "-o", "/dev/null", "-p", mode]
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
        )
        if done.returncode:
            tail = "\n".join(done.stderr.splitlines()[-5:])
            raise RuntimeError(f"pyrodigal failed on {genome.path} with exit code {done.returncode}:\n{tail}")
        number = 0
        with write_aside(output / f"{genome.name}.faa") as aside, open(aside, "w", encoding="ascii") as handle:
            for line in found.read_text(encoding="ascii").splitlines(keepends=True):
                if line.startswith(">"):
                    number += 1
                    line = f">{genome.name}|{number}\n"
                handle.write(line)
        if number == 0:
            raise InputError(f"{genome.path}: no gene found in {length} bp; expected a genome")
    write_json(output / f"{genome.name}.json", made_of | {"proteins": number, "mode": mode, "base_pairs": length})
    return number
