"""Sources of the reads of an assembled community: chromosomes, plasmids and eukaryotes, with depths.

Plasmids are the records whose header contains "plasmid"; the reference contains only chromosomes. Coverage
is log-normal over genomes and samples, as in `community`, and scaled to the requested number of bases over all samples.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, write_json
from genestill.core.lineage import format_lineage
from genestill.core.logs import logger, progress
from genestill.core.novelty import OTHER, status_word
from genestill.core.sequences import read_fasta, write_fasta
from genestill.core.tables import read_tsv, write_tsv
from genestill.core.text import text_lines
from genestill.reference.community import draw_coverage
from genestill.reference.genomes import Genome, read_genomes
from genestill.reference.novelty import split_genomes
from genestill.reference.settings import AssemblySettings, CommunitySettings

_DEPTH_OF_OTHERS = 10  # mean depth of plasmids and eukaryotes; their number is reduced to reach it
SOURCE_COLUMNS = ("source", "file", "kind", "lineage", "status")
CHROMOSOMES, _PLASMIDS, _EUKARYOTES = "chromosomes", "plasmid", "eukaryote"


def write_mixture(
    genomes: str | Path,
    output: str | Path,
    settings: CommunitySettings,
    assembly: AssemblySettings,
    seed: int,
    folder: str | Path | None = None,
    lineage_column: str | None = None,
    eukaryotes: Sequence[str | Path] = (),
) -> pd.DataFrame:
    """Choose the sources and their depths, and write the folder ``output`` atomically.

    Writes ``genomes/`` (the chromosomes of the genomes of the community and of the reference), ``others/`` (plasmids
    and eukaryotes), ``sources.tsv`` (source, file, kind, lineage, status, and the mean depth in each sample),
    ``reference.tsv`` (file, lineage: the genomes for a reference database) and ``summary.json``. Returns the sources.

    Args:
        genomes: the table, see `read_genomes`, also for ``folder`` and ``lineage_column``.
        output: a folder.
        settings: statuses, decoys, samples and dropout; lengths and number of contigs result from the assembly.
        assembly: how much is sequenced.
        seed: seed of all random numbers.
        folder: folder of the genome files.
        lineage_column: column of the lineages.
        eukaryotes: FASTA files whose records are sequenced and are in no reference.

    Raises:
        InputError: an invalid table or FASTA file, fewer than two species in the reference, a genome that consists of
            plasmids only.
    """
    candidates = read_genomes(genomes, folder, lineage_column, to_species=True)
    rng = np.random.default_rng(seed)
    split = split_genomes([genome.lineage for genome in candidates], settings.shares(), settings.decoys, rng)
    rows, lengths, others = [], [], []
    with folder_aside(output) as aside:
        for genome, status, held in zip(
            progress(candidates, len(candidates), "genomes", "reading genomes"),
            split.status,
            split.in_reference,
            strict=True,
        ):
            chromosomes, plasmids = _records(genome)
            others += [(f"{genome.name}:{name}", sequence, _PLASMIDS) for name, sequence in plasmids]
            if status is None and not held:
                continue
            # Named as in the table, without folders; names of genomes are unique.
            file = f"{genome.name}.fna.gz"
            write_fasta(aside / "genomes" / file, chromosomes)
            if status is not None:
                lineage = format_lineage(genome.lineage)
                rows.append((genome.name, f"genomes/{file}", CHROMOSOMES, lineage, status_word(status)))
                lengths.append(sum(len(sequence) for _, sequence in chromosomes))
        for fasta in eukaryotes:
            others += [(name, sequence, _EUKARYOTES) for name, sequence in read_fasta(fasta)]
        coverage = draw_coverage(len(rows), settings, rng)
        budgets = _budgets(assembly, {kind for *_, kind in others})
        coverage *= budgets[CHROMOSOMES] / (coverage.sum(axis=1) @ np.array(lengths))
        depths = [coverage]
        for kind, share in budgets.items():
            chosen = _choose([one for one in others if one[2] == kind], share / _DEPTH_OF_OTHERS, rng)
            if not chosen:
                continue
            drawn = draw_coverage(len(chosen), settings, rng)
            depths.append(drawn * share / (drawn.sum(axis=1) @ np.array([len(sequence) for _, sequence, _ in chosen])))
            for name, sequence, _ in chosen:
                file = f"others/{len(rows):04d}.fna.gz"
                write_fasta(aside / file, [(name, sequence)])
                rows.append((name, file, kind, "", OTHER))
        table = pd.DataFrame(rows, columns=list(SOURCE_COLUMNS))
        samples = pd.DataFrame(np.concatenate(depths), columns=[f"S{n}" for n in range(1, settings.samples + 1)])
        table = pd.concat([table, samples], axis=1)
        write_tsv(aside / "sources.tsv", table.round(4), digits=9)
        _write_reference(aside / "reference.tsv", candidates, split.in_reference)
        write_json(aside / "summary.json", {"wanted": split.wanted, "achieved": split.counts()})
    kinds = table["kind"].value_counts()
    logger.info("%s; %d genomes in the reference", kinds.to_dict(), int(split.in_reference.sum()))
    return table


def _records(genome: Genome) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The chromosomes and the plasmids of a genome: (id, sequence) each."""
    headers = [line[1:] for line in text_lines(genome.path, errors="surrogateescape") if line.startswith(">")]
    plasmids = {header.split(maxsplit=1)[0] for header in headers if "plasmid" in header.lower()}
    records = list(read_fasta(genome.path))
    chromosomes = [record for record in records if record[0] not in plasmids]
    if not chromosomes:
        raise InputError(f"{genome.path}: every record is a plasmid; expected a chromosome")
    return chromosomes, [record for record in records if record[0] in plasmids]


def _budgets(assembly: AssemblySettings, kinds: set[str]) -> dict[str, float]:
    """Sequenced bases of each kind of source."""
    share = assembly.other if kinds else 0.0
    return {CHROMOSOMES: assembly.bases * (1 - share)} | {
        kind: assembly.bases * share / len(kinds) for kind in sorted(kinds)
    }


def _choose(records: list[tuple[str, str, str]], length: float, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Records in random order with at least ``length`` base pairs in total; all records if they have fewer."""
    chosen, total = [], 0
    for row in rng.permutation(len(records)):
        if total >= length:
            break
        chosen.append(records[row])
        total += len(records[row][1])
    return chosen


def _write_reference(path: Path, genomes: list[Genome], held: np.ndarray) -> None:
    rows = [genome for genome, is_held in zip(genomes, held, strict=True) if is_held]
    table = pd.DataFrame(
        {
            "file": [f"{genome.name}.fna.gz" for genome in rows],
            "lineage": [format_lineage(genome.lineage) for genome in rows],
        }
    )
    if any(genome.translation_table for genome in rows):
        table["translation_table"] = [str(genome.translation_table or "") for genome in rows]
    write_tsv(path, table)


def read_sources(folder: str | Path) -> pd.DataFrame:
    """The table ``sources.tsv`` of a folder written by `write_mixture`; depths are float64, one column per sample."""
    table = read_tsv(Path(folder) / "sources.tsv", SOURCE_COLUMNS)
    samples = [name for name in table if name not in SOURCE_COLUMNS]
    try:
        return table.astype(dict.fromkeys(samples, float)).reset_index(drop=True)
    except ValueError as error:
        raise InputError(f"{folder}: depths of sources.tsv are not numbers ({error})") from None
