import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.sequences import reverse_complement, sequence_checksum, write_fasta
from genestill.reference.annotation import Model
from genestill.reference.homology import HomologySettings, leave_out_relatives
from genestill.reference.probe_tasks import build_task, write_task
from genestill.reference.simulated_transcripts import write_transcriptome
from genestill.reference.transcripts import (
    Columns,
    Transcript,
    coding_sequence,
    codon_starts,
    collect_corpus,
    read_rows,
    splice_transcript,
    track,
    transcript_table,
    transcripts_of_genome,
    transcripts_of_table,
    window,
)

#          0         1         2         3
#          0123456789012345678901234567890123456789
CONTIG = "ACGTAATGAAACCGTCCCCAGGGATTTTAGCCGTACGTAC"  # exons [3, 13) and [20, 32); CDS ATGAAACC|GGATTTTAG


def _codons(transcript):
    return [transcript.sequence[start : start + 3] for start in transcript.cds]


def test_forward_transcript_is_spliced_with_codons_in_frame():
    model = Model("t", "g", "c", "+", [(3, 13), (20, 32)], [(5, 13), (20, 29)])
    transcript = splice_transcript(CONTIG, model)
    assert transcript.sequence == CONTIG[3:13] + CONTIG[20:32]
    assert transcript.splice.tolist() == [9, 21]
    assert _codons(transcript)[0] == "ATG"
    assert transcript.cds.tolist() == list(range(2, 17, 3))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_reverse_strand_gives_the_same_transcript_as_the_mirrored_forward_gene(data):
    exon_count = data.draw(st.integers(1, 4))
    sizes = data.draw(st.lists(st.integers(3, 9), min_size=2 * exon_count, max_size=2 * exon_count))
    position, exons = 2, []
    for exon, gap in zip(sizes[::2], sizes[1::2], strict=True):
        exons.append((position, position + exon))
        position += exon + gap
    contig = "".join(data.draw(st.lists(st.sampled_from("ACGT"), min_size=position, max_size=position)))
    coding = [(start + 1, stop) for start, stop in exons[:1]] + exons[1:]
    phase = data.draw(st.integers(0, 2))
    forward = splice_transcript(contig, Model("t", "g", "c", "+", exons, coding, {coding[0][0]: phase}))
    length = len(contig)
    mirror = [(length - stop, length - start) for start, stop in reversed(exons)]
    mirrored = [(length - stop, length - start) for start, stop in reversed(coding)]
    reverse = splice_transcript(
        reverse_complement(contig), Model("t", "g", "c", "-", mirror, mirrored, {mirrored[-1][0]: phase})
    )
    assert reverse.sequence == forward.sequence
    assert reverse.cds.tolist() == forward.cds.tolist()
    assert reverse.splice.tolist() == forward.splice.tolist()


GTF = """c\tx\texon\t4\t13\t.\t+\t.\tgene_id "g"; transcript_id "t";
c\tx\tCDS\t6\t13\t.\t+\t0\tgene_id "g"; transcript_id "t";
c\tx\texon\t21\t32\t.\t+\t.\tgene_id "g"; transcript_id "t";
c\tx\tCDS\t21\t26\t.\t+\t1\tgene_id "g"; transcript_id "t";
c\tx\tstop_codon\t27\t29\t.\t+\t0\tgene_id "g"; transcript_id "t";
"""
GFF3 = """##gff-version 3
c\tx\tmRNA\t4\t32\t.\t+\t.\tID=t;Parent=g
c\tx\texon\t4\t13\t.\t+\t.\tParent=t
c\tx\tCDS\t6\t13\t.\t+\t0\tParent=t
c\tx\texon\t21\t32\t.\t+\t.\tParent=t
c\tx\tCDS\t21\t29\t.\t+\t1\tParent=t
"""
BED = "c\t3\t32\tt\t0\t+\t5\t29\t0\t2\t10,12,\t0,17,\n"


@pytest.mark.parametrize(("name", "text"), [("a.gtf", GTF), ("a.gff3", GFF3), ("a.bed", BED)])
def test_gtf_gff3_and_bed12_of_one_gene_give_the_same_transcript(tmp_path, name, text):
    write_fasta(tmp_path / "genome.fna", [("c", CONTIG)])
    (tmp_path / name).write_text(text)
    with gzip.open(tmp_path / f"{name}.gz", "wt") as handle:
        handle.write(text)
    for path in (tmp_path / name, tmp_path / f"{name}.gz"):
        (transcript,) = transcripts_of_genome(tmp_path / "genome.fna", path)
        assert transcript.sequence == CONTIG[3:13] + CONTIG[20:32]
        assert transcript.cds.tolist() == list(range(2, 17, 3))
        assert transcript.splice.tolist() == [9, 21]


