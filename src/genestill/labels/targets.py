"""The proteins of a database: the genome of each, and the proteins that two releases share.

Proteins of two releases are the same if their genome (accession) and sequence are the same. Keys and taxids cannot be
used, because they change between releases.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from genestill.core.files import scratch_folder
from genestill.core.lineage import Lineage, format_lineage, read_formatted
from genestill.core.programs import run_program
from genestill.core.table_schemas import column
from genestill.core.tables import read_table, write_table
from genestill.core.taxonomy_folder import read_lineages
from genestill.labels.mmseqs_results import read_entries, read_index, read_results, write_results

TARGETS = pa.schema(
    [
        column("target", pa.int64(), "key of the protein"),
        column("genome", pa.string(), "genome of the protein; empty if its name does not contain it"),
        column("digest", pa.int64(), "64 bits of a hash of the genome (else the name) and the sequence"),
        column("residues", pa.int32(), "length of the protein", "amino acids"),
        column("taxid", pa.int64(), "taxon of the protein; 0 for none"),
    ]
)
TAXA = pa.schema(
    [
        column("taxid", pa.int64(), "taxon that the database has proteins of"),
        column("lineage", pa.string(), "its lineage"),
    ]
)


@dataclass(frozen=True)
class Targets:
    """The proteins of a database.

    Attributes:
        table: rows of `TARGETS`, keys ascending.
        lineages: taxid -> lineage.
    """

    table: pd.DataFrame
    lineages: dict[int, Lineage]

    @property
    def residues(self) -> int:
        """Residues of all proteins, the size of the database; E-values are proportional to it."""
        return int(self.table["residues"].sum())

    def by_key(self, name: str) -> np.ndarray:
        """A column as an array indexed by key; 0 for keys without a protein."""
        values = np.zeros(int(self.table["target"].max()) + 1, self.table[name].dtype)
        values[self.table["target"]] = self.table[name]
        return values

    def write(self, folder: str | Path) -> None:
        """Write targets.parquet and taxa.parquet, for `read_kept_targets`."""
        write_table(Path(folder) / "targets.parquet", self.table, TARGETS)
        taxa = {taxid: format_lineage(lineage) for taxid, lineage in sorted(self.lineages.items())}
        table = pd.DataFrame({"taxid": list(taxa), "lineage": list(taxa.values())})
        write_table(Path(folder) / "taxa.parquet", table, TAXA)


def read_kept_targets(folder: str | Path) -> Targets:
    """Read the files of `Targets.write`."""
    taxa = read_table(Path(folder) / "taxa.parquet", TAXA)
    lineages = {taxid: read_formatted(text) for taxid, text in zip(taxa["taxid"], taxa["lineage"], strict=True)}
    return Targets(read_table(Path(folder) / "targets.parquet", TARGETS), lineages)


def list_targets(database: str | Path, taxonomy: str | Path, threads: int, folder: str | Path) -> Targets:
    """The proteins of an MMseqs2 taxonomy database.

    Args:
        database: protein database.
        taxonomy: folder written by ``reference taxonomy``.
        threads: number of threads of MMseqs2.
        folder: folder for temporary files.

    Raises:
        InputError: a database whose entries are compressed or in several files.
    """
    keys = read_index(f"{database}.index")["key"].to_numpy()
    genomes, digests, residues = [], np.empty(len(keys), np.int64), np.empty(len(keys), np.int32)
    for row, ((name, genome), entry) in enumerate(zip(_names(database), read_entries(database), strict=True)):
        genomes.append(genome)
        sequence = entry.strip()
        digest = hashlib.blake2b((genome or name).encode() + b"\0" + sequence, digest_size=8).digest()
        digests[row], residues[row] = int.from_bytes(digest, "little", signed=True), len(sequence)
    table = pd.DataFrame({"target": keys, "genome": genomes, "digest": digests, "residues": residues})
    table["taxid"] = _taxids(database, keys, threads, folder)
    known = read_lineages(taxonomy)
    lineages = {taxid: known[taxid] for taxid in table["taxid"].unique().tolist() if taxid in known}
    return Targets(table, lineages)


def _names(database: str | Path) -> Iterator[tuple[str, str]]:
    """The name of each protein, and its genome: the name up to the last ``|``, or the file if there are several."""
    source = Path(f"{database}.source")
    files = [line.split("\t") for line in source.read_text().splitlines()] if source.is_file() else []
    file_of = {}
    if len(files) > 1:
        name_of = {number: Path(file).name.split("_protein")[0] for number, file in files}
        with open(f"{database}.lookup", encoding="utf-8") as lines:
            file_of = {key: name_of[file] for key, _, file in (line.rstrip("\n").split("\t") for line in lines)}
    keys = read_index(f"{database}_h.index")["key"] if file_of else ()
    for number, header in enumerate(read_entries(f"{database}_h")):
        words = header.split(maxsplit=1)
        name = words[0].decode(errors="replace") if words else ""
        yield name, name.rpartition("|")[0] or (file_of.get(str(keys[number]), "") if file_of else "")


def _taxids(database: str | Path, keys: np.ndarray, threads: int, folder: str | Path) -> np.ndarray:
    with scratch_folder(folder, "taxa") as scratch:
        write_results(scratch / "own", keys, (f"{key}\n" for key in keys.tolist()))
        words = [Path(database).resolve(), "own", "taxa", "--threads", threads, "-v", 1]
        run_program(["mmseqs", "addtaxonomy", *words], scratch)
        found = read_results(scratch / "taxa", {"target": np.int64, "taxid": np.int64}, scratch, threads)
    return found.set_index("target")["taxid"].reindex(keys, fill_value=0).to_numpy()


@dataclass(frozen=True)
class Difference:
    """The difference between a new and a former release of a database.

    Attributes:
        new_key: int64 [former keys], the key of the same protein in the new release; -1 for none, or no protein.
        added: bool [new keys], whether the protein is not in the former release.
        share: residues of the new release divided by those of the former one, the factor of E-values.
    """

    new_key: np.ndarray
    added: np.ndarray
    share: float


def compare_targets(former: Targets, new: Targets) -> Difference:
    """Match the proteins of two releases; identical proteins of a genome are matched as often as both have them."""
    tables = []
    for targets in (former, new):
        table = targets.table[["target", "digest"]]
        tables.append(table.assign(copy=table.groupby("digest").cumcount()))
    both = tables[0].merge(tables[1], on=["digest", "copy"], suffixes=("_former", ""))
    new_key = np.full(int(former.table["target"].max()) + 1, -1)
    new_key[both["target_former"]] = both["target"]
    added = np.zeros(int(new.table["target"].max()) + 1, dtype=bool)
    added[new.table["target"]] = True
    added[both["target"]] = False
    return Difference(new_key, added, new.residues / former.residues)


def count_genomes(former: Targets, new: Targets, difference: Difference) -> dict[str, list[str]]:
    """The genomes that were withdrawn, added, changed (some proteins) and renamed (same proteins, other lineage)."""
    gone = former.table.assign(gone=difference.new_key[former.table["target"]] < 0).groupby("genome")["gone"]
    came = new.table.assign(came=difference.added[new.table["target"]]).groupby("genome")["came"]
    gone, came = gone.mean().drop("", errors="ignore"), came.mean().drop("", errors="ignore")
    both = gone.index.intersection(came.index)
    changed = both[(gone[both] > 0).to_numpy() | (came[both] > 0).to_numpy()]
    lineage = []
    for targets in (former, new):
        taxids = targets.table.drop_duplicates("genome").set_index("genome")["taxid"]
        lineage.append({genome: targets.lineages.get(taxid) for genome, taxid in taxids.items()})
    renamed = [genome for genome in both if lineage[0].get(genome) != lineage[1].get(genome)]
    return {
        "added": sorted(came.index.difference(gone.index)),
        "withdrawn": sorted(gone.index.difference(came.index)),
        "changed": sorted(changed),
        "renamed": renamed,
    }


def new_lineages(former: Targets, new: Targets, difference: Difference) -> dict[Lineage, set[Lineage]]:
    """Taxon of the former release (a lineage cut at its rank) -> the taxa of its proteins in the new release."""
    table = former.table[difference.new_key[former.table["target"]] >= 0]
    now = new.by_key("taxid")[difference.new_key[table["target"]]]
    pairs = pd.DataFrame({"before": table["taxid"].to_numpy(), "now": now}).drop_duplicates()
    found: dict[Lineage, set[Lineage]] = {}
    for before, after in pairs.itertuples(index=False):
        if before in former.lineages and after in new.lineages:
            old, renamed = former.lineages[before], new.lineages[after]
            for rank in range(1, len(old) + 1):
                found.setdefault(old[:rank], set()).add(renamed[:rank])
    return found
