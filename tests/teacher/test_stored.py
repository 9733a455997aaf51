"""Embeddings of another program: which files are accepted, and the messages that refuse the others."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genestill.core.errors import InputError
from genestill.core.shards import Rows, find_embeddings
from genestill.core.table_schemas import INDEX
from genestill.core.tables import read_metadata, write_table
from genestill.teacher.stored import choose_files, describe, import_shard, list_sequences

IDS, LENGTHS = ["a", "b", "c"], [12, 6, 18]
SAYS = {"model": "evo2_7b", "layer": "blocks.28", "revision": "2025-02", "representation": "sequence"}


@pytest.fixture
def index(tmp_path):
    table = pd.DataFrame({"id": IDS, "length": LENGTHS, "gc": 0.5, "sample": None, "checksum": "0"})
    write_table(tmp_path / "index.parquet", table.astype({"gc": "float32"}), INDEX)
    return tmp_path / "index.parquet"


def store(path, ids=IDS, lengths=LENGTHS, token=None, size=3, says=SAYS, kind=np.float32, values=None, **columns):
    """A stored file: one row per sequence, or one per ``token`` bases."""
    spans = [(name, at, min(at + (token or length), length)) for name, length in zip(ids, lengths, strict=True)
             for at in range(0, length, token or length)]  # fmt: skip
    table = pd.DataFrame(spans, columns=["id", "start", "end"])
    numbers = np.arange(len(table))[:, None] + np.arange(size) / 10
    table["embedding"] = list((numbers if values is None else values).astype(kind))
    for name, value in columns.items():
        table[name] = value
    said = says | ({"representation": "token"} if token and "representation" in says else {})
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(arrow.replace_schema_metadata(said), path, row_group_size=2)
    return path


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_one_row_per_sequence_is_converted_to_a_shard(tmp_path, index, kind):
    import_shard([store(tmp_path / "s.parquet", kind=kind)], index, "sequence", tmp_path / "0.parquet")
    found = find_embeddings([tmp_path / "0.parquet"], IDS[::-1])
    assert found[:, 0].tolist() == [2, 1, 0]
    said = read_metadata(tmp_path / "0.parquet")
    assert (said["teacher"], said["layer"], said["revision"]) == ("evo2_7b", "blocks.28", "2025-02")


def test_one_row_per_token_is_converted_to_token_features_with_their_bases(tmp_path, index):
    import_shard([store(tmp_path / "t.parquet", token=6)], index, "token", tmp_path / "0.parquet")
    rows = Rows([tmp_path / "0.parquet"], "token", IDS)
    start, end, features = rows.of(2, "start", "stop", "features")
    assert (start.tolist(), end.tolist()) == ([0, 6, 12], [6, 12, 18])
    assert features.reshape(3, 3)[:, 0].tolist() == [3, 4, 5]


@pytest.mark.parametrize("representation", ["sequence", "token"])
def test_several_files_are_converted_to_the_requested_number_of_shards(tmp_path, index, representation):
    token = 6 if representation == "token" else None
    parts = [
        store(tmp_path / "1.parquet", IDS[:2], LENGTHS[:2], token),
        store(tmp_path / "2.parquet", ["c"], [18], token),
    ]
    shards = [tmp_path / f"shard{number}.parquet" for number in range(2)]
    for number, shard in enumerate(shards):
        import_shard(parts, index, representation, shard, number, 2)
    assert [pq.read_table(shard)["id"].to_pylist() for shard in shards] == [["a", "b"], ["c"]]


def test_a_file_can_be_described_in_columns(tmp_path):
    path = store(tmp_path / "s.parquet", says={}, model="m", layer=7, revision="r", representation="token")
    assert describe(path) == {"model": "m", "layer": "7", "revision": "r", "representation": "token"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": ["a", "b"], "lengths": [12, 6]}, "no embedding for 'c', sequence 3 of 3"),
        ({"ids": ["a", "c", "b"], "lengths": [12, 18, 6]}, "has 'c' where sequence 2 of the FASTA file is 'b'; sort"),
        ({"ids": ["a", "b", "x"]}, "'x' is not one of the 3 sequences"),
        ({"ids": ["a", "b", "c", "a"], "lengths": [12, 6, 18, 12]}, "has 'a' where .* nothing more"),
        ({"ids": ["a", "a", "b", "c"], "lengths": [12, 12, 6, 18]}, "'a' has 2 rows; expected one per sequence"),
        ({"lengths": [12, 7, 18]}, "'b' has the token 0 to 7; expected offsets within its 6 bases"),
        ({"values": np.full((3, 3), np.nan)}, "embedding of 'a' contains nan"),
        ({"values": np.full((3, 3), 1e6)}, "'a' contains 1000000.0; expected finite numbers of at most 65504"),
        ({"kind": np.int64}, "column 'embedding' is list<.*int64>; expected a list of float16"),
        ({"start": 0.5}, "column 'start' is double; expected whole numbers"),
        ({"says": {**SAYS, "representation": "word"}}, "representation is 'word'; expected one of sequence, token"),
        ({"says": {"model": "m", "representation": "sequence"}}, "does not give the layer"),
        ({"says": {}, "model": ["a", "b", "c"]}, "column 'model' has several values"),
    ],
)
def test_invalid_files_are_refused_with_a_clear_message(tmp_path, index, changes, words):
    with pytest.raises(InputError, match=words):
        import_shard([store(tmp_path / "s.parquet", **changes)], index, "sequence", tmp_path / "0.parquet")
    assert not (tmp_path / "0.parquet").exists()


def test_embeddings_of_two_models_and_of_two_widths_are_refused(tmp_path, index):
    first = store(tmp_path / "1.parquet", IDS[:2], LENGTHS[:2])
    other = store(tmp_path / "2.parquet", ["c"], [18], says={**SAYS, "layer": "blocks.1"})
    with pytest.raises(InputError, match=r"2\.parquet: layer is 'blocks\.1', but .*1\.parquet has 'blocks\.28'"):
        import_shard([first, other], index, "sequence", tmp_path / "0.parquet")
    wide = store(tmp_path / "3.parquet", ["c"], [18], size=4)
    with pytest.raises(InputError, match="the embedding of 'c' has 4 numbers; expected 3"):
        import_shard([first, wide], index, "sequence", tmp_path / "0.parquet")


def test_a_folder_can_contain_both_representations_and_a_missing_one_is_refused(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    with pytest.raises(InputError, match=r"no \.parquet file in this folder"):
        choose_files("teacher.embeddings.corpus", folder, "token")
    store(folder / "s.parquet")
    with pytest.raises(InputError, match=r"teacher\.embeddings\.corpus: .* representation sequence, but .* token"):
        choose_files("teacher.embeddings.corpus", folder, "token")
    store(folder / "t.parquet", token=6)
    assert choose_files("teacher.embeddings.corpus", folder, "token") == [folder / "t.parquet"]


def test_truncated_files_and_files_that_are_not_tables_are_refused(tmp_path, index):
    cut = store(tmp_path / "s.parquet")
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(InputError, match="not a complete Parquet file"):
        describe(cut)
    with pytest.raises(InputError, match="no column 'start'"):
        describe(index)
    with pytest.raises(InputError, match="no such file"):
        describe(tmp_path / "nothing.parquet")


def test_sequences_to_embed_are_listed_in_a_table(tmp_path):
    list_sequences([("corpus", "corpus.fna.gz", "token", "mine/corpus.parquet")], tmp_path / "list.tsv")
    assert pd.read_csv(tmp_path / "list.tsv", sep="\t").to_dict("records") == [
        {
            "set": "corpus",
            "sequences": "corpus.fna.gz",
            "representation": "token",
            "embeddings": "mine/corpus.parquet",
        }
    ]


@pytest.mark.parametrize("representation", ["sequence", "token"])
def test_the_script_in_the_documentation_stores_an_accepted_file(tmp_path, index, representation):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "my-teacher.md").read_text(encoding="utf-8")
    (tmp_path / "embed.py").write_text(re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1])
    with gzip.open(tmp_path / "s.fna.gz", "wt") as fasta:
        fasta.write("".join(f">{name} x\n{'ACG' * (length // 3)}\n" for name, length in zip(IDS, LENGTHS, strict=True)))
    files = [tmp_path / name for name in ("embed.py", "s.fna.gz", "s.parquet")]
    subprocess.run([sys.executable, *files, representation], check=True)
    import_shard([tmp_path / "s.parquet"], index, representation, tmp_path / "0.parquet")
    assert pq.read_table(tmp_path / "0.parquet")["id"].to_pylist() == IDS


@pytest.mark.parametrize("shard", [2, -1])
def test_a_shard_that_does_not_exist_is_refused(tmp_path, index, shard):
    with pytest.raises(InputError, match=f"shard {shard} of 2: expected 0 to 1"):
        import_shard([store(tmp_path / "s.parquet")], index, "sequence", tmp_path / "0.parquet", shard, 2)
