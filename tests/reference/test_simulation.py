"""Simulated genomes: reproducible, similar according to rank, and usable by a gene finder."""

import itertools
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from genestill.cli import build_parser
from genestill.core.errors import InputError
from genestill.core.files import sha256_of
from genestill.core.lineage import depth, parse_lineage, refuse_two_parents
from genestill.core.sequences import read_fasta, reverse_complement
from genestill.reference.evolution import AMINO_ACID_OF_CODON, AMINO_ACIDS, Usage, _draw
from genestill.reference.simulation import SimulatedGenomeSettings, simulate_genomes, write_simulated_genomes

SMALL = SimulatedGenomeSettings(
    phyla=2, classes=2, orders=3, families=4, genera=7, species=12, genomes=16, genome_length=40_000
)
STOPS = {"TAA", "TAG", "TGA"}


@pytest.fixture(scope="module")
def biosphere():
    pool, genomes = simulate_genomes(SMALL, seed=7)
    return pool, list(genomes)


def _amino_acids(pool, organism, family) -> np.ndarray:
    """Encoded protein of a family without the first methionine."""
    return AMINO_ACID_OF_CODON[organism.codons[pool.codon_start[family] : pool.codon_start[family + 1]]]


def _identity(pool, one, other) -> float:
    """Mean identity of the proteins of the families that two genomes share."""
    families = np.intersect1d(one.organism.genes, other.organism.genes)
    pairs = [[_amino_acids(pool, genome.organism, f) for genome in (one, other)] for f in families]
    return float(np.mean([np.mean(a == b) for a, b in pairs]))


def _coding_sequence(genome, gene) -> str:
    replicon, start, stop, is_reverse, _ = gene
    sequence = genome.replicons[replicon][1][start:stop]
    return reverse_complement(sequence) if is_reverse else sequence


def _checksums(folder: Path) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in folder.iterdir()}


