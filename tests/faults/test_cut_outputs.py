"""Every output of a finished run is cut, and every command done again on a disk that loses what is not synced.

The record beside each result holds the command that made it. So the commands that read a file are known, and they are
given again in this process, with other places for what they write: no run of the workflow is needed for each file.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from genestill.cli import build_parser, main
from genestill.core.contents import content_checksum
from genestill.core.files import read_json
from genestill.core.provenance import inputs_of, is_output, path_options
from genestill.core.reproduction import redirected
from snakemake_process import ROOT, run_snakemake

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TEACHER = {
    "pretraining": {"hidden_size": 32, "layers": 2, "heads": 4, "batch": 4, "steps": 20},
    "check": {"maximum_relative_loss": 0.9999, "windows": 8},
    "admission": "off",
}
CONFIGURATIONS = {
    "taxdistill": yaml.safe_load((ROOT / "config" / "test.yaml").read_text()),
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
}


@dataclass(frozen=True)
class Command:
    """A recorded command: its words, what it reads and writes, and the checksum of each output's content."""

    words: list[str]
    inputs: list[str]
    outputs: dict[str, str]
    contents: dict[str, str]

    def again(self, folder: Path) -> tuple[int, dict[str, str]]:
        """Give it once more with outputs in ``folder``; return the exit code and the place of each output."""
        places = {path: str(folder / role / Path(path).name) for role, path in self.outputs.items()}
        return main([redirected(word, places) for word in self.words]), places


def commands_of(results: Path) -> Iterator[Command]:
    """The commands that made what lies in ``results``, from the first to the last."""
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
    """The folder of a finished run, as small as it can be: of contigs and of transcripts."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "run.yaml").write_text(yaml.safe_dump(CONFIGURATIONS[request.param]))
    run_snakemake("--cores", "2", "--configfile", folder / "run.yaml", folder=folder)
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


def test_an_output_that_was_cut_is_refused_and_never_read_as_whole(finished, tmp_path, tally, monkeypatch, capsys):
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
                # What the command does not need of the file may be missing.
                # In this process the last digits of a loss may be others than in one of its own.
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


def test_nothing_is_lost_on_a_disk_that_loses_what_was_not_synced(finished, tmp_path, tally, monkeypatch):
    """A file gets its name before its bytes are on the disk, and the power fails: it is there, and empty.

    Which files were synced is noted as the commands run. That needs no disk of its own, and no luck with the moment.
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
                # It would be empty now; a link is to a file of somebody else.
                if (status.st_dev, status.st_ino) not in synced and status.st_size and not file.is_symlink():
                    lost.append(f"{file.name} in {path} of {' '.join(command.words[:2])}")
                tried += 1
        subprocess.run(["rm", "-rf", tmp_path / str(number)], check=True)
    tally("power fails: a file that was not synced is empty", tried, tried - len(lost))
    assert lost == []
    assert tried > 20
