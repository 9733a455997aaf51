"""A search that is filtered afterwards, compared with a real search in the smaller database."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.files import read_json, write_json
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import LABELS, lineages_of
from genestill.core.tables import read_table
from genestill.core.virtual_references import references_of
from genestill.labels import withholding
from genestill.labels.hits import HITS_WITH_PLACES
from genestill.labels.kept_search import examined_rows, keep_search, read_kept
from genestill.labels.settings import SearchSettings
from genestill.labels.withholding import withhold, withhold_each

CODONS = ["".join(bases) for bases in itertools.product("ACGT", repeat=3)]
CODONS = [codon for codon in CODONS if codon not in ("TAA", "TAG", "TGA")]
ABOVE = "d__Bacteria;p__P;c__C;o__O;f__F"
LINEAGES = {
    "one": f"{ABOVE};g__A;s__A one",
    "two": f"{ABOVE};g__A;s__A two",
    "three": f"{ABOVE};g__B;s__B three",
    "four": f"{ABOVE};g__B;s__B four",
}


def call(*words) -> int:
    return main([str(word) for word in words])


def database_of(folder, names):
    rows = "".join(f"{name}.fna\t{LINEAGES[name]}\n" for name in names)
    table = folder / f"{'-'.join(names)}.tsv"
    table.write_text(f"file\tlineage\n{rows}")
    made = folder / "-".join(names)
    assert call("reference", "taxonomy", "--genomes", table, "--genomes-folder", folder, "--output", made / "tax") == 0
    proteins = ["--proteins", folder / "proteins", "--taxonomy", made / "tax"]
    assert call("reference", "database", *proteins, "--output", made / "database") == 0
    return made


@pytest.mark.slow
def test_labels_and_hits_of_withheld_clades_equal_those_of_real_searches(tmp_path):
    """Four references, 48 contigs each, with MMseqs2's fast filter of fragments: all 192 labels are the same."""
    rng = np.random.default_rng(3)
    ancestor = [rng.choice(CODONS, 300) for _ in range(24)]

    def drift(genes, share):
        return [np.where(rng.random(len(gene)) < share, rng.choice(CODONS, len(gene)), gene) for gene in genes]

    genus = {"A": drift(ancestor, 0.25), "B": drift(ancestor, 0.25)}
    genes = {name: drift(genus["A" if name in ("one", "two") else "B"], 0.12) for name in LINEAGES}
    contigs = {}
    for name, own in genes.items():
        sequence = ["ATG" + "".join(gene) + "TAA" for gene in own]
        write_fasta(tmp_path / f"{name}.fna", [("x", "".join(sequence))])
        for number in range(0, 24, 2):
            contigs[f"{name}_{number}"] = "AAACCC".join(sequence[number : number + 2])
    write_fasta(tmp_path / "contigs.fna", contigs.items())
    rows = "".join(f"{name}.fna\t{lineage}\n" for name, lineage in LINEAGES.items())
    (tmp_path / "genomes.tsv").write_text(f"file\tlineage\n{rows}")
    of_genomes = ["--genomes", tmp_path / "genomes.tsv"]
    assert call("reference", "proteins", *of_genomes, "--threads", 2, "--output", tmp_path / "proteins") == 0
    index = ["--output-index", tmp_path / "index.parquet", "--output-abundance", tmp_path / "abundance.parquet"]
    assert call("reference", "contigs", "--contigs", tmp_path / "contigs.fna", *index) == 0
    whole = database_of(tmp_path, list(LINEAGES))
    searched = ["--contigs", tmp_path / "contigs.fna", "--index", tmp_path / "index.parquet", "--kmer", "5"]
    kept = ["--database", whole / "database" / "proteins", "--taxonomy", whole / "tax", "--output", tmp_path / "kept"]
    assert call("labels", "keep-search", *searched, *kept) == 0
    rows = [
        ("nothing", []),
        ("species", [f"{ABOVE};g__A;s__A one"]),
        ("genus", [f"{ABOVE};g__B"]),
        ("both", [f"{ABOVE};g__A;s__A one", f"{ABOVE};g__B;s__B four"]),
    ]
    left = {"species": ["two", "three", "four"], "genus": ["one", "two"], "both": ["two", "three"]}
    table = [("mine", name, "fitting", clade) for name, clades in rows for clade in clades]
    columns = ["community", "reference", "half", "clade"]
    pd.DataFrame(table, columns=columns).to_csv(tmp_path / "withheld.tsv", sep="\t", index=False)
    where = ["--search", tmp_path / "kept", "--index", tmp_path / "index.parquet", "--taxonomy", whole / "tax"]
    where += ["--database", whole / "database" / "proteins", "--withheld", tmp_path / "withheld.tsv"]
    assert call("labels", "withhold", *where, "--community", "mine", "--output", tmp_path / "virtual") == 0
    withhold(
        read_kept(tmp_path / "kept"),
        tmp_path / "index.parquet",
        whole / "database" / "proteins",
        whole / "tax",
        [],
        1,
        tmp_path / "virtual" / "nothing",
    )
    for name, _ in rows:
        made = database_of(tmp_path, left[name]) if name in left else whole
        words = ["--database", made / "database" / "proteins", "--taxonomy", made / "tax"]
        words += ["--output-labels", tmp_path / "real.parquet", "--output-hits", tmp_path / "hits.parquet"]
        words += ["--output-tsv", tmp_path / "real.tsv", "--output-summary", tmp_path / "summary.json"]
        assert call("labels", "search", *searched, *words) == 0
        found = tmp_path / "virtual" / name
        same = [lineages_of(read_table(path, LABELS)) for path in (found / "labels.parquet", tmp_path / "real.parquet")]
        assert same[0] == same[1]
        virtual, real = (
            read_table(path, HITS_WITH_PLACES) for path in (found / "hits.parquet", tmp_path / "hits.parquet")
        )
        compared = ["id", "fragment_length", "identity", "bits", "alignment_length", "start", "stop", "strand"]
        pd.testing.assert_frame_equal(
            *(hits[compared].sort_values(compared, ignore_index=True) for hits in (virtual, real))
        )


