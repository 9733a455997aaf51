"""Streaming embeddings: order, windows, tracks, bounded memory, refusals; and the ONNX graph."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from genestill.cli import main
from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.sequences import write_fasta
from genestill.core.tables import read_metadata, read_table, write_table
from genestill.student.encoders import EncoderConfig, EncoderModel, streaming
from genestill.student.encoders.embedding import (
    Embedder,
    Record,
)
from genestill.student.encoders.streaming import embed_fasta
from genestill.student.encoders.tokenization import build_tokenizer, encode_batch
from peak_memory import peak_megabytes


def save_student(folder, **settings):
    torch.manual_seed(0)
    config = EncoderConfig(
        **({"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 1, "attention_window": 16} | settings)
    )
    EncoderModel(config).save_pretrained(folder)
    build_tokenizer(cls=config.pooling in ("cls", "concatenated")).save_pretrained(folder)
    return folder


def draw_records(count, shortest=20, longest=300, seed=0):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(shortest, longest, count)
    return [(f"t{number}", "".join(generator.choice(list("ACGT"), length))) for number, length in enumerate(lengths)]


def embed_alone(folder, sequence, pooling):
    model = EncoderModel.from_pretrained(folder).eval()
    input_ids, mask = (torch.from_numpy(x) for x in encode_batch([sequence], cls=pooling in ("cls", "concatenated")))
    with torch.inference_mode():
        return model.pool(model(input_ids, mask).last_hidden_state, mask, pooling)[0].numpy()


@pytest.mark.parametrize(("pooling", "expansion"), [("mean", 0), ("concatenated", 0), ("mean", 40)])
def test_rows_are_in_fasta_order_and_equal_the_embedding_of_each_sequence_alone(
    tmp_path, monkeypatch, pooling, expansion
):
    monkeypatch.setattr(streaming, "BUFFER_SEQUENCES", 7)  # several row groups
    folder = save_student(tmp_path / "student", pooling=pooling, expansion=expansion)
    records = draw_records(30)
    write_fasta(tmp_path / "in.fa.gz", records)
    output = tmp_path / "out.parquet"
    arguments = ["student", "embed", str(tmp_path / "in.fa.gz"), "--model", str(folder), "-o", str(output)]
    assert main([*arguments, "--batch-tokens", "500", "--threads", "2"]) == 0
    size = expansion or {"mean": 16, "concatenated": 48}[pooling]
    table = read_table(output, table_schemas.embeddings(size))
    assert pq.ParquetFile(output).num_row_groups == 5
    assert table["id"].tolist() == [name for name, _ in records]
    assert table["tokens"].tolist() == [len(sequence) for _, sequence in records]
    assert not table["truncated"].any()
    for row in (0, 13, 29):
        expected = embed_alone(folder, records[row][1], pooling)
        np.testing.assert_allclose(table["embedding"][row], expected, rtol=2e-3, atol=2e-3)
    metadata = read_metadata(output)
    assert metadata["pooling"] == pooling
    assert len(metadata["revision"]) == len(metadata["input"]) == 64


def test_sequences_from_standard_input_give_the_same_table_as_a_file(tmp_path, monkeypatch):
    folder = save_student(tmp_path / "student")
    write_fasta(tmp_path / "in.fa.gz", draw_records(5))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "in.fa.gz").read_bytes())))
    for place, output in ((str(tmp_path / "in.fa.gz"), "file.parquet"), ("-", "stream.parquet")):
        assert main(["student", "embed", place, "--model", str(folder), "-o", str(tmp_path / output)]) == 0
    assert pq.read_table(tmp_path / "file.parquet").equals(pq.read_table(tmp_path / "stream.parquet"))
    assert read_metadata(tmp_path / "file.parquet") == read_metadata(tmp_path / "stream.parquet")


def test_long_sequences_are_split_into_windows_that_are_averaged_by_length(tmp_path):
    folder = save_student(tmp_path / "student", max_length=100)
    sequence = draw_records(1, 250, 251)[0][1]
    found = Embedder(folder, threads=1).embed([Record("a", sequence), Record("b", sequence[:90])])
    parts = [sequence[:84], sequence[84:168], sequence[168:]]
    expected = sum(len(part) * embed_alone(folder, part, "mean") for part in parts) / 250
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], embed_alone(folder, sequence[:90], "mean"), rtol=1e-4, atol=1e-5)


def tracks_table(path, records, seed=1):
    generator = np.random.default_rng(seed)
    columns = {
        name: [generator.integers(0, 2, len(sequence)).astype(np.int8) for _, sequence in records]
        for name in ("cds", "splice")
    }
    frame = pd.DataFrame(
        {
            "id": [name for name, _ in records],
            "gene": "",
            "symbol": "",
            "chromosome": "",
            "sequence": [sequence for _, sequence in records],
            **columns,
            "length": [len(sequence) for _, sequence in records],
        }
    )
    write_table(path, frame, table_schemas.TRANSCRIPTS)
    return columns


def test_tracks_are_passed_to_the_student_with_their_sequence(tmp_path):
    folder = save_student(tmp_path / "student", tracks=2)
    records = draw_records(12)
    write_fasta(tmp_path / "in.fa", records[2:])  # the table has more rows than the file
    columns = tracks_table(tmp_path / "tracks.parquet", records)
    embed_fasta(tmp_path / "in.fa", folder, tmp_path / "out.parquet", tracks=tmp_path / "tracks.parquet")
    table = read_table(tmp_path / "out.parquet", table_schemas.embeddings(16))
    model = EncoderModel.from_pretrained(folder).eval()
    for row in (0, 9):
        input_ids, mask = (torch.from_numpy(x) for x in encode_batch([records[row + 2][1]]))
        tracks = torch.tensor(np.stack([columns["cds"][row + 2], columns["splice"][row + 2]], -1)[None])
        with torch.inference_mode():
            expected = model.embed(input_ids, mask, tracks.float())[0].numpy()
            without = model.embed(input_ids, mask)[0].numpy()
        np.testing.assert_allclose(table["embedding"][row], expected, rtol=2e-3, atol=2e-3)
        assert np.abs(expected - without).max() > 0.01


def test_windows_are_counted_and_sequences_without_a_known_base_are_reported(tmp_path, caplog):
    folder = save_student(tmp_path / "student")
    longest = EncoderModel.from_pretrained(folder).config.max_length
    write_fasta(tmp_path / "in.fa", [("long", "A" * (longest + 1)), ("empty", "NNNNRY"), ("whole", "ACGTN")])
    with caplog.at_level("INFO"):
        embed_fasta(tmp_path / "in.fa", folder, tmp_path / "out.parquet")
    assert f"1 of 3 sequences are longer than the maximum input of {longest} bases" in caplog.text
    assert "1 without a known base (empty); their embeddings are meaningless" in caplog.text


def test_invalid_input_is_refused_with_a_clear_message_and_leaves_no_file(tmp_path):
    folder = save_student(tmp_path / "student", tracks=2)
    plain = save_student(tmp_path / "plain")
    records = draw_records(4)
    write_fasta(tmp_path / "in.fa", records)
    write_fasta(tmp_path / "twice.fa", [*records, records[1]])
    tracks_table(tmp_path / "tracks.parquet", records)
    tracks_table(tmp_path / "turned.parquet", records[::-1])
    tracks_table(tmp_path / "short.parquet", [(name, sequence[1:]) for name, sequence in records])
    output = tmp_path / "out.parquet"
    for fasta, model, settings, message in (
        ("twice.fa", plain, {}, "'t1' occurs twice"),
        ("missing.fa", plain, {}, "no such file"),
        ("in.fa", tmp_path, {}, "not a student that can be loaded"),
        ("in.fa", plain, {"pooling": "sum"}, "pooling is 'sum'"),
        ("in.fa", plain, {"tracks": "tracks.parquet"}, "reads 0 tracks"),
        ("in.fa", folder, {"tracks": "turned.parquet"}, "no row for 't1' after the rows of earlier sequences"),
        ("in.fa", folder, {"tracks": "short.parquet"}, "cds of 't0' has .* numbers, its sequence"),
        ("in.fa", folder, {"tracks": "in.fa"}, "not a complete Parquet file"),
    ):
        if "tracks" in settings:
            settings["tracks"] = tmp_path / settings["tracks"]
        with pytest.raises(InputError, match=message):
            embed_fasta(tmp_path / fasta, model, output, **settings)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "esm"}))
    with pytest.raises(InputError, match="model_type 'esm'"):
        embed_fasta(tmp_path / "in.fa", tmp_path / "other", output)
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(InputError, match="tensors of EncoderModel are missing from the weights"):
        embed_fasta(tmp_path / "in.fa", plain, output)
    assert not output.exists()


def test_embeddings_of_a_file_in_bfloat16_are_close_to_those_in_float32(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "BUFFER_SEQUENCES", 7)
    folder = save_student(tmp_path / "student", num_hidden_layers=3, expansion=40)
    write_fasta(tmp_path / "in.fa", draw_records(20))
    embed_fasta(tmp_path / "in.fa", folder, tmp_path / "single.parquet")
    EncoderModel.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    embed_fasta(tmp_path / "in.fa", folder, tmp_path / "half.parquet")
    single, half = (
        np.stack(pd.read_parquet(tmp_path / f"{name}.parquet")["embedding"]).astype(np.float32)
        for name in ("single", "half")
    )
    assert 0 < np.linalg.norm(single - half) < 0.03 * np.linalg.norm(single)


def test_overlapping_work_and_a_halved_batch_give_the_same_table_as_the_sequential_loop(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(streaming, "BUFFER_SEQUENCES", 7)
    folder = save_student(tmp_path / "student")
    write_fasta(tmp_path / "in.fa", draw_records(30))
    embed_fasta(tmp_path / "in.fa", folder, tmp_path / "found", threads=1)
    with monkeypatch.context() as plain:
        plain.setattr(streaming, "ahead", iter)
        plain.setattr(streaming, "behind", lambda items, consume: [consume(item) for item in items])
        embed_fasta(tmp_path / "in.fa", folder, tmp_path / "plain", threads=1)
    assert (tmp_path / "found").read_bytes() == (tmp_path / "plain").read_bytes()
    forward = EncoderModel.forward

    def of_a_small_card(self, input_ids, *arguments, **options):
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, input_ids, *arguments, **options)

    monkeypatch.setattr(EncoderModel, "forward", of_a_small_card)
    embed_fasta(tmp_path / "in.fa", folder, tmp_path / "halved", threads=1)
    whole, halved = (np.stack(pd.read_parquet(tmp_path / name)["embedding"]) for name in ("plain", "halved"))
    np.testing.assert_allclose(halved.astype(float), whole.astype(float), rtol=2e-3, atol=2e-3)
    assert any(
        "student embed: a batch does not fit into the memory of cpu" in record.getMessage() for record in caplog.records
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_sequences(tmp_path):
    folder = save_student(tmp_path / "student")
    peaks = []
    for count in (10_000, 40_000):  # 5 and 20 buffers: three are held at a time
        write_fasta(tmp_path / "in.fa.gz", draw_records(count, 50, 100))
        words = ["--quiet", "student", "embed", tmp_path / "in.fa.gz", "--model", folder, "--threads", 1]
        peaks.append(peak_megabytes(*words, "-o", tmp_path / f"{count}.parquet"))
        assert pq.ParquetFile(tmp_path / f"{count}.parquet").metadata.num_rows == count
    print(f"peak memory: {peaks} MB")
    assert peaks[1] <= peaks[0] + 40  # MB; the second file has 30,000 more sequences


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "expansion", "how"), [("delta_hybrid", 0, "mean"), ("transformer", 40, "regions")]
)
def test_the_onnx_graph_gives_equal_outputs_at_other_batch_sizes_and_lengths(tmp_path, backbone, expansion, how):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    settings = {"tracks": 1, "reverse_complement": True, "num_attention_heads": 2, "expansion": expansion}
    settings |= {"pooling": how, "lengths": how == "regions"}
    folder = save_student(tmp_path / "student", backbone=backbone, **settings)
    file = tmp_path / "student.onnx"
    assert main(["--quiet", "student", "export-onnx", "--model", str(folder), "-o", str(file)]) == 0
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    model = EncoderModel.from_pretrained(folder).eval()
    for count, longest in ((5, 60), (1, 3000)):
        input_ids, mask = encode_batch([sequence for _, sequence in draw_records(count, longest - 20, longest)])
        tracks = np.random.default_rng(0).integers(0, 2, (*input_ids.shape, 1)).astype(np.float32)
        regions = np.sort(np.random.default_rng(1).integers(0, 3, input_ids.shape), axis=1)
        feeds = {"input_ids": input_ids, "attention_mask": mask, "tracks": tracks}
        hidden, pooled = session.run(None, feeds | ({"regions": regions} if how == "regions" else {}))
        given = [torch.from_numpy(x) for x in (input_ids, mask, tracks)]
        with torch.inference_mode():
            np.testing.assert_allclose(hidden, model(*given).last_hidden_state, rtol=1e-3, atol=1e-4)
            expected = model.embed(*given, regions=torch.from_numpy(regions))
            np.testing.assert_allclose(pooled, expected, rtol=1e-3, atol=1e-4)
    assert [path.name for path in Path(tmp_path).iterdir() if "onnx" in path.name] == ["student.onnx"]
