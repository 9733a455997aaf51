"""Every output of a finished run is truncated, and every command is run again on a failing or read-only disk.

The record beside each result contains the command that made it. So the commands that read a file are known, and are
run again in this process, with different output paths: no run of the workflow is needed for each file.
"""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from genestill.cli import build_parser, main
from genestill.core import files
from genestill.core.configuration import merge, read_yaml
from genestill.core.contents import content_checksum
from genestill.core.files import read_json
from genestill.core.provenance import inputs_of, is_output, path_options
from genestill.core.reproduction import redirected
from other_user import without_rights_on_files_of_others
from snakemake_in_process import build, make
from snakemake_process import ROOT

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    # Snakemake leaves files of environments open.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

TEACHER = {
    "pretraining": {"hidden_size": 32, "layers": 2, "heads": 4, "batch": 4, "steps": 20},
    "check": {"maximum_relative_loss": 0.9999, "windows": 8},
    "admission": "off",
}
TAXDISTILL = read_yaml(ROOT / "config" / "test.yaml")


def dna(recipe: str, defaults: dict, **more) -> dict:
    """The configuration of a recipe whose section is dna."""
    return {
        "recipe": recipe,
        "dataset": {"name": "test"},
        "reference": {"simulated_genomes": TAXDISTILL["reference"]["simulated_genomes"]},
        # Long enough to learn which 6-mers the windows have.
        "teacher": merge(TEACHER, {"pretraining": {"batch": 16, "steps": 200, "learning_rate": 0.005}}),
        "dna": {
            "windows": {"length": 120, "number": 60},
            **{"maximum_training_rows": 60, "maximum_test_rows": 60},
            "defaults": defaults | {"steps": 4, "batch": 4},
            "evaluation_methods": ["probe", "lora"],
            **{
                "epochs": 1,
                "learning_rates": [0.001],
                "seeds": [1],
                "baselines": ["linear"],
                "compared_with": "linear",
            },
            **more,
        },
    }


CONFIGURATIONS = {
    "taxdistill": TAXDISTILL,
    "mrna": {
        "recipe": "mrna",
        "dataset": {"name": "test"},
        "teacher": TEACHER | {"pretraining": TEACHER["pretraining"] | {"context": 130}},
        "mrna": {
            "longest": 256,
            "students": {"embeddings": {"objective": "mse+logits"}},
            "defaults": {
                **{"backbone": "transformer", "parameters": 5000, "max_length": 256, "steps": 4},
                "batch_bases": 1024,
            },
            **{"seeds": [1], "split_seeds": [2541], "fits": ["mrnabench"], "replicates": 100},
            "baselines": {"composition": {"features": "composition"}},
        },
    },
    "had": dna(
        "had",
        defaults={"architecture": "had-tiny", "max_tokens": 120},
        students={
            **{name: {"method": "distil"} for name in ("distilled", "random-teacher")},
            "undistilled": {"method": "pretrain", "masking": "groups"},
            **dict.fromkeys(["alignment-only", "reconstruction-only", "masked-bases"]),
        },
        questions=dict.fromkeys(["distillation", "alignment"]),
    ),
    "seqlens": dna("seqlens", defaults={"architecture": "deberta-tiny", "max_tokens": 64}, vocabulary=64),
}


@dataclass(frozen=True)
class Command:
    """A recorded command: its words, what it reads and writes, and the checksum of each output's content."""

    words: list[str]
    inputs: list[str]
    outputs: dict[str, str]
    contents: dict[str, str]

    def again(self, folder: Path, other: dict[str, str] | None = None) -> tuple[int, dict[str, str]]:
        """Run it again with outputs in ``folder``; return the exit code and the path of each output.

        ``other``: paths of outputs that are not there.
        """
        places = {path: str(folder / role / Path(path).name) for role, path in self.outputs.items()} | (other or {})
        return main([redirected(word, places) for word in self.words]), places


