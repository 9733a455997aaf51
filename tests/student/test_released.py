"""Students distributed with genestill: loaded by name, small, and with a card that states their limits."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.files import sha256_of
from genestill.core.sequences import write_fasta
from genestill.student.released import STUDENTS, released_students, student_folder

NAMES = sorted(path.parent.name for path in STUDENTS.glob("*/config.json"))


def test_every_encoder_recipe_has_a_released_student():
    assert {name.split("-")[0] for name in NAMES} == {"mrna", "had", "seqlens"}


@pytest.mark.parametrize("name", NAMES)
def test_a_released_student_is_small_and_its_card_lists_weights_licence_figures_and_limits(name):
    student = released_students()[name]
    assert student.kilobytes <= 3000
    card = (student.folder / "README.md").read_text(encoding="utf-8")
    assert sha256_of(student.folder / "model.safetensors") in card
    assert student.licence == "mit"
    for heading in ("## Use", "## Figures", "## Training", "## Limits"):
        assert f"\n{heading}\n" in card
    assert "has not been measured" not in card
    assert "model-index:" in card
    assert not re.search(r"(?<![\w.])/(work|tmp|home|root)/", card), "a path of the machine that trained it"
    assert {path.name for path in student.folder.iterdir()} <= {
        *("README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        "special_tokens_map.json",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_released_student_embeds_by_name_and_can_be_loaded_with_transformers(name, tmp_path):
    write_fasta(tmp_path / "two.fa", [("a", "ACGTTGCA" * 20), ("b", "GGCATTAC" * 9)])
    assert main(["student", "embed", str(tmp_path / "two.fa"), "--model", name, "-o", str(tmp_path / "e.parquet")]) == 0
    table = pd.read_parquet(tmp_path / "e.parquet")
    assert table["id"].tolist() == ["a", "b"]
    assert np.isfinite(np.stack(table["embedding"])).all()
    model = AutoModel.from_pretrained(student_folder(name)).eval()
    tokenizer = AutoTokenizer.from_pretrained(student_folder(name))
    with torch.inference_mode():
        hidden = model(**tokenizer(["ACGTACGT"], return_tensors="pt")).last_hidden_state
    assert torch.isfinite(hidden).all()


def test_the_list_contains_every_student_and_an_unknown_name_is_refused_with_a_suggestion(capsys):
    assert main(["student", "list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)
    with pytest.raises(InputError, match=f"did you mean {NAMES[0]}"):
        student_folder(NAMES[0] + "x")
