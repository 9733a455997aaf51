"""The teacher in the loop of a distillation: features of a new window of every region in every step."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.sequences import read_fasta, reverse_complement, write_fasta
from genestill.core.shards import Shards
from genestill.core.tokenization import KmerTokenizer
from genestill.student.dna.features import ComputedFeatures, StoredFeatures
from genestill.student.dna.pipeline import distil_student
from genestill.student.dna.settings import (
    ComputedFeaturesSettings,
    DistillationSettings,
    Start,
    TrainingSettings,
)
from genestill.student.encoders.adapters import SingleBaseAdapter
from genestill.teacher.architectures.architecture import find_architecture
from genestill.teacher.loading import load_teacher
from genestill.teacher.settings import EmbeddingSettings, PretrainingSettings
from genestill.teacher.sharding import embed_shard

LENGTH, CONTEXT = 60, 16


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A teacher of 6-mers with wide random weights, and ten regions of 200 bases."""
    folder = tmp_path_factory.mktemp("made")
    torch.manual_seed(1)
    tokenizer = KmerTokenizer.of_size(6, CONTEXT)
    settings = PretrainingSettings("nucleotide-transformer", hidden_size=16, layers=3, heads=2, context=CONTEXT)
    model = find_architecture(settings.architecture).build(settings, tokenizer)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder / "teacher")
    tokenizer.save(folder / "teacher")
    generator = np.random.default_rng(1)
    regions = [(f"r{number}", "".join(generator.choice(list("ACGT"), 200))) for number in range(10)]
    write_fasta(folder / "regions.fna", regions)
    return folder


