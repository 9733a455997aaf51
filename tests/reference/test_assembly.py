"""Assembled communities: what is sequenced, the sources of assembled contigs, and a small complete example."""

import shutil

import pandas as pd
import pytest

from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.lineage import parse_lineage
from genestill.core.sequences import read_fasta, reverse_complement, write_fasta
from genestill.reference import assembly
from genestill.reference.assembly import (
    PACKAGES,
    assemble,
    assembled_shares,
    map_reads,
    read_paf,
    simulate_reads,
    trace_contigs,
    write_assembled_community,
)
from genestill.reference.contigs import prepare_contigs
from genestill.reference.mixture import read_sources, write_mixture
from genestill.reference.settings import AssemblySettings, CommunitySettings, SimulatedGenomeSettings
from genestill.reference.simulation import write_simulated_genomes
from genestill.reference.truth import read_answers

SHARES = CommunitySettings(samples=2, exact=0.4, known=0.2, species=0.2, genus=0.2, family=0, dropout=0)
LINEAGE = "d__B;p__P;c__C;o__O;f__F;g__G;s__"


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """Genomes of 30 kb, one with a plasmid, and a eukaryote."""
    folder = tmp_path_factory.mktemp("mixture")
    clades = {"phyla": 1, "classes": 1, "orders": 1, "families": 2, "genera": 4, "species": 8, "genomes": 12}
    settings = SimulatedGenomeSettings(**clades, genome_length=30_000)
    write_simulated_genomes(folder / "simulated", settings, seed=1)
    table = pd.read_csv(folder / "simulated" / "genomes.tsv", sep="\t")
    first = folder / "simulated" / table["file"][0]
    bases = next(sequence for _, sequence in read_fasta(first))
    plasmid, eukaryote = reverse_complement(bases[:9000])[::-1], reverse_complement(bases[9000:25_000])[::-1]
    write_fasta(first, [*read_fasta(first), ("p1 plasmid pX", plasmid)])
    write_fasta(folder / "yeast.fna", [("chrI", eukaryote)])
    settings = AssemblySettings(bases=8_000_000)
    genomes = folder / "simulated" / "genomes.tsv"
    write_mixture(genomes, folder / "made", SHARES, settings, seed=1, eukaryotes=[folder / "yeast.fna"])
    return folder / "made"


def test_plasmids_are_sequenced_but_in_no_reference(mixture):
    sources = read_sources(mixture)
    assert {"p1", "chrI"} <= set(sources["source"].str.split(":").str[-1])
    assert set(sources["kind"]) == {"chromosomes", "plasmid", "eukaryote"}
    held = [name for file in (mixture / "genomes").iterdir() for name, _ in read_fasta(file)]
    assert len(held) > 5
    assert "p1" not in held
    others = sources[sources["kind"] != "chromosomes"]
    assert set(others["status"]) == {"no prokaryotic chromosome"}
    assert set(others["lineage"]) == {""}


def test_a_tenth_of_the_bases_is_from_plasmids_and_eukaryotes_and_depth_varies(mixture):
    sources = read_sources(mixture)
    length = [sum(len(sequence) for _, sequence in read_fasta(mixture / file)) for file in sources["file"]]
    bases = sources[["S1", "S2"]].sum(axis=1) * length
    assert bases.sum() == pytest.approx(8_000_000, rel=0.01)
    assert bases[sources["kind"] != "chromosomes"].sum() / bases.sum() == pytest.approx(0.1, abs=0.001)
    depths = sources.loc[sources["kind"] == "chromosomes", "S1"]
    assert depths.max() > 2 * depths.min()


def trace(rows, sources):
    alignments = pd.DataFrame(rows, columns=["contig", "start", "stop", "source", "identity"])
    table = pd.DataFrame(sources, columns=["source", "file", "kind", "lineage", "status"])
    return trace_contigs(alignments, {"c": 2000}, table).iloc[0]


SOURCES = [
    ("a", "genomes/a.fna.gz", "chromosomes", LINEAGE + "a", "absent species"),
    ("b", "genomes/b.fna.gz", "chromosomes", LINEAGE + "b", "exact copy"),
    ("p", "others/1.fna.gz", "plasmid", "", "no prokaryotic chromosome"),
]


