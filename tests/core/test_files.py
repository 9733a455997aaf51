import ctypes
import errno
import gzip
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from genestill.core import files
from genestill.core.files import folder_aside, scratch_folder, write_aside, write_compressed, write_json

pytestmark = pytest.mark.faults

SOMEBODY_ELSE = 65_534


def test_only_the_leftovers_of_a_killed_process_are_removed(tmp_path):
    left = [".123.aside.a.json", ".9.aside.a.json", ".123.aside.model/x", ".9.replaced.model/x",
            ".search.aaaaaaaa/tmp/x"]  # fmt: skip
    others = ["a.json.old", ".123.aside.b.a.json", ".123.aside.model.checkpoint/x", ".search.later.aaaaaaaa/x",
              ".123.aside.other/x", "elsewhere/x", "model/x"]  # fmt: skip
    for name in left + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".7.aside.model").symlink_to(tmp_path / "elsewhere")
    with write_aside(tmp_path / "a.json") as aside:
        aside.write_text("new")
    with folder_aside(tmp_path / "model") as folder:
        (folder / "y").write_text("new")
    with scratch_folder(tmp_path, "search") as scratch:
        (scratch / "y").write_text("x")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert found == {*others, "a.json", "model/y"} - {"model/x"}


@pytest.mark.parametrize("writer", [write_aside, folder_aside])
def test_an_error_leaves_the_earlier_file_and_no_temporary_file(tmp_path, writer):
    target = tmp_path / "a"
    with writer(target) as aside:
        if aside.is_dir():
            (aside / "x").write_text("old")
        else:
            aside.write_text("old")
    with pytest.raises(RuntimeError), writer(target):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (target / "x" if target.is_dir() else target).read_text() == "old"


def test_names_that_look_like_glob_patterns_remove_nothing(tmp_path):
    (tmp_path / ".1.aside.abc").write_text("x")
    with write_aside(tmp_path / "[a]*") as aside:
        aside.write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {".1.aside.abc", "[a]*"}


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def permissions(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_written_files_have_the_permissions_given_by_the_umask(tmp_path, umask):
    with folder_aside(tmp_path / "model") as folder:
        (folder / "inner").mkdir(mode=0o700)
        for place in (folder, folder / "inner"):
            (place / "weights").write_text("x")
            (place / "weights").chmod(0o600)  # as safetensors writes its files
        (folder / "program").write_text("x")
        (folder / "program").chmod(0o700)
    write_json(tmp_path / "a.json", {})
    assert permissions(tmp_path / "model") == permissions(tmp_path / "model" / "inner") == 0o777 & ~umask
    for name in ("model/weights", "model/inner/weights", "a.json"):
        assert permissions(tmp_path / name) == 0o666 & ~umask
    assert permissions(tmp_path / "model" / "program") == 0o700 | 0o666 & ~umask


def test_the_permissions_of_the_target_of_a_link_do_not_change(tmp_path):
    kept = tmp_path / "kept"
    (kept / "inner").mkdir(parents=True)
    for path in (kept / "file", kept / "inner" / "file"):
        path.write_text("x")
        path.chmod(0o600)
    for path in (kept / "inner", kept):
        path.chmod(0o700)
    with folder_aside(tmp_path / "database") as folder:
        (folder / "file").symlink_to(kept / "file")
        (folder / "inner").symlink_to(kept / "inner")
        (folder / "nothing").symlink_to(kept / "nothing")
    assert [permissions(path) for path in (kept / "file", kept / "inner" / "file")] == [0o600, 0o600]
    assert [permissions(path) for path in (kept, kept / "inner")] == [0o700, 0o700]
    assert (tmp_path / "database" / "inner" / "file").read_text() == "x"


@pytest.mark.parametrize("writer", [write_aside, folder_aside])
def test_a_link_in_place_of_a_result_is_replaced_and_its_target_is_kept(tmp_path, writer):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    for name, target in (("a", "kept/file"), ("b", "kept"), ("c", "nothing")):
        if name == "b" and writer is write_aside:
            continue
        (tmp_path / name).symlink_to(tmp_path / target)
        with writer(tmp_path / name) as aside:
            (aside / "file" if aside.is_dir() else aside).write_text("new")
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "kept" / "file").read_text() == "kept"


