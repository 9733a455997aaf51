import errno
import fcntl
import subprocess
import sys

import pytest

from genestill.core.errors import InputError
from genestill.core.locks import folders_to_claim, hold, hold_all

HOLD = """
import sys, time
from genestill.core.locks import hold
held = hold(sys.argv[1])
print(flush=True)
time.sleep(60)
"""


def test_a_second_run_on_a_folder_is_refused_until_the_first_has_ended_or_been_killed(tmp_path):
    folder = tmp_path / "results"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(InputError, match=rf"in use by another run \(process {holder.pid}\)"):
            hold(folder)
        holder.kill()
    held = hold(folder)
    with pytest.raises(InputError, match="another run"):
        hold(folder)
    held.close()
    hold(folder).close()


def test_a_run_locks_all_its_folders_or_none(tmp_path):
    held = hold(tmp_path / "b")
    with pytest.raises(InputError, match="b: in use by another run"):
        hold_all([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    hold(tmp_path / "a").close()
    held.close()
    for handle in hold_all([tmp_path / "a", tmp_path / "b", tmp_path / "a"]):
        handle.close()


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="results: cannot be written"):
        hold(tmp_path / "file" / "results")


def test_a_run_locks_its_results_as_one_folder_and_each_shared_folder_separately():
    files = [
        "results/taxdistill/first/labels/hits.parquet",
        "results/taxdistill/first/logs/labels/search.log",
        "results/taxdistill/second/evaluation/amber",
        "resources/downloads/cami2/marine/taxonomy",
        ".snakemake/peers/vamb.made",
        "logs/peers/vamb.log",
    ]
    assert folders_to_claim(files) == {
        "results/taxdistill/first",
        "results/taxdistill/second",
        "resources/downloads/cami2/marine",
        ".snakemake/peers",
        "logs/peers",
    }


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_file_locks_one_warning_is_given_and_the_run_continues(tmp_path, monkeypatch, caplog, code):
    def refuse(handle, operation):
        raise OSError(code, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for handle in hold_all([tmp_path / "a", tmp_path / "b"]):
        handle.close()
    [record] = caplog.records
    assert f"{tmp_path / 'a'}, {tmp_path / 'b'}: the file system has no file locks" in record.message


def test_any_other_failure_of_locking_is_an_error(tmp_path, monkeypatch):
    def refuse(handle, operation):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match=r"\.lock: cannot be locked \(broken disk\)"):
        hold(tmp_path)