def test_a_contig_is_assigned_to_the_source_that_explains_most_of_it():
    row = trace([("c", 0, 2000, 0, 1.0), ("c", 0, 1000, 1, 1.0), ("c", 1000, 2000, 1, 0.9)], SOURCES)
    assert (row["genome"], row["lineage"], row["chimera"]) == ("a.fna.gz", LINEAGE + "a", "no")


def test_two_sources_that_explain_different_parts_make_a_chimera():
    row = trace([("c", 0, 1200, 0, 1.0), ("c", 1190, 2000, 1, 1.0)], SOURCES)
    assert (row["genome"], row["status"], row["chimera"]) == ("a.fna.gz", "absent species", "yes")
    row = trace([("c", 0, 1850, 0, 1.0), ("c", 1850, 2000, 1, 1.0)], SOURCES)
    assert row["chimera"] == "no"


def test_equally_good_sources_give_their_common_lineage_and_an_exact_copy_remains_one():
    row = trace([("c", 0, 2000, 0, 1.0), ("c", 0, 1999, 1, 1.0)], SOURCES)
    assert (row["lineage"], row["status"]) == (LINEAGE.removesuffix(";s__"), "exact copy")


def test_a_contig_is_assigned_to_the_identical_one_of_two_similar_sources():
    row = trace([("c", 0, 2000, 0, 1.0), ("c", 0, 2000, 1, 0.99)], SOURCES)
    assert (row["genome"], row["status"], row["chimera"]) == ("a.fna.gz", "absent species", "no")


def test_plasmids_and_untraced_contigs_have_no_true_lineage(tmp_path):
    row = trace([("c", 0, 2000, 2, 1.0)], SOURCES)
    assert (row["lineage"], row["genome"], row["status"]) == ("", "p", "no prokaryotic chromosome")
    lost = trace([("c", 0, 900, 0, 1.0)], SOURCES)
    pd.DataFrame([row, lost.replace("c", "d")]).to_csv(tmp_path / "truth.tsv", sep="\t", index=False)
    answers = read_answers(tmp_path / "truth.tsv")[0]
    assert answers["c"].status == "no prokaryotic chromosome"
    assert (answers["d"].status, answers["d"].chimera) == (None, None)


def test_the_assembled_share_of_chromosomes_is_reported_by_depth():
    sources = pd.DataFrame(SOURCES, columns=["source", "file", "kind", "lineage", "status"])
    sources = sources.assign(S1=[3.0, 12.0, 12.0], S2=[1.0, 0.0, 0.0])
    lengths = {"0:0": 3000, "0:1": 1000, "1:0": 2000, "2:0": 500}
    lines = [
        "c\t2000\t0\t2000\t+\t0:0\t3000\t500\t2500\t2000\t2000\t60",
        "d\t900\t0\t900\t-\t0:0\t3000\t0\t900\t900\t900\t60",
    ]
    lines += ["c\t2000\t0\t2000\t+\t1:0\t2000\t0\t2000\t1990\t2000\t0"]
    truth = pd.DataFrame({"contig": ["c", "d"], "genome": ["a.fna.gz", "a.fna.gz"]})
    # Both contigs are from the first source, at a depth of four; their overlap counts once.
    assert assembled_shares(read_paf("\n".join(lines)), truth, lengths, sources) == {"2-5": 2500 / 4000, ">=10": 0}


def test_a_missing_program_is_reported_with_its_packages_before_anything_runs(mixture, tmp_path, monkeypatch):
    monkeypatch.setattr(assembly, "has_program", lambda name: name != "megahit")
    with pytest.raises(InputError, match=r"megahit \(Debian: megahit; bioconda: megahit\); install"):
        simulate_reads(mixture, "S1", AssemblySettings(), 1, tmp_path / "1.fq.gz", tmp_path / "2.fq.gz")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not shutil.which("minimap2"), reason="minimap2 is not there")
