import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.lineage import NO_LINEAGE, RANKS, format_lineage, parse_lineage
from genestill.core.table_schemas import INDEX, PREDICTIONS, rank_columns
from genestill.core.tables import write_table
from genestill.student.corrector.export import distinct_names, export_predictions
from genestill.student.corrector.taxids import Taxids

COLI = "d__Bacteria;p__Pseudomonadota;c__Gamma;o__Enterobacterales;f__Enterobacteriaceae;g__Escherichia;s__E. coli"
BETA = "d__Bacteria;p__Pseudomonadota;c__Beta;o__Burkholderiales;f__Burkholderiaceae;g__Ralstonia;s__R. pickettii"


def write_inputs(folder, rows, samples=None):
    """rows: (id, length, lineage text, accepted); samples: name -> depths."""
    lineages = [parse_lineage(text) for _, _, text, _ in rows]
    predictions = pd.DataFrame({"id": [row[0] for row in rows], **rank_columns(lineages)})
    for level, rank in enumerate(RANKS):
        predictions[f"confidence_{rank}"] = np.float32(1 - 0.1 * level)
    predictions["accepted"] = [row[3] for row in rows]
    predictions["reason"] = ["stops where the evidence stops" for _ in rows]
    write_table(folder / "predictions.parquet", predictions, PREDICTIONS)
    index = pd.DataFrame({"id": predictions["id"], "length": [row[1] for row in rows]})
    write_table(folder / "contigs.parquet", index.assign(gc=0.5, sample="", checksum=""), INDEX)
    samples = samples or {}
    schema = pa.schema([("id", pa.string()), *[(name, pa.float32()) for name in samples]])
    write_table(folder / "abundance.parquet", pd.DataFrame({"id": predictions["id"], **samples}), schema)


def write_taxonomy(folder, lineages, skip=()):
    """A dump in which every path has the number of its first appearance plus 10; names in ``skip`` get no node."""
    numbers, nodes, rows = {(): 1}, ["1\t|\t1\t|\tno rank\t|"], []
    for text in lineages:
        path = tuple(name for name in parse_lineage(text) if name)
        for level in range(1, len(path) + 1):
            if path[level - 1] in skip or path[:level] in numbers:
                continue
            numbers[path[:level]] = 10 + len(numbers)
            above = next(path[:cut] for cut in range(level - 1, -1, -1) if path[:cut] in numbers)
            rank = "superkingdom" if level == 1 else RANKS[level - 1]
            nodes.append(f"{numbers[path[:level]]}\t|\t{numbers[above]}\t|\t{rank}\t|")
        rows.append(f"{numbers[path]}\t{text}")
    folder.mkdir(exist_ok=True)
    (folder / "nodes.dmp").write_text("\n".join(nodes) + "\n")
    (folder / "lineages.tsv").write_text("taxid\tlineage\n" + "\n".join(dict.fromkeys(rows)) + "\n")
    return numbers


def run_export(tmp_path, taxonomy=True):
    out = tmp_path / "out"
    export_predictions(
        tmp_path / "predictions.parquet",
        tmp_path / "contigs.parquet",
        tmp_path / "abundance.parquet",
        tmp_path / "taxonomy" if taxonomy else None,
        "demo",
        out,
    )
    return out


def read_kraken(path):
    rows = []
    for line in path.read_text().splitlines():
        percent, clade, direct, code, taxid, name = line.split("\t")
        rows.append(
            (float(percent), int(clade), int(direct), code, int(taxid), name.lstrip(), len(name) - len(name.lstrip()))
        )
    return rows


def read_profile(path):
    samples, current = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("@SampleID:"):
            current = samples.setdefault(line.split(":", 1)[1], [])
        elif line and not line.startswith("@"):
            current.append(line.split("\t"))
    return samples


