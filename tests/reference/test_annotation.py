"""Annotations as found in practice: an invalid record is skipped and named, and the rest is used."""

import gzip
import random
import shutil
import subprocess
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.cli import main
from genestill.core.cells import LeftOut
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.sequences import read_fasta, reverse_complement, write_fasta
from genestill.reference.annotation import read_annotation
from genestill.reference.transcripts import coding_sequence, track, transcripts_of_genome

GENERATOR = random.Random(1)
CONTIG = "".join(GENERATOR.choice("ACGT") for _ in range(1200))


def gtf(name, part, start, stop, strand="+", phase=".", contig="c", **more):
    attributes = {"gene_id": f"g_{name}", "transcript_id": name, **more}
    text = " ".join(f'{key} "{value}";' for key, value in attributes.items())
    return f"{contig}\tx\t{part}\t{start}\t{stop}\t.\t{strand}\t{phase}\t{text}\n"


def gff3(part, start, stop, strand="+", phase=".", contig="c", **attributes):
    text = ";".join(f"{key}={value}" for key, value in attributes.items())
    return f"{contig}\tx\t{part}\t{start}\t{stop}\t.\t{strand}\t{phase}\t{text}\n"


def bed(name, start, strand, thick, sizes, starts, contig="c"):
    stop = start + starts[-1] + sizes[-1]
    blocks = [",".join(map(str, numbers)) for numbers in (sizes, starts)]
    return "\t".join(map(str, (contig, start, stop, name, 0, strand, *thick, 0, len(sizes), *blocks))) + "\n"


GOOD = gtf("good", "exon", 1, 60) + gtf("good", "CDS", 4, 33, phase="0")
GOOD3 = gff3("mRNA", 1, 60, ID="good", Parent="g_good") + gff3("exon", 1, 60, Parent="good")


def spliced(folder, name, text):
    """Transcripts by id, skipped records, and transcripts without codons."""
    write_fasta(folder / "genome.fna", [("c", CONTIG), ("d", reverse_complement(CONTIG))])
    (folder / name).write_text(text)
    left_out, without_codons = LeftOut(), LeftOut()
    found = transcripts_of_genome(folder / "genome.fna", folder / name, left_out, without_codons)
    return {transcript.id: transcript for transcript in found}, left_out, without_codons


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "", "ends in"),
        ("a.gtf", "c\tx\texon\t4\n", "line 1: 4 tab-separated columns"),
        ("a.gtf", "# nothing\n", "no transcript"),
        ("a.bed", "c\t3\t32\tt\t0\t+\t5\t29\t0\t3\t10,12,\t0,17,\n", "blockCount is 3"),
        ("a.bed", "c\t3\t32\tt\n", "4 columns"),
        ("a.gtf", GOOD + gtf("t", "exon", "1_00", 200), "line 3: start is '1_00'"),
        ("a.gtf", GOOD + gtf("t", "exon", "+1", 200), r"line 3: start is '\+1'"),
        ("a.gtf", GOOD + gtf("t", "exon", 1, "١"), "line 3: end is '١'"),
        ("a.gtf", GOOD + gtf("t", "exon", 1, "200.0"), "line 3: end is '200.0'"),
        ("a.gtf", gtf("t", "exon", 1, 60, "."), "no usable transcript; left out are 1 without a strand"),
    ],
)
def test_files_in_another_format_are_refused_with_the_line(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_annotation(tmp_path / name)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (gtf("t", "exon", 101, 200, "."), "without a strand"),
        (gtf("t", "exon", 101, 200, "?"), "without a strand"),
        (gtf("t", "exon", 201, 150), "that end before they start"),
        (gtf("t", "exon", -5, 150), "that start before the first base"),
        (gtf("t", "exon", 101, 200) + gtf("t", "exon", 150, 260), "with exons that overlap"),
        (gtf("t", "exon", 101, 200) + gtf("t", "CDS", 190, 230), "that code outside of their exons"),
        (gtf("t", "exon", 1101, 1300), "that end beyond their contig"),
        (gtf("t", "exon", 1, 30, contig="chrUn"), "on contigs that are not in"),
        (gtf("", "exon", 101, 200), "lines without transcript_id"),
        ('c\tx\texon\t101\t200\t.\t+\t.\tgene_id "g";\n', "lines without transcript_id"),
        (gtf("t", "start_codon", 101, 103) + gtf("t", "start_codon", 501, 503), "two lines of start_codon"),
        (
            gtf("t", "CDS", 101, 160, exon_number=1) + gtf("t", "CDS", 301, 360, "-", exception="trans-splicing"),
            "trans-spliced",
        ),
        (
            gtf("t", "exon", 101, 160, exon_number=1) + gtf("t", "exon", 301, 360, "-", exon_number=2),
            "spliced from several places",
        ),
        (gtf("t", "CDS", 101, 160) + gtf("t", "CDS", 301, 360, "-"), "spliced from several places"),
    ],
)
def test_an_invalid_record_is_skipped_counted_and_named(tmp_path, caplog, odd, reason):
    for text in (GOOD + odd, odd + GOOD):
        found, left_out, _ = spliced(tmp_path, "a.gtf", text)
        assert list(found) == ["good"]
        assert len(left_out) == 1
        assert reason in str(left_out)
        assert "1 of 2 transcripts are left out" in caplog.text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (bed("t", -3, "+", (0, 9), [10], [0]), "that start before the first base"),
        (bed("t", 30, "+", (30, 39), [10, -4], [0, 20]), "with an empty exon"),
        (bed("t", 30, ".", (30, 39), [10], [0]), "without a strand"),
        (bed("t", 30, "+", (30, 39), [10, 10], [0, 5]), "with exons that overlap"),
    ],
)
def test_invalid_lines_of_bed_are_skipped(tmp_path, line, reason):
    found, left_out, _ = spliced(tmp_path, "a.bed", bed("good", 0, "+", (3, 33), [60], [0]) + line)
    assert list(found) == ["good"]
    assert left_out.counts == {reason: 1}


