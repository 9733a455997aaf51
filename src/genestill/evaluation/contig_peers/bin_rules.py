"""A rule on bins: all contigs of a bin get the same lineage."""

import numpy as np
import pandas as pd

from genestill.core.lineage import NO_LINEAGE, Lineage
from genestill.evaluation.contig_peers.evidence import Evidence, to_genus
from genestill.evaluation.contig_peers.gene_rules import vote_of_genes

LEAST_ALIGNED_OF_BIN = 0.5  # minimum aligned share of the bases of a bin, as in GTDB-Tk
MAJORITY = 0.5  # minimum share of the bit scores of the bin's genes


def by_bins(evidence: Evidence, threshold: float) -> list[Lineage]:
    """Every contig gets the lineage of its bin; a contig without a bin gets none.

    A bin gets the species of the genome that matches most of its bases, if their gap-compressed identity reaches
    ``threshold`` over `LEAST_ALIGNED_OF_BIN` of the bin. Otherwise its genes vote with their bit scores, as in
    `gene_rules.by_genes`, down to genus.
    """
    bin_of_contig, names = pd.factorize(np.array(evidence.bins, dtype=object))
    row_of = {name: row for row, name in enumerate(evidence.ids)}
    group = bin_of_contig[evidence.genes["id"].map(row_of).to_numpy(dtype=int)]
    named = [to_genus(lineage) for lineage in vote_of_genes(evidence, group, len(names), MAJORITY)]

    table = evidence.alignments
    row = table["id"].map(row_of).to_numpy(dtype=int)
    matches = table["matches"].to_numpy(float)
    parts = pd.DataFrame(
        {
            "bin": bin_of_contig[row],
            "genome": table["genome"].to_numpy(),
            "matches": matches,
            "columns": matches / table["identity"].to_numpy(float),
            "aligned": table["aligned"].to_numpy(float) * evidence.length[row],
        }
    )
    sums = parts.groupby(["bin", "genome"], sort=True).sum().sort_values("matches", ascending=False, kind="stable")
    best = sums.reset_index().drop_duplicates("bin")
    length = np.bincount(bin_of_contig, evidence.length, len(names))
    near = best["matches"] / best["columns"] >= threshold
    enough = best["aligned"] >= LEAST_ALIGNED_OF_BIN * length[best["bin"]]
    for which, genome in best.loc[near & enough, ["bin", "genome"]].itertuples(index=False):
        named[which] = evidence.lineage_of_genome[genome]
    return [named[which] if name else NO_LINEAGE for which, name in zip(bin_of_contig, evidence.bins, strict=True)]