def test_contigs_are_traced_by_alignment_and_the_summary_gives_the_assembled_share(mixture, tmp_path, monkeypatch):
    monkeypatch.setattr(assembly, "has_program", lambda name: True)
    sources = read_sources(mixture)
    bases = [next(iter(read_fasta(mixture / file)))[1] for file in sources["file"]]
    rows = [sources.index[sources["kind"] == kind][0] for kind in ("chromosomes", "plasmid", "eukaryote")]
    contigs = {f"c{row}": reverse_complement(bases[row][1000:5000]) for row in rows}
    contigs["joined"] = bases[0][6000:9000] + bases[3][10_000:12_000]
    contigs |= {"nothing": "ACGT" * 500, "short": bases[0][:900]}
    write_fasta(tmp_path / "contigs.fna", contigs.items())
    (tmp_path / "S1.tsv").write_text("#rname\tmeandepth\n" + "".join(f"{name}\t2.5\n" for name in contigs))
    coverage = {"S1": tmp_path / "S1.tsv"}
    truth = write_assembled_community(mixture, tmp_path / "contigs.fna", coverage, 1000, 1, tmp_path / "community")
    first = sources.at[0, "file"].removeprefix("genomes/")
    genomes = [first, *sources["source"][rows[1:]], first, ""]
    assert truth["genome"].tolist() == genomes
    assert truth["chimera"].tolist() == ["no", "no", "no", "yes", ""]
    summary = read_json(tmp_path / "community" / "summary.json")
    assert (summary["n50"], summary["chimeras"]) == (4000, 1)
    assert 0 < max(summary["assembled"].values()) < 0.3
    assert summary["bases"]["not traced"] == 2000


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, PACKAGES)), reason="ART, MEGAHIT, minimap2 or samtools is not there")
def test_a_small_assembled_community_has_correct_truth_and_marks_an_inserted_chimera(mixture, tmp_path):
    reads = {sample: (tmp_path / f"{sample}_1.fq.gz", tmp_path / f"{sample}_2.fq.gz") for sample in ("S1", "S2")}
    for sample, files in reads.items():
        simulate_reads(mixture, sample, AssemblySettings(), 1, *files)
    assemble([files[0] for files in reads.values()], [files[1] for files in reads.values()], 2, tmp_path / "made.fna")
    contigs = dict(read_fasta(tmp_path / "made.fna"))
    genomes = {file.name: next(iter(read_fasta(file)))[1] for file in sorted((mixture / "genomes").iterdir())}
    source = read_sources(mixture)["file"].str.removeprefix("genomes/")
    one, other = (genomes[source[row]] for row in (0, 3))
    contigs["planted"] = one[3000:6000] + reverse_complement(other[10_000:12_000])
    write_fasta(tmp_path / "contigs.fna", contigs.items())
    coverages = {}
    for sample, files in reads.items():
        coverages[sample] = tmp_path / f"{sample}.tsv"
        map_reads(tmp_path / "contigs.fna", *files, 2, coverages[sample])
    truth = write_assembled_community(mixture, tmp_path / "contigs.fna", coverages, 1000, 2, tmp_path / "community")
    summary = read_json(tmp_path / "community" / "summary.json")
    assert summary["assembled"][">=10"] > 0.3
    assert summary["n50"] > 1000
    truth = truth.set_index("contig")
    assert truth.loc["planted", ["genome", "chimera"]].tolist() == [source[0], "yes"]
    assert (truth["chimera"] == "yes").mean() < 0.2
    assert truth["status"].value_counts()["no prokaryotic chromosome"] >= 2
    # A contig with one source is a substring of it or of its reverse complement.
    sure = truth[(truth["chimera"] == "no") & (truth["status"] == "exact copy")].index[0]
    middle, genome = contigs[sure][300:500], genomes[truth.at[sure, "genome"]]
    assert middle in genome or reverse_complement(middle) in genome
    folder = tmp_path / "community"
    prepare_contigs(
        folder / "contigs.fna.gz",
        1000,
        tmp_path / "index.parquet",
        tmp_path / "abundance.parquet",
        tmp_path / "truth.parquet",
        abundance=[folder / "abundance.tsv"],
        truth=folder / "truth.tsv",
        reference=folder / "reference.tsv",
        genomes=mixture / "genomes",
    )
    depths = pd.read_parquet(tmp_path / "abundance.parquet").set_index("id")
    assert (depths.drop("planted").sum(axis=1) > 0).mean() > 0.9
    assert parse_lineage(truth.at[sure, "lineage"])[0] is not None