def test_an_annotation_of_another_assembly_is_refused(tmp_path):
    for other in (gtf("t", "exon", 1101, 1300) + gtf("u", "exon", 1, 2000), gtf("t", "exon", 1, 9, contig="chr1")):
        with pytest.raises(InputError, match="do not match the genome, which has the contigs c, d"):
            spliced(tmp_path, "a.gtf", other)


def test_missing_exons_are_derived_from_cds_utr_and_stop_codon(tmp_path):
    text = gff3("gene", 101, 700, ID="g", Name="ABC1") + gff3("mRNA", 101, 700, ID="t", Parent="g")
    text += gff3("five_prime_UTR", 101, 150, Parent="t") + gff3("CDS", 151, 300, phase=0, ID="x1", Parent="t")
    text += gff3("CDS", 401, 550, phase=0, ID="x2", Parent="t") + gff3("three_prime_UTR", 551, 700, Parent="t")
    found, _, _ = spliced(tmp_path, "a.gff3", text)
    assert found["t"].sequence == CONTIG[100:300] + CONTIG[400:700]
    assert found["t"].cds.tolist() == list(range(50, 350, 3))
    assert found["t"].splice.tolist() == [199, 499]
    text = (
        gtf("t", "CDS", 204, 260, "-", 0) + gtf("t", "stop_codon", 201, 203, "-", 0) + gtf("t", "5UTR", 261, 270, "-")
    )
    found, _, _ = spliced(tmp_path, "a.gtf", text)
    assert found["t"].sequence == reverse_complement(CONTIG[200:270])
    assert found["t"].cds.tolist() == list(range(10, 70, 3))


def test_prokaryotic_genes_without_exons_are_transcripts(tmp_path):
    text = gff3("gene", 201, 500, ID="gene-b1", Name="thrL", locus_tag="b1")
    text += gff3("CDS", 201, 500, "-", 0, ID="cds-1", Parent="gene-b1", gene="thrL", locus_tag="b1")
    text += gff3("CDS", 601, 660, ID="PROKKA_2", locus_tag="PROKKA_2")  # without a parent: Prokka, Prodigal
    found, left_out, _ = spliced(tmp_path, "a.gff", text)
    assert [(one.gene, one.symbol, len(one.sequence)) for one in found.values()] == [
        ("b1", "thrL", 300),
        ("PROKKA_2", "", 60),
    ]
    assert not len(left_out)
    text = gtf("", "gene", 201, 500, "-") + gtf("unassigned_transcript_1", "CDS", 204, 500, "-", 0, gene="thrL")
    text += gtf("unassigned_transcript_1", "stop_codon", 201, 203, "-", 0, gene="thrL")
    found, _, _ = spliced(tmp_path, "a.gtf", text)
    assert found["unassigned_transcript_1"].sequence == reverse_complement(CONTIG[200:500])
    assert found["unassigned_transcript_1"].symbol == "thrL"


