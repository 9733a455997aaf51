"""Our probe against that of mrna-bench, and our adapter in it; mrna-bench runs as a process in its own environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from genestill.core.errors import InputError
from genestill.evaluation.probes.probe import METRICS, run_probe
from genestill.evaluation.probes.splits import split_rows
from genestill.student.encoders import EncoderConfig, EncoderModel
from genestill.student.encoders.embedding import Embedder, Record
from genestill.student.encoders.onnx_export import export_onnx
from genestill.student.encoders.tokenization import build_tokenizer

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ("mrna-bench==1.3.2",)
NEEDED = (
    "onnxruntime",
    "numpy<2",
    "pandas<=2.2.2",
    "scikit-learn",
    "scipy",
    "pyyaml",
    "pyarrow==20.0.0",
    "tqdm",
    "requests",
    "torch",
)
THEIR_NAMES = {"pearson": "r", "spearman": "p"}


@pytest.fixture(scope="session")
def mrnabench_python(tmp_path_factory):
    """A Python that imports mrna_bench: $GENESTILL_MRNABENCH_PYTHON, or a new environment if it can be created."""
    given = os.environ.get("GENESTILL_MRNABENCH_PYTHON")
    if given:
        return given
    folder = tmp_path_factory.mktemp("mrnabench")
    python = folder / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", folder],
        [python, "-m", "pip", "install", "-q", "--no-deps", *REQUIREMENTS],
        [python, "-m", "pip", "install", "-q", *NEEDED],
        [python, "-c", "import mrna_bench.linear_probe"],
    ):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mrna-bench's environment cannot be made: {done.stderr.strip().splitlines()[-1:]}")
    return str(python)


def _cases(generator):
    rows, size = 1000, 12
    sequences = ["".join(generator.choice(list("ACGT"), generator.integers(60, 120))) for _ in range(rows)]
    genes = [f"gene{number}" for number in generator.integers(0, 250, rows)]
    # No two chromosomes of one size: the tool takes ties in the order of an unstable sort, which differs by processor.
    sizes = [40, *range(51, 142, 10)]
    chromosomes = generator.permutation(np.repeat([f"chr{number}" for number in range(1, 12)], sizes))
    features = generator.normal(size=(rows, size)).astype(np.float32)
    latent = features @ generator.normal(size=(size, 3)) + generator.normal(size=(rows, 3))
    table = pd.DataFrame({"sequence": sequences, "gene": genes, "chromosome": chromosomes})
    targets = {
        "regression": latent[:, 0],
        "classification": (latent[:, 1] > 0).astype(np.int64),
        "multilabel": (latent > 0.5).astype(np.int64),
    }
    for split in ("default", "homology", "kmer", "hard-kmer", "chromosome"):
        for kind, target in targets.items():
            for seed in (2541, 7):
                yield f"{split}.{kind}.{seed}", kind, split, seed, table, features, target


@pytest.mark.slow
def test_probe_and_splits_equal_those_of_mrnabench(mrnabench_python, tmp_path):
    cases = list(_cases(np.random.default_rng(3)))
    table = cases[0][4]
    # Two genes of three have a homology group, as in the tool's map; the others form separate groups.
    groups = {gene: number // 3 for number, gene in enumerate(sorted(set(table["gene"]))) if number % 3}
    (tmp_path / "homology").mkdir()
    pd.DataFrame({"gene_name": list(groups), "gene_group": list(groups.values())}).to_csv(
        tmp_path / "homology" / "human_homology_map.csv", index=False
    )
    for name, _, _, _, frame, features, target in cases:
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        np.savez(tmp_path / f"{name}.npz", features=features, targets=target)
    listed = [{"name": name, "kind": kind, "split": split, "seed": seed} for name, kind, split, seed, *_ in cases]
    (tmp_path / "cases.json").write_text(json.dumps(listed))
    script = Path(__file__).with_name("mrnabench_process.py")
    done = subprocess.run(
        [mrnabench_python, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads((tmp_path / "results.json").read_text())
    largest, compared = 0.0, set()
    for name, kind, split, seed, frame, features, target in cases:
        table = frame.assign(group=frame["gene"].map(groups))
        if not all(theirs[name]["rows"]):  # the tool continues with an empty part; we refuse it
            with pytest.raises(InputError, match="empty"):
                split_rows(table, split, seed)
            continue
        rows = split_rows(table, split, seed)
        compared.add((split, kind))
        assert [part.tolist() for part in rows] == theirs[name]["rows"], name
        ours = run_probe(features, np.asarray(target, np.float64), kind, rows).metrics
        for part, short in (("validation", "val"), ("test", "test")):
            for metric in METRICS[kind]:
                difference = abs(
                    ours[part][metric] - theirs[name]["metrics"][f"{short}_{THEIR_NAMES.get(metric, metric)}"]
                )
                largest = max(largest, difference)
                assert difference < 1e-4, (name, part, metric, difference)
    assert {kind for _, kind in compared} == set(METRICS)
    assert {split for split, _ in compared} >= {"default", "homology", "kmer", "chromosome"}
    print(f"{len(cases)} cases; largest difference of a metric {largest:.2g}")


@pytest.mark.slow
@pytest.mark.parametrize("tracks", [0, 2])
def test_a_student_embeds_a_data_set_inside_mrnabench_as_the_command_does(mrnabench_python, tmp_path, tracks):
    for extra in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(extra)
    torch.manual_seed(0)
    config = EncoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=1, tracks=tracks, max_length=100, expansion=48
    )
    EncoderModel(config).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    export_onnx(tmp_path, tmp_path / "student.onnx")
    generator = np.random.default_rng(0)
    sequences = ["".join(generator.choice(list("ACGT"), length)) for length in (40, 250, 99)]
    marks = [generator.integers(0, 2, (len(sequence), 2)) for sequence in sequences]
    columns = {name: [of[:, place] for of in marks] for place, name in enumerate(("cds", "splice"))}
    pd.DataFrame({"sequence": sequences, **columns}).to_parquet(tmp_path / "data_df.parquet")
    script = Path(__file__).with_name("mrnabench_adapter_process.py")
    done = subprocess.run(
        [mrnabench_python, str(script), str(ROOT / "resources"), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    records = [
        Record("", sequence, of.astype(np.float32) if tracks else None)
        for sequence, of in zip(sequences, marks, strict=True)
    ]
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), Embedder(tmp_path).embed(records), rtol=1e-3, atol=1e-5)
