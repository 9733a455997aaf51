import threading

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from genestill.core import table_schemas
from genestill.core.errors import CheckFailed, InputError
from genestill.core.pooling import POOLINGS
from genestill.core.sequences import reverse_complement, write_fasta
from genestill.core.shards import load_embeddings
from genestill.core.tables import read_arrow, read_metadata, write_table
from genestill.core.windows import window_bounds
from genestill.teacher import embedding, loading
from genestill.teacher.embedding import compute, sequence_embeddings
from genestill.teacher.loading import load_teacher
from genestill.teacher.settings import EmbeddingSettings
from genestill.teacher.sharding import embed_shard, write_stream

FOLDERS = ["causal_folder", "masked_folder", "letters_folder"]


def plain_embedding(teacher, sequence, window, pooling="mean"):
    """The definition, one window at a time: no batch, no padding, no mask."""
    if pooling == "concatenated":
        return np.concatenate([plain_embedding(teacher, sequence, window, part) for part in ("cls", "max", "mean")])
    vectors, weights = [], []
    tokenizer = teacher.tokenizer
    for start, stop in window_bounds(len(sequence), window, tokenizer.unit):
        text = sequence[start:stop]
        tokens = tokenizer.encode([text])[0]
        known = [any(letter in "ACGT" for letter in text[a:b]) for a, b in zip(tokens.start, tokens.stop, strict=True)]
        bases = sum(letter in "ACGT" for letter in text)
        if not bases:
            continue
        ids = torch.from_numpy(tokenizer.wrap(tokens.ids))[None]
        states = teacher.hidden(ids, torch.ones_like(ids))[0]
        first = len(tokenizer.prefix)
        counted = states[first : first + len(tokens)][torch.tensor(known)]
        vectors.append(
            {"mean": counted.mean(0), "max": counted.amax(0), "cls": states[0], "last": states[-1]}[pooling].numpy()
        )
        weights.append(bases)
    if pooling == "max":
        return np.max(vectors, axis=0)
    return np.average(vectors, axis=0, weights=weights)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_embeddings_equal_the_unbatched_definition(request, contigs, folder, pooling):
    teacher = load_teacher(request.getfixturevalue(folder))
    sequences = [sequence for _, sequence in contigs[2][:10]]
    settings = EmbeddingSettings(pooling=pooling, window=45, batch_tokens=150)
    found, tokens, truncated = sequence_embeddings(teacher, sequences, settings)
    expected = np.stack([plain_embedding(teacher, sequence, 45, pooling) for sequence in sequences])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert (tokens > 0).all()
    assert not truncated.any()


@pytest.mark.parametrize("folder", FOLDERS)
def test_embeddings_do_not_depend_on_the_other_sequences_of_the_batch(request, contigs, folder):
    teacher = load_teacher(request.getfixturevalue(folder))
    sequences = [sequence for _, sequence in contigs[2]]
    together, _, _ = sequence_embeddings(teacher, sequences, EmbeddingSettings(batch_tokens=10_000))
    alone, _, _ = sequence_embeddings(teacher, sequences, EmbeddingSettings(batch_tokens=1))
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("folder", ["masked_folder", "letters_folder"])
def test_regions_are_the_means_of_their_tokens_over_all_windows(request, contigs, folder):
    teacher = load_teacher(request.getfixturevalue(folder))
    records, bounds = contigs[2][:4], {"contig0": (60, 201)}
    (table,) = compute(teacher, records, EmbeddingSettings(pooling="regions", window=45, batch_tokens=150), bounds)
    found = np.array(table["embedding"].to_pylist(), np.float32).reshape(4, 3, -1)
    (tokens,) = compute(teacher, records, EmbeddingSettings(representation="token", window=45))
    tokens = tokens.to_pylist()
    features = np.array(tokens[0]["features"], np.float32).reshape(-1, teacher.hidden_size)
    middles = (np.array(tokens[0]["start"]) + np.array(tokens[0]["stop"])) // 2
    for code, region in enumerate([middles < 60, (middles >= 60) & (middles < 201), middles >= 201]):
        np.testing.assert_allclose(found[0, code], features[region].mean(0), atol=0.01)
    # A long random sequence has no open reading frame of 300 bases: all is 3'UTR.
    assert not found[2, :2].any()
    features = np.array(tokens[2]["features"], np.float32).reshape(-1, teacher.hidden_size)
    np.testing.assert_allclose(found[2, 2], features.mean(0), atol=0.01)
    with pytest.raises(InputError, match="pooling regions reads whole transcripts"):
        EmbeddingSettings(pooling="regions", strands="both")