def krona_data(path):
    class Page(HTMLParser):
        tags, data, inside = [], "", False

        def handle_starttag(self, tag, attributes):
            self.tags.append(tag)
            self.inside = ("id", "data") in attributes

        def handle_data(self, text):
            if self.inside:
                self.data += text

        def handle_endtag(self, tag):
            self.inside = False

    page = Page()
    page.tags, page.data = [], ""
    page.feed(path.read_text())
    return json.loads(page.data), page.tags


@pytest.fixture
def small(tmp_path):
    write_inputs(
        tmp_path,
        [("a", 1000, COLI, 7), ("b", 3000, COLI, 6), ("c", 2000, BETA, 7), ("d", 4000, BETA, 0)],
        {"S1": [1.0, 1.0, 2.0, 0.5], "S2": [0.0, 0.0, 0.0, 0.0]},
    )
    write_taxonomy(tmp_path / "taxonomy", [COLI, BETA])
    return tmp_path


def test_predictions_tsv_cuts_the_lineage_at_the_accepted_rank_and_keeps_the_candidate(small):
    table = pd.read_csv(run_export(small) / "predictions.tsv", sep="\t", keep_default_na=False)
    assert table["lineage"].tolist()[:2] == [COLI, COLI.rsplit(";", 1)[0]]
    assert table["candidate"].tolist() == [COLI, COLI, BETA, BETA]
    assert table["rank"].tolist() == ["species", "genus", "species", ""]
    assert table["confidence_species"].tolist() == pytest.approx([0.4] * 4)
    assert set(table["reason"]) == {"stops where the evidence stops"}


def test_taxometer_file_has_one_score_for_each_accepted_name(small):
    lines = (run_export(small) / "taxometer.tsv").read_text().splitlines()
    assert lines[0] == "contigs\tpredictions\tscores"
    for line, accepted in zip(lines[1:], (7, 6, 7, 0), strict=True):
        _, names, scores = line.split("\t")
        assert len(names.split(";")) == len(scores.split(";")) == max(1, accepted)
    assert lines[4] == "d\t\t"


def test_homonyms_include_the_name_of_their_parent_in_any_order_of_contigs():
    bacterium = parse_lineage("d__B;p__F;c__C;o__O;f__Bacillaceae;g__Bacillus;s__Bacillus x")
    insect = parse_lineage("d__E;p__A;c__I;o__P;f__Bacillidae;g__Bacillus;s__Bacillus x")
    first, second = distinct_names([bacterium, insect])
    assert first[5] == "g__Bacillus [Bacillaceae]"
    assert second[5] == "g__Bacillus [Bacillidae]"
    assert first[6] != second[6]
    assert distinct_names([insect, bacterium]) == [second, first]


def test_binning_contains_the_deepest_accepted_taxid_and_omits_unlabelled_contigs(small):
    lines = (run_export(small) / "demo.binning").read_text().splitlines()
    assert lines[:3] == ["@Version:0.10.0", "@SampleID:demo", "@@SEQUENCEID\tTAXID\t_LENGTH"]
    assert lines[3:] == ["a\t17\t1000", "b\t16\t3000", "c\t22\t2000"]


def test_profile_weights_contigs_by_length_times_depth_and_counts_unlabelled_bases(small):
    profile = read_profile(run_export(small) / "demo.profile")
    assert list(profile) == ["S1", "S2"]
    assert profile["S2"] == []
    percent = {row[3].split("|")[-1]: float(row[4]) for row in profile["S1"]}
    # 1000 + 3000 bases of the genus of E. coli, 4000 of Ralstonia, 2000 unlabelled: 10,000 in total.
    assert percent == {
        "Bacteria": 80, "Pseudomonadota": 80, "Gamma": 40, "Beta": 40, "Enterobacterales": 40, "Burkholderiales": 40,
        "Enterobacteriaceae": 40, "Burkholderiaceae": 40, "Escherichia": 40, "Ralstonia": 40, "E. coli": 10,
        "R. pickettii": 40,
    }  # fmt: skip
    assert profile["S1"][0][:4] == ["11", "superkingdom", "11", "Bacteria"]


