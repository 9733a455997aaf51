"""Every parser is given damaged files: it reports the problem as an InputError, never as another exception.

A file of the right form is damaged at random: bytes and cells replaced, cut, doubled, moved. ``GENESTILL_FUZZ=2000``
tests that many files per parser; the default keeps the fast suite fast.
"""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genestill.core import table_schemas
from genestill.core.configuration import complete_configuration, read_yaml
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.label_tables import read_label_table
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import parse_lineage
from genestill.core.reproduction import differences, read_record
from genestill.core.sequences import read_fasta, write_fasta
from genestill.core.shards import load_embeddings
from genestill.core.soft_labels import read_soft_labels, write_soft_labels
from genestill.core.tables import read_metadata, read_table, write_table
from genestill.core.taxonomy_folder import read_lineages
from genestill.core.text import read_text_lines

FUZZ = int(os.environ.get("GENESTILL_FUZZ", "25"))
ROOT = Path(__file__).parents[2]
LINEAGE = "d__B;p__P;c__C;o__O;f__F;g__G;s__"
LINEAGES = [parse_lineage(f"{LINEAGE}{name}") for name in ("one", "two")]
PLAIN = "B;P;C;O;F;G;"

# What real files contain where a number or a name is expected.
CELLS = [
    "", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1", "0", "1", "2", "3", "1.5", "0x10", "1_000", "9" * 30, "²", "٣",
    "None", "null", "true", "[]", "{}", "[1]", '{"a":1}', '"', "'", "''", "\\", ";", ";;", "d__", "s__;d__", "root",
    "#", "@", ">", "|", "\t|\t", "\t", "\n", "\r", "\r\n", "\0", "\f", "\x1c", "\u2028", "\ufeff", "é", "😀", "..", "/",
    "../..", "*", "a" * 300, "- 1", "+1", "1e400", "1;2", "1,2,", "train", "test",
]  # fmt: skip


@st.composite
def damage(draw, content: bytes):
    """``content`` after one to four damages."""
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["cell", "cell", "cell", "bytes", "cut", "remove", "double", "line", "flip"]))
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 30)))
        if kind == "cell":
            # Between two separators: whole cells are replaced, so that the row around them stays one.
            ends = [at for at, byte in enumerate(content) if byte in b'\t\n;,: |"=']
            edges = [-1, *ends, len(content)]
            place = draw(st.integers(0, len(edges) - 2))
            cell = draw(st.sampled_from(CELLS) | st.text(max_size=4)).encode("utf-8", "surrogatepass")
            content = content[: edges[place] + 1] + cell + content[edges[place + 1] :]
        elif kind == "bytes":
            content = content[:start] + draw(st.binary(max_size=8)) + content[stop:]
        elif kind == "cut":
            content = content[:start]
        elif kind == "remove":
            content = content[:start] + content[stop:]
        elif kind == "double":
            content = content[:stop] + content[start:]
        elif kind == "flip" and start < len(content):
            flipped = content[start] ^ 1 << draw(st.integers(0, 7))
            content = content[:start] + bytes([flipped]) + content[start + 1 :]
        elif kind == "line":
            lines = content.split(b"\n")
            moved = lines.pop(draw(st.integers(0, len(lines) - 1)))
            lines.insert(draw(st.integers(0, len(lines))), moved)
            content = b"\n".join(lines)
    return content


def labels_of(form: str):
    """Reads a table of labels with its format detected, and with its format given."""
    return lambda path: [read_label_table(path, given) for given in ("auto", form)]


def lazily(module: str, name: str):
    """A function of a module that is imported when it is first called."""

    def call(*arguments):
        import importlib

        return getattr(importlib.import_module(module), name)(*arguments)

    return call


def parquet(schema: pa.Schema, columns: dict, metadata: dict | None = None):
    """Bytes of a table."""

    def write(path: Path) -> bytes:
        write_table(path, pa.table(columns, schema=schema), schema, metadata)
        return path.read_bytes()

    return write


def of_folder(read):
    """A reader of folders, given the path of a file in one."""
    return lambda path: read(path.parent)


def task(path: Path) -> None:
    from genestill.reference.transcript_commands import _columns
    from genestill.reference.transcripts import read_rows, transcripts_of_table

    columns, header, _ = _columns("sequence=seq,id=id,cds_start=start,cds_end=end,exon_sizes=exons")
    transcripts_of_table(path, read_rows(path, header), columns)


