"""Isoforms by gene, orthologues by reciprocal best hits of proteins."""

import numpy as np
import pytest

from genestill.core.errors import InputError
from genestill.core.reading_frames import translate
from genestill.core.table_schemas import TRANSCRIPT_PAIRS, TRANSCRIPTS
from genestill.core.tables import read_table, write_table
from genestill.reference.transcript_pairs import pair_transcripts
from genestill.reference.transcripts import Transcript, codon_starts, transcript_table

CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if translate(a + b + c) != "*"]


def changed(codons, share, generator):
    return [generator.choice(CODONS) if generator.random() < share else codon for codon in codons]


def transcript(name, codons, gene="") -> Transcript:
    sequence = "ATG" + "".join(codons) + "TAA"
    return Transcript(name, sequence, gene=gene, cds=codon_starts(0, len(sequence)))


@pytest.mark.slow
def test_orthologues_are_reciprocal_best_hits_and_isoforms_share_their_gene(tmp_path):
    generator = np.random.default_rng(2)
    one, two, stranger = (list(generator.choice(CODONS, 200)) for _ in range(3))
    table = transcript_table(
        [
            transcript("human:a", one, "A"),
            transcript("human:a2", one[:150], "A"),
            transcript("human:b", changed(one, 0.35, generator), "B"),  # a paralog
            transcript("human:c", two, "C"),
            transcript("mouse:a", changed(one, 0.15, generator)),
            transcript("mouse:c", changed(two, 0.2, generator)),
            transcript("mouse:x", stranger),
        ]
    )
    write_table(tmp_path / "transcripts.parquet", table, TRANSCRIPTS)
    species = {"human": ["human"], "mouse": ["mouse"]}
    counts = pair_transcripts(tmp_path / "transcripts.parquet", species, 1, tmp_path / "pairs.parquet")
    found = read_table(tmp_path / "pairs.parquet", TRANSCRIPT_PAIRS)
    pairs = {(row.id, row.relative): row.by for row in found.itertuples()}
    expected = {("human:a", "mouse:a"): "orthologue", ("human:c", "mouse:c"): "orthologue"}
    expected |= {("human:a", "human:a2"): "gene"}
    assert pairs == expected | {pair[::-1]: by for pair, by in expected.items()}
    assert counts == {"gene": 1, "orthologue": 2}
    with pytest.raises(InputError, match=r"no transcript of yeast .* found human, mouse"):
        pair_transcripts(tmp_path / "transcripts.parquet", {"yeast": ["s"]}, 1, tmp_path / "pairs.parquet")