def test_profile_without_abundances_has_one_sample_named_after_the_data_set(tmp_path):
    write_inputs(tmp_path, [("a", 1000, COLI, 7), ("b", 3000, BETA, 7)])
    write_taxonomy(tmp_path / "taxonomy", [COLI, BETA])
    profile = read_profile(run_export(tmp_path) / "demo.profile")
    assert [row[4] for row in profile["demo"] if row[1] == "species"] == ["75.000000", "25.000000"]


def test_kraken_report_is_indented_by_the_tree_with_the_largest_clade_first(small):
    rows = read_kraken(run_export(small) / "kraken.report")
    assert rows[0] == (25.0, 1, 1, "U", 0, "unclassified", 0)
    assert rows[1] == (75.0, 3, 0, "R", 1, "root", 0)
    assert [row[3] for row in rows[2:]] == ["D", "P", "C", "O", "F", "G", "S", "C", "O", "F", "G", "S"]
    assert [row[6] for row in rows[2:]] == [2, 4, 6, 8, 10, 12, 14, 6, 8, 10, 12, 14]
    assert rows[7] == (50.0, 2, 1, "G", 16, "Escherichia", 12)


def test_names_without_a_taxid_are_omitted_from_taxid_files(tmp_path):
    write_inputs(tmp_path, [("a", 1000, COLI, 7), ("b", 1000, COLI, 4)])
    numbers = write_taxonomy(tmp_path / "taxonomy", [COLI], skip=("Enterobacterales",))
    out = run_export(tmp_path)
    path = tuple(parse_lineage(COLI))
    assert out.joinpath("demo.binning").read_text().splitlines()[-1] == f"b\t{numbers[path[:3]]}\t1000"
    species = read_profile(out / "demo.profile")["demo"][-1]
    assert species[2].split("|")[3] == species[3].split("|")[3] == ""
    codes = [row[3] for row in read_kraken(out / "kraken.report")]
    assert codes == ["R", "D", "P", "C", "F", "G", "S"]


def test_a_strain_taxid_is_not_used_for_its_species(tmp_path):
    (tmp_path / "nodes.dmp").write_text(
        "1\t|\t1\t|\tno rank\t|\n2\t|\t1\t|\tsuperkingdom\t|\n9\t|\t2\t|\tspecies\t|\n5\t|\t9\t|\tstrain\t|\n"
    )
    text = format_lineage(parse_lineage("d__A;s__x"))
    (tmp_path / "lineages.tsv").write_text(f"taxid\tlineage\n5\t{text}\n")
    taxids = Taxids.read(tmp_path)
    assert taxids.of(parse_lineage(text)) == 9
    assert taxids.deepest((*parse_lineage(text)[:6], None)) == (2, 1)


def test_without_taxids_no_cami_files_are_written_and_none_are_invented(small):
    out = run_export(small, taxonomy=False)
    assert sorted(file.name for file in out.iterdir()) == [
        "kraken.report", "krona.html", "krona.txt", "predictions.tsv", "taxometer.tsv",
    ]  # fmt: skip
    assert {row[4] for row in read_kraken(out / "kraken.report")[2:]} == {0}


def test_names_are_escaped_in_the_krona_page(tmp_path):
    nasty = "d__</script><script>alert(1)</script>;p__{{title}} & \"x\" <b>;c__'quoted'"
    write_inputs(tmp_path, [("a", 10, nasty.replace(";p", ";p"), 3)])
    export_predictions(
        tmp_path / "predictions.parquet", tmp_path / "contigs.parquet", None, None, "<i>set", tmp_path / "out"
    )
    data, tags = krona_data(tmp_path / "out" / "krona.html")
    assert tags.count("script") == 2
    assert not {"b", "i"} & set(tags)
    names, node = [], data["root"]
    while "c" in node:
        node = node["c"][0]
        names.append(node["n"])
    assert names == ["</script><script>alert(1)</script>", '{{title}} & "x" <b>', "'quoted'"]
    page = (tmp_path / "out" / "krona.html").read_text()
    assert not re.search(r"(src|href)\s*=|@import|url\(|fetch\(", page)


