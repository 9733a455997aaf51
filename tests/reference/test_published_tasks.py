"""Published task tables, downloaded from a local server."""

import gzip
import hashlib

import numpy as np
import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import reverse_complement
from genestill.reference.published_tasks import COLUMNS, fetch_task
from genestill.reference.sources import COLUMNS as FILE_COLUMNS
from genestill.reference.sources import read_sources
from local_server import serve
from snakemake_process import ROOT


def listed(benchmark, task, role, name, content, address):
    """A line of the table of files."""
    checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return "\t".join([benchmark, task, role, f"{address}/{name}", checksum, "", "", "", "", "checked", ""]) + "\n"


def publish(folder, tables, address, files):
    """Serve CSV files, and add them to the table of files: (benchmark, task, role) -> text."""
    for number, (key, text) in enumerate(files.items()):
        (folder / f"{number}.csv").write_text(text)
        with open(tables[1], "a", encoding="utf-8") as handle:
            handle.write(listed(*key, f"{number}.csv", text.encode(), address))


@pytest.fixture
def published(tmp_path):
    """The folder that is served, the tables of addresses, files and rows, and the address."""
    folder = tmp_path / "published"
    with serve(folder) as address:
        rows = [
            ("nt", "parquet", f"{address}/nt/{{task}}/{{split}}.parquet", "x", "checked"),
            ("gb", "coordinates", f"{address}/gb/{{task}}", "x", "checked"),
        ]
        pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "sources.tsv", sep="\t", index=False)
        (tmp_path / "files.tsv").write_text(
            "\t".join(FILE_COLUMNS) + "\n" + listed("other", "task", "test", "x", b"", address)
        )
        (tmp_path / "rows.tsv").write_text("task\trow\tsplit\n")
        yield folder, [tmp_path / f"{name}.tsv" for name in ("sources", "files", "rows")], address


def test_tables_of_sequences_are_merged_with_their_split(published, tmp_path):
    folder, tables, _ = published
    (folder / "nt" / "H3").mkdir(parents=True)
    for split, label in (("train", 0), ("test", 1)):
        table = pd.DataFrame({"sequence": ["ACGT", "GGCA"], "name": ["a", "b"], "label": [label, 1]})
        table.to_parquet(folder / "nt" / "H3" / f"{split}.parquet")
    words = [
        "--task",
        "nt/H3",
        "--sources",
        tables[0],
        "--files",
        tables[1],
        "--rows",
        tables[2],
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
    folder, tables, address = published
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
    fetch_task("gb/promoters", *tables, tmp_path / "kept", tmp_path / "t.tsv")
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t")
    one = [first[:10].upper(), reverse_complement(second[20:50].upper()), first[80:].upper()]
    assert table.groupby("split")["sequence"].agg(list).to_dict() == {"train": one, "test": one}
    assert table["label"].tolist() == [*4 * ["positive"], *2 * ["negative"]]
    (place / "test" / "negative.csv.gz").write_bytes(gzip.compress(b"id,region,start,end,strand\nc,chr2,0,9,+\n"))
    with pytest.raises(InputError, match="'chr2' is not a record of"):
        fetch_task("gb/promoters", *tables, tmp_path / "again", tmp_path / "t.tsv")
    (place / "test" / "negative.csv.gz").write_bytes(gzip.compress(b"id,region,start,end,strand\nc,chr1,80,99,+\n"))
    with pytest.raises(InputError, match="chr1:80-99 is beyond the end"):
        fetch_task("gb/promoters", *tables, tmp_path / "once more", tmp_path / "t.tsv")
    with pytest.raises(InputError, match="gue/mouse_0: no address"):
        fetch_task("gue/mouse_0", *tables, tmp_path / "kept", tmp_path / "t.tsv")


def test_tasks_are_read_from_files_that_are_listed_one_by_one(published, tmp_path):
    folder, tables, address = published
    texts = {split: f"sequence,label\nACGT,{number}\n" for number, split in enumerate(("test", "validation", "train"))}
    publish(folder, tables, address, {("gue", "tf_0", split): text for split, text in texts.items()})
    fetch_task("gue/tf_0", *tables, tmp_path / "kept", tmp_path / "t.tsv")
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t")
    assert table.values.tolist() == [["ACGT", 2, "train"], ["ACGT", 1, "validation"], ["ACGT", 0, "test"]]
    (folder / "0.csv").write_text(texts["test"].replace("0", "1"))
    with pytest.raises(InputError, match="sha256"):
        fetch_task("gue/tf_0", *tables, tmp_path / "again", tmp_path / "t.tsv")


def test_the_rows_of_a_file_without_splits_come_in_the_published_order(published, tmp_path):
    folder, tables, address = published
    text = "Class, Donor, Sequence\nEI, a,   ACGT\nN,  b,   GGNA\nIE, c,   TTTT\n"
    publish(folder, tables, address, {("uci", "splice", "table"): text})
    with open(tables[2], "a", encoding="utf-8") as handle:
        handle.write("uci/splice\t3\ttest\nuci/other\t9\ttest\nuci/splice\t2\ttrain\n")
    fetch_task("uci/splice", *tables, tmp_path / "kept", tmp_path / "t.tsv")
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t")
    assert table.values.tolist() == [["TTTT", "IE", "test"], ["GGNA", "N", "train"]]
    with open(tables[2], "a", encoding="utf-8") as handle:
        handle.write("uci/splice\t4\ttrain\n")
    with pytest.raises(InputError, match="expected numbers from 1 to 3"):
        fetch_task("uci/splice", *tables, tmp_path / "kept", tmp_path / "t.tsv")


def test_the_published_files_are_complete_and_have_rows_where_they_have_no_splits():
    found: dict[tuple, set] = {}
    for source in read_sources(ROOT / "resources" / "sequence_task_files.tsv"):
        assert source.checksum, source
        assert source.size, source
        found.setdefault((source.dataset, source.sample), set()).add(source.role)
    rows = pd.read_csv(ROOT / "resources" / "sequence_task_rows.tsv.gz", sep="\t")
    for (benchmark, task), roles in found.items():
        assert roles in ({"train", "validation", "test"}, {"table"}), task
        assert (f"{benchmark}/{task}" in set(rows["task"])) == (roles == {"table"}), task
    assert not rows.duplicated(["task", "row"]).any()
    assert set(rows["split"]) == {"train", "test"}
