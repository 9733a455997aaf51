"""Memory requests of jobs are the measured values with a margin, and increase with the attempt."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genestill.core.memory_requests import NEEDS, memory_mb, request_mb

TABLE = Path(__file__).parents[2] / "resources" / "results" / "scale.tsv"
COMMAND_OF_STEP = {
    "label tree": "labels tree",
    "soft labels": "teacher soft-labels",
    "training": "student train-corrector",
    "training from labels": "student train-corrector",
    "prediction": "student predict",
    "prediction with hits": "student predict",
}


def test_requests_cover_every_measured_row():
    rows = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    compared = [row for row in rows if row["step"] in COMMAND_OF_STEP]
    assert compared
    for row in compared:
        need = NEEDS[COMMAND_OF_STEP[row["step"]]]
        asked = request_mb(need, 1, *(int(row[name]) for name in ("contigs", "species", "hits")))
        assert asked > 1.2 * 1000 * float(row["peak_gb"]), row


def test_requests_grow_with_the_rows_of_the_inputs_and_with_the_attempt(tmp_path):
    index, hits = tmp_path / "index.parquet", tmp_path / "hits.parquet"
    before = memory_mb("student train-corrector", 1, index, tmp_path / "tree.tsv", [])
    pq.write_table(pa.table({"id": ["a"] * 100_000}), index)
    pq.write_table(pa.table({"id": ["a"] * 1_000_000}), hits)
    (tmp_path / "tree.tsv").write_bytes(b"x" * 20_000)
    after = memory_mb("student train-corrector", 1, index, tmp_path / "tree.tsv", hits)
    need = NEEDS["student train-corrector"]
    assert before == need.mb
    assert after == need.mb + round((need.contig * 100_000 + need.node * 1000 + need.hit * 1_000_000) / 1e6)
    assert memory_mb("student train-corrector", 3, index, tmp_path / "tree.tsv", hits) == 3 * after


@pytest.mark.parametrize("command", NEEDS)
def test_a_file_that_is_not_a_table_is_left_for_the_job_to_refuse(command, tmp_path):
    (tmp_path / "index.parquet").write_text("no table")
    assert memory_mb(command, 2, tmp_path / "index.parquet") == 2 * NEEDS[command].mb


def test_whole_inputs_count_by_uncompressed_values_and_shards_by_the_largest(tmp_path):
    need = NEEDS["student distil-dna"]
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(40_000 * 50, np.float16)), 50)
    for name, rows in (("small", 10_000), ("large", 40_000)):
        pq.write_table(pa.table({"features": values[:rows]}), tmp_path / f"{name}.parquet")
    (tmp_path / "sequences.fna").write_bytes(b"A" * 2_000_000)
    (tmp_path / "sequences.fna.gz").write_bytes(b"A" * 2_000_000)
    shards = [tmp_path / "small.parquet", str(tmp_path / "large.parquet"), tmp_path / "missing.parquet"]

    def asked(**given) -> int:
        return memory_mb("student distil-dna", 1, **given) - need.mb

    assert asked(shards=shards) == round(need.held * 40_000 * 50 * 2 / 1e6)
    assert asked(held=tmp_path / "sequences.fna", shards=shards) == round(need.held * 6)
    assert asked(held=[tmp_path / "sequences.fna.gz", shards[:1]]) == round(need.held * (9 + 1))
    assert memory_mb("student distil-dna", 2, shards=shards) == 2 * (need.mb + asked(shards=shards))


def test_a_model_counts_by_the_size_of_its_weights(tmp_path):
    (tmp_path / "model-1.safetensors").write_bytes(b"0" * 3_000_000)
    (tmp_path / "model-2.safetensors").write_bytes(b"0" * 1_000_000)
    (tmp_path / "tokenizer.json").write_bytes(b"0" * 1_000_000)
    need = NEEDS["teacher check"]
    assert memory_mb("teacher check", 1, held=str(tmp_path)) == need.mb + round(need.held * 4)