def sources_bytes() -> bytes:
    lines = (ROOT / "resources" / "cami2.tsv").read_text().splitlines(keepends=True)
    return "".join([line for line in lines if not line.startswith("#")][:5]).encode()


def truth(path: Path) -> None:
    from genestill.reference.contigs import read_truth

    read_truth(path, ["a", "b"], {"a": 9, "b": 9})


def tree_bytes(path: Path) -> bytes:
    LabelTree.from_lineages(LINEAGES, other_children=True).save(path)
    return path.read_bytes()


def soft_bytes(path: Path) -> bytes:
    tree = LabelTree.from_lineages(LINEAGES)
    write_soft_labels(path, ["a", "b"], [np.array([[0.5, 0.5], [1, 0]], dtype=np.float32)], tree, {})
    return path.read_bytes()


def fasta_bytes(path: Path) -> bytes:
    write_fasta(path, [("a", "ACGTN" * 30), ("b", "acgu" * 10)])
    return path.read_bytes()


def corrector(folder: Path) -> None:
    from genestill.student.corrector.network import Corrector, CorrectorConfig

    Corrector(CorrectorConfig({"composition": 4}, 2, 3, 1), LabelTree.from_lineages(LINEAGES)).save_pretrained(folder)


def open_corrector(folder: Path) -> None:
    from genestill.student.corrector.network import Corrector

    Corrector.from_pretrained(folder)