def test_the_coding_sequences_of_a_shard_equal_those_of_the_table(contigs, masked_folder, tmp_path):
    fasta, index, records = contigs
    texts = [sequence for _, sequence in records]
    marks = [np.isin(np.arange(len(text)), [9, 12]).astype(np.int8) for text in texts]
    table = pd.DataFrame({"id": [name for name, _ in records], "sequence": texts, "cds": marks, "splice": marks})
    table = table.assign(gene="", symbol="", chromosome="", length=[len(text) for text in texts])
    write_table(tmp_path / "transcripts.parquet", table, table_schemas.TRANSCRIPTS)
    settings = EmbeddingSettings(pooling="regions")
    given = {"settings": settings, "transcripts": tmp_path / "transcripts.parquet"}
    embed_shard(masked_folder, fasta, index, tmp_path / "0.parquet", **given)
    found = load_embeddings([tmp_path / "0.parquet"], [name for name, _ in records])
    teacher = load_teacher(masked_folder)
    (expected,) = compute(teacher, records[:1], settings, {"contig0": (9, 15)})
    np.testing.assert_array_equal(found[0], np.array(expected["embedding"].to_pylist(), np.float16)[0])
    write_table(tmp_path / "transcripts.parquet", table.iloc[1:], table_schemas.TRANSCRIPTS)
    with pytest.raises(InputError, match="no transcript 'contig0', which is in the index"):
        embed_shard(masked_folder, fasta, index, tmp_path / "1.parquet", **given)


def test_a_sequence_without_a_known_base_has_no_tokens_and_zeros(causal_folder):
    found, tokens, _ = sequence_embeddings(load_teacher(causal_folder), ["N" * 40, "ACGT"], EmbeddingSettings())
    assert not found[0].any()
    assert found[1].any()
    assert tokens[0] == 0


def test_bases_beyond_three_kilobases_are_used_unless_only_the_first_tokens_are_taken(causal_folder):
    teacher = load_teacher(causal_folder)
    start = "ACGTTGCATGCA" * 270
    one, other = start + "A" * 300, start + "GC" * 150
    whole, _, truncated = sequence_embeddings(teacher, [one, other], EmbeddingSettings())
    assert np.abs(whole[0] - whole[1]).max() > 1e-2
    assert not truncated.any()
    first, _, truncated = sequence_embeddings(teacher, [one, other], EmbeddingSettings(window="first", pooling="last"))
    np.testing.assert_allclose(first[0], first[1], rtol=1e-3, atol=1e-4)
    assert truncated.all()


def test_published_mode_is_the_last_state_of_the_truncated_input(causal_folder):
    teacher = load_teacher(causal_folder)
    sequence = "ACGTTGCATGCACCGTAGGCATCA" * 60
    found, _, _ = sequence_embeddings(teacher, [sequence], EmbeddingSettings(window="first", pooling="last"))
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast.from_pretrained(causal_folder)
    ids = theirs(sequence, truncation=True, max_length=64, return_tensors="pt")["input_ids"]
    expected = teacher.model.base_model(ids).last_hidden_state[0, -1].numpy()
    assert ids.shape == (1, 64)  # the context of the tiny model; 512 for a model that supports it
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)


def test_with_both_strands_a_sequence_and_its_reverse_complement_have_equal_embeddings(masked_folder, contigs):
    teacher = load_teacher(masked_folder)
    records = contigs[2][:3]
    turned = [(name, reverse_complement(sequence)) for name, sequence in records]
    tables = [next(compute(teacher, which, EmbeddingSettings(strands="both"))) for which in (records, turned)]
    one, other = (np.array(table["embedding"].to_pylist(), dtype=float) for table in tables)
    np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-2)
    single = next(compute(teacher, records, EmbeddingSettings()))
    assert np.abs(one - np.array(single["embedding"].to_pylist(), dtype=float)).max() > 0.05


