"""DeBERTa students can also be loaded with transformers 4, in an environment without genestill."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from genestill.core.bpe import train_bpe
from genestill.core.models import save_tokenizer
from genestill.student.dna.students import build_student, save_student
from genestill.student.encoders.heads import with_language_head

VERSION = "4.57.6"
PROGRAM = """
import json, sys, torch, transformers
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
folder, sequence = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
batch = tokenizer([sequence], return_tensors="pt")
model, language = AutoModel.from_pretrained(folder).eval(), AutoModelForMaskedLM.from_pretrained(folder).eval()
with torch.inference_mode():
    said = [model(**batch).last_hidden_state.tolist(), language(**batch).logits.tolist()]
read = tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True)
print(json.dumps([transformers.__version__, *said, read]))
"""


@pytest.mark.slow
def test_a_deberta_student_gives_equal_outputs_with_transformers_4(tmp_path):
    packages = tmp_path / "packages"
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable, "--target", packages]
    done = subprocess.run([*install, f"transformers=={VERSION}"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"transformers {VERSION} cannot be had: {done.stderr[-300:]}")
    sequence = "".join(np.random.default_rng(1).choice(list("ACGT"), 200))
    save_tokenizer(train_bpe([sequence], 64), tmp_path / "tokenizer")
    student, adapter = build_student("deberta-tiny", tmp_path / "tokenizer", max_tokens=256)
    model = with_language_head(student).eval()
    save_student(tmp_path / "student", model, adapter, {})
    # The packages installed here precede those of this environment, which provides torch.
    paths = os.pathsep.join([str(packages), str(Path(torch.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, tmp_path / "student", sequence],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    version, hidden, logits, read = json.loads(done.stdout)
    assert version == VERSION
    ids = torch.from_numpy(adapter.encode(sequence).ids)[None]
    with torch.inference_mode():
        torch.testing.assert_close(torch.tensor(hidden), student(ids).last_hidden_state, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(torch.tensor(logits), model(ids).logits, atol=1e-4, rtol=1e-4)
    assert read == sequence
