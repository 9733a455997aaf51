import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from genestill.ground.artefacts import INDEX, embeddings
from genestill.ground.errors import InputError
from genestill.ground.shards import Embeddings, chosen_rows, iterate_embeddings, load_embeddings
from genestill.ground.tables import write_table

pytestmark = pytest.mark.faults

METADATA = {"teacher": "t", "revision": "r", "layer": 3, "pooling": "mean", "dtype": "float32", "tokenizer": "x"}


def shard(path, ids, size=4, value=1.0, **metadata):
    values = np.repeat(value + np.arange(len(ids)), size).astype(np.float16)
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(values), size),
            "tokens": pa.array([1] * len(ids), pa.int32()),
            "truncated": pa.array([False] * len(ids)),
        }
    )
    write_table(path, table, embeddings(size), {**METADATA, **metadata})
    return path


def test_shards_come_as_one_float32_matrix_in_the_order_of_the_index(tmp_path):
    paths = [shard(tmp_path / "0.parquet", ["a", "b"]), shard(tmp_path / "1.parquet", []),
             shard(tmp_path / "2.parquet", ["c"], value=9)]  # fmt: skip
    found = load_embeddings(paths, ["a", "b", "c"])
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == [1, 2, 9]
    assert [ids for _, ids, _ in iterate_embeddings(paths) if ids] == [["a", "b"], ["c"]]


def test_shards_are_read_a_row_group_at_a_time_and_as_often_as_asked(tmp_path):
    paths = [shard(tmp_path / "0.parquet", ["a", "b"]), shard(tmp_path / "1.parquet", ["c"], value=9)]
    found = Embeddings(paths, ["a", "b", "c"])
    assert (len(found), found.size) == (3, 4)
    for _ in range(2):
        assert [block[:, 0].tolist() for block in found] == [[1, 2], [9]]
    assert chosen_rows(found, np.array([1, 2]))[:, 0].tolist() == [2, 9]
    assert chosen_rows(found, np.array([0])).shape == (1, 4)


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        (["a", "x", "c"], r"0\.parquet: has 'b' where row 2 of the index has 'x'"),
        (["a", "b", "d"], r"1\.parquet: has 'c' where row 3 of the index has 'd'"),
        (["a", "b"], r"1\.parquet: has 'c' where row 3 of the index has nothing more"),
        (["a"], r"0\.parquet: has 'b' where row 2 of the index has nothing more"),
        (["a", "b", "c", "d"], r"1\.parquet: the shards end before 'd', row 4 of 4"),
    ],
)
def test_shards_of_another_index_are_refused_by_name(tmp_path, ids, sentence):
    paths = [shard(tmp_path / "0.parquet", ["a", "b"]), shard(tmp_path / "1.parquet", ["c"])]
    with pytest.raises(InputError, match=sentence):
        load_embeddings(paths, ids)


def test_shards_of_different_runs_are_refused(tmp_path):
    first = shard(tmp_path / "0.parquet", ["a"])
    with pytest.raises(InputError, match=r"1\.parquet: layer is '5', but .*0\.parquet has '3'"):
        load_embeddings([first, shard(tmp_path / "1.parquet", ["b"], layer=5)], ["a", "b"])
    with pytest.raises(InputError, match="embeddings of 5 numbers"):
        load_embeddings([first, shard(tmp_path / "2.parquet", ["b"], size=5)], ["a", "b"])


def test_a_broken_shard_is_named_and_set_aside_so_that_it_is_made_again(tmp_path):
    first = shard(tmp_path / "0.parquet", ["a"])
    cut = shard(tmp_path / "1.parquet", ["b"])
    content = cut.read_bytes()[:-20]
    cut.write_bytes(content)
    with pytest.raises(InputError, match=r"1\.parquet: not a whole Parquet file .*renamed to 1\.parquet\.damaged"):
        load_embeddings([first, cut], ["a", "b"])
    assert not cut.exists()
    assert first.exists()
    assert (tmp_path / "1.parquet.damaged").read_bytes() == content
    with pytest.raises(InputError, match=r"2\.parquet: no such file"):
        load_embeddings([first, tmp_path / "2.parquet"], ["a", "b"])
    with pytest.raises(InputError, match="not finite"):
        load_embeddings([shard(tmp_path / "3.parquet", ["a"], value=np.nan)], ["a"])


def test_a_table_that_holds_no_embeddings_is_refused(tmp_path):
    write_table(tmp_path / "x.parquet", pd.DataFrame(columns=INDEX.names), INDEX)
    with pytest.raises(InputError, match="column 'embedding' is None"):
        load_embeddings([tmp_path / "x.parquet"], [])


def test_no_bit_of_a_shard_can_fall_over_unseen(tmp_path):
    whole = load_embeddings([shard(tmp_path / "whole.parquet", ["a", "b"])], ["a", "b"])
    content = (tmp_path / "whole.parquet").read_bytes()
    seen = 0
    for place in range(0, len(content), 5):
        damaged = tmp_path / f"{place}.parquet"
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            # Bits that carry no value (statistics, the name of the writer) may fall over.
            assert (load_embeddings([damaged], ["a", "b"]) == whole).all()
        except InputError:
            seen += 1
    assert seen > len(content) / 5 / 3