@pytest.mark.parametrize("folder", FOLDERS)
def test_token_features_are_at_the_bases_covered_by_their_tokens(request, contigs, folder):
    teacher = load_teacher(request.getfixturevalue(folder))
    records = contigs[2]
    table = next(compute(teacher, records, EmbeddingSettings(representation="token", window=60, batch_tokens=100)))
    for row, (_, sequence) in zip(table.to_pylist(), records, strict=True):
        features = np.array(row["features"], dtype=float).reshape(len(row["start"]), teacher.hidden_size)
        covered = [place for a, b in zip(row["start"], row["stop"], strict=True) for place in range(a, b)]
        assert covered == list(range(len(sequence)))
        window = window_bounds(len(sequence), 60, teacher.tokenizer.unit)[0]
        tokens = teacher.tokenizer.encode([sequence[slice(*window)]])[0]
        ids = torch.from_numpy(teacher.tokenizer.wrap(tokens.ids))[None]
        states = teacher.hidden(ids, torch.ones_like(ids))[0].numpy()[len(teacher.tokenizer.prefix) :][: len(tokens)]
        np.testing.assert_allclose(features[: len(tokens)], states, rtol=2e-3, atol=2e-3)


def test_embeddings_do_not_depend_on_the_number_of_shards_or_processes(causal_folder, contigs, tmp_path):
    fasta, index, records = contigs
    ids = [name for name, _ in records]
    settings = EmbeddingSettings(layer="middle", window=100, batch_tokens=200)
    embed_shard(causal_folder, fasta, index, tmp_path / "whole.parquet", settings, device="cpu")
    parts = [tmp_path / f"{number}.parquet" for number in range(3)]
    for number, part in enumerate(parts):
        embed_shard(causal_folder, fasta, index, part, settings, number, 3, device="cpu")
    embed_shard(causal_folder, fasta, index, tmp_path / "two.parquet", settings, device="cpu", processes=2)
    whole = load_embeddings([tmp_path / "whole.parquet"], ids)
    np.testing.assert_allclose(load_embeddings(parts, ids), whole, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(load_embeddings([tmp_path / "two.parquet"], ids), whole, rtol=2e-3, atol=2e-3)
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_more_shards_than_sequences_leave_some_empty(causal_folder, contigs, tmp_path):
    fasta, index, records = contigs
    parts = [tmp_path / f"{number}.parquet" for number in range(14)]
    for number, part in enumerate(parts):
        embed_shard(causal_folder, fasta, index, part, EmbeddingSettings(), number, 14, device="cpu")
    found = load_embeddings(parts, [name for name, _ in records])
    assert found.shape == (11, 32)
    assert 0 in [len(read_arrow(part, table_schemas.embeddings(32))) for part in parts]


def test_the_file_records_how_it_was_made(causal_folder, contigs, tmp_path):
    fasta, index, _ = contigs
    embed_shard(causal_folder, fasta, index, tmp_path / "x.parquet", EmbeddingSettings(layer="middle"), device="cpu")
    found = read_metadata(tmp_path / "x.parquet")
    assert {key: found[key] for key in ("layer", "layers", "pooling", "dtype", "strands", "shard", "shards")} == {
        "layer": "1", "layers": "3", "pooling": "mean", "dtype": "float32", "strands": "one", "shard": "0",
        "shards": "1",
    }  # fmt: skip
    teacher = load_teacher(causal_folder)
    assert found["revision"] == teacher.revision
    assert found["tokenizer"] == teacher.tokenizer.checksum
    assert len(found["input"]) == 64


@pytest.mark.parametrize("representation", ["token", "base-log-probabilities"])
def test_other_outputs_are_written_in_their_schemas(masked_folder, contigs, tmp_path, representation):
    fasta, index, records = contigs
    output = tmp_path / "x.parquet"
    embed_shard(masked_folder, fasta, index, output, EmbeddingSettings(representation=representation), device="cpu")
    schema = table_schemas.token_features(32) if representation == "token" else table_schemas.BASE_LOG_PROBABILITIES
    assert read_arrow(output, schema)["id"].to_pylist() == [name for name, _ in records]


def test_values_too_large_for_float16_stop_the_run(causal_folder):
    teacher = load_teacher(causal_folder)
    teacher.model.model.norm.weight.mul_(1e6)
    with pytest.raises(CheckFailed, match="too large for float16"):
        next(compute(teacher, [("a", "ACGTACGT")], EmbeddingSettings()))


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": "median"},
        {"strands": "three"},
        {"window": "last"},
        {"representation": "token", "strands": "both"},
        {"representation": "token", "window": "first"},
    ],
)
def test_invalid_settings_are_refused(settings):
    with pytest.raises(InputError):
        EmbeddingSettings(**settings)


