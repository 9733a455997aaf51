"""Every command that loads a student refuses an incomplete one: weights are never replaced by random numbers."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DebertaV2ForMaskedLM

from genestill.cli import main
from genestill.core.bpe import train_bpe
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import token_features
from genestill.core.tables import write_table
from genestill.student.dna.deberta import deberta_configuration
from genestill.student.dna.settings import Start
from genestill.student.dna.students import build_student, open_student, save_student
from genestill.student.encoders.heads import with_language_head

WIDTH = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two complete students and the inputs of every command."""
    folder = tmp_path_factory.mktemp("whole")
    generator = np.random.default_rng(1)
    windows = [(f"w{number}", "".join(generator.choice(list("ACGT"), 48))) for number in range(8)]
    write_fasta(folder / "windows.fna", windows)
    starts = np.arange(0, 48, 6, dtype=np.int32)
    features = generator.normal(size=(8, len(starts) * WIDTH)).astype(np.float16)
    rows = [(name, starts, starts + 6, values) for (name, _), values in zip(windows, features, strict=True)]
    frame = pd.DataFrame(rows, columns=["id", "start", "stop", "features"])
    write_table(folder / "features.parquet", frame, token_features(WIDTH), {"size": WIDTH, "teacher": "drawn"})
    table = pd.DataFrame({"sequence": [sequence for _, sequence in windows], "label": [0, 1] * 4})
    table["split"] = ["train"] * 4 + ["test"] * 4
    table.to_csv(folder / "task.tsv", sep="\t", index=False)
    train_bpe([sequence for _, sequence in windows], 64).save_pretrained(folder / "tokenizer")
    for name, tokenizer in (("had-tiny", None), ("deberta-tiny", folder / "tokenizer")):
        torch.manual_seed(1)
        student, adapter = build_student(name, tokenizer, max_tokens=64)
        save_student(folder / name, with_language_head(student), adapter, {})
    return folder


def drop(tensors, config):
    del tensors[next(name for name in tensors if ".1." in name and name.endswith("weight"))]


def rename(tensors, config):
    for name in list(tensors):
        tensors[f"other.{name}"] = tensors.pop(name)


def widen(tensors, config):
    name = next(name for name, value in tensors.items() if value.ndim == 2)
    tensors[name] = torch.cat([tensors[name], tensors[name]], dim=1)


def add(tensors, config):
    layer = {name: value for name, value in tensors.items() if ".1." in name}
    tensors.update({name.replace(".1.", ".2."): value.clone() for name, value in layer.items()})


def shorten(tensors, config):
    config["num_hidden_layers"] = 1


def blank(tensors, config):
    next(iter(tensors.values())).view(-1)[0] = float("nan")


def quantize(tensors, config):
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}


def round_off(tensors, config):
    name = next(name for name, value in tensors.items() if value.ndim == 2)
    tensors[name] = (tensors[name] * 100).to(torch.int8)


DAMAGES = {
    drop: "1 tensors of .* are missing from the weights",
    rename: "tensors of .* are missing from the weights",
    widen: "weights do not fit config.json",
    add: "are not part of",
    shorten: "are not part of",
    blank: "has values that are not finite",
    quantize: "the model is quantized",
    round_off: "quantized",
}

WORDS = {
    "finetune": "--model {student} --task {place}/task.tsv --task-name t --name n --output {output}",
    "pretrain-dna": "--initial {student} --sequences {place}/windows.fna --steps 1 --output {output}",
    "distil-dna": "--initial {student} --sequences {place}/windows.fna --features {place}/features.parquet --steps 1"
    " --output {output}",
    "embed": "{place}/windows.fna --model {student} --output {output}",
    "export-onnx": "--model {student} --output {output}",
    "card": "--model {student} --title t --summary s --limit l --output {output}",
}
COMMANDS = [(command, "had-tiny") for command in WORDS] + [("pretrain-dna", "deberta-tiny")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(("command", "student"), COMMANDS)
def test_an_incomplete_student_is_refused_by_every_command(place, tmp_path, capsys, command, student, damage):
    if command == "export-onnx":
        pytest.importorskip("onnxscript")
    folder = shutil.copytree(place / student, tmp_path / "student")
    tensors, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    damage(tensors, config)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    words = WORDS[command].format(student=folder, place=place, output=tmp_path / "output").split()
    assert main(["--quiet", "student", command, *words]) == 2
    told = capsys.readouterr().err
    assert re.search(DAMAGES[damage], told), told
    assert not (tmp_path / "output").exists()


def test_truncated_weights_are_refused(place, tmp_path, capsys):
    folder = shutil.copytree(place / "had-tiny", tmp_path / "student")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    words = WORDS["pretrain-dna"].format(student=folder, place=place, output=tmp_path / "output").split()
    assert main(["--quiet", "student", "pretrain-dna", *words]) == 2
    assert str(folder) in capsys.readouterr().err


def test_a_language_head_of_another_size_is_refused_and_a_missing_one_is_reported(place, tmp_path, caplog, capsys):
    folder = shutil.copytree(place / "had-tiny", tmp_path / "student")
    words = WORDS["pretrain-dna"].format(student=folder, place=place, output=tmp_path / "output").split()
    file = folder / "model.safetensors"
    whole = load_file(file)
    head = [name for name in whole if name.startswith("language_head.")]
    save_file(whole | {head[0]: torch.zeros(3, 3)}, file, metadata={"format": "pt"})
    assert main(["student", "pretrain-dna", *words]) == 2
    assert "weights do not fit config.json" in capsys.readouterr().err
    save_file({name: whole[name] for name in whole if name not in head}, file, metadata={"format": "pt"})
    assert main(["student", "pretrain-dna", *words]) == 0
    assert "the language head starts from random weights" in capsys.readouterr().err + caplog.text


def test_a_published_model_with_the_head_of_another_task_can_be_loaded(place, tmp_path):
    _, adapter = build_student("deberta-tiny", place / "tokenizer", max_tokens=64)
    published = DebertaV2ForMaskedLM(deberta_configuration("deberta-tiny", adapter.size, adapter.pad, 64))
    published.save_pretrained(tmp_path / "published")
    adapter.tokenizer.save_pretrained(tmp_path / "published")
    opened, _ = Start(initial=str(tmp_path / "published")).open()
    expected = published.deberta.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in opened.state_dict().items())


def test_loading_a_student_twice_gives_equal_weights(place):
    (one, _), (other, _) = open_student(place / "had-tiny"), open_student(place / "had-tiny")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