def test_window_keeps_the_start_codon_and_its_tracks():
    sequence = "C" * 100 + "ATG" + "A" * 297
    transcript = Transcript("t", sequence, cds=np.arange(100, 400, 3), splice=np.array([99, 399]))
    cut = window(transcript, 90)
    assert len(cut.sequence) == 90
    assert cut.sequence[cut.cds[0] :].startswith("ATG")
    assert cut.splice.tolist() == [29]
    assert window(transcript, 0) is transcript
    assert window(Transcript("u", sequence), 90).sequence == sequence[:90]


def test_corpus_contains_each_sequence_once_with_distinct_ids():
    sources = {
        "a": [Transcript("x", "ACGTACGTAC"), Transcript("x", "TTTTACGTAC"), Transcript("n", "NNNNNACGTA")],
        "b": [Transcript("y", "ACGTACGTAC"), Transcript("z", "ACG")],
    }
    kept, counts = collect_corpus(sources, 5, 0)
    assert [transcript.sequence for transcript in kept] == ["ACGTACGTAC", "TTTTACGTAC"]
    assert len({transcript.id for transcript in kept}) == 2
    assert counts["a"]["ambiguous"] == 1
    assert counts["b"] == {"read": 2, "short": 1, "ambiguous": 0, "duplicate": 1, "windowed": 0, "kept": 0}


def test_tables_are_checked_row_by_row(tmp_path):
    rows = pd.DataFrame({"s": ["ACGUAA"], "a": ["0"], "b": ["9"], "e": ["2,3"]})
    with pytest.raises(InputError, match="no column 'sequence'"):
        transcripts_of_table("t", rows, Columns())
    with pytest.raises(InputError, match="has the coding sequence"):
        transcripts_of_table("t", rows, Columns(sequence="s", cds_start="a", cds_end="b"))
    with pytest.raises(InputError, match="sum to 5"):
        transcripts_of_table("t", rows, Columns(sequence="s", exon_sizes="e"))
    (transcript,) = transcripts_of_table("t", rows, Columns(sequence="s", cds="whole"))
    assert (transcript.sequence, transcript.cds.tolist()) == ("ACGTAA", [0, 3])
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "no.tsv")


def test_classes_other_than_0_and_1_are_refused(tmp_path):
    transcripts = [Transcript("a", "ACGT"), Transcript("b", "ACGA")]
    table = build_task(transcripts, np.array([[0.0], [2.0]]))
    with pytest.raises(InputError, match="target is 2"):
        write_task(tmp_path / "t.parquet", table, "t", "classification", "default", ["x"])


@pytest.mark.slow
def test_relatives_of_the_benchmark_are_excluded_and_unrelated_sequences_are_kept(tmp_path):
    write_transcriptome(tmp_path / "sim", 160, 1)
    place = tmp_path / "sim"
    kept, _ = collect_corpus(
        {"genome": transcripts_of_genome(place / "genome.fna.gz", place / "annotation.gtf")}, 64, 0
    )
    corpus = transcript_table(kept)
    rows = read_rows(place / "tasks.tsv")
    tested = transcripts_of_table(place / "tasks.tsv", rows, Columns(id="id", gene="gene"))
    task = build_task(tested, rows[["stability"]].to_numpy(float))
    keep, groups, overlap = leave_out_relatives(corpus, {"stability": task}, HomologySettings(), threads=1)
    # The simulation copies every eighth gene, with 5 % of the bases changed, into the tables.
    left_out = {int(gene.removeprefix("gene")) for gene in corpus.loc[~keep, "gene"]}
    assert left_out == set(range(0, 160, 8))
    assert overlap["kept"] == 140
    assert len(groups) == task["transcript"].nunique()


def test_simulated_genome_and_annotation_agree(tmp_path):
    write_transcriptome(tmp_path / "sim", 24, 3)
    transcripts = list(transcripts_of_genome(tmp_path / "sim" / "genome.fna.gz", tmp_path / "sim" / "annotation.gtf"))
    assert len(transcripts) == 24
    for transcript in transcripts:
        codons = _codons(transcript)
        assert codons[0] == "ATG"
        assert codons[-1] == "TAA"
        assert not {"TAA", "TAG", "TGA"} & set(codons[:-1])
        assert len(transcript.splice) == 2


def test_the_coding_sequence_is_all_codons_or_the_whole_transcript_if_none_is_annotated():
    sequence = "GGATGGCCTAATT"
    assert coding_sequence(sequence, track(13, codon_starts(2, 11))) == "ATGGCCTAA"
    assert coding_sequence(sequence, track(13, codon_starts(0, 0))) == sequence


def test_equal_sequences_have_equal_checksums():
    assert sequence_checksum("ACGT") == sequence_checksum("ACGT") != sequence_checksum("ACGA")