def without_rights_on_files_of_others():
    """In a child process of root: the rights of root on files of other users are lost after exec."""
    prctl_drop, override, search, owner = 24, 1, 2, 3
    for capability in (override, search, owner):
        ctypes.CDLL(None).prctl(prctl_drop, capability, 0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files to another user")
def test_a_folder_with_links_to_files_of_another_user_is_written_and_their_targets_do_not_change(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("x")
    try:
        for path in (theirs / "file", theirs):
            os.chown(path, SOMEBODY_ELSE, SOMEBODY_ELSE)
    except PermissionError:
        pytest.skip("this root may not give files to another user")
    (theirs / "file").chmod(0o604)
    program = (
        "import os, sys; from genestill.core.files import folder_aside\n"
        "try: os.chmod(sys.argv[1] + '/theirs/file', 0o644)\n"
        "except PermissionError: pass\n"
        "else: sys.exit(77)\n"
        "with folder_aside(sys.argv[1] + '/database') as folder:\n"
        "    for name in ('file', ''): (folder / f'link{name}').symlink_to(sys.argv[1] + '/theirs/' + name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], preexec_fn=without_rights_on_files_of_others, timeout=60
    )
    if done.returncode == 77:
        pytest.skip("the rights of root over files of others cannot be given up here")
    assert done.returncode == 0
    assert (tmp_path / "database" / "linkfile").read_text() == "x"
    assert permissions(theirs / "file") == 0o604


class Disk:
    """The state after a power loss: for each file the bytes, for each folder the names, at its last sync."""

    def __init__(self):
        self.held, self.renamed, self.sync, self.replace = {}, [], os.fsync, os.replace

    def fsync(self, handle):
        self.sync(handle)
        path = Path(f"/proc/self/fd/{handle}")
        self.held[os.fstat(handle).st_ino] = sorted(os.listdir(path)) if path.is_dir() else path.read_bytes()

    def rename(self, source, target):
        """Check that everything that gets a final name is on the disk already."""
        source = Path(source)
        for path in (source, *source.rglob("*")) if ".aside." in source.name else ():
            if not path.is_symlink():
                now = sorted(os.listdir(path)) if path.is_dir() else path.read_bytes()
                assert self.held.get(path.stat().st_ino) == now, f"{path} is renamed before it is synced"
        self.replace(source, target)
        self.renamed.append(Path(target))

    def holds_name(self, path):
        return path.name in self.held.get(path.parent.stat().st_ino, ())


@pytest.fixture
def disk(monkeypatch):
    found = Disk()
    monkeypatch.setattr(os, "fsync", found.fsync)
    monkeypatch.setattr(os, "replace", found.rename)
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are named by Linux only")
def test_a_result_is_synced_to_disk_before_it_gets_its_final_name(tmp_path, disk):
    with folder_aside(tmp_path / "model") as folder:
        (folder / "inner").mkdir()
        for name in ("a", "inner/b"):
            (folder / name).write_text(name)
        (folder / "link").symlink_to("/nothing")
    with folder_aside(tmp_path / "model") as folder:
        (folder / "c").write_text("again")
    write_json(tmp_path / "a.json", {"a": 1})
    named = [path for path in disk.renamed if not path.name.startswith(".")]
    assert [path.name for path in named] == ["model", "model", "a.json"]
    assert all(disk.holds_name(path) for path in named)


def test_a_file_system_that_cannot_sync_folders_is_accepted(tmp_path, monkeypatch):

    sync = os.fsync

    def refuse_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    with folder_aside(tmp_path / "model") as folder:
        (folder / "a").write_text("a")
    assert (tmp_path / "model" / "a").read_text() == "a"


def test_a_disk_error_is_not_ignored(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), folder_aside(tmp_path / "model") as folder:
        (folder / "a").write_text("a")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("writer", [write_aside, folder_aside])
def test_a_system_error_is_reported_with_the_output_path(tmp_path, writer):
    with pytest.raises(OSError, match="No space left on device") as caught, writer(tmp_path / "model"):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")
    assert caught.value.filename == str(tmp_path / "model")


def test_a_full_disk_is_distinguished_from_other_errors_of_writing_libraries(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="a defect"), write_aside(tmp_path / "weights"):
        raise RuntimeError("a defect")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(OSError, match="No space left on device"), write_aside(tmp_path / "weights"):
        raise RuntimeError("IoError(Os { code: 28, kind: StorageFull })")


@pytest.mark.parametrize("name", ["table.tsv.gz", "table.tsv"])
def test_the_same_bytes_give_the_same_file_at_any_time(tmp_path, monkeypatch, name):
    made = []
    for moment in (1e9, 2e9):
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        with write_compressed(tmp_path / name) as handle:
            handle.write(b"id\n" * 99)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert (gzip.decompress(made[0]) if name.endswith(".gz") else made[0]) == b"id\n" * 99


def test_every_writer_of_gzip_gives_the_same_bytes_and_every_writer_of_parquet_checksums_its_pages():
    source = Path(files.__file__).parent.parent
    for path in source.rglob("*.py"):
        text = path.read_text()
        if path.name != "files.py":
            assert not re.search(r"gzip\.(open|GzipFile|compress)\(", text), path
        for call in re.findall(r"pq\.(?:ParquetWriter|write_table)\(.*", text):
            assert "write_page_checksum=True" in call, f"{path}: {call}"
