import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.table_schemas import INDEX
from genestill.core.tables import read_table
from genestill.teacher.settings import EmbeddingSettings
from genestill.teacher.sharding import embed_shard, read_rows, shard_bounds, write_stream


@given(st.lists(st.integers(1, 10**6), max_size=60), st.integers(1, 20))
def test_every_row_belongs_to_exactly_one_shard(lengths, shards):
    bounds = shard_bounds(np.array(lengths), shards)
    assert len(bounds) == shards
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(len(lengths)))


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200), st.integers(1, 10))
def test_no_shard_exceeds_its_share_by_more_than_one_sequence(lengths, shards):
    array = np.array(lengths)
    for start, stop in shard_bounds(array, shards):
        assert array[start:stop].sum() <= array.sum() / shards + array.max()


def test_rows_are_streamed_in_index_order_without_sequences_missing_from_the_index(contigs):
    fasta, index, records = contigs
    assert list(read_rows(fasta, read_table(index, INDEX), 3, 8)) == records[3:8]


def _index(records, **changes):
    table = pd.DataFrame({"id": [name for name, _ in records], "length": [len(text) for _, text in records]})
    for name, length in changes.items():
        table.loc[table["id"] == name, "length"] = length
    return table


def test_an_index_of_another_file_is_refused_with_a_clear_message(contigs):
    fasta, _, records = contigs
    with pytest.raises(InputError, match="'contig2' has 900 bases, but 7 in the index"):
        list(read_rows(fasta, _index(records, contig2=7), 0, 11))
    with pytest.raises(InputError, match="found 'contig0' where the index has 'contig1'"):
        list(read_rows(fasta, _index([records[1], records[0], *records[2:]]), 0, 11))
    with pytest.raises(InputError, match="ends before 'absent'"):
        list(read_rows(fasta, _index([*records, ("absent", "ACGT")]), 0, 12))


def test_an_interrupted_stream_leaves_no_file(tmp_path):
    def tables():
        yield pa.table({"id": ["a"]})
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_stream(tmp_path / "x.parquet", pa.schema([("id", pa.string())]), {}, tables())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_shard_is_refused_with_a_clear_message(causal_folder, contigs, tmp_path):
    fasta, index, _ = contigs
    with pytest.raises(InputError, match="expected 0 to 2"):
        embed_shard(causal_folder, fasta, index, tmp_path / "x.parquet", EmbeddingSettings(), 3, 3)


@pytest.mark.slow
def test_errors_of_a_worker_process_are_reported_unchanged(causal_folder, contigs, tmp_path):
    _, index, _ = contigs
    with pytest.raises(InputError, match="no such file"):
        embed_shard(causal_folder, tmp_path / "absent.fna", index, tmp_path / "x.parquet", EmbeddingSettings(),
                    device="cpu", processes=2)  # fmt: skip
    assert not sorted(set(tmp_path.glob("*")) - {index, tmp_path / "contigs.fna.gz"})