def test_ribosomal_slippage_is_a_transcript_without_codons(tmp_path, caplog):
    text = GOOD3 + gff3("gene", 101, 700, ID="gene-dnaX")
    text += gff3("CDS", 101, 400, phase=0, ID="cds-1", Parent="gene-dnaX", exception="ribosomal slippage")
    text += gff3("CDS", 400, 700, phase=0, ID="cds-1", Parent="gene-dnaX", exception="ribosomal slippage")
    # +1 within one exon, as in antizyme
    text += gff3("exon", 801, 1000, Parent="oaz") + gff3("CDS", 801, 860, phase=0, Parent="oaz")
    text += gff3("CDS", 862, 1000, phase=0, Parent="oaz")
    found, left_out, without_codons = spliced(tmp_path, "a.gff3", text)
    assert found["gene-dnaX"].sequence == CONTIG[100:700]
    assert found["oaz"].sequence == CONTIG[800:1000]
    assert not len(found["gene-dnaX"].cds)
    assert not len(found["oaz"].cds)
    assert not len(left_out)
    assert without_codons.examples == {next(iter(without_codons.counts)): ["gene-dnaX", "oaz"]}
    assert "read without codons: 2 whose coding segments overlap or leave a gap" in caplog.text


@pytest.mark.parametrize("ends", [[(1101, 1300)], [(1101, 1200), (1, 100)]])
def test_genes_spanning_the_origin_of_a_circular_contig_are_skipped(tmp_path, ends):
    text = gff3("region", 1, 1200, ID="c:1..1200", Is_circular="true") + gff3("CDS", 201, 500, ID="x", Parent="g")
    text += "".join(gff3("CDS", *place, ID="y", Parent="ori") for place in ends)
    found, left_out, _ = spliced(tmp_path, "a.gff3", text)
    assert list(found) == ["g"]
    assert left_out.counts == {"over the origin of a circular contig": 1}


@pytest.mark.parametrize("told_by", ["numbers", "lines", "contigs"])
def test_one_id_at_two_positions_gives_two_transcripts(tmp_path, told_by):
    text = ""
    for contig, start in (("c", 101), ("d" if told_by == "contigs" else "c", 501)):
        number = {"exon_number": 1} if told_by == "numbers" else {}
        if told_by == "lines":
            text += gtf("NM_1", "transcript", start, start + 99)
        text += gtf("NM_1", "exon", start, start + 99, contig=contig, **number)
        text += gtf("NM_1", "CDS", start + 10, start + 99, "+", 0, contig, **number)
    found, left_out, _ = spliced(tmp_path, "a.gtf", text)
    assert {name: len(one.sequence) for name, one in found.items()} == {"NM_1": 100, "NM_1_dup1": 100}
    assert all(one.cds[0] == 10 for one in found.values())
    assert not len(left_out)


def test_repeated_lines_count_once_and_selenocysteine_features_are_ignored(tmp_path):
    text = GOOD + GOOD + gtf("good", "Selenocysteine", 10, 12)
    found, _, _ = spliced(tmp_path, "a.gtf", text)
    assert found["good"].sequence == CONTIG[:60]
    assert found["good"].cds.tolist() == list(range(3, 33, 3))


@pytest.mark.parametrize("strand", ["+", "-"])
def test_an_incomplete_coding_sequence_starts_after_its_phase(tmp_path, strand):
    text = gtf("t", "exon", 101, 200, strand) + gtf("t", "exon", 301, 400, strand)
    text += gtf("t", "CDS", 101, 200, strand, 2 if strand == "+" else 0)
    text += gtf("t", "CDS", 301, 400, strand, 2 if strand == "-" else 0)
    found, _, _ = spliced(tmp_path, "a.gtf", text)
    assert found["t"].cds.tolist() == list(range(2, 198, 3))


