"""Update of a stored search to another release, and the report of the changes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from genestill.core.errors import InputError
from genestill.core.files import write_json
from genestill.core.lineage import parse_lineage
from genestill.core.table_schemas import INDEX
from genestill.core.tables import write_table
from genestill.labels import updating
from genestill.labels.changes import count_changes, describe_changes, explain
from genestill.labels.kept_search import contigs_digest
from genestill.labels.settings import SearchSettings
from genestill.labels.targets import Targets, compare_targets, count_genomes, new_lineages
from genestill.labels.updating import known_rows, places, refuse_other_search

ABOVE = "d__Bacteria;p__P;c__C;o__O;f__F"
ONE, TWO, THREE = (parse_lineage(f"{ABOVE};g__{genus};s__{genus} x") for genus in ("A", "B", "C"))
NOTHING = parse_lineage("")


def targets_of(rows, lineages):
    columns = ["target", "genome", "digest", "residues", "taxid"]
    return Targets(pd.DataFrame(rows, columns=columns), lineages)


FORMER = targets_of(
    [(0, "a", 10, 100, 1), (1, "a", 11, 100, 1), (2, "a", 11, 100, 1), (3, "b", 20, 100, 2), (5, "c", 30, 100, 3)],
    {1: ONE, 2: TWO, 3: THREE},
)
NEW = targets_of(
    [(0, "c", 30, 100, 9), (1, "d", 40, 200, 8), (2, "a", 11, 100, 7), (3, "a", 10, 100, 7), (4, "c", 31, 50, 9)],
    {7: ONE, 8: TWO, 9: parse_lineage(f"{ABOVE};g__C2;s__C2 x")},
)


def test_proteins_are_matched_by_genome_and_sequence_independent_of_keys_and_taxids():
    found = compare_targets(FORMER, NEW)
    assert found.new_key.tolist() == [3, 2, -1, -1, -1, 0]
    assert found.added.tolist() == [False, True, False, False, True]
    assert found.share == pytest.approx(550 / 500)
    genomes = count_genomes(FORMER, NEW, found)
    assert genomes == {"added": ["d"], "withdrawn": ["b"], "changed": ["a", "c"], "renamed": ["c"]}
    now = new_lineages(FORMER, NEW, found)
    assert now[THREE[:6]] == {(*THREE[:5], "C2")}
    assert TWO not in now


def test_a_genome_without_a_lineage_in_both_releases_is_not_renamed():
    both = [targets_of([(0, "a", 10, 100, 0), (1, "b", 20, 100, 1)], {1: name}) for name in (ONE, TWO)]
    assert count_genomes(*both, compare_targets(*both))["renamed"] == ["b"]


def test_known_results_of_a_fragment_end_at_the_first_candidate_that_was_not_aligned():
    order = pd.DataFrame(
        {
            "key": [1, 1, 1, 1, 2, 2],
            "target": [5, 6, 7, 8, 5, 6],
            "added": [False, True, False, True, True, False],
        }
    )
    former = pd.DataFrame({"fragment": [1, 2], "target": [5, 6], "place": [0, -1], "evalue": [1e-9, np.nan]})
    rows, ended = known_rows(order, former)
    assert rows[["key", "target"]].values.tolist() == [[1, 5], [1, 6], [2, 5], [2, 6]]
    assert ended.tolist() == [2]


def test_matches_are_ranked_by_evalue_score_length_and_key_as_in_mmseqs():
    # The first two have the same score: their E-values differ only by rounding.
    rows = pd.DataFrame(
        {
            "key": [1, 1, 1, 2, 2, 2],
            "target": [0, 1, 2, 1, 2, 0],
            "evalue": [1.2834e-50, 1.283e-50, 1e-60, 0.0, 0.0, 0.0],
            "bits": [170, 170, 200, 1500, 1501, 1500],
        }
    )
    assert places(rows, np.array([80, 90, 90])).sort_index().tolist() == [1, 2, 0, 2, 0, 1]


def test_the_reason_of_each_changed_contig_is_the_step_at_which_it_changed():
    renamed = parse_lineage(f"{ABOVE};g__A2;s__A2 x")
    genus = TWO[:6] + (None,)
    now = {ONE[:level]: {renamed[:level]} for level in range(1, 8)}
    before = [ONE, ONE, TWO, TWO, TWO, NOTHING]
    between = [ONE, renamed, genus, TWO, genus, NOTHING]
    after = [ONE, renamed, genus, THREE, THREE, THREE]
    found = explain(before, between, after, now, any_withdrawn=True)
    assert found["reason"].tolist() == ["unchanged", "renamed", "withdrawn", "added", "withdrawn and added", "added"]
    assert found["rank"].tolist() == ["", "genus", "species", "genus", "genus", "domain"]
    assert found["change"].tolist() == ["same", "other name", "not named", "other name", "other name", "named"]
    found = explain([TWO], [genus], [genus], {}, any_withdrawn=False)
    assert found["reason"].tolist() == ["size of the database"]


def write_index(folder):
    table = pd.DataFrame({"id": ["x", "y", "z"], "length": [1000, 2000, 7000], "gc": 0.5, "sample": None})
    write_table(folder / "index.parquet", table.assign(checksum=["1", "2", "3"]), INDEX)
    return folder / "index.parquet"


def test_changes_are_counted_in_the_samples_that_contain_the_contig(tmp_path):
    explained = explain([ONE, TWO, TWO], [ONE, TWO, TWO], [ONE, TWO, THREE], {}, any_withdrawn=False)
    index, abundance = write_index(tmp_path), tmp_path / "abundance.parquet"
    depths = pd.DataFrame({"id": ["x", "y", "z"], "S1": [1.0, 2.0, 0.0], "S2": [0.5, 0.0, 3.0]})
    schema = pa.schema([("id", pa.string()), ("S1", pa.float32()), ("S2", pa.float32())])
    write_table(abundance, depths, schema)
    counts = count_changes(explained, index, abundance)
    rows = counts[["sample", "reason", "contigs", "bases", "share_of_bases"]].values.tolist()
    assert rows == [
        ["S1", "unchanged", 2, 3000, 1.0],
        ["S2", "unchanged", 1, 1000, 0.125],
        ["S2", "added", 1, 7000, 0.875],
    ]
    said = describe_changes(counts, {"added": ["d"], "withdrawn": []})
    assert said.splitlines() == [
        "genomes of the reference: 1 added, 0 withdrawn",
        "sample S1: 2 of 2 contigs (100.0% of the bases) keep their lineage",
        "sample S2: 1 of 2 contigs (12.5% of the bases) keep their lineage",
        "  genus: 1 (87.5% of the bases) are more similar to a genome that was added",
    ]
    assert set(count_changes(explained, index, None)["sample"]) == {"all"}


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (None, "not a complete kept search"),
        ({"identity": "x"}, "was kept by an earlier version of genestill"),
        (
            {"contigs": "other"},
            "not a search of these contigs: its checksums differ from those of the 3 contigs of i.parquet",
        ),
        ({"mmseqs2": "17"}, "was made by MMseqs2 17, but version 18 is installed"),
        ({"sensitivity": 4.0}, "was made with sensitivity 4.0, but now labels.sensitivity is 2.0"),
    ],
)
def test_a_search_with_other_inputs_or_settings_is_refused_with_the_difference(made, sentence, tmp_path, monkeypatch):
    monkeypatch.setattr(updating, "mmseqs_version", lambda: "18")
    checksums, settings = pd.Series(["1", "2", "3"]), SearchSettings()
    own = vars(settings) | {name: value for name, value in (made or {}).items() if name == "sensitivity"}
    whole = {"contigs": contigs_digest(checksums), "mmseqs2": "18", "settings": own}
    if made is not None:
        write_json(tmp_path / "settings.json", made if "identity" in made else whole | made)
    with pytest.raises(InputError, match=sentence):
        refuse_other_search(tmp_path, checksums, "i.parquet", settings)
    write_json(tmp_path / "settings.json", whole | {"settings": vars(settings)})
    refuse_other_search(tmp_path, checksums, "i.parquet", settings)


@pytest.mark.parametrize(
    ("left", "least_left", "kmer", "residues", "sentence"),
    [
        (0, 0.25, 0, 100, "contains 20% of the residues that were searched before"),
        (4, 1.2, 0, 100, "expected at least 25%"),
        (4, 0.25, 0, 10**9, "MMseqs2 searches databases of more than 3,350,000,000 residues with longer words"),
    ],
)
def test_a_database_whose_size_differs_too_much_is_refused(left, least_left, kmer, residues, sentence):
    before = targets_of([(key, "a", key, 100, 1) for key in range(5)], {})
    after = targets_of([(key, "a", key, residues, 1) for key in range(5)], {})
    new_key = np.where(np.arange(5) <= left, np.arange(5), -1)
    kept = SimpleNamespace(settings=SearchSettings(kmer=kmer))
    difference = SimpleNamespace(new_key=new_key)
    with pytest.raises(InputError, match=sentence):
        updating._refuse_other_size(before, after, difference, kept, least_left, "new")
