"""No step of a training makes a GPU wait for the CPU.

Tensors on the ``meta`` device of torch have shapes but no values, so that control flow that depends on a value raises
an error: the same operations would wait for a GPU. Tensors left on the CPU are an error as well.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from genestill.core.bpe import train_bpe
from genestill.core.sequences import encode_bases
from genestill.core.table_schemas import TRANSCRIPTS, embeddings, token_features
from genestill.core.tables import write_table
from genestill.core.training import loop
from genestill.core.training.batches import Batch
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.student.dna.distillation import Distillation
from genestill.student.dna.features import StoredFeatures
from genestill.student.dna.masking import cut_groups
from genestill.student.dna.pretraining import MaskedLanguageModel, asked_batch, masked_batch
from genestill.student.dna.settings import DistillationSettings
from genestill.student.dna.students import build_student
from genestill.student.encoders.adapters import collate_windows
from genestill.student.encoders.configuration import EncoderConfig
from genestill.student.encoders.heads import with_classifier, with_language_head
from genestill.student.transcripts.corpus import Corpus, TeacherFiles
from genestill.student.transcripts.distillation import TranscriptDistillation
from genestill.student.transcripts.settings import DistillationSettings as TranscriptSettings
from random_sequences import random_dna

META = torch.device("meta")
STUDENTS = ("had-tiny", "transformer-tiny", "deberta-tiny")


# Rows of different lengths, so that there is padding.
SEQUENCES = [random_dna(seed, 60 + 7 * seed) for seed in range(5)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no-waiting") / "tokenizer"
    train_bpe([random_dna(seed, 300) for seed in range(10)], 96).save_pretrained(folder)
    return folder


def open_named(architecture, tokenizer):
    torch.manual_seed(0)
    return build_student(architecture, tokenizer if architecture.startswith("deberta") else None, max_tokens=128)


def take_a_step(learned: nn.Module, compute_loss, batch: Batch) -> None:
    optimizer = AdamW(parameter_groups(learned, Schedule(2, 0.1).rate, 0.1))
    assert optimizer.device == META
    loss, parts = loop._gradients([batch], compute_loss, optimizer)
    norm = nn.utils.clip_grad_norm_(optimizer.moved(), 1.0)
    optimizer.step(0, (~(torch.isfinite(loss) & torch.isfinite(norm))).float())
    assert {value.device for value in (loss, norm, *parts.values())} == {META}


@pytest.mark.parametrize("operation", [lambda x: x[x > 0], lambda x: float(x.sum()), lambda x: x + torch.ones(3)])
def test_operations_that_wait_for_the_gpu_are_detected(operation):
    with pytest.raises((RuntimeError, NotImplementedError)):
        operation(torch.ones(3, device="meta"))


@pytest.mark.parametrize("architecture", STUDENTS)
def test_masked_language_modelling(tokenizer, architecture):
    student, adapter = open_named(architecture, tokenizer)
    batch, targets = masked_batch(SEQUENCES, adapter, "tokens", 0.15, 128, np.random.default_rng(0))
    model = MaskedLanguageModel(with_language_head(student)).to(META)
    take_a_step(model, lambda tensors: (model(**tensors), {}), asked_batch(batch | {"targets": targets}))


@pytest.mark.parametrize("architecture", STUDENTS)
@pytest.mark.parametrize("pooling", ["mean", "concatenated"])
def test_fine_tuning_with_sequences_in_several_windows(tokenizer, architecture, pooling):
    student, adapter = open_named(architecture, tokenizer)
    model = with_classifier(student, ["no", "yes"], pooling).to(META)
    batch = collate_windows([adapter.windows(sequence, 50) for sequence in SEQUENCES], adapter.pad)
    tensors = batch | {"labels": torch.tensor([0, 1, 1, 0, 1])}
    take_a_step(model, lambda read: (model(**read).loss, {}), Batch(tensors, 1))


@pytest.mark.parametrize("architecture", STUDENTS)
@pytest.mark.parametrize("objective", ["alignment+reconstruction", "masked_bases"])
@pytest.mark.parametrize("pooling", ["pooled", "repeated"])
def test_distillation_from_tokens(tmp_path, tokenizer, architecture, objective, pooling):
    rows = []
    for number, sequence in enumerate(SEQUENCES):
        edges = cut_groups(encode_bases(sequence))
        features = np.random.default_rng(number).normal(size=(len(edges) - 1) * 4).astype(np.float16)
        rows.append((f"w{number}", edges[:-1], edges[1:], features))
    frame = pd.DataFrame(rows, columns=["id", "start", "stop", "features"])
    write_table(tmp_path / "0.parquet", frame, token_features(4), {"size": 4, "teacher": "noise"})
    found = StoredFeatures([tmp_path / "0.parquet"], {f"w{row}": text for row, text in enumerate(SEQUENCES)})
    student, adapter = open_named(architecture, tokenizer)
    settings = DistillationSettings(objective, "visible", pooling)
    model = Distillation(student, settings, *found.scale()).to(META)
    take_a_step(model, model, Batch(found.batch(0, 5, 1, adapter, 0.2, 128), 1))


def test_distillation_of_transcripts_by_every_objective(tmp_path):
    ids, generator = [f"t{row}" for row in range(5)], np.random.default_rng(0)
    marks = [np.zeros(len(sequence), np.int8) for sequence in SEQUENCES]
    table = pd.DataFrame({"id": ids, "gene": "", "symbol": "", "chromosome": "", "sequence": SEQUENCES, "cds": marks})
    table["splice"], table["length"] = marks, [len(sequence) for sequence in SEQUENCES]
    write_table(tmp_path / "transcripts.parquet", table, TRANSCRIPTS)
    told = pd.DataFrame({"id": ids, "embedding": list(generator.normal(size=(5, 6)).astype(np.float16))})
    told["tokens"], told["truncated"] = 1, False
    write_table(tmp_path / "embeddings.parquet", told, embeddings(6), {"teacher": "noise", "layer": "-1"})
    weights = dict.fromkeys(("mse", "cosine", "relational", "contrastive", "masked"), 1.0)
    settings = TranscriptSettings(objective="+".join(weights), steps=1, batch_bases=4096)
    corpus = Corpus(
        tmp_path / "transcripts.parquet", TeacherFiles([str(tmp_path / "embeddings.parquet")]), weights, True
    )
    config = EncoderConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, attention_window=16, tracks=2)
    match = TranscriptDistillation(config, corpus, settings, META)
    (batch,) = match.draw(0)
    take_a_step(match.learned, match.loss, batch)