def computed(made, layer=1, **settings) -> ComputedFeatures:
    teacher = load_teacher(made / "teacher", torch.device("cpu"), layer=layer)
    return ComputedFeatures(teacher, dict(read_fasta(made / "regions.fna")), **{"length": LENGTH} | settings)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_computed_features_equal_those_stored_by_the_teacher_stage(made, tmp_path, layer):
    whole = {name: sequence[:LENGTH] for name, sequence in read_fasta(made / "regions.fna")}
    whole["r3"] = whole["r3"][:31]  # an incomplete 6-mer at the end, and padding in the batch
    write_fasta(tmp_path / "windows.fna", whole.items())
    words = ["--output-index", tmp_path / "index.parquet", "--output-abundance", tmp_path / "depths.parquet"]
    contigs = ["--contigs", tmp_path / "windows.fna", "--minimum-length", "1"]
    assert main(["--quiet", "reference", "contigs", *contigs, *words]) == 0
    embed_shard(
        made / "teacher", tmp_path / "windows.fna", tmp_path / "index.parquet", tmp_path / "0.parquet",
        EmbeddingSettings("token", layer=layer), device="cpu",
    )  # fmt: skip
    stored = StoredFeatures([tmp_path / "0.parquet"], whole)
    teacher = load_teacher(made / "teacher", torch.device("cpu"), layer=layer)
    live = ComputedFeatures(teacher, whole, LENGTH)
    windows = [live._held(number) for number in range(len(whole))]
    arguments = (np.random.default_rng(1), SingleBaseAdapter(cls=False), 0.15, 64)
    (batch,) = live._batches(windows, *arguments)
    found = live.complete(batch)
    for row, window in enumerate(windows):
        other = stored._held((0, row))
        assert other.name == window.name
        assert np.array_equal(other.start, window.start)
        tokens = len(window.start)
        features = found["teacher_features"][row, :tokens].numpy()
        assert np.abs(features - other.given.astype(np.float32)).max() < 5e-3 * np.abs(features).max()
    for mine, theirs in zip(live.scale(), stored.scale(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=5e-3)
    assert {key: stored.teacher[key] for key in live.teacher} == live.teacher
    assert live.size == stored.size == 16
    assert Shards([tmp_path / "0.parquet"], "token").size == 16


def test_every_step_has_new_windows_of_both_strands_that_depend_only_on_seed_and_step(made):
    features = computed(made, shortest=24)
    adapter = SingleBaseAdapter(cls=False)
    first, again = (features.batch(7, 5, 1, adapter, 0.15, 64) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    regions = dict(read_fasta(made / "regions.fna"))
    seen, turned, lengths = set(), 0, set()
    for step in range(8):  # four epochs
        windows = features._drawn(step, 5, 1)
        for window in windows:
            assert 24 <= len(window.sequence) <= LENGTH
            forward = window.sequence in regions[window.name]
            assert forward or reverse_complement(window.sequence) in regions[window.name]
            turned += not forward
            lengths.add(len(window.sequence))
            seen.add(window.sequence)
        if step % 2:
            assert {window.name for window in windows + features._drawn(step - 1, 5, 1)} == set(regions)
    assert len(seen) == 40
    assert 8 <= turned <= 32
    assert len(lengths) > 10


def test_windows_avoid_unknown_bases_where_possible(made):
    regions = {"half": "N" * 400 + "ACGT" * 100, "short": "ACGTACGTACGTAC"}
    teacher = load_teacher(made / "teacher", torch.device("cpu"))
    features = ComputedFeatures(teacher, regions, LENGTH)
    for step in range(20):
        for window in features._drawn(step, 2, 1):
            assert window.sequence.count("N") <= 6
            assert len(window.sequence) == (LENGTH if window.name == "half" else 14)


def test_a_shortest_window_above_the_length_of_windows_is_refused(made):
    with pytest.raises(InputError, match=f"the shortest window has {LENGTH + 1} bases, but windows have {LENGTH}"):
        computed(made, shortest=LENGTH + 1)


def test_a_window_that_does_not_fit_into_the_context_of_the_teacher_is_refused(made):
    features = computed(made, length=6 * CONTEXT)
    with pytest.raises(InputError, match=rf"a window of 96 bases has \d+ tokens .* whose context is {CONTEXT}"):
        features.batch(0, 2, 1, SingleBaseAdapter(cls=False), 0.15, 96)


def test_a_student_is_distilled_from_computed_features_and_its_record_names_the_teacher(made, tmp_path):
    start, training = Start("had-tiny", max_tokens=LENGTH), TrainingSettings(30, 5, 0.003)
    source = ComputedFeaturesSettings(str(made / "teacher"), layer="middle", window_length=LENGTH)
    arguments = (start, made / "regions.fna", [], training, DistillationSettings(), 0.15)
    found = distil_student(*arguments, tmp_path / "s", tmp_path / "h.tsv", "cpu", source, load_teacher)
    history = pd.read_csv(tmp_path / "h.tsv", sep="\t")
    assert history["loss"].iloc[-5:].mean() < history["loss"].iloc[:5].mean()
    assert found["teacher"] == "teacher"
    assert found["layer"] == "1"
    assert read_json(tmp_path / "s" / "config.json")["teacher"]["revision"] == found["revision"]
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").glob("*.safetensors")}
    distil_student(*arguments, tmp_path / "t", None, "cpu", source, load_teacher)
    assert {path.name: path.read_bytes() for path in (tmp_path / "t").glob("*.safetensors")} == before
    assert not list((made / "teacher").glob("*.checkpoint"))


def test_stored_and_computed_features_are_mutually_exclusive(made, tmp_path):
    start, training = Start("had-tiny", max_tokens=LENGTH), TrainingSettings(1, 2)
    source = ComputedFeaturesSettings(str(made / "teacher"))
    arguments = (training, DistillationSettings(), 0.15, tmp_path / "s", None, "cpu")
    for shards, computed_by in (([], None), ([], dataclasses.replace(source, teacher=None)), (["a.parquet"], source)):
        with pytest.raises(InputError, match="either shards of the teacher's features, or a teacher"):
            distil_student(start, made / "regions.fna", shards, *arguments, computed_by, load_teacher)
