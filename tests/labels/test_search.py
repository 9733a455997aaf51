"""One small search from genomes to labels, with the MMseqs2 of the test environment."""

import itertools
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from genestill.cli import main
from genestill.core import table_schemas
from genestill.core.errors import InputError, ProgramFailed
from genestill.core.files import read_json
from genestill.core.programs import find_program, run_program
from genestill.core.sequences import reverse_complement, write_fasta
from genestill.core.tables import read_arrow, read_table
from genestill.labels.hits import write_hits

SPECIES = {
    "one": "d__Bacteria;p__A;c__B;o__C;f__D;g__E;s__E one",
    "two": "d__Archaea;p__G;c__H;o__I;f__J;g__K;s__K two",
    "three": "d__Archaea;p__G;c__H;o__I;f__J;g__K",
}
FAST = ["--kmer", "5", "--sensitivity", "1", "--orf-filter", "0"]
CODONS = ["".join(bases) for bases in itertools.product("ACGT", repeat=3)]
CODONS = [codon for codon in CODONS if codon not in ("TAA", "TAG", "TGA")]


def make_genome(rng) -> str:
    genes = []
    for _ in range(25):
        body = "".join(rng.choice(CODONS, 300))
        gene = f"AGGAGGAACAACATG{body}TAA"
        spacer = "".join(rng.choice(list("ACGT"), 60))
        genes.append(spacer + (gene if rng.random() < 0.5 else reverse_complement(gene)))
    return "".join(genes)


def call(*words) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three genomes, the database of them, and contigs cut from them; one random contig, one with an unusual id."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(7)
    genomes = {name: make_genome(rng) for name in SPECIES}
    for name, sequence in genomes.items():
        write_fasta(folder / f"{name}.fna.gz", [("chromosome", sequence)])
    rows = "".join(f"{name}.fna.gz\t{lineage}\n" for name, lineage in SPECIES.items())
    (folder / "genomes.tsv").write_text(f"file\tlineage\n{rows}")
    contigs = {
        "sp|one|1": genomes["one"][500:6500],
        "nowhere": "".join(rng.choice(list("ACGT"), 1500)),
        "two_1": reverse_complement(genomes["two"][1000:8000]),
        "no_frame": "TTAACTAACTAA" * 100,
        "three_1": genomes["three"][1000:8000],
    }
    write_fasta(folder / "contigs.fna", contigs.items())
    table, taxonomy = ["--genomes", folder / "genomes.tsv"], folder / "taxonomy"
    outputs = ["--output-index", folder / "index.parquet", "--output-abundance", folder / "abundance.parquet"]
    checked = ["--contigs", folder / "contigs.fna", "--reference", folder / "genomes.tsv"]
    assert call("reference", "contigs", *checked, *outputs) == 0
    assert call("reference", "taxonomy", *table, "--output", taxonomy) == 0
    assert call("reference", "proteins", *table, "--threads", 2, "--output", folder / "proteins") == 0
    made_of = ["--proteins", folder / "proteins", "--taxonomy", taxonomy]
    assert call("reference", "database", *made_of, "--output", folder / "database") == 0
    return folder


def search(world, output, database=None) -> int:
    given = ["--contigs", world / "contigs.fna", "--index", world / "index.parquet", "--taxonomy", world / "taxonomy"]
    given += ["--database", database or world / "database" / "proteins"]
    outputs = ["--output-labels", output / "labels.parquet", "--output-hits", output / "hits.parquet"]
    outputs += ["--output-tsv", output / "labels.tsv", "--output-summary", output / "summary.json"]
    return call("labels", "search", *given, *FAST, *outputs)


@pytest.fixture(scope="module")
def found(world):
    (world / "labels").mkdir()
    assert search(world, world / "labels") == 0
    return world / "labels"


def test_contigs_get_the_lineage_of_their_genome(found):
    table = read_table(found / "labels.parquet", table_schemas.LABELS)
    assert table["id"].tolist() == ["sp|one|1", "nowhere", "two_1", "no_frame", "three_1"]
    assert table["species"].fillna("").tolist() == ["E one", "", "K two", "", ""]
    assert table["genus"].fillna("").tolist() == ["E", "", "K", "", "K"]
    assert table["domain"].fillna("").tolist() == ["Bacteria", "", "Archaea", "", "Archaea"]
    assert table["support"][0] > 0.9
    assert (found / "labels.tsv").read_text().splitlines()[1] == f"sp|one|1\t{SPECIES['one']}"