@given(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(1, 4),
    st.none() | st.integers(1, 4),
)
@settings(max_examples=200, deadline=None)
def test_candidates_are_examined_until_mmseqs_would_stop(queries, rejected, accepted):
    expected, ended = [], []
    for matches in queries:
        failures, found, going = 0, 0, True
        for match in matches:
            going = going and failures < rejected and (accepted is None or found < accepted)
            expected.append(going)
            failures, found = (0, found + 1) if match else (failures + 1, found)
        ended.append(going and failures < rejected and (accepted is None or found < accepted))
    key = np.repeat(np.arange(len(queries)), [len(matches) for matches in queries])
    inside, whole = examined_rows(key, np.concatenate(queries), rejected, accepted)
    assert (inside.tolist(), whole.tolist()) == (expected, ended)


def test_withheld_clades_are_read_by_community_and_reference(tmp_path):
    clades = [f"{ABOVE};g__A", f"{ABOVE};g__B;s__B four", ABOVE]
    rows = zip(["a", "a", "b"], ["fitting-001", "fitting-002", "fitting-001"], ["fitting"] * 3, clades, strict=True)
    columns = ["community", "reference", "half", "clade"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "w.tsv", sep="\t", index=False)
    found = references_of(tmp_path / "w.tsv", "a", "fitting-001")
    assert [len(clade) for one in found for clade in one.clades] == [6]
    with pytest.raises(InputError, match="no row for the reference 'judging-001' of the community 'a'"):
        references_of(tmp_path / "w.tsv", "a", "judging-001")


def test_only_searches_with_the_approximate_lca_can_be_filtered(tmp_path):
    with pytest.raises(InputError, match="only a search with lca_mode 3"):
        keep_search("c.fna", "i.parquet", "database", "taxonomy", SearchSettings(lca_mode=1), 1, tmp_path / "kept")


def test_an_existing_reference_is_kept_until_what_it_was_made_from_changes(tmp_path, monkeypatch):
    made, identity = [], ["one"]

    def make(kept, index, database, taxonomy, clades, threads, output):
        made.append(clades)
        return {
            "clades_withheld": len(clades),
            "fragments": 1,
            "aligned_again": 0,
            "unlabelled": 0,
            "labelled_species": 1,
        }

    monkeypatch.setattr(withholding, "withhold", make)
    monkeypatch.setattr(withholding, "build_label_tree", lambda *files: None)
    monkeypatch.setattr(withholding, "read_kept", lambda folder: SimpleNamespace(identity=identity[0]))

    database, taxonomy = tmp_path / "database", tmp_path / "taxonomy"
    taxonomy.mkdir()
    (taxonomy / "lineages.tsv").write_text("taxid\tlineage\n")
    for part in ("mapping", "taxonomy"):
        (tmp_path / f"database_{part}").write_text("1\t11\n")

    def withhold_clades(*clades, other_children=True):
        rows = [("mine", f"fitting-00{number}", "fitting", clade) for number, clade in enumerate(clades, 1)]
        columns = ["community", "reference", "half", "clade"]
        pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "w.tsv", sep="\t", index=False)
        made.clear()
        places = ("kept", "i", database, taxonomy, tmp_path / "w.tsv", "mine", 1)
        withhold_each(*places, other_children, tmp_path / "virtual")
        return len(made)

    genera = f"{ABOVE};g__A", f"{ABOVE};g__B"
    assert withhold_clades(*genera) == 2
    predictions = tmp_path / "virtual" / "fitting-002" / "corrector.seed1.parquet"
    predictions.write_bytes(b"")
    assert withhold_clades(*genera) == 0
    assert withhold_clades(genera[0], ABOVE) == 1
    # Files derived from the labels are now outdated.
    assert not predictions.exists()
    identity[0] = "two"
    assert withhold_clades(genera[0], ABOVE) == 2
    assert withhold_clades(genera[0], ABOVE, other_children=False) == 2
    for changed in (tmp_path / "database_mapping", tmp_path / "database_taxonomy", taxonomy / "lineages.tsv"):
        changed.write_text("1\t12\n")
        assert withhold_clades(genera[0], ABOVE, other_children=False) == 2
        assert withhold_clades(genera[0], ABOVE, other_children=False) == 0
    # A record of an earlier version, which has less.
    summary = tmp_path / "virtual" / "fitting-001" / "summary.json"
    record = read_json(summary)
    write_json(summary, record | {"made_from": {name: record["made_from"][name] for name in ("search", "clades")}})
    assert withhold_clades(genera[0], ABOVE, other_children=False) == 1
    assert pd.read_csv(tmp_path / "virtual" / "references.tsv", sep="\t")["reference"].tolist() == [
        "fitting-001",
        "fitting-002",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("mine\tfitting-001\tfitting\t", "clade ''; expected a lineage"),
        ("mine\tfitting-001\tfitting\tp__P;d__D", "clade 'p__P;d__D': "),
        ("mine\tfitting-001\tboth\td__Bacteria", "half 'both'; expected"),
    ],
)
def test_a_table_of_withheld_clades_that_a_user_gives_is_checked(tmp_path, row, message):
    (tmp_path / "w.tsv").write_text(f"community\treference\thalf\tclade\n{row}\n")
    with pytest.raises(InputError, match=message):
        references_of(tmp_path / "w.tsv", "mine")
