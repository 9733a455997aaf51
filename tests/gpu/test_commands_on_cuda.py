"""Every command that takes a device gives on CUDA what it gives on the CPU, within the tolerance of half precision.

They are skipped without a GPU. Their code is also tested without one: a slow test runs each of them twice on the CPU.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from genestill.cli import main
from genestill.core.bpe import train_bpe
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import RANKS, parse_lineage
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import INDEX, LABELS, TRANSCRIPTS
from genestill.core.tables import write_table
from random_sequences import random_dna

# Products in bfloat16 differ by a few thousandths; a wrong result differs by about 1.
TOLERANCE = 0.05
MOTIF = "ACGTTGCATGCACCGTAGGCATCATTTGACGGACTTAACGCCGTA"
LINEAGES = [parse_lineage(f"d__B;p__P;c__C;o__O;f__F;g__G{k};s__G{k} s{k}") for k in range(2)]


def call(*words) -> None:
    assert main(["--quiet", *map(str, words)]) == 0


def embed(model: Path, folder: Path, sequences: str, output: Path, device: str, *more) -> None:
    call(
        *("teacher", "embed", "--model", model, "--contigs", folder / f"{sequences}.fna"),
        *("--index", folder / f"{sequences}.parquet", "--output", output, "--device", device, *more),
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """The inputs of the commands, made on the CPU."""
    folder = tmp_path_factory.mktemp("inputs")
    write_fasta(folder / "genome.fna", [("chromosome", MOTIF * 120)])
    sets = {
        "contigs": [(f"c{row}", (MOTIF * 9)[row : row + 90 + 17 * row]) for row in range(16)],
        "windows": [(f"w{row}", random_dna(row, 96)) for row in range(16)],
    }
    for name, records in sets.items():
        write_fasta(folder / f"{name}.fna", records)
        table = pd.DataFrame({"id": [row for row, _ in records], "length": [len(text) for _, text in records]})
        table["gc"], table["sample"], table["checksum"] = np.float32(0.5), "", "0" * 16
        write_table(folder / f"{name}.parquet", table, INDEX)
    for name, more in (("genomeocean", ["--vocabulary", 40]), ("nucleotide-transformer", ["--k", 6])):
        call(
            *("teacher", "pretrain", "--genomes", folder / "genome.fna", "--architecture", name, *more),
            *("--hidden-size", 32, "--layers", 2, "--heads", 2, "--context", 32, "--steps", 60, "--batch", 8),
            *("--learning-rate", 1e-2, "--device", "cpu", "--output", folder / name),
        )
    embed(folder / "genomeocean", folder, "contigs", folder / "e.parquet", "cpu")
    embed(
        folder / "nucleotide-transformer", folder, "windows", folder / "f.parquet", "cpu", "--representation", "token"
    )
    train_bpe([random_dna(seed, 200) for seed in range(20)], 96).save_pretrained(folder / "tokenizer")
    lineages = pd.DataFrame([dict(zip(RANKS, LINEAGES[row % 2], strict=True)) for row in range(16)])
    labels = pd.concat([pd.DataFrame({"id": [f"c{row}" for row in range(16)]}), lineages], axis=1)
    labels["taxid"], labels["support"] = pd.array([None] * 16, "Int64"), np.float32(1)
    write_table(folder / "labels.parquet", labels, LABELS)
    LabelTree.from_lineages(LINEAGES, other_children=True).save(folder / "tree.tsv")
    sequences = [random_dna(row, 60) if row % 2 else "AT" * 30 for row in range(40)]
    task = pd.DataFrame({"sequence": sequences, "label": np.arange(40) % 2, "split": ["train"] * 30 + ["test"] * 10})
    task.to_csv(folder / "task.tsv", sep="\t", index=False)
    transcripts = pd.DataFrame({"id": [f"c{row}" for row in range(16)], "gene": "", "symbol": "", "chromosome": ""})
    transcripts["sequence"] = [text for _, text in sets["contigs"]]
    transcripts["cds"] = transcripts["splice"] = [np.zeros(len(text), np.int8) for _, text in sets["contigs"]]
    transcripts["length"] = [len(text) for _, text in sets["contigs"]]
    write_table(folder / "transcripts.parquet", transcripts, TRANSCRIPTS)
    for name, method in (("had-tiny", []), ("deberta-tiny", ["--tokenizer", folder / "tokenizer"])):
        call(
            *("student", "pretrain-dna", "--sequences", folder / "windows.fna", "--architecture", name, *method),
            *("--max-tokens", 128, "--steps", 2, "--batch", 8, "--device", "cpu", "--output", folder / name),
        )
    call(
        *("student", "finetune", "--model", folder / "had-tiny", "--task", folder / "task.tsv", "--epochs", 1),
        *("--batch", 8, "--device", "cpu", "--output-model", folder / "classifier"),
    )
    return folder


def losses(path: Path) -> np.ndarray:
    return pd.read_csv(path, sep="\t")["loss"].to_numpy()


def numbers(path: Path, column: str) -> np.ndarray:
    return np.concatenate([np.ravel(row) for row in pd.read_parquet(path)[column]]).astype(float)


def pretrained(architecture: str, *more) -> Callable:
    def work(folder: Path, output: Path, device: str) -> np.ndarray:
        call(
            *("teacher", "pretrain", "--genomes", folder / "genome.fna", "--architecture", architecture, *more),
            *("--hidden-size", 32, "--layers", 2, "--heads", 2, "--context", 32, "--steps", 6, "--batch", 8),
            *("--device", device, "--output", output),
        )
        return losses(output / "training.tsv")

    return work


def checked(folder: Path, output: Path, device: str) -> np.ndarray:
    call(
        *("teacher", "check", "--model", folder / "genomeocean", "--genomes", folder / "genome.fna", "--windows", 8),
        *("--device", device, "--output", output),
    )
    return np.array([json.loads(output.read_text())["loss"]])


def embedded(model: str, sequences: str, column: str, *more) -> Callable:
    def work(folder: Path, output: Path, device: str) -> np.ndarray:
        embed(folder / model, folder, sequences, output, device, *more)
        return numbers(output, column)

    return work


def soft_labels(folder: Path, output: Path, device: str) -> np.ndarray:
    call(
        *("teacher", "soft-labels", "--embeddings", folder / "e.parquet", "--labels", folder / "labels.parquet"),
        *("--tree", folder / "tree.tsv", "--folds", 2, "--device", device, "--output", output),
        *("--output-predictions", output.parent / f"{output.name}.predictions"),
    )
    table = pd.read_parquet(output)
    return numbers(output, next(name for name in table.columns if name.startswith("prob")))


def student(command: str, architecture: str, *more) -> Callable:
    def work(folder: Path, output: Path, device: str) -> np.ndarray:
        words = [str(word).replace("FOLDER", str(folder)) for word in more]
        call(
            *("student", command, "--sequences", folder / "windows.fna", "--architecture", architecture, *words),
            *("--max-tokens", 128, "--steps", 6, "--batch", 8, "--device", device, "--output", output),
            *("--output-history", f"{output}.tsv"),
        )
        return losses(Path(f"{output}.tsv"))

    return work


def fine_tuned(folder: Path, output: Path, device: str) -> np.ndarray:
    call(
        *("student", "finetune", "--model", folder / "had-tiny", "--task", folder / "task.tsv", "--epochs", 1),
        *("--batch", 8, "--device", device, "--output", output),
    )
    return numbers(output, "probabilities")


def transcripts(folder: Path, output: Path, device: str) -> np.ndarray:
    call(
        *("student", "distil-transcripts", "--transcripts", folder / "transcripts.parquet", "--parameters", 20_000),
        *("--embeddings", folder / "e.parquet", "--objective", "mse+relational", "--steps", 6, "--device", device),
        *("--output", output),
    )
    return losses(output / "training.tsv")


def student_embeddings(model: str) -> Callable:
    def work(folder: Path, output: Path, device: str) -> np.ndarray:
        call("student", "embed", folder / "contigs.fna", "--model", folder / model, "--device", device, "-o", output)
        return numbers(output, "embedding")

    return work


def classified(folder: Path, output: Path, device: str) -> np.ndarray:
    call(
        "student",
        "classify",
        folder / "contigs.fna",
        "--model",
        folder / "classifier",
        "--device",
        device,
        "-o",
        output,
    )
    return pd.read_csv(output, sep="\t").filter(like="probability of").to_numpy().ravel()


@dataclass(frozen=True)
class Case:
    """A command, and the numbers that it gives: from (inputs, output, device)."""

    command: str
    work: Callable[[Path, Path, str], np.ndarray]


TEACHER = ("--teacher", "FOLDER/nucleotide-transformer", "--window-length", "96")
CASES = {
    "pretrain a causal teacher": Case("teacher pretrain", pretrained("genomeocean", "--vocabulary", 40)),
    "pretrain a masked teacher": Case("teacher pretrain", pretrained("nucleotide-transformer", "--k", 3)),
    "check a teacher": Case("teacher check", checked),
    "embed, causal": Case("teacher embed", embedded("genomeocean", "contigs", "embedding")),
    "embed, masked, both strands": Case(
        "teacher embed", embedded("nucleotide-transformer", "contigs", "embedding", "--strands", "both")
    ),
    "embed tokens": Case(
        "teacher embed", embedded("nucleotide-transformer", "windows", "features", "--representation", "token")
    ),
    "probabilities of bases": Case(
        "teacher embed",
        embedded(
            "nucleotide-transformer", "windows", "log_probabilities", "--representation", "base-log-probabilities"
        ),
    ),
    "soft labels": Case("teacher soft-labels", soft_labels),
    "pretrain had": Case("student pretrain-dna", student("pretrain-dna", "had-tiny", "--masking", "groups")),
    "pretrain deberta": Case(
        "student pretrain-dna", student("pretrain-dna", "deberta-tiny", "--tokenizer", "FOLDER/tokenizer")
    ),
    "distil from stored features": Case(
        "student distil-dna", student("distil-dna", "had-tiny", "--features", "FOLDER/f.parquet")
    ),
    "distil with the teacher in the loop": Case("student distil-dna", student("distil-dna", "had-tiny", *TEACHER)),
    "fine-tune": Case("student finetune", fine_tuned),
    "distil transcripts": Case("student distil-transcripts", transcripts),
    "embed with had": Case("student embed", student_embeddings("had-tiny")),
    "embed with deberta": Case("student embed", student_embeddings("deberta-tiny")),
    "classify": Case("student classify", classified),
}


def difference(case: Case, inputs: Path, folder: Path, devices: tuple[str, str]) -> float:
    """Norm of the difference between two devices, over the norm."""
    one, other = (case.work(inputs, folder / f"{number}", device) for number, device in enumerate(devices))
    assert one.shape == other.shape
    assert np.isfinite(one).all()
    return float(np.linalg.norm(one - other) / np.linalg.norm(one))


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_a_command_gives_equal_results_on_cuda_and_on_the_cpu(request, tmp_path, name):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    inputs = request.getfixturevalue("inputs")  # made only if there is a GPU
    assert difference(CASES[name], inputs, tmp_path, ("cpu", "cuda")) < TOLERANCE


@pytest.mark.slow
def test_the_cuda_comparisons_find_no_difference_between_two_runs_on_the_cpu(inputs, tmp_path):
    for name, case in CASES.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        assert difference(case, inputs, folder, ("cpu", "cpu")) == 0, name


def test_every_command_that_takes_a_device_is_compared():
    from genestill.cli import build_parser

    stages = build_parser()._subparsers._group_actions[0].choices
    commands = {
        f"{stage} {name}"
        for stage, parser in stages.items()
        if parser._subparsers
        for name, command in parser._subparsers._group_actions[0].choices.items()
        if any("--device" in action.option_strings for action in command._actions)
    }
    assert commands == {case.command for case in CASES.values()}
    assert len(CASES) >= 12