def test_hits_contain_position_target_and_identity(found, world):
    hits = read_arrow(found / "hits.parquet", table_schemas.HITS).to_pandas()
    own = hits[hits["id"] == "sp|one|1"]
    lineages = dict(line.split("\t") for line in (world / "taxonomy" / "lineages.tsv").read_text().splitlines()[1:])
    best = own.sort_values("bits").groupby("fragment").tail(1)
    assert len(best) >= 4
    assert {lineages[str(taxid)] for taxid in best["target_taxid"]} == {SPECIES["one"]}
    # Not 1: genes of the genome start with M, fragments of a contig with any amino acid.
    assert (best["identity"] > 0.98).all()
    assert (best["alignment_length"] <= best["fragment_length"] + 1).all()
    assert sorted(own["fragment"].unique()) == list(range(own["fragment"].nunique()))
    places = pd.read_parquet(found / "hits.parquet")
    assert ((places["stop"] - places["start"]) // 3 - places["fragment_length"]).between(-1, 1).all()
    assert set(places["strand"]) == {1, -1}
    assert places.loc[places["id"] == "two_1", "stop"].max() <= 7000


def test_summary_contains_parameters_versions_and_counts(found):
    summary = read_json(found / "summary.json")
    version = run_program([find_program("mmseqs"), "version"]).strip()
    assert summary["mmseqs2"] == version
    assert read_json(found / "provenance" / "labels.parquet.json")["found"] == {"mmseqs2": version}
    assert summary["settings"]["kmer"] == 5
    assert "--lca-mode" in summary["parameters"]
    counts = summary["counts"]
    assert counts["contigs"] == 5
    assert counts["unlabelled"] == 2
    assert counts["without_open_reading_frame"] >= 1
    assert counts["labelled_species"] == 2
    assert counts["hits"] > 0


def test_the_search_leaves_no_other_files(found):
    assert sorted(path.name for path in found.iterdir()) == [
        "hits.parquet",
        "labels.parquet",
        "labels.tsv",
        "provenance",
        "summary.json",
    ]


def test_same_input_gives_the_same_tables(found, world, tmp_path):
    assert search(world, tmp_path) == 0
    for name in ("labels.parquet", "hits.parquet", "labels.tsv"):
        assert (tmp_path / name).read_bytes() == (found / name).read_bytes()


def test_existing_database_gives_the_same_labels_and_its_own_taxonomy(found, world, tmp_path):
    ready = world / "database" / "proteins"
    assert call("reference", "database", "--ready", ready, "--output", tmp_path / "database") == 0
    linked = tmp_path / "database" / "proteins"
    assert call("reference", "taxonomy", "--database", linked, "--output", tmp_path / "taxonomy") == 0
    ours = set((world / "taxonomy" / "lineages.tsv").read_text().splitlines())
    assert set((tmp_path / "taxonomy" / "lineages.tsv").read_text().splitlines()) == ours
    assert search(world, tmp_path, linked) == 0
    assert (tmp_path / "labels.parquet").read_bytes() == (found / "labels.parquet").read_bytes()


def test_invalid_database_is_refused_with_a_clear_message(world, tmp_path, capsys):
    assert search(world, tmp_path, world / "contigs.fna") == 2
    assert "contigs.fna: not an MMseqs2 taxonomy database" in capsys.readouterr().err
    assert call("reference", "database", "--ready", "GTDP", "--output", tmp_path / "database") == 2
    assert "neither an MMseqs2 database" in capsys.readouterr().err
    run_program([find_program("mmseqs"), "createdb", world / "proteins" / "one.faa", tmp_path / "bare", "-v", 1])
    assert call("reference", "database", "--ready", tmp_path / "bare", "--output", tmp_path / "database") == 2
    assert "bare_mapping is missing" in capsys.readouterr().err
    assert not (tmp_path / "database").exists()


def test_protein_ids_contain_their_genome_and_proteins_are_not_predicted_twice(world, caplog):
    headers = re.findall(r"^>.*$", (world / "proteins" / "one.faa").read_text(), re.MULTILINE)
    assert headers[:2] == [">one|1", ">one|2"]
    before = (world / "proteins" / "one.faa").stat().st_mtime_ns
    (world / "proteins" / "two.faa").unlink()
    caplog.set_level("INFO", logger="genestill")
    words = ["reference", "proteins", "--genomes", world / "genomes.tsv", "--output", world / "proteins"]
    assert call(*words) == 0
    assert (world / "proteins" / "one.faa").stat().st_mtime_ns == before
    assert (world / "proteins" / "two.faa").is_file()


def test_failing_program_is_reported_with_its_last_output():
    with pytest.raises(ProgramFailed, match=r"mmseqs failed with exit code 1 \(.*no_such_module\)\. Its last lines:\n"):
        run_program([find_program("mmseqs"), "no_such_module"])


def test_missing_program_is_reported_with_what_to_install(monkeypatch):
    with pytest.raises(InputError, match="genestill"):
        find_program("no_such_program")


def test_positions_of_fragments_are_read_on_both_strands(tmp_path):
    (tmp_path / "h.tsv").write_text(
        "5\t0.5\t50\t10\t12\t0\t30+35\n6\t1.0\t90\t10\t12\t0\t30+35\n5\t0.9\t40\t9\t11\t0\t99-32\t1\n"
    )
    hits = assembled(tmp_path, ["c"])
    assert hits[["start", "stop", "strand"]].drop_duplicates().to_numpy().tolist() == [[30, 66, 1], [67, 100, -1]]
    assert hits["target_taxid"].tolist() == [6, 5, 5]
    assert hits["fragment"].tolist() == [0, 0, 1]
    (tmp_path / "h.tsv").write_text("")
    assert len(assembled(tmp_path, ["c"])) == 0
    for place in ("somewhere", "", "1+2\t0\t1"):
        (tmp_path / "h.tsv").write_text(f"5\t0.5\t50\t10\t12\t0\t{place}\n")
        with pytest.raises(InputError, match="MMseqs2 18"):
            assembled(tmp_path, ["c"])
    (tmp_path / "h.tsv").write_text("5\t0.5\t50\t10\t12\t1\t30+35\n")
    with pytest.raises(InputError, match="not among the 1 searched ones"):
        assembled(tmp_path, ["c"])


def assembled(folder, ids) -> pd.DataFrame:
    (folder / "parts").mkdir(exist_ok=True)
    write_hits(folder / "h.tsv", np.arange(len(ids)), ids, folder / "h.parquet", {}, folder / "parts")
    assert list((folder / "parts").iterdir()) == []
    return pd.read_parquet(folder / "h.parquet")


def test_hits_sorted_in_parts_equal_hits_sorted_at_once(tmp_path, monkeypatch):
    random = np.random.default_rng(3)
    contig = random.integers(0, 40, 3000)
    table = pd.DataFrame(
        {
            "taxid": random.integers(1, 2**40, 3000),
            "fident": random.integers(200, 1001, 3000) / 1000,
            "bits": random.integers(30, 60, 3000),
            "alnlen": 90,
            "qlen": 99,
            "contig": contig,
            "place": [f"{first}{random.choice(['+', '-'])}300" for first in random.integers(300, 310, 3000)],
        }
    )
    table.to_csv(tmp_path / "h.tsv", sep="\t", index=False, header=False)
    monkeypatch.setattr("genestill.labels.hits.ROWS_AT_ONCE", 700)
    monkeypatch.setattr("genestill.labels.hits.PART", 20_000)
    hits = assembled(tmp_path, [f"c{row}" for row in range(40)])
    assert pq.read_metadata(tmp_path / "h.parquet").num_row_groups > 3

    place = table["place"].str.extract(r"(\d+)(.)(\d+)")
    forward = place[1] == "+"
    table["start"] = place[0].astype(int) - np.where(forward, 0, 300)
    table["stop"] = place[0].astype(int) + np.where(forward, 301, 1)
    table["strand"] = np.where(forward, 1, -1)
    fragment = ["contig", "start", "stop", "strand"]
    order = table.sort_values([*fragment, "bits"], ascending=[True] * 4 + [False], kind="stable")
    number = order.drop_duplicates(fragment).groupby("contig").cumcount()
    assert hits["id"].tolist() == [f"c{row}" for row in order["contig"]]
    assert hits["target_taxid"].tolist() == order["taxid"].tolist()
    assert hits["bits"].tolist() == order["bits"].tolist()
    assert hits[fragment[1:]].to_numpy().tolist() == order[fragment[1:]].to_numpy().tolist()
    firsts = ~order.duplicated(fragment).to_numpy()
    assert hits["fragment"][firsts].tolist() == number.tolist()
    assert (hits["fragment"].diff()[1:][~firsts[1:]] == 0).all()
