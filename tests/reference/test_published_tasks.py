"""Published task tables, downloaded from a local server."""

import gzip
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import reverse_complement
from genestill.reference.published_tasks import COLUMNS, fetch_task


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def published(tmp_path):
    """The folder that is served and the table of addresses."""
    folder = tmp_path / "published"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    rows = [
        ("nt", "parquet", f"{address}/nt/{{task}}/{{split}}.parquet", "x", "checked"),
        ("gb", "coordinates", f"{address}/gb/{{task}}", "x", "checked"),
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "sources.tsv", sep="\t", index=False)
    yield folder, tmp_path / "sources.tsv", address
    server.shutdown()
    thread.join()
    server.server_close()


def test_tables_of_sequences_are_merged_with_their_split(published, tmp_path):
    folder, sources, _ = published
    (folder / "nt" / "H3").mkdir(parents=True)
    for split, label in (("train", 0), ("test", 1)):
        table = pd.DataFrame({"sequence": ["ACGT", "GGCA"], "name": ["a", "b"], "label": [label, 1]})
        table.to_parquet(folder / "nt" / "H3" / f"{split}.parquet")
    words = [
        "--task",
        "nt/H3",
        "--sources",
        sources,
        "--downloads",
        tmp_path / "kept",
        "--output",
        tmp_path / "t.tsv.gz",
    ]
    assert main(["--quiet", "reference", "published-task", *map(str, words)]) == 0
    table = pd.read_csv(tmp_path / "t.tsv.gz", sep="\t")
    assert table.values.tolist() == [
        ["ACGT", 0, "train"], ["GGCA", 1, "train"], ["ACGT", 1, "test"], ["GGCA", 1, "test"],
    ]  # fmt: skip


def test_sequences_given_by_coordinates_are_extracted_from_the_named_genomes(published, tmp_path):
    folder, sources, address = published
    first, second = ("".join(np.random.default_rng(seed).choice(list("acgt"), 90)) for seed in (1, 2))
    (folder / "genome.fa.gz").write_bytes(gzip.compress(f">1 dna\n{first}\n>T7.3\n{second}\n>unread\nAC\n".encode()))
    place = folder / "gb" / "promoters"
    classes = "".join(f"  {name}:\n    url: {address}/genome.fa.gz\n" for name in ("positive", "negative"))
    rows = {"positive": "a,chr1,0,10,+\nb,T7,20,50,-\n", "negative": "c,chr1,80,90,+\n"}
    for split in ("train", "test"):
        (place / split).mkdir(parents=True)
        for name, text in rows.items():
            file = place / split / f"{name}.csv.gz"
            file.write_bytes(gzip.compress(f"id,region,start,end,strand\n{text}".encode()))
    (place / "metadata.yaml").write_text(f"classes:\n{classes}version: 0\n")
    fetch_task("gb/promoters", sources, tmp_path / "kept", tmp_path / "t.tsv")
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t")
    one = [first[:10].upper(), reverse_complement(second[20:50].upper()), first[80:].upper()]
    assert table.groupby("split")["sequence"].agg(list).to_dict() == {"train": one, "test": one}
    assert table["label"].tolist() == [*4 * ["positive"], *2 * ["negative"]]
    (place / "test" / "negative.csv.gz").write_bytes(gzip.compress(b"id,region,start,end,strand\nc,chr2,0,9,+\n"))
    with pytest.raises(InputError, match="'chr2' is not a record of"):
        fetch_task("gb/promoters", sources, tmp_path / "again", tmp_path / "t.tsv")
    (place / "test" / "negative.csv.gz").write_bytes(gzip.compress(b"id,region,start,end,strand\nc,chr1,80,99,+\n"))
    with pytest.raises(InputError, match="chr1:80-99 is beyond the end"):
        fetch_task("gb/promoters", sources, tmp_path / "once more", tmp_path / "t.tsv")
    with pytest.raises(InputError, match="no address of the benchmark gue"):
        fetch_task("gue/mouse_0", sources, tmp_path / "kept", tmp_path / "t.tsv")
