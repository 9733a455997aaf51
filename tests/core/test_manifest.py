"""The output of a command is compared with its record before another command reads it."""

import os
import shutil
from pathlib import Path

import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.manifest import refuse_changed
from other_user import without_rights_on_files_of_others

SIZES = "--phyla 1 --classes 1 --orders 1 --families 1 --genera 1 --species 2 --genomes 2 --genome-length 30000"
SIZES = SIZES.split()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    assert main(["reference", "simulate-genomes", *SIZES, "--output", folder / "genomes"]) == 0
    return folder


@pytest.fixture
def folder(simulated, tmp_path) -> Path:
    """A copy, as made by a user who moves results."""
    return Path(shutil.copytree(simulated, tmp_path / "moved"))


def cut(path: Path) -> None:
    """Half of the file with the modification time of the whole file, as after a power loss."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[: status.st_size // 2])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut_windows(folder: Path) -> int:
    return main(["reference", "windows", "--genomes", folder / "genomes" / "genomes.tsv", "--number", "10",
                 "--length", "100", "--output", folder / "windows.fna.gz"])  # fmt: skip


def test_a_truncated_table_is_refused_with_the_path_to_remove(folder, capsys):
    assert cut_windows(folder) == 0
    cut(folder / "genomes" / "genomes.tsv")
    assert cut_windows(folder) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{folder}/genomes/genomes.tsv: has " in said
    assert f"Remove {folder}/genomes and make it again" in said
    (folder / "provenance" / "genomes.json").unlink()
    assert cut_windows(folder) in (0, 2)
    assert "remove" not in capsys.readouterr().err.lower()


def test_a_changed_letter_is_detected(folder, capsys):
    table = folder / "genomes" / "genomes.tsv"
    table.write_bytes(table.read_bytes().replace(b"p__", b"p_-", 1))
    assert cut_windows(folder) == 2
    assert "differs from what was written" in capsys.readouterr().err


def test_files_of_the_user_in_the_folder_of_a_command_are_not_checked(folder):
    (folder / "genomes" / "notes.txt").write_text("mine")
    assert cut_windows(folder) == 0


def test_an_output_inside_a_folder_that_its_command_reads_may_be_damaged_or_missing(folder):
    """The output is made again; otherwise the user would have to find and remove its record."""
    genomes, table = folder / "genomes", folder / "genomes" / "genomes.tsv"
    cut(table)
    for change in (lambda: None, table.unlink):
        change()
        refuse_changed([genomes], [table])
        with pytest.raises(InputError, match=r"genomes\.tsv: "):
            refuse_changed([genomes], [genomes / "another.tsv"])


@pytest.mark.parametrize("name", ["genomes.tsv", "genome.fna.gz", "."])
def test_an_unreadable_file_is_reported_and_not_called_damaged(folder, capsys, name):
    found = next((folder / "genomes").glob("*.gz")) if name.endswith("gz") else folder / "genomes" / name
    found.chmod(0)
    with without_rights_on_files_of_others():
        code = cut_windows(folder)
    found.chmod(0o700)
    assert code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"genestill: {found}")
    assert "Permission denied" in said
    assert "damaged" not in said


def test_a_failed_command_keeps_the_earlier_record_and_a_completed_one_replaces_it(folder):
    record = folder / "provenance" / "genomes.json"
    before = read_json(record)
    again = ["reference", "simulate-genomes", *SIZES, "--output", folder / "genomes"]
    assert main([*again, "--species", "1"]) == 2
    assert read_json(record) == before
    assert main([*again, "--seed", "2"]) == 0
    assert read_json(record)["files"] != before["files"]
    assert [path.name for path in record.parent.iterdir()] == ["genomes.json"]
    assert cut_windows(folder) == 0