@pytest.mark.parametrize(
    ("folder", "settings"),
    [
        ("causal_folder", EmbeddingSettings(window=45, batch_tokens=150, strands="both")),
        ("masked_folder", EmbeddingSettings(representation="token", window=60, batch_tokens=100)),
        ("masked_folder", EmbeddingSettings(representation="base-log-probabilities", window=60, batch_tokens=100)),
    ],
    ids=["sequence", "token", "base-log-probabilities"],
)
def test_a_file_made_by_overlapping_work_is_identical_to_that_of_the_sequential_loop(
    request, contigs, tmp_path, monkeypatch, folder, settings
):
    monkeypatch.setattr(embedding, "CHUNK_BASES", 700)  # several row groups
    monkeypatch.setattr(embedding, "CHUNK_BYTES", 20_000)
    teacher = load_teacher(request.getfixturevalue(folder))
    schema = embedding.output_schema(teacher, settings)
    write_stream(tmp_path / "found", schema, {}, embedding.unfinished_tables(teacher, contigs[2], settings))
    monkeypatch.setattr(embedding, "ahead", iter)
    with pq.ParquetWriter(
        tmp_path / "plain", schema.with_metadata({}), compression="zstd", write_page_checksum=True
    ) as writer:
        for table in compute(teacher, contigs[2], settings):
            writer.write_table(table.replace_schema_metadata({}))
    assert pq.ParquetFile(tmp_path / "found").num_row_groups > 2
    assert (tmp_path / "found").read_bytes() == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("folder", ["causal_folder", "masked_folder"])
def test_a_batch_that_does_not_fit_in_memory_is_halved_and_gives_the_same_rows(
    request, contigs, monkeypatch, caplog, folder
):
    teacher = load_teacher(request.getfixturevalue(folder))
    settings = EmbeddingSettings(window=45, batch_tokens=600)
    expected = next(compute(teacher, contigs[2], settings))
    hidden = loading.Teacher.hidden

    def of_a_small_card(self, ids, mask):
        if len(ids) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return hidden(self, ids, mask)

    monkeypatch.setattr(loading.Teacher, "hidden", of_a_small_card)
    found = next(compute(teacher, contigs[2], settings))
    vectors = [np.stack(table["embedding"].to_numpy(zero_copy_only=False)).astype(float) for table in (found, expected)]
    np.testing.assert_allclose(*vectors, rtol=2e-3, atol=2e-3)
    assert found["tokens"].equals(expected["tokens"])
    said = [
        record.getMessage()
        for record in caplog.records
        if "a batch does not fit into the memory" in record.getMessage()
    ]
    assert said
    assert len(said) < 5  # not once per batch


def test_no_mask_is_passed_if_no_token_attends_to_padding(causal_folder, masked_folder):
    padded, full = np.array([[1, 1, 0]]), np.ones((1, 3))
    causal, masked = load_teacher(causal_folder), load_teacher(masked_folder)
    assert [causal.must_see(padded), causal.must_see(full)] == [False, False]
    assert [masked.must_see(padded), masked.must_see(full)] == [True, False]


def test_invalid_contigs_are_refused_with_a_clear_message_and_leave_no_file(causal_folder, contigs, tmp_path):
    _, index, records = contigs
    write_fasta(tmp_path / "cut.fna", records[:9])
    with pytest.raises(InputError, match="ends before 'contig9'"):
        embed_shard(causal_folder, tmp_path / "cut.fna", index, tmp_path / "x.parquet", EmbeddingSettings())
    assert not (tmp_path / "x.parquet").exists()
    assert [thread.name for thread in threading.enumerate() if thread.name in ("ahead", "behind")] == []
