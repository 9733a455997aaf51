"""Depths from alignments: which bases count, CRAM without its reference, and files that give no depth."""

import os
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import write_fasta
from genestill.reference.alignments import read_alignment_depths
from genestill.reference.coverage_tables import read_abundance_table

pysam = pytest.importorskip("pysam")
LENGTHS = {"c1": 100, "c2": 50}
rng = np.random.default_rng(1)
CONTIGS = {name: "".join(rng.choice(list("ACGT"), length)) for name, length in LENGTHS.items()}
PRIMARY, UNMAPPED, SECONDARY, DUPLICATE, FAILED, SUPPLEMENTARY = 0, 4, 256, 1024, 512, 2048


def write(path, reads, contigs=LENGTHS, mode="wb", reference=None):
    """Write (flag, contig, start, CIGAR) as alignments; bases are those of CONTIGS if available."""
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": name, "LN": length} for name, length in contigs.items()]}
    with pysam.AlignmentFile(str(path), mode, header=header, reference_filename=reference) as out:
        for number, (flag, contig, start, cigar) in enumerate(reads):
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.flag = f"r{number}", flag
            if cigar:
                read.reference_id, read.reference_start, read.cigarstring = list(contigs).index(contig), start, cigar
                length = read.infer_query_length()
                read.query_sequence = (CONTIGS.get(contig, "")[start:] + "A" * length)[:length]
            else:
                read.query_sequence = "ACGT"
            out.write(read)
    return path


@pytest.fixture
def fasta(tmp_path):
    write_fasta(tmp_path / "mine.fna", CONTIGS.items())
    return tmp_path / "mine.fna"