@pytest.mark.parametrize(
    ("name", "text", "gene", "symbol"),
    [
        ("a.gtf", gtf("t", "exon", 1, 9, gene_id="ENSG00000141510.18", gene_name="TP53"), "ENSG00000141510", "TP53"),
        ("a.gtf", 'c\tx\texon\t1\t9\t.\t+\t.\tgene_id "7157"; transcript_id t; gene "TP53"\n', "7157", "TP53"),
        (
            "a.gff3",
            gff3("gene", 1, 9, ID="gene:ENSG00000141510", Name="TP53")
            + gff3("mRNA", 1, 9, ID="transcript:t", Parent="gene:ENSG00000141510", Name="TP53-201")
            + gff3("exon", 1, 9, Parent="transcript:t"),
            "ENSG00000141510",
            "TP53",
        ),
        (
            "a.gff3",
            gff3("mRNA", 1, 9, ID="rna-t", Parent="gene-TP53", gene="TP53") + gff3("exon", 1, 9, Parent="rna-t"),
            "TP53",
            "TP53",
        ),
        ("a.gff3", gff3("exon", 1, 9, Parent="t", gene="a%2Cb"), "t", "a,b"),
    ],
)
def test_genes_have_the_same_name_in_all_formats_and_keep_their_symbol(tmp_path, name, text, gene, symbol):
    found, _, _ = spliced(tmp_path, name, text)
    assert [(one.gene, one.symbol) for one in found.values()] == [(gene, symbol)]


def test_skipped_records_are_reported_in_the_summary_of_the_corpus(tmp_path):
    write_fasta(tmp_path / "genome.fna", [("c", CONTIG)])
    (tmp_path / "a.gtf").write_text(GOOD.replace("60", "90") + gtf("t", "exon", 101, 200, "."))
    source = f"x={tmp_path / 'genome.fna'},{tmp_path / 'a.gtf'}"
    assert main(["reference", "transcripts", "--source", source, "--output", str(tmp_path / "out")]) == 0
    counts = read_json(tmp_path / "out" / "transcripts.json")["counts"]["x"]
    assert counts["left_out"] == {"without a strand": 1}
    assert counts["kept"] == 1


def test_attributes_are_parsed_in_linear_time(tmp_path):
    long = 'c\tx\texon\t1\t60\t.\t+\t.\ttranscript_id "t"; ' + "a" * 400_000 + "\n"
    (tmp_path / "a.gtf").write_text(long)
    begin = time.process_time()
    assert read_annotation(tmp_path / "a.gtf").models[0].id == "t"
    assert time.process_time() - begin < 2


@st.composite
def gene_models(draw):
    """Exons (0-based, half-open), the coding range in genome positions or None, strand and phase."""
    sizes = draw(st.lists(st.integers(4, 30), min_size=2, max_size=8))
    position, exons = draw(st.integers(0, 40)), []
    for exon, gap in zip(sizes[::2], [*sizes[1::2], 1], strict=False):
        exons.append((position, position + exon))
        position += exon + gap
    inside = [base for start, stop in exons for base in range(start, stop)]
    coding = draw(st.none() | st.tuples(*[st.integers(0, len(inside) - 1)] * 2))
    ends = None if coding is None else (inside[min(coding)], inside[max(coding)] + 1)
    return exons, ends, draw(st.sampled_from("+-")), draw(st.integers(0, 2))


def _lines_of(name, exons, ends, strand, phase):
    """The lines of a model in GTF and GFF3: (part, start, stop, phase), 1-based."""
    coding = [] if ends is None else [(max(a, ends[0]), min(b, ends[1])) for a, b in exons]
    coding = [(a, b) for a, b in coding if a < b]
    phases, before = {}, 0
    for a, b in coding if strand == "+" else coding[::-1]:
        phases[a] = (phase - before) % 3
        before += b - a
    parts = [("exon", a + 1, b, ".") for a, b in exons] + [("CDS", a + 1, b, phases[a]) for a, b in coding]
    return parts