def commands_of(results: Path) -> Iterator[Command]:
    """The commands that made the files in ``results``, from first to last."""
    parse = build_parser().parse_args
    for file in sorted(results.rglob("provenance/*.json"), key=lambda path: path.stat().st_mtime_ns):
        record = read_json(file)
        words = record["command"][1:]
        options = vars(parse(words))
        outputs = {role: path for role, path in path_options(options).items() if is_output(role)}
        contents = {entry["path"]: entry["content"] for entry in record["outputs"].values()}
        yield Command(words, inputs_of(options), outputs, contents)


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def finished(request, tmp_path_factory) -> Path:
    """The folder of a finished run of a recipe, as small as it can be."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.chdir(folder):
        make(build(folder, CONFIGURATIONS[request.param], []))
    return folder


def files_of(results: Path) -> Iterator[Path]:
    """Every file that a command wrote, without what Snakemake measured and logged."""
    for file in sorted(results.rglob("*")):
        parts = file.relative_to(results).parts
        hidden = any(part.startswith(".") for part in parts)
        if file.is_file() and not hidden and parts[2] not in ("benchmarks", "logs") and "provenance" not in parts:
            yield file


def is_read(file: Path, command: Command) -> bool:
    return any(file == Path(path) or file.is_relative_to(path) for path in command.inputs)


def test_a_truncated_output_is_refused_and_never_read_as_complete(finished, tmp_path, tally, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    results = Path("results")
    commands, tried, lost = list(commands_of(results)), 0, []
    for file in files_of(results):
        readers = [command for command in commands if is_read(file, command)]
        whole, status = file.read_bytes(), file.stat()
        if not readers or not whole:
            continue
        file.write_bytes(whole[: len(whole) // 2])
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        for number, command in enumerate(readers):
            tried += 1
            try:
                code, places = command.again(tmp_path / f"{tried}.{number}")
            except Exception as error:
                lost.append(f"{file}: {command.words[:2]}: {type(error).__name__}: {error}")
                continue
            said = capsys.readouterr().err.splitlines()[-1:]
            if code == 0:
                # Parts of the file that the command does not need may be missing.
                # In this process the last digits of a loss may differ from those in a separate one.
                file.write_bytes(whole)
                _, others = command.again(tmp_path / f"{tried}.whole")
                file.write_bytes(whole[: len(whole) // 2])
                same = all(content_checksum(place) == content_checksum(others[path]) for path, place in places.items())
                lost += [] if same else [f"{file}: read as whole by {' '.join(command.words[:2])}"]
            elif code not in (2, 3) or not said[0].startswith("genestill: "):
                lost.append(f"{file}: {command.words[:2]} ends with {code} and says {said}")
        file.write_bytes(whole)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    tally("an output cut in the middle, and the commands that read it", tried, tried - len(lost))
    assert lost == []
    assert tried > 20


def test_nothing_is_lost_on_a_disk_that_loses_unsynced_data(finished, tmp_path, tally, monkeypatch):
    """A file gets its name before its bytes are on the disk, and the power fails: it exists, but is empty.

    Which files were synced is noted as the commands run. That needs no separate disk and does not depend on timing.
    """
    monkeypatch.chdir(finished)
    synced, sync = set(), os.fsync

    def note(handle) -> None:
        status = os.fstat(handle if isinstance(handle, int) else handle.fileno())
        synced.add((status.st_dev, status.st_ino))
        sync(handle)

    monkeypatch.setattr(os, "fsync", note)
    tried, lost = 0, []
    for number, command in enumerate(commands_of(Path("results"))):
        synced.clear()
        code, places = command.again(tmp_path / str(number))
        assert code == 0, command.words
        for path, place in places.items():
            files = [place] if Path(place).is_file() else [file for file in Path(place).rglob("*") if file.is_file()]
            for file in map(Path, files):
                status = file.stat()
                # It would be empty now; a link points to a file of another owner.
                if (status.st_dev, status.st_ino) not in synced and status.st_size and not file.is_symlink():
                    lost.append(f"{file.name} in {path} of {' '.join(command.words[:2])}")
                tried += 1
        subprocess.run(["rm", "-rf", tmp_path / str(number)], check=True)
    tally("power fails: a file that was not synced is empty", tried, tried - len(lost))
    assert lost == []
    assert tried > 20


def under_a_file(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / "file").touch()
    return folder / "file" / name


def too_long(folder: Path, name: str) -> Path:
    return folder / f"{'n' * 300}{name}"


def a_folder(folder: Path, name: str) -> Path:
    (folder / name / "inside").mkdir(parents=True)
    return folder / name


def on_a_full_disk(folder: Path, name: str) -> Path:
    return folder / "full" / name


def in_a_closed_folder(folder: Path, name: str) -> Path:
    folder.mkdir(mode=0o500)
    return folder / name


REFUSALS = {
    under_a_file: "Not a directory",
    too_long: "File name too long",
    a_folder: "Is a directory",
    on_a_full_disk: "No space left on device",
    in_a_closed_folder: "Permission denied",
}


def test_an_unwritable_output_is_reported_in_one_sentence_by_every_command(
    finished, tmp_path, tally, monkeypatch, capsys
):
    """Each command is refused the last of its outputs, for one reason after the other."""
    monkeypatch.chdir(finished)
    rename = files.rename_synced

    def full(aside: Path, path: Path) -> None:
        if "full" in path.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(aside, path)

    monkeypatch.setattr(files, "rename_synced", full)
    reasons, tried, wrong = list(REFUSALS), 0, []
    for number, command in enumerate(commands_of(Path("results"))):
        refused = list(command.outputs.values())[-1]
        reason = reasons[number % len(reasons)]
        if reason is a_folder and Path(refused).is_dir():
            reason = under_a_file  # an output that is a folder replaces one
        place = str(reason(tmp_path / f"{number}.refused", Path(refused).name))
        tried += 1
        capsys.readouterr()
        try:
            with without_rights_on_files_of_others():
                code, _ = command.again(tmp_path / str(number), {refused: place})
        except Exception as error:
            wrong.append(f"{command.words[:3]}: {reason.__name__}: {type(error).__name__}: {error}")
            continue
        said = capsys.readouterr().err.splitlines()[-1:]
        words = ("genestill: ", f"{number}.refused", REFUSALS[reason])
        if code != 2 or not all(word in said[0] for word in words):
            wrong.append(f"{command.words[:3]}: {reason.__name__}: ends with {code} and says {said}")
        subprocess.run(["rm", "-rf", tmp_path / str(number)], check=True)
    tally("a place that cannot be written", tried, tried - len(wrong))
    assert wrong == []
    assert tried > 10


def test_an_unreadable_input_is_reported_in_a_sentence_by_every_command(finished, tmp_path, tally, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    tried, wrong = 0, []
    for number, command in enumerate(commands_of(Path("results"))):
        for path in sorted({Path(path) for path in command.inputs if Path(path).exists()}):
            mode = path.stat().st_mode
            tried += 1
            path.chmod(0)
            capsys.readouterr()
            try:
                with without_rights_on_files_of_others():
                    code, _ = command.again(tmp_path / f"{number}.{tried}")
            except Exception as error:
                wrong.append(f"{command.words[:3]}: {path}: {type(error).__name__}: {error}")
                continue
            finally:
                path.chmod(mode)
            said = capsys.readouterr().err.splitlines()[-1:]
            if code != 2 or not all(word in said[0] for word in ("genestill: ", str(path), "Permission denied")):
                wrong.append(f"{command.words[:3]}: {path}: ends with {code} and says {said}")
    tally("an input that may not be read", tried, tried - len(wrong))
    assert wrong == []
    assert tried > 10
