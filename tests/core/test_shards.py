import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from genestill.core.errors import InputError
from genestill.core.shards import (
    Embeddings,
    Rows,
    Shards,
    chosen_rows,
    find_embeddings,
    iterate_embeddings,
    load_embeddings,
)
from genestill.core.table_schemas import BASE_LOG_PROBABILITIES, INDEX, embeddings, token_features
from genestill.core.tables import write_table

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


def test_shards_are_loaded_as_one_float32_matrix_in_the_order_of_the_index(tmp_path):
    paths = [shard(tmp_path / "0.parquet", ["a", "b"]), shard(tmp_path / "1.parquet", []),
             shard(tmp_path / "2.parquet", ["c"], value=9)]  # fmt: skip
    found = load_embeddings(paths, ["a", "b", "c"])
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == [1, 2, 9]
    assert [ids for _, ids, _ in iterate_embeddings(paths) if ids] == [["a", "b"], ["c"]]


def test_shards_are_read_one_row_group_at_a_time_and_can_be_read_repeatedly(tmp_path):
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


def test_a_damaged_shard_is_reported_and_moved_aside_so_that_it_is_made_again(tmp_path):
    first = shard(tmp_path / "0.parquet", ["a"])
    cut = shard(tmp_path / "1.parquet", ["b"])
    content = cut.read_bytes()[:-20]
    cut.write_bytes(content)
    with pytest.raises(InputError, match=r"1\.parquet: not a complete Parquet file .*renamed to 1\.parquet\.damaged"):
        load_embeddings([first, cut], ["a", "b"])
    assert not cut.exists()
    assert first.exists()
    assert (tmp_path / "1.parquet.damaged").read_bytes() == content
    with pytest.raises(InputError, match=r"2\.parquet: no such file"):
        load_embeddings([first, tmp_path / "2.parquet"], ["a", "b"])
    with pytest.raises(InputError, match="not finite"):
        load_embeddings([shard(tmp_path / "3.parquet", ["a"], value=np.nan)], ["a"])


def test_a_table_without_embeddings_is_refused(tmp_path):
    write_table(tmp_path / "x.parquet", pd.DataFrame(columns=INDEX.names), INDEX)
    with pytest.raises(InputError, match="column 'embedding' is None"):
        load_embeddings([tmp_path / "x.parquet"], [])


def test_a_flipped_bit_never_changes_the_values_of_a_shard_undetected(tmp_path):
    whole = load_embeddings([shard(tmp_path / "whole.parquet", ["a", "b"])], ["a", "b"])
    content = (tmp_path / "whole.parquet").read_bytes()
    seen = 0
    for place in range(0, len(content), 5):
        damaged = tmp_path / f"{place}.parquet"
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            # Bits that hold no values (statistics, the name of the writer) may be flipped.
            assert (load_embeddings([damaged], ["a", "b"]) == whole).all()
        except InputError:
            seen += 1
    assert seen > len(content) / 5 / 3


def tokens(path, ids, size=2, **metadata):
    rows = {"id": ids, "start": [[0, 6]] * len(ids), "stop": [[6, 12]] * len(ids)}
    rows["features"] = [np.arange(2 * size, dtype=np.float16) + number for number in range(len(ids))]
    write_table(path, pd.DataFrame(rows), token_features(size), {**METADATA, "size": size, **metadata})
    return path


def log_probabilities(path, ids, **metadata):
    rows = {"id": ids, "log_probabilities": [np.full(8, -np.inf, np.float16)] * len(ids)}
    write_table(path, pd.DataFrame(rows), BASE_LOG_PROBABILITIES, {**METADATA, **metadata})
    return path


WRITERS = {"sequence": shard, "token": tokens, "base-log-probabilities": log_probabilities}


def read(representation, paths, ids):
    """Read by id, as students and probes do."""
    return find_embeddings(paths, ids) if representation == "sequence" else Rows(paths, representation, ids)


@pytest.mark.parametrize("representation", WRITERS)
@pytest.mark.parametrize("key", ["teacher", "revision", "layer", "dtype", "input"])
def test_shards_of_two_runs_are_refused_for_every_representation(tmp_path, representation, key):
    write = WRITERS[representation]
    paths = [write(tmp_path / "0.parquet", ["a"]), write(tmp_path / "1.parquet", ["b"], **{key: "other"})]
    with pytest.raises(InputError, match=rf"1\.parquet: {key} is 'other', but .*from different runs"):
        read(representation, paths, ["a", "b"])


@pytest.mark.parametrize("representation", WRITERS)
def test_a_damaged_shard_is_moved_aside_for_every_representation(tmp_path, representation):
    paths = [WRITERS[representation](tmp_path / f"{number}.parquet", [str(number)]) for number in range(2)]
    paths[1].write_bytes(paths[1].read_bytes()[:-20])
    with pytest.raises(InputError, match=r"renamed to 1\.parquet\.damaged"):
        read(representation, paths, ["0", "1"])
    assert not paths[1].exists()


@pytest.mark.parametrize("representation", WRITERS)
def test_a_missing_or_duplicate_sequence_is_reported_for_every_representation(tmp_path, representation):
    write = WRITERS[representation]
    paths = [write(tmp_path / "0.parquet", ["a", "b"]), write(tmp_path / "1.parquet", ["c", "b"])]
    with pytest.raises(InputError, match=r"'b' is repeated"):
        read(representation, paths, ["a", "b", "c"])
    with pytest.raises(InputError, match=r"1 of 2 sequences .*'z'"):
        read(representation, paths[:1], ["a", "z"])


@pytest.mark.parametrize("representation", WRITERS)
def test_another_representation_is_refused_by_name(tmp_path, representation):
    for other, write in WRITERS.items():
        if other != representation:
            path = write(tmp_path / f"{other}.parquet", ["a"], representation=other)
            with pytest.raises(InputError, match=f"contains the representation {other}; expected {representation}"):
                Shards([path], representation)
            with pytest.raises(InputError, match=r"column '\w+' is|no 'size'"):
                Shards([write(tmp_path / f"{other}.parquet", ["a"])], representation)


def test_embeddings_are_looked_up_by_id_in_any_order_and_repeatedly(tmp_path):
    paths = [shard(tmp_path / "0.parquet", ["c", "a"]), shard(tmp_path / "1.parquet", ["b"], value=9)]
    found = find_embeddings(paths, ["b", "a", "b", "c"])
    assert found.dtype == np.float16
    assert found[:, 0].tolist() == [9, 2, 9, 1]


def test_token_features_that_are_not_finite_are_refused(tmp_path):
    path = tokens(tmp_path / "0.parquet", ["a"])
    values = np.array([1, np.nan, 1, 1], np.float16)
    rows = pd.DataFrame({"id": ["a"], "start": [[0, 6]], "stop": [[6, 12]], "features": [values]})
    write_table(path, rows, token_features(2), {"size": 2})
    with pytest.raises(InputError, match="not finite"):
        Shards([path], "token").read(0)
