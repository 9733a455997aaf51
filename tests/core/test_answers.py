from genestill.core.answers import format_answer


def test_a_run_without_its_table_prints_no_answer(tmp_path):
    assert format_answer(tmp_path / "table.txt", {"predictions": tmp_path}, "snakemake --report x.zip") == ""


def test_an_answer_shows_the_table_and_only_existing_files(tmp_path):
    (tmp_path / "table.txt").write_text("species .85\n")
    places = {"predictions": tmp_path / "predictions.tsv", "student": tmp_path}
    lines = format_answer(tmp_path / "table.txt", places, "snakemake --report x.zip").splitlines()
    assert "species .85" in lines
    assert f"student: {tmp_path}" in lines
    assert "report:  snakemake --report x.zip" in lines
    assert not any("predictions" in line for line in lines)


def test_the_first_line_of_the_novelty_summary_is_printed_above_the_table(tmp_path):
    (tmp_path / "table.txt").write_text("species .85\n")
    (tmp_path / "novelty.txt").write_text("The reference lacks a quarter.\n\nmore\n")
    shown = ("snakemake --report x.zip", tmp_path / "novelty.txt")
    lines = format_answer(tmp_path / "table.txt", {}, *shown).splitlines()
    assert lines[1:4] == ["The reference lacks a quarter.", "", "species .85"]
    assert "more" not in lines
    assert format_answer(tmp_path / "table.txt", {}, "x", tmp_path / "none.txt") == format_answer(
        tmp_path / "table.txt", {}, "x"
    )