def test_krona_text_adds_up_to_the_bases_of_all_samples(small):
    lines = [line.split("\t") for line in (run_export(small) / "krona.txt").read_text().splitlines()]
    assert sum(float(line[0]) for line in lines) == 10_000
    assert ["4000", *[part[3:] for part in BETA.split(";")]] in lines
    assert ["2000", "unclassified"] in lines


def test_the_same_predictions_give_identical_files(small):
    out = run_export(small)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    run_export(small)
    assert before == {file.name: file.read_bytes() for file in out.iterdir()}


def test_tables_of_different_contigs_are_refused(small, capsys):
    index = pd.DataFrame({"id": ["a", "b", "x", "d"], "length": 1, "gc": 0.5, "sample": "", "checksum": ""})
    write_table(small / "contigs.parquet", index, INDEX)
    arguments = ["student", "export", "--name", "demo", "--output", str(small / "out")]
    for option, file in (("--predictions", "predictions"), ("--index", "contigs")):
        arguments += [option, str(small / f"{file}.parquet")]
    assert main(arguments) == 2
    assert "row 3 is 'c', but 'x'" in capsys.readouterr().err
    assert not (small / "out").exists()


def test_an_accepted_rank_missing_from_the_path_is_refused(tmp_path):
    write_inputs(tmp_path, [("a", 10, "d__A;p__B", 3)])
    with pytest.raises(InputError, match="a has 3 accepted ranks, but its path has only 2"):
        run_export(tmp_path, taxonomy=False)


names = st.sampled_from(["A", "B", "C"])
contigs = st.tuples(
    st.lists(names, min_size=7, max_size=7), st.integers(0, 7), st.integers(1, 10**6), st.floats(0, 1e4, width=32)
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(contigs, min_size=1, max_size=12))
def test_clade_counts_and_percentages_add_up(tmp_path, drawn):
    texts = [
        ";".join(f"{prefix}__{name}" for prefix, name in zip("dpcofgs", words, strict=True)) for words, *_ in drawn
    ]
    rows = [(f"c{number}", length, texts[number], accepted) for number, (_, accepted, length, _) in enumerate(drawn)]
    write_inputs(tmp_path, rows, {"S": [depth for *_, depth in drawn]})
    write_taxonomy(tmp_path / "taxonomy", texts)
    out = run_export(tmp_path)
    report = read_kraken(out / "kraken.report")
    assert sum(row[2] for row in report) == len(drawn)
    assert sum(row[1] for row in report if row[3] in "UR") == len(drawn)
    for number, (_, clade, direct, _, _, _, indent) in enumerate(report):
        below = report[number + 1 :]
        end = next((step for step, row in enumerate(below) if row[6] <= indent), len(below))
        assert clade == direct + sum(row[1] for row in below[:end] if row[6] == indent + 2)
    for rows_of_sample in read_profile(out / "demo.profile").values():
        for rank in {row[1] for row in rows_of_sample}:
            assert sum(float(row[4]) for row in rows_of_sample if row[1] == rank) <= 100 + 1e-9
    distinct = {}
    for line in (out / "taxometer.tsv").read_text().splitlines()[1:]:
        path = line.split("\t")[1].split(";")
        for above, name in pairwise(path):
            assert distinct.setdefault(name, above) == above


def test_an_empty_lineage_is_unclassified(tmp_path):
    write_inputs(tmp_path, [("a", 10, "", 0)])
    out = run_export(tmp_path, taxonomy=False)
    assert read_kraken(out / "kraken.report") == [(100.0, 1, 1, "U", 0, "unclassified", 0)]
    assert parse_lineage("") == NO_LINEAGE