def refused(path, lengths=LENGTHS, contigs=None):
    with pytest.raises(InputError) as caught:
        read_alignment_depths([path], lengths, contigs)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_missing_pysam_is_reported_with_a_clear_message(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pysam", None)
    with pytest.raises(InputError, match=r"genestill\[bam\]"):
        read_alignment_depths([tmp_path / "a.bam"], LENGTHS)


@pytest.mark.parametrize(("name", "mode"), [("a.bam", "wb"), ("a.sorted.bam", "wb"), ("a.sam", "w")])
def test_depth_is_the_aligned_bases_of_primary_alignments_divided_by_contig_length(tmp_path, name, mode):
    reads = [(PRIMARY, "c1", 0, "50M"), (16, "c1", 30, "10S20M5I20M"), (PRIMARY, "c2", 5, "10=1X4D9=")]
    others = [
        (SECONDARY, "c1", 0, "50M"),
        (DUPLICATE, "c1", 0, "50M"),
        (FAILED, "c1", 0, "50M"),
        (UNMAPPED, "", 0, None),
    ]
    path = write(tmp_path / name, [*reads, *others, (SUPPLEMENTARY, "c2", 0, "20M")], mode=mode)
    table = read_alignment_depths([path], LENGTHS)
    assert table["a"].to_dict() == {"c1": pytest.approx(0.9), "c2": pytest.approx(20 / 50)}


operations = st.lists(st.tuples(st.sampled_from("MIDNX="), st.integers(1, 9)), max_size=4)
read = st.builds(
    lambda contig, start, flag, middle, clip: (
        flag, contig, start, "".join(["3S" if clip else "", "5M", *(f"{n}{what}" for what, n in middle), "5M"])
    ),
    st.sampled_from(["c1", "c2"]), st.integers(0, 5), st.sampled_from([0, 16, SECONDARY, DUPLICATE, SUPPLEMENTARY]),
    operations, st.booleans(),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(reads=st.lists(read, max_size=8))
def test_a_cram_without_its_reference_gives_the_depths_of_its_bam(tmp_path_factory, reads):
    folder = tmp_path_factory.mktemp("cram")
    reads = sorted([(PRIMARY, "c1", 0, "10M"), *reads], key=lambda read: (read[1], read[2]))
    write_fasta(folder / "elsewhere.fna", CONTIGS.items())
    write(folder / "a.bam", reads)
    write(folder / "a.cram", reads, mode="wc", reference=str(folder / "elsewhere.fna"))
    for file in folder.glob("elsewhere.fna*"):
        file.unlink()
    tables = [read_alignment_depths([folder / f"a.{kind}"], LENGTHS) for kind in ("bam", "cram")]
    assert tables[0].equals(tables[1])


def test_a_cram_of_contigs_with_other_bases_is_refused(tmp_path, fasta):
    path = write(tmp_path / "a.cram", [(PRIMARY, "c1", 0, "10M")], mode="wc", reference=str(fasta))
    assert read_alignment_depths([path], LENGTHS, fasta)["a"].tolist() == pytest.approx([0.1, 0])
    write_fasta(tmp_path / "lower.fna.gz", [(name, sequence.lower()) for name, sequence in CONTIGS.items()])
    read_alignment_depths([path], LENGTHS, tmp_path / "lower.fna.gz")
    write_fasta(tmp_path / "other.fna", [(name, sequence[::-1]) for name, sequence in CONTIGS.items()])
    assert "differs in bases from the FASTA file" in refused(path, contigs=tmp_path / "other.fna")


def test_cram_reference_is_never_looked_up_elsewhere(tmp_path, fasta, monkeypatch):
    """Neither from REF_PATH, which may be an address, nor at the place in the header."""
    seen = []
    monkeypatch.setenv("REF_PATH", "http://127.0.0.1:9/%s")
    path = write(tmp_path / "a.cram", [(PRIMARY, "c1", 0, "10M")], mode="wc", reference=str(fasta))
    fasta.unlink()
    monkeypatch.setattr(pysam, "quickcheck", lambda path: seen.append(os.environ["REF_PATH"]))
    read_alignment_depths([path], LENGTHS)
    assert seen == ["/dev/null"]
    assert os.environ["REF_PATH"] == "http://127.0.0.1:9/%s"


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        ([], "(reads: none)"),
        ([(UNMAPPED, "", 0, None)] * 3, "(reads: 3 unmapped)"),
        ([(SECONDARY, "c1", 0, "10M"), (SUPPLEMENTARY, "c1", 0, "10M")], "(reads: 2 secondary or supplementary)"),
        ([(DUPLICATE, "c1", 0, "10M"), (FAILED, "c1", 0, "10M")], "(reads: 2 duplicate or failed)"),
    ],
)
def test_reads_without_a_primary_alignment_are_refused_instead_of_giving_zeros(tmp_path, reads, words):
    message = refused(write(tmp_path / "a.bam", reads))
    assert "no read has a primary alignment to a contig" in message
    assert words in message


def test_alignments_to_other_contigs_are_refused(tmp_path):
    path = write(tmp_path / "a.bam", [(PRIMARY, "c1", 0, "50M")])
    assert "the contig 'c1' has 100 bp; 99 bp in the FASTA" in refused(path, {"c1": 99})
    assert "none of its 2 contigs (first: 'c1')" in refused(path, {"x": 99})
    assert "no read has a primary alignment" in refused(path, {"c2": 50})
    assert "header lists no contigs" in refused(write(tmp_path / "b.bam", [(UNMAPPED, "", 0, None)], contigs={}))


def test_ids_in_a_header_end_at_the_first_whitespace(tmp_path):
    path = write(tmp_path / "a.bam", [(PRIMARY, "c1 flag=1 len=100", 0, "50M")], contigs={"c1 flag=1 len=100": 100})
    assert read_alignment_depths([path], LENGTHS)["a"].to_dict() == {"c1": 0.5}


