"""Hits are read as columns, in blocks of contigs."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.hit_tables import Hits, read_hits, read_taxids
from genestill.core.table_schemas import HITS


def write_hits(path, names):
    rows = np.arange(len(names))
    table = pd.DataFrame(
        {
            "id": names,
            "fragment": rows.astype(np.int32),
            "fragment_length": np.int32(9),
            "target_taxid": rows % 7,
            "identity": np.float32(0.5),
            "bits": rows.astype(np.float32),
            "alignment_length": np.int32(8),
        }
    )
    pq.write_table(pa.Table.from_pandas(table, schema=HITS, preserve_index=False), path)


@settings(max_examples=25)
@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=8), rows=st.integers(1, 12))
def test_blocks_of_hits_contain_whole_contigs_and_together_every_row(tmp_path_factory, counts, rows):
    path = tmp_path_factory.mktemp("hits") / "hits.parquet"
    contigs = np.repeat(np.arange(len(counts)), counts)
    write_hits(path, [f"c{contig}" for contig in contigs])
    blocks = list(read_hits(path, [f"c{contig}" for contig in range(len(counts))], rows))
    assert sum(map(len, blocks)) == len(contigs)
    if blocks:
        whole = Hits.concatenate(blocks)
        assert whole.contig.tolist() == contigs.tolist()
        assert whole.bits.tolist() == list(range(len(contigs)))
    seen = [contig for block in blocks for contig in set(block.contig.tolist())]
    assert len(seen) == len(set(seen))
    assert read_taxids(path).tolist() == sorted({row % 7 for row in range(len(contigs))})


def test_hits_of_contigs_that_are_not_in_the_index_have_no_row(tmp_path):
    write_hits(tmp_path / "hits.parquet", ["a", "b", "c"])
    found = Hits.concatenate(list(read_hits(tmp_path / "hits.parquet", ["c", "a"])))
    assert found.contig.tolist() == [1, -1, 0]


def test_a_table_that_does_not_contain_hits_is_refused(tmp_path):
    (tmp_path / "hits.parquet").write_text("id\n")
    with pytest.raises(InputError, match="not a complete Parquet file"):
        list(read_hits(tmp_path / "hits.parquet", ["a"]))
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "hits.parquet")
    with pytest.raises(InputError, match="no column 'fragment'"):
        read_taxids(tmp_path / "hits.parquet")
