import json
import shutil
from types import SimpleNamespace

import pytest
import yaml

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.teacher.fetching import fetch, teacher_folder
from genestill.teacher.loading import load_teacher
from genestill.teacher.registry import find_teacher, read_registry

pytestmark = pytest.mark.faults

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(monkeypatch, causal_folder):
    """A hub with the tiny causal teacher; a list of the requests to it."""
    asked = []
    listed = [SimpleNamespace(rfilename=path.name, size=path.stat().st_size) for path in causal_folder.iterdir()]

    def snapshot_download(repository, revision, local_dir, allow_patterns):
        asked.append((repository, revision))
        assert not any(pattern.endswith((".bin", ".py", ".pt", ".ckpt", "*")) for pattern in allow_patterns[:2])
        shutil.copytree(causal_folder, local_dir, dirs_exist_ok=True)

    class HfApi:
        def model_info(self, repository, revision, files_metadata=False):
            if not files_metadata:
                asked.append((repository, revision))
            return SimpleNamespace(sha=COMMIT, siblings=[] if not files_metadata else listed)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr("huggingface_hub.HfApi", HfApi)
    return asked


def test_a_branch_is_resolved_to_a_commit_that_is_downloaded_and_recorded(hub, tmp_path):
    fetch("genomeocean-500m", tmp_path / "model")
    assert hub == [("DOEJGI/GenomeOcean-500M", "main"), ("DOEJGI/GenomeOcean-500M", COMMIT)]
    written = json.loads((tmp_path / "model" / "teacher.json").read_text())
    assert written["revision"] == COMMIT
    assert len(written["sha256"]["model.safetensors"]) == 64
    teacher = load_teacher(tmp_path / "model")
    assert (teacher.name, teacher.revision, teacher.context) == ("genomeocean-500m", COMMIT, 1024)


def test_a_pinned_commit_is_used_unchanged(hub, tmp_path):
    fetch("genomeocean-100m", tmp_path / "model", revision="f" * 40)
    assert hub == [("DOEJGI/GenomeOcean-100M", "f" * 40)]


def test_a_second_download_uses_the_commit_of_the_first_even_if_the_branch_has_changed(hub, tmp_path, monkeypatch):
    fetch("genomeocean-500m", tmp_path / "model")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: SimpleNamespace(sha="e" * 40, siblings=[]))
    shutil.rmtree(tmp_path / "model")
    assert fetch("genomeocean-500m", tmp_path / "model")["revision"] == COMMIT
    assert hub[2:] == [("DOEJGI/GenomeOcean-500M", COMMIT)]
    # Another revision, another repository and a damaged record are resolved again.
    assert fetch("genomeocean-500m", tmp_path / "model", revision="next")["revision"] == "e" * 40
    assert fetch("genomeocean-100m", tmp_path / "model", revision="next")["revision"] == "e" * 40
    for damaged in ("{", "[]", '{"repository": "DOEJGI/GenomeOcean-100M", "revision": "next", "commit": 1}'):
        (tmp_path / ".model.commit.json").write_text(damaged)
        assert fetch("genomeocean-100m", tmp_path / "model", revision="next")["revision"] == "e" * 40


def test_without_network_the_error_message_explains_what_to_do_and_no_file_is_left(monkeypatch, tmp_path, capsys):
    def offline(*arguments, **options):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", offline)
    assert main(["teacher", "fetch", "genomeocean-4b", "--output", str(tmp_path / "model")]) == 2
    message = capsys.readouterr().err
    assert "without network, copy the model folder from another machine" in message
    assert "DOEJGI/GenomeOcean-4B" in message
    assert list(tmp_path.iterdir()) == []


def test_a_model_larger_than_the_free_disk_space_is_refused_before_the_download(hub, tmp_path, monkeypatch):
    files = [
        SimpleNamespace(rfilename="model-00001-of-00001.safetensors", size=10**18),
        SimpleNamespace(rfilename="pytorch_model.bin", size=10**18),  # is not downloaded
        SimpleNamespace(rfilename="config.json", size=None),
    ]
    monkeypatch.setattr(
        "huggingface_hub.HfApi.model_info", lambda *_, **__: SimpleNamespace(sha=COMMIT, siblings=files)
    )
    with pytest.raises(
        InputError, match=rf"revision {COMMIT} of DOEJGI/GenomeOcean-500M needs about 1000000000\.00 GB"
    ):
        fetch("genomeocean-500m", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_repository_of_pickled_weights_is_refused(hub, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *arguments, **options: None)
    with pytest.raises(InputError, match="has no safetensors"):
        fetch("genomeocean-500m", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_refused_with_the_nearest_suggestion():
    with pytest.raises(InputError, match="did you mean 'genomeocean-500m'"):
        find_teacher("genomocean-500")


def test_a_teacher_that_needs_remote_code_is_refused_with_the_reason(tmp_path):
    with pytest.raises(InputError, match="its attention"):
        fetch("dnabert-2", tmp_path)


def test_every_named_teacher_records_whether_its_revision_was_checked():
    registry = read_registry()
    assert {"genomeocean-100m", "genomeocean-4b", "nucleotide-transformer-v2-500m"} <= set(registry)
    for teacher in registry.values():
        pinned = len(teacher.revision) == 40
        assert teacher.revision_checked == pinned
        assert teacher.context > 0
        assert teacher.pooling in ("mean", "last")


def test_a_registry_with_a_missing_field_is_refused_with_a_clear_message(tmp_path):
    (tmp_path / "teachers.yaml").write_text(yaml.safe_dump({"mine": {"repository": "me/mine"}}))
    with pytest.raises(InputError, match="mine: fields missing or unknown: architecture"):
        read_registry(tmp_path / "teachers.yaml")


def test_a_folder_is_accepted_in_place_of_a_name(causal_folder, tmp_path, monkeypatch):
    assert teacher_folder(causal_folder) == causal_folder
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="genestill teacher fetch genomeocean-100m"):
        teacher_folder("genomeocean-100m")
    (tmp_path / "teachers" / "genomeocean-100m").mkdir(parents=True)
    assert teacher_folder("genomeocean-100m").name == "genomeocean-100m"
    with pytest.raises(InputError, match="no such folder"):
        teacher_folder("models/absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file; expected"):
        teacher_folder("file")