def encoder(folder: Path) -> None:
    from genestill.student.encoders import EncoderConfig, EncoderModel

    shape = {"backbone": "transformer", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    EncoderModel(EncoderConfig(**shape)).save_pretrained(folder)


def teacher(folder: Path) -> None:
    from genestill.core.tokenization import KmerTokenizer
    from genestill.teacher.architectures.architecture import find_architecture
    from genestill.teacher.settings import PretrainingSettings

    tokenizer = KmerTokenizer.of_size(2, 16)
    settings = PretrainingSettings("nucleotide-transformer", 8, 1, 2, context=16)
    find_architecture(settings.architecture).build(settings, tokenizer).save_pretrained(folder)
    tokenizer.save(folder)


def taxdump(folder: Path) -> None:
    texts = {
        "nodes.dmp": "1\t|\t1\t|\tno rank\t|\n2\t|\t1\t|\tdomain\t|\n3\t|\t2\t|\tphylum\t|\n",
        "names.dmp": "".join(f"{number}\t|\t{name}\t|\t\t|\tscientific name\t|\n" for number, name in
                             ((1, "root"), (2, "Bacteria"), (3, "Bacillota"))),
        "merged.dmp": "4\t|\t3\t|\n5\t|\t4\t|\n",
        "delnodes.dmp": "6\t|\n",
        "lineages.tsv": "taxid\tlineage\n2\td__Bacteria\n3\td__Bacteria;p__Bacillota\n",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)


def read_whole_dump(folder: Path) -> None:
    from genestill.reference.taxdump import read_taxdump

    dump = read_taxdump(folder)
    for taxid in (2, 3, 4, 5, 6):
        if dump.current(taxid) is not None:
            dump.lineage(dump.current(taxid))


RECORD = {
    "genestill": "1", "source": "1", "python": "3", "libraries": {"numpy": "1"}, "command": ["genestill", "student"],
    "settings": {}, "inputs": {"labels": {"path": "x", "sha256": "1"}}, "hardware": {"machine": "x", "cores": 2},
    "outputs": {"output": {"path": "a", "content": "b"}},
}  # fmt: skip
SHARD = {
    "id": ["a", "b"], "embedding": [[1.0, 2.0], [3.0, 4.0]], "tokens": [1, 2], "truncated": [False, True],
}  # fmt: skip
INDEX = {"id": ["a", "b"], "length": [5, 6], "gc": [0.5, None], "sample": [None, "S1"], "checksum": ["0", "1"]}
GFF = "".join(
    f"chr\t.\t{part}\t{start}\t{stop}\t.\t+\t{phase}\t{attributes}\n"
    for part, start, stop, phase, attributes in (
        ("mRNA", 1, 90, ".", "ID=t;Parent=g"), ("exon", 1, 90, ".", "Parent=t"), ("CDS", 4, 60, 0, "Parent=t"),
    )
)  # fmt: skip
TASKS = "sequence\tlabel\tsplit\n" + "".join(
    f"ACGTACGT\t{row % 2}\t{'train' if row < 24 else 'test'}\n" for row in range(30)
)

# name -> (file name, its content or what writes it, reader of the path)
FILES = {
    "fasta": ("a.fna", b">a b\nACGTN\nACGT\n>b\nacgu\n", lambda path: list(read_fasta(path))),
    "fasta, gzipped": ("a.fna.gz", fasta_bytes, lambda path: list(read_fasta(path))),
    "lines": ("a.txt.gz", gzip.compress(b"a\tb\nc\td\n"), read_text_lines),
    "gff3": ("a.gff3", GFF.encode(), lazily("genestill.reference.annotation", "read_annotation")),
    "gtf": (
        "a.gtf",
        b'chr\t.\texon\t1\t90\t.\t+\t.\tgene_id "g"; transcript_id "t";\n'
        b'chr\t.\tCDS\t4\t60\t.\t+\t0\tgene_id "g"; transcript_id "t";\n',
        lazily("genestill.reference.annotation", "read_annotation"),
    ),
    "bed": (
        "a.bed",
        b"chr\t0\t90\tt\t0\t+\t3\t60\t0\t2\t40,40,\t0,50,\n",
        lazily("genestill.reference.annotation", "read_annotation"),
    ),
    "mmseqs2": (
        "a.tsv",
        f"a\t9\tspecies\tone\t3\t3\t2\t0.9\t{LINEAGE}one\nb\t0\tno rank\tunclassified\t0\t0\t0\t0\t\n".encode(),
        labels_of("mmseqs2"),
    ),
    "kraken2": (
        "a.tsv",
        b"C\ta\tone (taxid 9)\t100\t9:4 0:2\nU\tb\t0\t90\t0:9\nC\tc\t5\t9\t5:9\n",
        labels_of("kraken2"),
    ),
    "centrifuge": (
        "a.tsv",
        b"readID\tseqID\ttaxID\tscore\t2ndBestScore\thitLength\tqueryLength\tnumMatches\na\tx\t9\t1\t0\t15\t80\t1\n",
        labels_of("centrifuge"),
    ),
    "taxometer": (
        "a.tsv",
        f"contigs\tpredictions\tscores\na\t{PLAIN}one\t1;1;1;1;0.9;0.8;0.5\nb\tB;P\t1;0.7\n".encode(),
        labels_of("taxometer"),
    ),
    "kaiju": (
        "a.tsv",
        b"C\ta\t9\t31\t9,\tWP_1,\tMKV,\tone\nU\tb\t0\n",
        labels_of("kaiju"),
    ),
    "CAT": (
        "a.tsv",
        b"# contig\tclassification\treason\tlineage\tlineage scores\tfull lineage names\n"
        b"a\ttaxid assigned\tbased on 1/1 ORFs\t1;2;9*\t1;1;0.5\troot (no rank): 1\tB (phylum): 1\n"
        b"b\tno taxid assigned\tno ORFs found\n",
        labels_of("cat"),
    ),
    "diamond": (
        "a.tsv",
        b"a\t9\t1e-9\nb\t0\t0\n",
        labels_of("diamond"),
    ),
    "MEGAN": (
        "a.csv",
        b'a,"[D] Bacteria; [P] P;"\nb,one\nc,9\n',
        labels_of("megan"),
    ),
    "CAMI": (
        "a.binning",
        b"@Version:0.9.1\n@SampleID:x\n@@SEQUENCEID\tTAXID\t_LENGTH\na\t9\t30\nb\t5.1\t3\n",
        labels_of("cami"),
    ),
    "metabuli": (
        "a.tsv",
        b"1\ta\t9\t100\t0.5\tspecies\t9:4\n0\tb\t0\t90\t0\tno rank\t\n",
        labels_of("metabuli"),
    ),
    "taxometer as a peer": (
        "a.tsv",
        f"contigs\tpredictions\tscores\na\t{PLAIN}one\t1;1;1;1;0.9;0.8;0.5\nb\tB;P\t1;0.7\n".encode(),
        lambda path: lazily("genestill.evaluation.peers", "import_predictions")(
            path, "auto", path.parent / "index.parquet", None, 0.5, path.parent / "out.parquet"
        ),
    ),
    "abundance": (
        "a.tsv",
        b"contigname\ts1\ts2\na\t1.5\t0\nb\t2\t1e3\n",
        lazily("genestill.reference.coverage_tables", "read_abundance_table"),
    ),
    "gold standard, CAMISIM": (
        "a.tsv",
        b"#anonymous_contig_id\tgenome_id\ttax_id\tcontig_id\tnumber_reads\na\tG\t2.1\tx\t3\nb\tH\t9\ty\t3\n",
        lambda path: list(lazily("genestill.reference.gold_standard", "read_mapping")(path)),
    ),
    "gold standard, bioboxes": (
        "a.binning",
        b"@Version:0.9.1\n@SampleID:x\n@@SEQUENCEID\tBINID\tTAXID\t_LENGTH\na\tG\t2\t30\n@SampleID:y\n",
        lambda path: list(lazily("genestill.reference.gold_standard", "read_mapping")(path)),
    ),
    "truth": ("a.tsv", f"contig\tlineage\tgenome\tlength\tstatus\na\t{LINEAGE}one\tG\t9\texact\n".encode(), truth),
    "genomes": (
        "a.tsv",
        f"file\tlineage\ttaxid\na.tsv\t{LINEAGE}one\t5\n".encode(),
        lazily("genestill.reference.genomes", "read_genomes"),
    ),
    "genomes of a teacher": (
        "a.tsv",
        b"file\tlineage\na.fna\tx\nb.fna\ty\n",
        lambda path: lazily("genestill.teacher.genomes", "genome_files")([path]),
    ),
    "label tree": ("tree.tsv", tree_bytes, LabelTree.load),
    "soft labels": (
        "a.parquet",
        soft_bytes,
        lambda path: read_soft_labels(path, ["a", "b"], LabelTree.from_lineages(LINEAGES)),
    ),
    "shard of embeddings": (
        "a.parquet",
        parquet(table_schemas.embeddings(2), SHARD, {"teacher": "t"}),
        lambda path: load_embeddings([path], ["a", "b"]),
    ),
    "index": (
        "a.parquet",
        parquet(table_schemas.INDEX, INDEX, {"a": "b"}),
        lambda path: (read_table(path, table_schemas.INDEX), read_metadata(path)),
    ),
    "task table": ("a.tsv", TASKS.encode(), lazily("genestill.student.dna.tasks", "read_task")),
    "task table, compressed": (
        "a.tsv.gz",
        gzip.compress(TASKS.encode()),
        lazily("genestill.core.task_tables", "read_task_table"),
    ),
    "catalogue": (
        "a.tsv",
        (ROOT / "resources" / "sequence_tasks.tsv").read_bytes()[:600].rpartition(b"\n")[0] + b"\n",
        lazily("genestill.evaluation.sequence_tasks.tables", "read_catalogue"),
    ),
    "published": (
        "a.tsv",
        (ROOT / "resources" / "published" / "genomic_benchmarks.tsv").read_bytes()[:900].rpartition(b"\n")[0] + b"\n",
        lambda path: lazily("genestill.evaluation.sequence_tasks.tables", "read_published")([path]),
    ),
    "probe task": ("a.tsv", b"id\tseq\tstart\tend\texons\nt\tACGTACGTA\t0\t9\t4,5\nu\tACGTAC\t3\t6\t6\n", task),
    "alignments": (
        "a.tsv",
        None,
        lambda path: list(lazily("genestill.labels.hits", "read_alignments")(path)),
    ),
    "report": (
        "a.txt",
        b"100\t3\t0\tno rank\t1\troot\n100\t3\t0\tdomain\t2\t  Bacteria\n50\t1\t1\tphylum\t3\t    Bacillota\n",
        lambda path: lazily("genestill.reference.taxdump", "read_report")(read_text_lines(path), str(path)),
    ),
    "sources": (
        "a.tsv",
        sources_bytes(),
        lazily("genestill.reference.sources", "read_sources"),
    ),
    "teachers": (
        "a.yaml",
        (ROOT / "resources" / "teachers.yaml").read_bytes()[:1500],
        lazily("genestill.teacher.registry", "read_registry"),
    ),
    "yaml": ("a.yaml", b"recipe: taxdistill\nseed: 1\ndataset: {name: a}\n", read_yaml),
    "configuration": (
        "a.yaml",
        (ROOT / "config" / "test.yaml").read_bytes(),
        lambda path: complete_configuration(
            read_yaml(path), ROOT / "config" / "recipes", ROOT / "workflow" / "schemas"
        ),
    ),
    "json": ("a.json", b'{"a": [1, 2, {"b": null}]}', read_json),
    "record": ("a.json", json.dumps(RECORD).encode(), lambda path: differences(read_record(path))),
}  # fmt: skip

# name -> (what fills a folder, the files in it to damage, reader of the folder)
FOLDERS = {
    "taxonomy dump": (taxdump, ["nodes.dmp", "names.dmp", "merged.dmp", "delnodes.dmp"], read_whole_dump),
    "lineages": (taxdump, ["lineages.tsv"], read_lineages),
    "taxids": (
        taxdump,
        ["lineages.tsv", "nodes.dmp"],
        lambda folder: lazily("genestill.student.corrector.taxids", "Taxids")({}).read(folder),
    ),
    "taxonomy of labels": (
        taxdump,
        ["lineages.tsv", "merged.dmp", "delnodes.dmp"],
        lazily("genestill.core.taxonomy", "read_taxonomy"),
    ),
    "corrector": (
        corrector,
        ["config.json", "label_tree.tsv", "model.safetensors"],
        open_corrector,
    ),
    "encoder": (
        encoder,
        ["config.json", "model.safetensors"],
        lazily("genestill.student.encoders.embedding", "open_student"),
    ),
    "teacher": (
        teacher,
        ["config.json", "tokenizer_config.json", "vocab.txt"],
        lazily("genestill.teacher.loading", "load_teacher"),
    ),
}

FEW = {"corrector", "encoder", "teacher"}  # models are built: more expensive than tables


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """Content of the undamaged file of every parser."""
    folder = tmp_path_factory.mktemp("whole")
    found = {}
    for name, (file, content, _) in FILES.items():
        if name == "alignments":
            content = alignments_bytes()
        found[name] = content(folder / file) if callable(content) else content
    return found


def alignments_bytes() -> bytes:
    from genestill.labels.hits import _COLUMNS

    values = {"flag": "0", "place": "308+371"}
    cells = [values.get(name, "x" if kind == "str" else "1") for name, kind in _COLUMNS.items()]
    return ("\t".join(cells) + "\n").encode() * 2


def attempt(read, path: Path) -> None:
    try:
        read(path)
    except InputError as error:
        told = str(error)
        assert told, "a sentence"


def prepare(folder: Path) -> None:
    write_table(folder / "index.parquet", pd.DataFrame(INDEX), table_schemas.INDEX)


def try_damaged(data, read, path: Path, content: bytes) -> None:
    path.write_bytes(data.draw(damage(content)))
    attempt(read, path)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_with_a_clear_message(name, wholes, tmp_path):
    file, _, read = FILES[name]
    prepare(tmp_path)
    path = tmp_path / file
    path.write_bytes(wholes[name])
    read(path)

    @settings(max_examples=FUZZ, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def fuzz(data):
        try_damaged(data, read, path, wholes[name])

    fuzz()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_damaged_folder_is_refused_with_a_clear_message(name, tmp_path):
    fill, files, read = FOLDERS[name]
    fill(tmp_path)
    read(tmp_path)
    whole = {file: (tmp_path / file).read_bytes() for file in files if (tmp_path / file).is_file()}

    @settings(max_examples=FUZZ // 2 if name in FEW else FUZZ, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def fuzz(data):
        file = data.draw(st.sampled_from(sorted(whole)))
        try_damaged(data, lambda _: read(tmp_path), tmp_path / file, whole[file])
        (tmp_path / file).write_bytes(whole[file])

    fuzz()


@settings(max_examples=FUZZ, deadline=None)
@given(
    st.lists(st.sampled_from([*CELLS, "d__Bacteria", "p_x", "-_x", "k__Y", "g__", "Bacillus"]), max_size=9), st.text()
)
def test_a_lineage_of_arbitrary_words_is_parsed_or_refused_with_a_clear_message(words, text):
    for line in (";".join(words), text):
        try:
            assert len(parse_lineage(line)) == 7
        except InputError as error:
            told = str(error)
            assert told
