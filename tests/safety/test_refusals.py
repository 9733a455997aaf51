"""Errors of the operating system: one sentence with path and reason, exit code 2."""

import errno

import pytest

from genestill.cli import main

FASTA = ">one\n" + "ACGT" * 400 + "\n"


def index(tmp_path, output):
    (tmp_path / "contigs.fna").write_text(FASTA)
    return main(
        ["reference", "contigs", "--contigs", tmp_path / "contigs.fna", "--output-index", output]
        + ["--output-abundance", tmp_path / "abundance.parquet"]
    )


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("contigs.fna/index.parquet", "contigs.fna: Not a directory"),
        ("n" * 300 + ".parquet", "File name too long"),
        ("folder", "Is a directory"),
    ],
)
def test_an_unwritable_output_is_reported_in_one_sentence(tmp_path, capsys, output, reason):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    assert index(tmp_path, tmp_path / output) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("genestill: ")
    assert output.split("/")[0] in said
    assert reason in said


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_a_full_locked_or_failing_disk_is_reported_in_one_sentence(tmp_path, capsys, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, "Error writing bytes to file")

    monkeypatch.setattr("pyarrow.parquet.write_table", refuse)
    assert index(tmp_path, tmp_path / "index.parquet") == 2
    assert f"{tmp_path / 'index.parquet'}: " in capsys.readouterr().err.splitlines()[-1]


def test_any_other_error_remains_a_defect_with_its_traceback(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("pyarrow.parquet.write_table", refuse)
    with pytest.raises(OSError, match="Bad file descriptor"):
        index(tmp_path, tmp_path / "index.parquet")
