import io
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.reference.archive import unpack

pytestmark = pytest.mark.faults


def make_tar(path, entries, mode="w:gz"):
    """``entries``: (name, bytes) for files, or a TarInfo."""
    with tarfile.open(path, mode) as bundle:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                bundle.addfile(entry)
            else:
                header = tarfile.TarInfo(entry[0])
                header.size = len(entry[1])
                bundle.addfile(header, io.BytesIO(entry[1]))
    return path


def make_link(name, target, kind=tarfile.SYMTYPE):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_only_requested_files_are_unpacked(tmp_path, mode):
    archive = make_tar(tmp_path / "a.tar", [("run/sample_0/a.txt", b"one"), ("run/reads.bin", b"x" * 100)], mode)
    assert unpack(archive, tmp_path / "out", ["*/a.txt"]) == [tmp_path / "out" / "run/sample_0/a.txt"]
    assert (tmp_path / "out/run/sample_0/a.txt").read_bytes() == b"one"
    assert not (tmp_path / "out/run/reads.bin").exists()


def test_a_zip_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("folder/a.txt", "one")
    assert [path.read_text() for path in unpack(tmp_path / "a.zip", tmp_path / "out")] == ["one"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a\\..\\evil", "a\nb"])
def test_a_name_that_leaves_the_folder_is_refused_in_tar_and_zip(tmp_path, name):
    make_tar(tmp_path / "a.tar", [("good", b"1"), (name, b"2")])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("good", "1")
        bundle.writestr(zipfile.ZipInfo(name) if "\\" not in name else name, "2")
    for archive in ("a.tar", "a.zip"):
        with pytest.raises(InputError, match="is outside the folder"):
            unpack(tmp_path / archive, tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "a.zip"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = make_tar(tmp_path / "a.tar", [("good", b"1"), make_link("link", "good", kind)])
    with pytest.raises(InputError, match="'link' is a link or device"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(unpack(archive, tmp_path / "out", ["good"])) == 1, "what is not wanted may be anything"


def test_a_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        entry = zipfile.ZipInfo("link")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        bundle.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match="is a link or device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_an_archive_that_expands_beyond_the_limit_is_stopped(tmp_path):
    archive = make_tar(tmp_path / "a.tar", [("zeros", b"\0" * 5_000_000), ("more", b"\0" * 5_000_000)])
    assert archive.stat().st_size < 50_000
    with pytest.raises(InputError, match="more than 6000000 bytes"):
        unpack(archive, tmp_path / "out", maximum_bytes=6_000_000)
    assert not (tmp_path / "out").exists()


def test_a_zip_with_a_wrong_declared_size_is_stopped(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros", b"\0" * 100_000)
    data = (tmp_path / "a.zip").read_bytes()
    assert data.count((100_000).to_bytes(4, "little")) == 2
    (tmp_path / "a.zip").write_bytes(data.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(InputError):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_truncated_or_invalid_archive_leaves_the_earlier_folder_unchanged(tmp_path):
    whole = make_tar(tmp_path / "a.tar", [("a", bytes(range(256)) * 400), ("b", bytes(range(255, -1, -1)) * 400)])
    unpack(whole, tmp_path / "out")
    data = whole.read_bytes()
    for cut in (data[: len(data) // 2], data[:10], b"", b"no archive at all"):
        (tmp_path / "cut.tar").write_bytes(cut)
        with pytest.raises(InputError, match=r"cut\.tar"):
            unpack(tmp_path / "cut.tar", tmp_path / "out")
        assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_pattern_without_a_match_and_a_duplicate_name_are_refused(tmp_path):
    archive = make_tar(tmp_path / "a.tar", [("a", b"1"), ("b", b"1"), ("b", b"2")])
    with pytest.raises(InputError, match=r"no file that matches \*\.fasta"):
        unpack(archive, tmp_path / "out", ["a", "*.fasta"])
    with pytest.raises(InputError, match="has 'b' twice"):
        unpack(archive, tmp_path / "out")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.binary(max_size=50))
def test_no_entry_name_can_write_outside_the_folder(tmp_path_factory, name, content):
    folder = tmp_path_factory.mktemp("archive")
    try:
        make_tar(folder / "a.tar", [(name, content)])
    except (ValueError, UnicodeError):
        return  # tar itself cannot hold such a name
    before = {path.name for path in folder.parent.iterdir()}
    try:
        written = unpack(folder / "a.tar", folder / "inside" / "out")
        assert all(path.resolve().is_relative_to(folder / "inside" / "out") for path in written)
    except InputError:
        assert not (folder / "inside" / "out").exists()
    assert {path.name for path in folder.parent.iterdir()} == before
    assert {path.name for path in folder.iterdir()} <= {"a.tar", "inside"}


def test_an_archive_whose_checksum_is_wrong_is_refused(tmp_path):
    make_tar(tmp_path / "a.tar.gz", [("a", bytes(range(256)) * 40)])
    content = bytearray((tmp_path / "a.tar.gz").read_bytes())
    content[-6] ^= 1  # of the CRC at the end
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tar\.gz: cannot be read"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("place", "value"), [("method", 9), ("method", 99), ("flags", 1)])
def test_a_zip_with_a_password_or_an_unsupported_method_is_refused(tmp_path, place, value):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("a.txt", "one" * 100)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    central = content.index(b"PK\x01\x02")
    for start in ({"method": 8, "flags": 6}[place], central + {"method": 10, "flags": 8}[place]):
        content[start] = value
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match="expected an archive without password, packed with deflate"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_of_any_method_is_refused_or_unpacked_whole(tmp_path, method):
    text = bytes(range(256)) * 40
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as bundle:
        bundle.writestr("a.txt", text)
    whole, refused = (tmp_path / "a.zip").read_bytes(), 0
    for place in range(whole.index(b"a.txt") + 5, whole.index(b"PK\x01\x02"), max(1, len(whole) // 50)):
        (tmp_path / "a.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            # LZMA has a version and an end marker that do not affect the content.
            assert [file.read_bytes() for file in unpack(tmp_path / "a.zip", tmp_path / "out")] == [text]
        except InputError as error:
            refused += "a.zip" in str(error)
    assert refused > 20


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    make_tar(tmp_path / "a.tar", [("caf\udce9", b"1")])
    with pytest.raises(InputError, match="is not UTF-8"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