def test_same_seed_gives_same_bytes_and_another_seed_does_not(tmp_path):
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        write_simulated_genomes(tmp_path / name, SMALL, seed)
    one, two, other = (_checksums(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.keys() != other.keys()


def test_table_agrees_with_the_files(tmp_path):
    table = write_simulated_genomes(tmp_path / "simulated_genomes", SMALL, 5)
    assert len(table) == SMALL.genomes
    lineages = [parse_lineage(lineage) for lineage in table["lineage"]]
    assert {depth(lineage) for lineage in lineages} == {7}
    assert refuse_two_parents(lineages, "simulated_genomes") == 0
    counts = [SMALL.phyla, SMALL.classes, SMALL.orders, SMALL.families, SMALL.genera, SMALL.species]
    assert [len({lineage[:rank] for lineage in lineages}) for rank in range(2, 8)] == counts
    for row in table.itertuples():
        records = dict(read_fasta(tmp_path / "simulated_genomes" / row.file))
        assert len(records) == row.n_seqs
        assert sum(map(len, records.values())) == row.bp
        assert set("".join(records.values())) == set("ACGT")
    assert table["bp"].between(0.7 * SMALL.genome_length, 1.3 * SMALL.genome_length).all()


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_proteins_differ_more_the_higher_the_rank_that_separates_them(seed):
    pool, genomes = simulate_genomes(SMALL, seed)
    by_shared_ranks: dict[int, list[float]] = {}
    for one, other in itertools.combinations(genomes, 2):
        shared = sum(a == b for a, b in zip(one.lineage, other.lineage, strict=True))
        by_shared_ranks.setdefault(shared, []).append(_identity(pool, one, other))
    means = {shared: np.mean(identities) for shared, identities in by_shared_ranks.items()}
    assert min(by_shared_ranks[7]) > 0.97
    assert 0.75 < means[6] < 0.92
    assert max(by_shared_ranks[6]) < min(by_shared_ranks[7])
    assert means[5] < 0.75
    assert means[7] > means[6] > means[5] > means[0]
    assert 0.3 < means[0] < 0.55


def test_every_gene_is_an_open_reading_frame_that_encodes_its_protein(biosphere):
    pool, genomes = biosphere
    for genome in genomes[:4]:
        for gene in genome.genes:
            sequence = _coding_sequence(genome, gene)
            codons = [sequence[start : start + 3] for start in range(0, len(sequence), 3)]
            assert codons[0] in {"ATG", "GTG", "TTG"}
            assert codons[-1] in STOPS
            assert not STOPS & set(codons[:-1])
            numbers = np.array([int("".join(str("ACGT".index(base)) for base in codon), 4) for codon in codons[1:-1]])
            spelt = AMINO_ACID_OF_CODON[numbers]
            assert (spelt == _amino_acids(pool, genome.organism, gene[4])).all()


def test_most_genes_follow_a_ribosome_binding_site(biosphere):
    _, genomes = biosphere
    found = []
    for genome in genomes[:4]:
        for replicon, start, stop, is_reverse, _ in genome.genes:
            sequence = genome.replicons[replicon][1]
            before = reverse_complement(sequence[stop : stop + 20]) if is_reverse else sequence[start - 20 : start]
            found.append("AGGA" in before or "GAGG" in before)
    assert np.mean(found) > 0.8


def test_genes_are_on_both_strands_and_cover_most_of_the_genome(biosphere):
    for genome in biosphere[1]:
        coding = sum(stop - start for _, start, stop, _, _ in genome.genes)
        length = sum(len(sequence) for _, sequence in genome.replicons)
        assert 0.8 < coding / length < 0.97
        assert 0.1 < np.mean([gene[3] for gene in genome.genes]) < 0.9


def test_strains_differ_in_a_few_genes_and_genera_in_many(biosphere):
    genomes = biosphere[1]
    shared: dict[bool, list[float]] = {True: [], False: []}
    for one, other in itertools.combinations(genomes, 2):
        same = len(np.intersect1d(one.organism.genes, other.organism.genes))
        if one.lineage == other.lineage or one.lineage[:5] != other.lineage[:5]:
            share = same / max(len(one.genes), len(other.genes))
            shared[one.lineage == other.lineage].append(share)
    assert min(shared[True]) > 0.85
    assert np.mean(shared[False]) < 0.8


def test_clades_differ_in_gc():
    _, genomes = simulate_genomes(SimulatedGenomeSettings(genome_length=30_000), seed=4)
    by_family: dict[str, list[float]] = {}
    for genome in genomes:
        sequence = "".join(sequence for _, sequence in genome.replicons)
        by_family.setdefault(genome.lineage[4], []).append((sequence.count("G") + sequence.count("C")) / len(sequence))
    means = [np.mean(shares) for shares in by_family.values()]
    assert max(means) - min(means) > 0.1
    assert np.mean([np.std(shares) for shares in by_family.values()]) < np.std(means)


def test_horizontal_transfer_adds_genes_of_other_clades():
    def between_phyla(transfer):
        settings = SimulatedGenomeSettings(**{field.name: getattr(SMALL, field.name) for field in fields(SMALL)})
        settings = SimulatedGenomeSettings(**(vars(settings) | {"transfer": transfer, "genomes": settings.species}))
        pool, genomes = simulate_genomes(settings, seed=9)
        best = []
        for one, other in itertools.combinations(genomes, 2):
            if one.lineage[1] != other.lineage[1]:
                families = np.intersect1d(one.organism.genes, other.organism.genes)
                organisms = one.organism, other.organism
                best += [np.equal(*(_amino_acids(pool, o, f) for o in organisms)).mean() for f in families]
        return np.mean(np.array(best) > 0.95)

    assert between_phyla(0.0) == 0
    assert between_phyla(0.2) > 0


def test_codons_are_sampled_from_the_usage_of_the_clade():
    rng = np.random.default_rng(1)
    usage = Usage(1.0, rng.normal(0, 0.5, 64), np.zeros(20))
    leucine = AMINO_ACIDS.index("L")
    drawn = _draw(usage.codon_shares(), np.full(40_000, leucine), rng)
    assert set(AMINO_ACID_OF_CODON[drawn]) == {leucine}
    expected = np.diff(usage.codon_shares()[leucine], prepend=0)
    assert np.abs(np.bincount(drawn, minlength=64) / 40_000 - expected).max() < 0.015


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"genera": 3}, "^simulated_genomes: 3 genera for 4 families"),
        ({"genomes": 5}, "5 genomes for 12 species"),
        ({"phyla": 0}, "phyla is 0; expected an integer of at least 1"),
        ({"genome_length": 1000}, "expected an integer of at least 30000"),
        ({"transfer": 1.5}, "transfer is 1.5"),
        (
            dict.fromkeys(["phyla", "classes", "orders", "families", "genera", "species", "genomes"], 1),
            "species is 1; expected an integer of at least 2",
        ),
    ],
)
def test_impossible_simulations_are_refused_with_a_clear_message_and_leave_no_folder(tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        write_simulated_genomes(tmp_path / "simulated_genomes", SimulatedGenomeSettings(**(vars(SMALL) | changes)), 1)
    assert not list(tmp_path.iterdir())


def test_defaults_of_the_command_are_those_of_the_settings():
    options = build_parser().parse_args(["reference", "simulate-genomes", "--output", "x"])
    assert SimulatedGenomeSettings(**{f.name: getattr(options, f.name) for f in fields(SimulatedGenomeSettings)}) == (
        SimulatedGenomeSettings()
    )


def test_a_gene_finder_finds_the_genes_of_a_genome_of_the_demo(tmp_path):
    pyrodigal = Path(sys.executable).parent / "pyrodigal"
    if not pyrodigal.is_file():
        pytest.skip("pyrodigal is not installed beside this Python")
    table = write_simulated_genomes(
        tmp_path / "simulated_genomes",
        SimulatedGenomeSettings(phyla=2, classes=2, orders=2, families=2, genera=2, species=2, genomes=2),
        1,
    )
    for row in table.itertuples():
        genome = tmp_path / "simulated_genomes" / row.file
        proteins = tmp_path / "proteins.faa"
        subprocess.run(
            [pyrodigal, "-i", genome, "-a", proteins, "-o", tmp_path / "genes.gff"], check=True, capture_output=True
        )
        headers = [line.split(" # ") for line in proteins.read_text().splitlines() if line.startswith(">")]
        covered = sum(int(stop) - int(start) + 1 for _, start, stop, *_ in headers)
        assert covered > 0.8 * row.bp
        assert 0.9 * row.genes < len(headers) < 1.2 * row.genes