@pytest.mark.parametrize("kind", ["bam", "cram"])
def test_a_file_truncated_at_any_position_is_refused(tmp_path, fasta, kind):
    reads = [(PRIMARY, "c1", number % 50, "50M") for number in range(3000)]
    path = write(tmp_path / f"a.{kind}", reads, mode=f"w{kind[0]}", reference=str(fasta) if kind == "cram" else None)
    whole = path.read_bytes()
    end = 28 if kind == "bam" else 38  # the end-of-file marker: truncated between two blocks
    for cut in (40, len(whole) // 2, len(whole) - end, len(whole) - 3):
        path.write_bytes(whole[:cut])
        assert "not a complete BAM, CRAM or SAM file" in refused(path)


def test_a_file_without_alignments_is_refused(tmp_path, fasta):
    assert "expected alignments to the contigs, not unaligned reads" in refused(fasta)
    (tmp_path / "depths.tsv").write_text("contigname\tlake\nc1\t1\n")
    assert "not a complete BAM, CRAM or SAM file" in refused(tmp_path / "depths.tsv")
    with pytest.raises(InputError, match="no such file"):
        read_alignment_depths([tmp_path / "missing.bam"], LENGTHS)


def test_two_files_of_one_sample_and_a_contig_that_one_lacks_are_refused(tmp_path):
    (tmp_path / "again").mkdir()
    paths = [write(tmp_path / name, [(PRIMARY, "c1", 0, "50M")]) for name in ("a.bam", "again/a.sorted.bam")]
    with pytest.raises(InputError, match="a second file for the sample 'a'"):
        read_alignment_depths(paths, LENGTHS)
    short = write(tmp_path / "b.bam", [(PRIMARY, "c1", 0, "50M")], contigs={"c1": 100})
    with pytest.raises(InputError, match="the contig 'c2' is missing from the file of sample 'b'"):
        read_alignment_depths([paths[0], short], LENGTHS)


def test_the_command_reads_a_cram_with_the_given_contigs(tmp_path, fasta, capsys):
    path = write(tmp_path / "lake.cram", [(PRIMARY, "c1", 0, "50M")], mode="wc", reference=str(fasta))
    fasta.rename(tmp_path / "moved.fna")
    options = ["--contigs", tmp_path / "moved.fna", "--bam", path, "--minimum-length", "1"]
    outputs = ["--output-index", tmp_path / "i.parquet", "--output-abundance", tmp_path / "a.parquet"]
    assert main(["reference", "contigs", *map(str, options + outputs)]) == 0
    assert "1 primary" in capsys.readouterr().err


def test_tables_of_samtools_give_the_depths_of_the_alignments(tmp_path):
    """The output of samtools, from the copy in pysam."""
    generator = np.random.default_rng(3)
    starts = sorted(int(start) for start in generator.integers(0, 50, 40))
    path = write(tmp_path / "lake.sorted.bam", [(PRIMARY, "c1", start, "20M5D25M") for start in starts])
    pysam.index(str(path))
    depths = read_alignment_depths([path], LENGTHS)
    (tmp_path / "lake.coverage.tsv").write_text(pysam.coverage("-l", "0", str(path)))
    (tmp_path / "lake.idxstats.tsv").write_text(pysam.idxstats(str(path)))
    (tmp_path / "lake.depth.tsv").write_text(pysam.depth("-a", str(path)))
    (tmp_path / "regions.bed").write_text("".join(f"{name}\t0\t{length}\n" for name, length in LENGTHS.items()))
    (tmp_path / "lake.bedcov.tsv").write_text(pysam.bedcov(str(tmp_path / "regions.bed"), str(path)))
    coverage = read_abundance_table(tmp_path / "lake.coverage.tsv", LENGTHS)
    np.testing.assert_allclose(coverage["lake"], depths["lake"], rtol=1e-3)
    counts = read_abundance_table(tmp_path / "lake.idxstats.tsv", LENGTHS)
    np.testing.assert_allclose(counts["lake"], [40, 0])
    for name, words in (("depth", "one row per base"), ("bedcov", "samtools bedcov")):
        with pytest.raises(InputError, match=words):
            read_abundance_table(tmp_path / f"lake.{name}.tsv", LENGTHS)
