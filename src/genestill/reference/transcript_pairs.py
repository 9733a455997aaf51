"""Pairs of transcripts of the same gene or of orthologues, for an objective that contrasts them with unrelated ones.

Based on Orthrus (Fradkin et al., bioRxiv 2024.10.10.617658), which is trained on isoforms and orthologues. Orthologues
here are reciprocal best hits of proteins by MMseqs2 (Moreno-Hagelsieb & Latimer 2008, doi
10.1093/bioinformatics/btm585).
"""

import itertools
import tempfile
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.programs import run_program
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import TRANSCRIPT_PAIRS, TRANSCRIPTS
from genestill.core.tables import read_table, write_table
from genestill.reference.homology import proteins_of

MOST_ISOFORMS = 10  # maximum number of isoforms of a gene with which a transcript is paired
EVALUE = 1e-5


def pair_transcripts(
    transcripts: str | Path, species: dict[str, list[str]], threads: int, output: str | Path
) -> dict[str, int]:
    """Write `table_schemas.TRANSCRIPT_PAIRS`, and return the number of pairs by kind of relation.

    Args:
        transcripts: table of `table_schemas.TRANSCRIPTS`; an id begins with the name of its source and a colon.
        species: name -> sources of its transcripts; orthologues are searched between all pairs of species. A
            transcript of another source has only isoforms.
        threads: number of threads of MMseqs2.
        output: the table; it may be empty.
    """
    table = read_table(transcripts, TRANSCRIPTS)
    sources = table["id"].str.split(":", n=1).str[0]
    pairs = [_isoforms(table)]
    of_species = {name: table[sources.isin(names)] for name, names in species.items()}
    for name, found in of_species.items():
        if found.empty:
            raise InputError(
                f"{transcripts}: no transcript of {name} (sources {', '.join(species[name])}); found "
                f"{', '.join(sorted(sources.unique()))}"
            )
    for (one, first), (other, second) in itertools.combinations(of_species.items(), 2):
        found = _reciprocal_best(first, second, threads)
        logger.info("%s and %s: %d orthologues", one, other, len(found))
        pairs.append(found.assign(by="orthologue"))
    forward = pd.concat(pairs, ignore_index=True)
    backward = forward.rename(columns={"id": "relative", "relative": "id"})
    both = pd.concat([forward, backward], ignore_index=True)[TRANSCRIPT_PAIRS.names]
    both = both.drop_duplicates(["id", "relative"]).sort_values(["id", "relative"], ignore_index=True)
    write_table(output, both, TRANSCRIPT_PAIRS)
    return {by: int((both["by"] == by).sum()) // 2 for by in ("gene", "orthologue")}


def _isoforms(table: pd.DataFrame) -> pd.DataFrame:
    """Pairs of each transcript with the next transcripts of its gene in the table, at most `MOST_ISOFORMS`."""
    pairs = []
    for _, ids in table[table["gene"] != ""].groupby("gene", sort=False)["id"]:
        names = ids.tolist()
        pairs += [
            (name, other) for place, name in enumerate(names) for other in names[place + 1 : place + 1 + MOST_ISOFORMS]
        ]
    return pd.DataFrame(pairs, columns=["id", "relative"]).assign(by="gene")


def _reciprocal_best(first: pd.DataFrame, second: pd.DataFrame, threads: int) -> pd.DataFrame:
    """Columns id and relative: transcripts whose proteins are reciprocal best hits."""
    proteins = [proteins_of(table) for table in (first, second)]
    if not all(proteins):
        return pd.DataFrame({"id": [], "relative": []}, dtype=object)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, found in zip(("first", "second"), proteins, strict=True):
            write_fasta(place / f"{name}.fa", ((str(row), protein) for row, protein in found))
        command = [
            *("mmseqs", "easy-rbh", place / "first.fa", place / "second.fa", place / "pairs.tsv", place / "work"),
            *("-e", EVALUE, "--threads", threads, "--format-output", "query,target", "-v", "1"),
        ]
        run_program(command)
        pairs = pd.read_csv(place / "pairs.tsv", sep="\t", names=["first", "second"], dtype="int64")
    ids = (first["id"].to_numpy()[pairs["first"]], second["id"].to_numpy()[pairs["second"]])
    return pd.DataFrame({"id": ids[0], "relative": ids[1]})
