"""Communities: correct truth, contigs that are part of their genomes, consistent abundances within a genome."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from genestill.cli import build_parser, main
from genestill.core.errors import InputError
from genestill.core.files import read_json, sha256_of
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.novelty import status_word
from genestill.core.sequences import read_fasta, reverse_complement, write_fasta
from genestill.reference.community import (
    CommunitySettings,
    cut_contigs,
    draw_coverage,
    observe_coverage,
    write_community,
)
from genestill.reference.genomes import read_genomes
from genestill.reference.novelty import STATUSES, split_genomes
from genestill.reference.simulation import SimulatedGenomeSettings, write_simulated_genomes

SETTINGS = CommunitySettings(contigs=400, samples=4, minimum_length=500, median_length=1500, maximum_length=10_000)


def true_status(lineage, in_reference, reference):
    """The status of a genome in relation to a reference: one of `STATUSES`, or the higher rank that is absent."""
    if in_reference:
        return "exact"
    absent = next(
        (rank for rank in range(len(RANKS)) if all(lineage[: rank + 1] != r[: rank + 1] for r in reference)), None
    )
    return "known" if absent is None else RANKS[absent]


@pytest.fixture(scope="module")
def genomes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated_genomes") / "simulated_genomes"
    write_simulated_genomes(folder, SimulatedGenomeSettings(genome_length=30_000), seed=2)
    return folder / "genomes.tsv"


@pytest.fixture(scope="module")
def community(genomes, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("community") / "community"
    write_community(genomes, folder, SETTINGS, seed=3)
    return folder


def _read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.tsv", sep="\t")


def test_new_contigs_for_an_old_reference_differ_in_all_but_what_the_reference_lacks(genomes, community, tmp_path):
    write_community(genomes, tmp_path / "new", SETTINGS, seed=4, split_seed=3)
    old_reference = (community / "reference.tsv").read_bytes()
    assert (tmp_path / "new" / "reference.tsv").read_bytes() == old_reference
    old, new = (pd.read_csv(folder / "truth.tsv", sep="\t") for folder in (community, tmp_path / "new"))
    statuses = old.drop_duplicates("genome").set_index("genome")["status"]
    again = new.drop_duplicates("genome").set_index("genome")["status"]
    both = statuses.index.intersection(again.index)
    assert len(both) > 3
    assert statuses[both].equals(again[both])
    assert (tmp_path / "new" / "contigs.fna.gz").read_bytes() != (community / "contigs.fna.gz").read_bytes()


def test_same_seed_gives_same_bytes_and_another_seed_does_not(genomes, community, tmp_path):
    write_community(genomes, tmp_path / "again", SETTINGS, seed=3)
    write_community(genomes, tmp_path / "other", SETTINGS, seed=4)
    names = ["contigs.fna.gz", "abundance.tsv", "truth.tsv", "reference.tsv"]
    assert [sha256_of(community / name) for name in names] == [sha256_of(tmp_path / "again" / name) for name in names]
    assert all(sha256_of(community / name) != sha256_of(tmp_path / "other" / name) for name in names)


def test_tables_and_contigs_are_consistent(community):
    contigs = dict(read_fasta(community / "contigs.fna.gz"))
    truth, abundance = _read(community, "truth"), _read(community, "abundance")
    assert list(truth.columns) == ["contig", "lineage", "genome", "length", "status", "chimera"]
    assert list(abundance.columns) == ["contigname", "S1", "S2", "S3", "S4"]
    assert list(_read(community, "reference").columns) == ["file", "lineage"]
    assert list(contigs) == truth["contig"].tolist() == abundance["contigname"].tolist()
    assert next(iter(contigs)) == "contig_000001"
    assert [len(contig) for contig in contigs.values()] == truth["length"].tolist()
    assert truth["length"].between(500, 10_000).all()
    # Shuffled over genomes: the first contigs are not all from one genome.
    assert truth["genome"][:20].nunique() > 5


def test_contigs_are_pieces_of_their_genome_from_both_strands_and_do_not_overlap(genomes, community):
    contigs = dict(read_fasta(community / "contigs.fna.gz"))
    truth = _read(community, "truth")
    forward = 0
    for genome, rows in truth.groupby("genome"):
        replicons = [sequence for _, sequence in read_fasta(genomes.parent / genome)]
        covered = [np.zeros(len(replicon), dtype=int) for replicon in replicons]
        for name in rows["contig"]:
            places = [
                (index, replicon.find(strand), strand == contigs[name])
                for index, replicon in enumerate(replicons)
                for strand in (contigs[name], reverse_complement(contigs[name]))
                if strand in replicon
            ]
            assert places
            index, start, is_forward = places[0]
            covered[index][start : start + len(contigs[name])] += 1
            forward += is_forward
        assert max(depth.max() for depth in covered) == 1
    assert 0.35 < forward / len(truth) < 0.65


def test_every_status_occurs_and_is_correct_for_the_reference(genomes, community):
    truth, reference = _read(community, "truth"), _read(community, "reference")
    held = [parse_lineage(lineage) for lineage in reference["lineage"]]
    for row in truth.drop_duplicates("genome").itertuples():
        true = true_status(parse_lineage(row.lineage), row.genome in set(reference["file"]), held)
        assert row.status == status_word(true)
    assert set(truth["status"]) == set(map(status_word, STATUSES))
    assert len(set(reference["file"]) - set(truth["genome"])) >= 3
    summary = read_json(community / "summary.json")
    assert sum(summary["achieved"].values()) == truth["genome"].nunique() == 28
    assert summary["checksums"].keys() == set(truth["genome"])


def test_contigs_of_one_genome_have_similar_but_not_equal_abundances(community):
    truth, abundance = _read(community, "truth"), _read(community, "abundance").iloc[:, 1:].to_numpy()
    logs = np.log(abundance + 0.1)
    of_genome = truth.groupby("genome").indices
    means = np.array([logs[rows].mean(axis=0) for rows in of_genome.values()])
    within = np.mean([logs[rows].std(axis=0).mean() for rows in of_genome.values() if len(rows) > 5])
    assert 0.02 < within < 0.5 * means.std(axis=0).mean()
    correlations = []
    for rows, mean in zip(of_genome.values(), means, strict=True):
        if len(rows) > 5 and mean.std() > 0.3:
            correlations += [np.corrcoef(logs[row], mean)[0, 1] for row in rows]
    assert np.median(correlations) > 0.9
    assert (abundance.sum(axis=1) > 0).all()
    assert (abundance == 0).any()


def test_one_sample_works(genomes, tmp_path):
    write_community(genomes, tmp_path / "community", replace(SETTINGS, samples=1), seed=1)
    abundance = _read(tmp_path / "community", "abundance")
    assert list(abundance.columns) == ["contigname", "S1"]
    assert (abundance["S1"] > 0).all()


def test_closed_communities_contain_no_novelty(genomes, tmp_path):
    closed = replace(SETTINGS, exact=0.8, known=0.2, species=0, genus=0, family=0)
    truth = write_community(genomes, tmp_path / "community", closed, seed=1)
    assert set(truth["status"]) == {"exact copy", "other strain"}


def test_shares_that_the_taxonomy_cannot_provide_are_filled_as_far_as_possible_and_logged(genomes, tmp_path, caplog):
    greedy = replace(SETTINGS, exact=0, known=1, species=0, genus=0, family=0)
    with caplog.at_level("INFO", logger="genestill"):
        truth = write_community(genomes, tmp_path / "community", greedy, seed=1)
    # 40 assemblies of 28 species: 12 species have a second strain.
    assert truth["genome"].nunique() == 12
    assert "known 12 (of 28 wanted)" in caplog.text


_lineages = st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=4, max_size=25)


@settings(deadline=None, max_examples=60)
@given(_lineages, st.lists(st.floats(0.01, 1), min_size=5, max_size=5), st.floats(0, 0.8), st.integers(0, 99))
def test_statuses_are_correct_for_any_taxonomy_and_any_shares(paths, weights, decoys, seed):
    # Domain, phylum and class are shared; order to species branch at random.
    lineages = []
    for path in paths:
        names = ["d", "p", "c"]
        for number in path:
            names.append(f"{names[-1]}.{number}")
        lineages.append(tuple(names))
    shares = dict(zip(STATUSES, np.array(weights) / sum(weights), strict=True))
    try:
        split = split_genomes(lineages, shares, decoys, np.random.default_rng(seed))
    except InputError:  # no split leaves two species in the reference
        reject()
    reference = [lineage for lineage, held in zip(lineages, split.in_reference, strict=True) if held]
    assert len(set(reference)) >= 2
    for lineage, status, held in zip(lineages, split.status, split.in_reference, strict=True):
        if status is not None:
            assert status == true_status(lineage, held, reference)
    counts = split.counts()
    assert all(counts[status] <= split.wanted[status] for status in STATUSES)
    assert sum(counts.values()) + split.decoys() + split.left_out() == len(lineages)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(1, 30_000), min_size=1, max_size=4),
    st.integers(1, 3000),
    st.floats(0.1, 2),
    st.integers(0, 99),
)
def test_cut_contigs_respect_the_length_limits_and_the_total_length(lengths, minimum, spread, seed):
    rng = np.random.default_rng(seed)
    replicons = ["".join(rng.choice(list("ACGT"), length)) for length in lengths]
    limits = replace(
        SETTINGS, minimum_length=minimum, median_length=2 * minimum + 1, maximum_length=9000, length_spread=spread
    )
    contigs = cut_contigs(replicons, 1.0, limits, rng)
    assert all(minimum <= len(contig) <= 9000 for contig in contigs)
    assert sum(map(len, contigs)) <= sum(lengths)
    assert bool(contigs) <= any(length >= minimum for length in lengths)
    assert cut_contigs(replicons, 0.0, limits, rng) == []


def test_runs_of_unknown_bases_break_contigs():
    rng = np.random.default_rng(1)
    stretches = ["".join(rng.choice(list("ACGT"), 4000)) for _ in range(3)]
    contigs = cut_contigs([("N" * 50).join(stretches).lower()], 1.0, SETTINGS, rng)
    assert contigs
    assert all(
        any(contig in stretch or reverse_complement(contig) in stretch for stretch in stretches) for contig in contigs
    )


def test_lengths_follow_the_median_where_limits_have_no_effect():
    rng = np.random.default_rng(1)
    wide = replace(SETTINGS, minimum_length=10, median_length=3500, maximum_length=1_000_000)
    lengths = [len(contig) for contig in cut_contigs(["A" * 20_000_000], 1.0, wide, rng)]
    assert np.median(lengths) == pytest.approx(3500, rel=0.1)
    assert np.std(np.log(lengths)) == pytest.approx(1.0, rel=0.1)


def test_a_genome_is_in_at_least_one_sample():
    coverage = draw_coverage(500, replace(SETTINGS, dropout=0.9), np.random.default_rng(1))
    assert (coverage.max(axis=1) > 0).all()
    assert 0.5 < (coverage == 0).mean() < 0.8


def test_coverage_spills_over_to_related_genomes_only():
    family = ("d", "p", "c", "o", "f")
    lineages = [(*family, "g", "s"), (*family, "g", "s"), (*family, "g", "t"), (*family, "h", "u")]
    coverage = np.array([[1000.0], [0.0], [0.0], [0.0]])
    genome = np.repeat(np.arange(4), 300)
    length, gc = np.full(1200, 5000), np.full(1200, 0.5)
    observed = observe_coverage(coverage, lineages, genome, length, gc, np.random.default_rng(1))
    own, strain, species, stranger = observed[:, 0].reshape(4, 300).mean(axis=1)
    assert own > strain > species > stranger
    assert stranger < 0.1


def _table(folder: Path, rows: list[tuple[str, str]], header: str = "file\tlineage") -> Path:
    for file, _ in rows:
        write_fasta(folder / file, [("chromosome", "ACGT" * 500)])
    table = folder / "genomes.tsv"
    table.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")
    return table


ONE = "d__B;p__P;c__C;o__O;f__F;g__G;s__G one"
TWO = "d__B;p__P;c__C;o__O;f__F;g__G;s__G two"


def test_lineages_may_be_given_in_one_named_column_or_in_seven(tmp_path):
    header = "file\tgtdb\tsuperkingdom\tphylum\tclass\torder\tfamily\tgenus\tspecies"
    ranks = "Bacteria\tPhy\tClass\t\tFam\tGen\tGen one"
    table = _table(tmp_path, [("a.fna", f"{ONE}\t{ranks}"), ("b.fna", f"\t{ranks}")], header)
    assert [genome.lineage[6] for genome in read_genomes(table)] == ["Gen one"] * 2
    assert read_genomes(table)[0].lineage[3] == "Class order incertae sedis"
    [named] = read_genomes(table, lineage_column="gtdb")
    assert (named.file, named.path, named.lineage) == ("a.fna", tmp_path / "a.fna", parse_lineage(ONE))


def test_files_may_be_in_another_folder(tmp_path):
    table = _table(tmp_path, [("a.fna", ONE), ("b.fna", TWO)])
    moved = tmp_path / "tables" / "genomes.tsv"
    moved.parent.mkdir()
    table.rename(moved)
    assert [genome.path for genome in read_genomes(moved, tmp_path)] == [tmp_path / "a.fna", tmp_path / "b.fna"]
    with pytest.raises(InputError, match=r"line 2: no such file: .*a\.fna"):
        read_genomes(moved)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([("a.fna", ONE), ("b.fna", ONE.rpartition(";")[0])], "line 3: the lineage .* has 6 ranks; expected all 7"),
        ([("a.fna", ONE), ("b.fna", "A;B;C;D;E;F;G;H")], "line 3: .* has 8 ranks; expected at most 7"),
        ([("a.fna", ONE), ("b.fna", "")], "line 3: the lineage '' has 0 ranks"),
        ([("a.fna", ONE), ("b.fna", TWO.replace("f__F", "f__X"))], "genus 'G' has two parents"),
        ([("a.fna", ONE), ("a.fna", TWO)], "line 3: the genome 'a' is also in line 2"),
        ([("a.fna", ONE), ("b.fna", TWO + "\textra")], "line 3 has 3 columns; expected 2"),
        ([("a.fna", ONE), ("b.fna", ONE)], "fewer than two species"),
        ([], "contains no genomes"),
    ],
)
def test_invalid_tables_are_refused_with_a_clear_message_and_leave_no_folder(tmp_path, rows, sentence):
    table = _table(tmp_path, rows)
    with pytest.raises(InputError, match=sentence):
        write_community(table, tmp_path / "community", SETTINGS, 1)
    assert not (tmp_path / "community").exists()


def test_a_missing_table_or_column_or_a_wrong_encoding_is_refused_with_a_clear_message(tmp_path):
    with pytest.raises(InputError, match=r"none\.tsv: no such file"):
        read_genomes(tmp_path / "none.tsv")
    table = _table(tmp_path, [("a.fna", ONE)], header="file\ttaxonomy")
    with pytest.raises(
        InputError, match="columns file, taxonomy; expected 'file', and 'lineage', the seven ranks or 'taxid'"
    ):
        read_genomes(table)
    with pytest.raises(InputError, match="expected 'file', and 'gtdb'"):
        read_genomes(table, lineage_column="gtdb")
    table.write_text("file\ttaxid\na.fna\t7\n")
    with pytest.raises(InputError, match=r"line 2: the lineage '' has 0 ranks"):
        read_genomes(table, to_species=True)
    table.write_bytes(b"file\tlineage\n\xff\xfe")
    with pytest.raises(InputError, match="which is not UTF-8"):
        read_genomes(table)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exact": 0.9}, "add up to 1.32 .*expected 1"),
        ({"exact": -0.2, "known": 0.96}, "exact is -0.2"),
        ({"decoys": 1.0}, "decoys is 1.0"),
        ({"samples": 0}, "samples is 0"),
        ({"contigs": 0}, "contigs is 0"),
        ({"minimum_length": 5000}, "expected them in ascending order"),
        ({"length_spread": 0}, "length_spread is 0"),
        ({"dropout": 1}, "dropout is 1"),
    ],
)
def test_impossible_settings_are_refused_with_a_clear_message(genomes, tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        write_community(genomes, tmp_path / "community", replace(SETTINGS, **changes), 1)


def test_sequences_shorter_than_every_contig_are_refused_with_a_clear_message(tmp_path):
    table = _table(tmp_path, [("a.fna", ONE), ("b.fna", TWO)])
    lengths = {"minimum_length": 2500, "median_length": 3000}
    open_settings = replace(SETTINGS, exact=1, known=0, species=0, genus=0, family=0, **lengths)
    with pytest.raises(InputError, match="no genome of the community gives a contig of 2500 bp"):
        write_community(table, tmp_path / "community", open_settings, 1)


def test_the_command_makes_a_community(genomes, tmp_path):
    arguments = ["reference", "community", "--genomes", str(genomes), "--samples", "2", "--contigs", "50"]
    assert main([*arguments, "--output", str(tmp_path / "community")]) == 0
    assert len(_read(tmp_path / "community", "truth")) == 50
    assert main([*arguments, "--exact", "0.9", "--output", str(tmp_path / "other")]) == 2


def test_defaults_of_the_command_are_those_of_the_settings():
    options = build_parser().parse_args(["reference", "community", "--genomes", "x", "--output", "y"])
    chosen = CommunitySettings(**{f.name: getattr(options, f.name) for f in fields(CommunitySettings)})
    assert chosen == CommunitySettings()
