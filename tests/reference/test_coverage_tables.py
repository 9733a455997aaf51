"""Coverage tables written by programs and spreadsheets: only depths are read."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.reference.coverage_tables import read_abundance_table
from genestill.reference.coverage_words import sample_name

LENGTHS = {"c1": 1200, "c2": 800, "c3": 500}


def table(text):
    """Convert rows with cells separated by bars, so that tables in tests are readable."""
    rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    return "".join("\t".join(row) + "\n" for row in rows)


def read(tmp_path, text, name="lake.tsv"):
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found = read_abundance_table(tmp_path / name, LENGTHS)
    return {sample: found[sample].tolist() for sample in found}


def refused(tmp_path, text, name="lake.tsv"):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, name)
    return str(caught.value)


METABAT = """
contigName | contigLen | totalAvgDepth | s1.bam | s1.bam-var | s2.sorted.bam | s2.sorted.bam-var
c1         | 1200      | 12.5          | 10     | 2.1        | 2.5           | 0.4
c2         | 800       | 3             | 1      | 0.2        | 2             | 0.5
c3         | 500       | 44            | 40     | 9          | 4             | 3
"""
SAMTOOLS = """
#rname | startpos | endpos | numreads | covbases | coverage | meandepth | meanbaseq | meanmapq
c1     | 1        | 1200   | 50       | 1000     | 83.3     | 4.5       | 36        | 60
c2     | 1        | 800    | 5        | 400      | 50       | 0.5       | 36        | 60
"""
COVERM = """
Contig | a Mean | a Trimmed Mean | a RPKM | a TPM | a Covered Fraction | a Variance | a Length | a Read Count | b Mean
c1     | 1.5    | 2              | 3      | 4     | 0.5                | 6          | 1200     | 7            | 2.5
c2     | 0      | 0              | 0      | 0     | 0                  | 0          | 800      | 0            | 1
"""
COVSTATS = """
#ID       | Avg_fold | Length | Ref_GC | Covered_percent | Covered_bases | Plus_reads | Minus_reads | Read_GC | Median_fold | Std_Dev
c1 flag=1 | 5.5      | 1200   | 0.5    | 99              | 1199          | 5          | 6           | 0.4     | 5           | 1.1
c2 flag=1 | 1        | 800    | 0.5    | 90              | 700           | 5          | 6           | 0.4     | 1           | 1.1
"""  # noqa: E501
MOSDEPTH = """
chrom        | length | bases | mean | min | max
c1           | 1200   | 5004  | 4.17 | 0   | 9
c1_region    | 1200   | 5004  | 4.17 | 0   | 9
c2           | 800    | 8     | 0.01 | 0   | 1
c2_region    | 800    | 8     | 0.01 | 0   | 1
total        | 2000   | 5012  | 2.51 | 0   | 9
total_region | 2000   | 5012  | 2.51 | 0   | 9
"""
FLYE = """
#seq_name | length | cov. | circ. | repeat | mult. | alt_group | graph_path
c1        | 1200   | 45   | N     | N      | 1     | *         | 1
c2        | 800    | 5    | Y     | N      | 1     | *         | 2,*
"""
PROGRAMS = {
    "MetaBAT": (METABAT, {"s1": [10, 1, 40], "s2": [2.5, 2, 4]}),
    "MetaBAT without variances": (
        "contigName | contigLen | totalAvgDepth | s1.bam | s2.bam \n c1 | 1200 | 3.5 | 1 | 2.5 \n c2 | 800 | 3 | 3 | 0",
        {"s1": [1, 3], "s2": [2.5, 0]},
    ),
    "MetaBAT whose signs R changed": (
        "contigName | contigLen | totalAvgDepth | s1.bam | s1.bam.var \n c1 | 1200 | 3.5 | 3.5 | 1",
        {"s1": [3.5]},
    ),
    "MetaBAT, columns cut away": ("contigName | s1.bam | s1.bam-var \n c1 | 3.5 | 1", {"s1": [3.5]}),
    "samtools coverage": (SAMTOOLS, {"lake": [4.5, 0.5]}),
    "mosdepth": (MOSDEPTH, {"lake": [4.17, 0.01]}),
    "CoverM, several methods": (COVERM, {"a": [1.5, 0], "b": [2.5, 1]}),
    "CoverM, one method": ("Contig | a.sorted Trimmed Mean | b Trimmed Mean \n c1 | 1 | 2", {"a": [1], "b": [2]}),
    "CoverM, reads": ("Contig | asm.fna/a.fq.gz TPM | asm.fna/b.fq.gz TPM \n c1 | 1 | 2", {"a": [1], "b": [2]}),
    "CoverM, counts": ("Contig | a Read Count \n c1 | 12 \n c2 | 16", {"a": [1, 2]}),
    "CoverM, sparse": (
        "Sample | Contig | Mean \n a | c1 | 1 \n a | c2 | 2 \n b | c2 | 3 \n b | c1 | 4",
        {"a": [1, 2], "b": [4, 3]},
    ),
    "BBMap covstats": (COVSTATS, {"lake": [5.5, 1]}),
    "BBMap rpkm": (
        "#File | x.fq\n#Reads | 100\n#Name | Length | Bases | Coverage | Reads | RPKM | Frags | FPKM\n"
        "c1 | 1200 | 5 | 4.5 | 3 | 9 | 2 | 8",
        {"lake": [4.5]},
    ),
    "Flye": (FLYE, {"lake": [45, 5]}),
    "Salmon": ("Name | Length | EffectiveLength | TPM | NumReads \n c1 | 1200 | 900.5 | 10 | 5", {"lake": [10]}),
    "VAMB": ("contigname | S1 | S2 \n c1 | 0.5 | 1 \n c2 | 2 | 3", {"S1": [0.5, 2], "S2": [1, 3]}),
    "CONCOCT": ("contig | cov_mean_sample_a | cov_mean_sample_b \n c1 | 1 | 2", {"a": [1], "b": [2]}),
    "SemiBin": (" | s1.bam_mean | s1.bam_var \n c1 | 1.5 | 2 \n c2 | 1 | 2", {"s1": [1.5, 1]}),
    "strobealign, merged, no header": ("c1 | 0.5 | 1.5 \n c2 | 2 | 3", {"sample_1": [0.5, 2], "sample_2": [1.5, 3]}),
    "samtools idxstats": ("c1 | 1200 | 60 | 1 \n c2 | 800 | 8 | 0 \n * | 0 | 0 | 99", {"lake": [5, 1]}),
    "samtools coverage, no header": (
        "c1 | 1 | 1200 | 50 | 1000 | 83.3 | 4.5 | 36 | 60 \n c2 | 1 | 800 | 5 | 400 | 50 | 0.5 | 36 | 60",
        {"lake": [4.5, 0.5]},
    ),
    "MetaBAT, no header": (
        METABAT.replace(METABAT.strip().splitlines()[0], ""),
        {"sample_1": [10, 1, 40], "sample_2": [2.5, 2, 4]},
    ),
    "intervals": (
        "c1 | 0 | 500 | 2.00 \n c1 | 500 | 1200 | 4.00 \n c2 | 0 | 800 | 1.50",
        {"lake": [(500 * 2 + 700 * 4) / 1200, 1.5]},
    ),
    "intervals with names": ("c1 | 0 | 1200 | one | 2.00 \n c2 | 0 | 800 | two | 1.50", {"lake": [2, 1.5]}),
    "names of rows from R": ("lake | soil \n c1 | 1 | 2 \n c2 | 3 | 4", {"lake": [1, 3], "soil": [2, 4]}),
    "numbers of rows from pandas": (" | contig | lake \n 0 | c1 | 1 \n 1 | c2 | 2", {"lake": [1, 2]}),
}


@pytest.mark.parametrize(("text", "expected"), PROGRAMS.values(), ids=PROGRAMS)
def test_only_the_depths_are_read_from_the_table_of_a_program(tmp_path, text, expected):
    found = read(tmp_path, table(text))
    assert list(found) == list(expected)
    for sample, depths in expected.items():
        assert found[sample] == pytest.approx(depths)


@pytest.mark.parametrize("program", ["MetaBAT", "samtools coverage", "CoverM, several methods"])
def test_separators_and_quotes_of_a_spreadsheet_do_not_change_depths(tmp_path, program):
    text, expected = PROGRAMS[program]
    rows = [line.split("\t") for line in table(text).splitlines()]
    comma = [[cell.replace(".", ",") if cell[:1].isdigit() else cell for cell in row] for row in rows]
    quoted = [[f'"{cell}"' for cell in row] for row in comma]
    for cells, delimiter, start in (
        (rows, ",", "\ufeff"),
        (comma, ";", "\ufeffsep=;\r\n"),
        (quoted, ";", ""),
        (quoted, ",", ""),
        ([*comma, [""] * len(rows[0])], ";", ""),
        ([[*row, "", ""] for row in rows], "\t", ""),
    ):
        found = read(tmp_path, start + "\r\n".join(delimiter.join(row) for row in cells), "lake.csv")
        assert list(found) == list(expected)
        assert all(found[sample] == pytest.approx(depths) for sample, depths in expected.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "contigName | contigLen | totalAvgDepth \n c1 | 1200 | 3",
            "its columns are contigLen (length), totalAvgDepth (total)",
        ),
        ("Contig | a Covered Fraction \n c1 | 0.5 \n c2 | 0.1", "a Covered Fraction (covered bases)"),
        ("contig | covered_bases \n c1 | 1000 \n c2 | 700", "covered_bases (covered bases)"),
        ("c1 | 1200 \n c2 | 800", "column 2 (the lengths of the contigs)"),
        ("c1 | 1200 | 1 | 2.5 \n c2 | 800 | 1 | 3", "column 3, column 4 would be read as samples: add a header"),
        (
            "c1 | 1000 | 4.5 \n c2 | 400 | 0.5 \n c3 | 0 | 0",
            "column 2 contains whole numbers that may be covered bases",
        ),
        ("c1 | 1 | 4.5 \n c2 | 1 | 0.5 \n c3 | 1 | 0", "column 2 contains whole numbers that may be positions"),
        ("contig | lake | soil-var \n c1 | 1 | 2", "'soil-var' looks like the variance of a sample"),
        ("contig | lake | soil | mean \n c1 | 1 | 2 | 9", "the column 'mean' may be a sample, or the sum of the"),
        ("c1 | 0 | 1200 | 2400 \n c2 | 0 | 800 | 800", "samtools bedcov"),
        ("c1 | 0 | 500 | 2.00 \n c1 | 700 | 1200 | 4.00", "those of 'c1' cover 1000 of its 1200 bp"),
        ("c1 | 1 | 5 \n c1 | 2 | 6 \n c2 | 1 | 5", "one row per base?"),
        ("contig | s1.bam | s1.sorted.bam \n c1 | 1 | 2", "has the samples s1, s1; expected distinct names"),
        (METABAT.replace("1200", "1300"), "'c1' has 1300 bp; 1200 bp in the FASTA file"),
        ("c1 | 1300 | 60 | 1 \n c2 | 800 | 8 | 0 \n * | 0 | 0 | 9", "'c1' has 1300 bp; 1200 bp in the FASTA file"),
        (
            "contig | x | y \n c1 | 1300 | 6 \n c2 | 800 | 8 \n c3 | 500 | 1",
            "x contains the lengths of most contigs, but 1300",
        ),
        ("node | 1 | 2 \n c1 | 1.5 | 2 \n c2 | 3 | 4", "(node, 1, 2) may be a header, or a contig"),
        ("contig | lake | soil \n c1 | 1,234 | 5 \n c2 | 7 | 5", "'1,234' may be 1234 or 1.234"),
        (
            "contig | lake | soil \n c1 | 1,5 | 5 \n c2 | 1,234.5 | 5",
            "as decimal separators ('1,5') and as thousands separators ('1,234.5')",
        ),
        ("contig | lake \n c1 | 5 \n #rname | 5 \n c1 | 6", "'c1' is also in line 2"),
    ],
)
def test_tables_without_depths_or_with_ambiguous_columns_are_refused_with_the_columns(tmp_path, text, words):
    message = refused(tmp_path, table(text))
    assert words in message
    assert "lake.tsv" in message


def test_spaces_instead_of_tabs_are_reported(tmp_path):
    assert "it has spaces where tabs are expected" in refused(tmp_path, "contig lake soil\nc1 1 2\n")


def test_a_fasta_or_sam_file_instead_of_a_table_is_reported(tmp_path):
    assert "is a FASTA file; expected a table" in refused(tmp_path, ">c1 words\nACGT\n")
    assert "is SAM (alignments); expected a table" in refused(tmp_path, "@SQ\tSN:c1\tLN:1200\n")


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        (
            "contig | x | lake | soil \n c1 | 1200 | 1 | 2 \n c2 | 800 | 2 | 3",
            "x is left out: its numbers are the lengths",
        ),
        (
            "contig | all | lake | soil \n c1 | 3 | 1 | 2 \n c2 | 5 | 2 | 3 \n c3 | 0 | 0 | 0",
            "all is left out: its numbers are the sums",
        ),
        (
            "contig | all | lake | soil \n c1 | 1.5 | 1 | 2 \n c2 | 2.5 | 2 | 3 \n c3 | 0 | 0 | 0",
            "all is left out: its numbers are the means",
        ),
        ("contig | length | lake | soil \n c1 | 1200 | 1 | 2 \n c2 | 800 | 2 | 3", "left out: length (length)"),
        (
            "contig | start | end | lake | soil \n c1 | 0 | 1200 | 1 | 2 \n c2 | 0 | 800 | 2 | 3",
            "start is left out: its",
        ),
    ],
)
def test_a_column_of_lengths_or_sums_is_skipped_and_named(tmp_path, caplog, text, left_out):
    caplog.set_level("INFO", logger="genestill")
    assert list(read(tmp_path, table(text))) == ["lake", "soil"]
    assert left_out in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        ["lake", "soil"],
        ["1", "2"],
        ["site/1", "site/2"],
        ["deep_depth", "flat_depth"],
        ["wild_var", "soil_min"],
        ["start", "end"],
        ["size", "max"],
        ["lake", "lake_end"],
        ["a.filtered", "a.sorted"],
        ["a b", "c"],
    ],
)
def test_arbitrary_sample_names_are_kept_in_a_plain_table(tmp_path, names):
    text = "contigname\t" + "\t".join(names) + "\nc1\t0\t1.5\nc2\t0\t2\nc3\t0\t7\n"
    assert read(tmp_path, text) == {names[0]: [0, 0, 0], names[1]: [1.5, 2, 7]}


def test_the_recognised_format_and_the_columns_used_are_logged(tmp_path, caplog):
    caplog.set_level("INFO", logger="genestill")
    read(tmp_path, table(METABAT))
    assert "read as a depth table of MetaBAT" in caplog.text
    assert "samples s1 (s1.bam), s2 (s2.sorted.bam)" in caplog.text
    assert "left out: contigLen (length), totalAvgDepth (total), s1.bam-var (variance)" in caplog.text


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("s1.bam", "s1"), ("mapped/s1.sorted.bam", "s1"), ("s1.sorted.markdup.cram", "s1"), ("s1.fastq.gz", "s1"),
        ("S1.BAM", "S1"), ("s1.v2", "s1.v2"), ("site/1", "site/1"), (".bam", ""), ("s1", "s1"),
    ],
)  # fmt: skip
def test_folders_and_file_extensions_are_removed_from_sample_names(name, sample):
    assert sample_name(name) == sample


def test_the_command_reads_a_depth_table_of_metabat(tmp_path, capsys):
    (tmp_path / "contigs.fna").write_text("".join(f">{name}\n{'ACGT' * (n // 4)}\n" for name, n in LENGTHS.items()))
    (tmp_path / "depth.txt").write_text(table(METABAT))
    options = ["--contigs", tmp_path / "contigs.fna", "--abundance", tmp_path / "depth.txt", "--minimum-length", "1"]
    outputs = ["--output-index", tmp_path / "i.parquet", "--output-abundance", tmp_path / "a.parquet"]
    assert main(["reference", "contigs", *map(str, options + outputs)]) == 0
    assert pd.read_parquet(tmp_path / "a.parquet").columns.tolist() == ["id", "s1", "s2"]
    assert "MetaBAT" in capsys.readouterr().err


def index(tmp_path, *tables):
    (tmp_path / "contigs.fna").write_text("".join(f">{name}\n{'ACGT' * (n // 4)}\n" for name, n in LENGTHS.items()))
    outputs = ["--output-index", "i.parquet", "--output-abundance", "a.parquet", "--output-vamb", "vamb.tsv"]
    outputs = [word if word.startswith("--") else str(tmp_path / word) for word in outputs]
    given = ["--abundance", *(str(tmp_path / name) for name in tables)] if tables else []
    options = ["--contigs", str(tmp_path / "contigs.fna"), "--minimum-length", "600"]
    return main(["reference", "contigs", *options, *given, *outputs])


def test_tables_of_single_samples_are_joined_into_one(tmp_path, capsys):
    (tmp_path / "lake.tsv").write_text("c1\t1.5\nc2\t2\n")
    (tmp_path / "soil.coverage.tsv").write_text(table(SAMTOOLS))
    (tmp_path / "sea.idxstats.txt").write_text("c2\t800\t8\t0\nc1\t1200\t60\t1\n*\t0\t0\t9\n")
    assert index(tmp_path, "lake.tsv", "soil.coverage.tsv", "sea.idxstats.txt") == 0
    depths = pd.read_parquet(tmp_path / "a.parquet")
    assert depths.columns.tolist() == ["id", "lake", "soil", "sea"]
    assert depths.to_numpy().tolist() == [["c1", 1.5, 4.5, 5.0], ["c2", 2.0, 0.5, 1.0]]
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "lake.tsv").write_text("c1\t1.5\nc2\t2\n")
    assert index(tmp_path, "lake.tsv", "more/lake.tsv") == 2
    assert "the sample 'lake' is also in" in capsys.readouterr().err
    assert index(tmp_path, "lake.tsv", "lake.tsv") == 2
    assert "is given twice" in capsys.readouterr().err


def test_depths_are_written_in_the_format_of_vamb_from_any_table(tmp_path):
    (tmp_path / "depth.txt").write_text(table(METABAT))
    assert index(tmp_path, "depth.txt") == 0
    assert (tmp_path / "vamb.tsv").read_text() == "contigname\ts1\ts2\nc1\t10\t2.5\nc2\t1\t2\n"
    assert index(tmp_path) == 0
    assert (tmp_path / "vamb.tsv").read_text() == "contigname\nc1\nc2\n"


depth = st.floats(0, 1000, width=32).map(lambda value: round(value, 3))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), form=st.sampled_from(["metabat", "coverm", "plain"]), samples=st.integers(1, 4))
def test_depths_are_read_back_from_any_format_in_any_row_order(tmp_path_factory, data, form, samples):
    names = [f"s{number}" for number in range(samples)]
    ids = data.draw(st.permutations([f"contig_{number}" for number in range(6)]))
    lengths = {name: 1500 + 77 * number for number, name in enumerate(sorted(ids))}
    # Neither a sum nor a mean of the others, because such a column would be skipped.
    values = data.draw(st.lists(st.lists(depth, min_size=samples, max_size=samples), min_size=6, max_size=6))
    values[0] = [7.25**number for number in range(samples)]
    header = {
        "metabat": [
            "contigName",
            "contigLen",
            "totalAvgDepth",
            *(f"{s}.bam{end}" for s in names for end in ("", "-var")),
        ],
        "coverm": ["Contig", *(f"{s} {measure}" for s in names for measure in ("Length", "Mean", "Variance"))],
        "plain": ["contigname", *names],
    }[form]
    lines = ["\t".join(header)]
    for name, row in zip(ids, values, strict=True):
        cells = {
            "metabat": [lengths[name], sum(row), *(cell for value in row for cell in (value, value / 3))],
            "coverm": [cell for value in row for cell in (lengths[name], value, value / 3)],
            "plain": [value + 0.0 for value in row],
        }[form]
        lines.append("\t".join([name, *map(str, cells)]))
    path = tmp_path_factory.mktemp("any") / "depths.tsv"
    path.write_text("\n".join(lines))
    found = read_abundance_table(path, lengths)
    assert found.index.tolist() == ids
    assert found.columns.tolist() == names
    np.testing.assert_allclose(found.to_numpy(), np.array(values), rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.lists(
            st.sampled_from(
                ["c1", "c2", "*", "0", "1", "500", "1200", "0.5", "1,5", "1,234", '"', '"a', "", "contig", "Mean"]
                + ["a Mean", "x-var", "length", "#ID", "total", "sep=;", "1e9", "-1", "nan"]
            ),
            min_size=1,
            max_size=5,
        ),
        max_size=5,
    ),
    delimiter=st.sampled_from("\t;, "),
)  # fmt: skip
def test_any_cells_give_a_table_or_a_clear_error(tmp_path_factory, rows, delimiter):
    path = tmp_path_factory.mktemp("any") / "a.tsv"
    path.write_text("\n".join(delimiter.join(row) for row in rows))
    try:
        found = read_abundance_table(path, LENGTHS)
    except InputError:
        return
    assert found.index.is_unique
    assert found.columns.is_unique
    assert np.isfinite(found.to_numpy()).all()
    assert (found.to_numpy() >= 0).all()


RELATIVE_TABLES = {
    "CoverM": ("Contig | lake Relative Abundance (%) \n c1 | 0.02 \n c2 | 9", "lake Relative Abundance (%)"),
    "CoverM, sparse": ("Sample | Contig | RPKM \n lake | c1 | 2", "RPKM"),
    "Salmon": ("Name | Length | EffectiveLength | TPM | NumReads \n c1 | 1200 | 900.5 | 10 | 5", "TPM"),
    "own": ("contig | lake \n c1 | 0.02 \n c2 | 0.9", "lake: all values are below 1"),
}


@pytest.mark.parametrize(("text", "column"), RELATIVE_TABLES.values(), ids=RELATIVE_TABLES)
def test_relative_values_are_named_in_a_warning_that_says_what_follows(tmp_path, caplog, text, column):
    read(tmp_path, table(text))
    assert f"lake.tsv: {column}" in caplog.text
    assert "present in a sample if its depth is at least 1, so the shares of bases in single samples are" in caplog.text


@pytest.mark.parametrize(
    "text", [METABAT, SAMTOOLS, "contig | lake \n c1 | 0.02 \n c2 | 1", "contig | depth \n c1 | 0.1"]
)
def test_depths_give_no_warning_about_relative_values(tmp_path, caplog, text):
    read(tmp_path, table(text))
    assert "present in a sample" not in caplog.text
