"""Fragments of the reference's genomes, for training a corrector to classify contigs without a search."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genestill.core.errors import InputError
from genestill.core.label_tree import LabelTree
from genestill.core.logs import log_counts
from genestill.core.sequences import genome_name, read_fasta
from genestill.core.tables import read_tsv
from genestill.core.taxonomy_folder import read_lineages, read_taxids_of_genomes
from genestill.student.corrector.composition import composition_of
from genestill.student.corrector.evidence.hits import are_species, leaves_of_taxids


@dataclass
class Fragments:
    """Fragments of known origin: composition, float32 [m, 103], and their leaves of the label tree, int64 [m]."""

    composition: np.ndarray
    leaves: np.ndarray

    def __len__(self) -> int:
        return len(self.leaves)


def cut_fragments(
    genomes: str | Path,
    folder: str | Path,
    taxonomy: str | Path,
    tree: LabelTree,
    lengths: np.ndarray,
    number: int,
    random: np.random.Generator,
) -> Fragments:
    """Cut ``number`` fragments from each genome whose species is a leaf of the tree.

    Genomes of other species, which are in no label and no hit, are left out and counted. A fragment has a random
    position in the genome and ends at the end of its sequence at the latest.

    Args:
        genomes: table of genomes with the column ``file``.
        folder: folder of these files.
        taxonomy: folder written by ``reference taxonomy``.
        tree: the label tree.
        lengths: int [contigs], lengths of contigs (bp); each fragment has the length of a random contig.
        number: number of fragments per genome.
        random: random number generator.

    Raises:
        InputError: a genome without a taxid, or no genome whose species is in the tree.
    """
    lineages, taxid_of = read_lineages(taxonomy), read_taxids_of_genomes(taxonomy)
    leaf_of = dict(zip(*(values.tolist() for values in leaves_of_taxids(lineages, tree)), strict=True))
    named = are_species(tree)
    files, leaves = [], []
    table = read_tsv(genomes, ["file"])
    for file in table["file"]:
        taxid = taxid_of.get(genome_name(file))
        if taxid is None:
            raise InputError(f"{genomes}: the genome {genome_name(file)!r} is not in {taxonomy}/genomes.tsv")
        leaf = leaf_of.get(int(taxid), -1)
        if leaf >= 0 and named[leaf]:
            files.append(Path(folder) / file)
            leaves.append(leaf)
    log_counts("fragments", {"genomes": len(files), "left out": len(table) - len(files), "of each": number})
    if not files:
        raise InputError(
            f"{genomes}: no genome belongs to a species that occurs in labels or hits; expected at least one"
        )
    sequences = (piece for file in files for piece in _pieces(file, lengths, number, random))
    return Fragments(composition_of(sequences), np.repeat(np.array(leaves, dtype=np.int64), number))


def _pieces(file: Path, lengths: np.ndarray, number: int, random: np.random.Generator) -> Iterator[str]:
    records = [sequence for _, sequence in read_fasta(file)]
    sizes = np.array([len(sequence) for sequence in records], dtype=float)
    for record, length in zip(
        random.choice(len(records), number, p=sizes / sizes.sum()), random.choice(lengths, number), strict=True
    ):
        start = int(random.integers(0, max(1, len(records[record]) - int(length) + 1)))
        yield records[record][start : start + int(length)]