@given(st.lists(gene_models(), min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_gtf_gff3_and_bed_of_the_same_models_give_the_same_transcripts(tmp_path_factory, models, order):
    texts = {"a.gtf": [], "a.gff3": [], "a.bed": []}
    for number, (exons, ends, strand, _) in enumerate(models):
        name = f"t{number}"
        for part, start, stop, phase in _lines_of(name, exons, ends, strand, 0):
            texts["a.gtf"].append(gtf(name, part, start, stop, strand, phase))
            texts["a.gff3"].append(gff3(part, start, stop, strand, phase, Parent=name))
        sizes, starts = [b - a for a, b in exons], [a - exons[0][0] for a, _ in exons]
        texts["a.bed"].append(bed(name, exons[0][0], strand, ends or (exons[0][0],) * 2, sizes, starts))
    results = []
    for name, lines in texts.items():
        order.shuffle(lines)
        found, left_out, _ = spliced(tmp_path_factory.mktemp("annotation"), name, "".join(lines))
        assert not len(left_out)
        assert set(found) == {f"t{number}" for number in range(len(models))}
        results.append(
            {key: (one.sequence, one.cds.tolist(), one.splice.tolist()) for key, one in sorted(found.items())}
        )
    assert results[0] == results[1] == results[2]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_ninth_column_is_read_or_skipped(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("attributes")
    text = text.replace("\t", " ")
    (folder / "a.gtf").write_text(GOOD + f"c\tx\texon\t101\t160\t.\t+\t.\t{text}\n", newline="")
    assert "good" in [model.id for model in read_annotation(folder / "a.gtf").models]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gtf", "gff3"])
def test_sequences_and_coding_sequences_equal_those_of_gffread(tmp_path, form):
    """gffread 0.12: Pertea & Pertea, F1000Research 9 (2020)."""
    if shutil.which("gffread") is None:
        pytest.skip("gffread is not installed (Debian: apt-get install gffread)")
    generator = np.random.default_rng(7)
    bases = generator.choice(list("ACGT"), 60_000)
    write_fasta(tmp_path / "genome.fna", [("c", "".join(bases[:40_000])), ("d", "".join(bases[40_000:]))])
    lines = []
    for number in range(300):
        contig, length = ("c", 40_000) if number % 3 else ("d", 20_000)
        sizes = generator.integers(1, 60, 2 * generator.integers(1, 6))
        position = int(generator.integers(0, length - 800))
        exons = []
        for exon, gap in zip(sizes[::2], sizes[1::2], strict=True):
            exons.append((position, position + int(exon)))
            position += int(exon + gap)
        inside = [base for a, b in exons for base in range(a, b)]
        first, last = sorted(generator.integers(0, len(inside), 2).tolist())
        ends = (inside[first], inside[last] + 1) if number % 4 and last - first > 8 else None
        strand, name = "+-"[number % 2], f"t{number}"
        five_prime = (
            None
            if ends is None
            else next(
                segment
                for segment in (exons if strand == "+" else exons[::-1])
                if segment[0] < ends[1] and ends[0] < segment[1]
            )
        )
        # gffread handles a first segment that is shorter than its phase differently.
        short = ends is None or min(five_prime[1], ends[1]) - max(five_prime[0], ends[0]) < 3
        phase_of_all = 0 if short else int(generator.integers(0, 3))
        for part, start, stop, phase in _lines_of(name, exons, ends, strand, phase_of_all):
            if form == "gtf":
                lines.append(gtf(name, part, start, stop, strand, phase, contig))
            else:
                lines.append(gff3(part, start, stop, strand, phase, contig, Parent=name))
        if form == "gff3":
            lines.append(gff3("mRNA", exons[0][0] + 1, exons[-1][1], strand, ".", contig, ID=name))
    # Unusual models that both gffread and genestill read.
    more = {"Parent": "slip"} if form == "gff3" else {}
    write = (lambda *words: gff3(*words, **more)) if form == "gff3" else (lambda *words: gtf("slip", *words))
    lines += [write("CDS", 101, 400, "+", 0), write("CDS", 400, 700, "+", 0)]
    (tmp_path / f"a.{form}").write_text("".join(lines))
    for option in "wx":
        command = ["gffread", f"-{option}", f"{option}.fna", "-g", "genome.fna", f"a.{form}"]
        subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    theirs = {option: dict(read_fasta(tmp_path / f"{option}.fna")) for option in "wx"}
    ours = {one.id: one for one in transcripts_of_genome(tmp_path / "genome.fna", tmp_path / f"a.{form}")}
    assert len(theirs["w"]) > 280  # gffread skips transcripts of a few bases
    assert all(ours[name].sequence == sequence for name, sequence in theirs["w"].items())
    coding = 0
    for name in theirs["w"]:
        one = ours[name]
        if len(one.cds):
            whole = theirs["x"][name]
            assert coding_sequence(one.sequence, track(len(one.sequence), one.cds)) == whole[: len(whole) // 3 * 3]
            coding += 1
    assert coding > 150


def test_compressed_annotations_are_read(tmp_path):
    with gzip.open(tmp_path / "a.gtf.gz", "wt") as handle:
        handle.write(GOOD)
    assert read_annotation(tmp_path / "a.gtf.gz").models[0].exons == [(0, 60)]
