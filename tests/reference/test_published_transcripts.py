"""Tables of transcripts with measured targets, made from files in the formats of their publications."""

import gzip
import shutil
from pathlib import Path

import pandas as pd
import pytest
import rdata

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.tables import read_tsv
from genestill.reference.published_transcripts import PublishedFiles, write_transcript_tables
from genestill.reference.sources import read_sources
from snakemake_process import ROOT, run_snakemake

FORWARD, REVERSE = "ACGTACGTACGT", "TTTTGGGGCCCCAA"
# Exons of 5 and 7 bases, coding from the third base to the tenth; the other transcript is on the reverse strand.
MODELS = (
    "chr1\t100\t120\tNM_1\t0\t+\t102\t118\t0\t2\t5,7,\t0,13,\nchr2\t10\t40\tNM_2\t0\t-\t12\t36\t0\t2\t4,10,\t0,20,\n"
)
NAMES = {  # role -> name under files/ of the downloads
    "transcripts": "human_coding_mrna.fa.gz",
    "models": "human_coding_mrna.bed",
    "half_lives": "half_lives.tsv",
    "efficiencies": "efficiencies.csv",
    "transcript_abundance": "transcript_abundance.csv",
    "protein_abundance": "protein_abundance.csv",
    "decay": "decay.rda",
}


@pytest.fixture
def files(tmp_path):
    """The published files in a folder, as the rules name them, and the genes of two transcripts."""
    folder = tmp_path / "files"
    folder.mkdir()
    with gzip.open(folder / NAMES["transcripts"], "wt") as handle:
        for number, sequence in enumerate((FORWARD, REVERSE, "ACGT"), 1):
            handle.write(f">hg19_ct_UserTrack_3545_NM_{number} range=chr1:1-2 strand=+\n{sequence}\n")
    (folder / NAMES["models"]).write_text(MODELS)
    (folder / NAMES["half_lives"]).write_text("ensembl_gene_id\texternal_gene_name\thuman_PC1\nENSG2\tB2\t-10.50\n")
    (folder / NAMES["efficiencies"]).write_text("SYMBOL,mean_te_true,mean_te_pred\nA1,0.250,1\n")
    for kind, value in (("transcript", "logtpm"), ("protein", "abundance")):
        (folder / NAMES[f"{kind}_abundance"]).write_text(f"gene_id,{value},cds\naaeA,1.70,ATG\n")
    decay = pd.DataFrame({"gene_id": ["ENSG1", "ENSG2"], "decay_rate": [-1.25, 0.5], "utrlenlog": [8.5, float("nan")],
                          "coding": ["ATGAAA", "ATGCCC"]})  # fmt: skip
    # The package cannot write the text type of pandas.
    decay = decay.astype({"gene_id": object, "coding": object}).set_axis(decay.columns.astype(object), axis=1)
    rdata.write_rda(folder / NAMES["decay"], {"testing": decay})
    (tmp_path / "genes.tsv").write_text("refseq\tensembl_gene\tsymbol\nNM_2\tENSG2\tB2\nNM_1\tENSG1\tA1\n")
    return {role: folder / name for role, name in NAMES.items()} | {"genes": tmp_path / "genes.tsv"}


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def test_transcripts_are_joined_with_their_measurements_in_the_published_precision(files, tmp_path):
    words = [word for role, path in files.items() for word in (f"--{role.replace('_', '-')}", str(path))]
    assert main(["--quiet", "reference", "transcript-tables", *words, "--output", str(tmp_path / "made")]) == 0
    made = tmp_path / "made"
    assert lines(made / "human_mrna_halflife_te.tsv.gz") == [
        "refseq\tensembl_gene\tsymbol\tcds_start0\tcds_end0\texon_sizes\thalf_life_pc1\tmean_te\tsequence",
        # 14 bases: from the other end, the last two of the 4 bp exon and the first six of the 10 bp exon are coding.
        f"NM_2\tENSG2\tB2\t4\t12\t10,4\t-10.50\t\t{REVERSE}",
        f"NM_1\tENSG1\tA1\t2\t10\t5,7\t\t0.250\t{FORWARD}",
    ]
    assert lines(made / "cds_decay_rate_icodon.tsv.gz") == [
        "gene_id\tdecay_rate\tutrlenlog\tsequence", "ENSG1\t-1.25\t8.5\tATGAAA", "ENSG2\t0.5\t\tATGCCC",
    ]  # fmt: skip
    assert lines(made / "cds_protein_abundance_ecoli.tsv.gz") == ["gene_id\tabundance\tcds", "aaeA\t1.70\tATG"]


@pytest.mark.parametrize(
    ("role", "content", "sentence"),
    [
        ("genes", "refseq\tensembl_gene\tsymbol\nNM_9\tE\tS\n", "no transcript 'NM_9', which is listed in .*genes"),
        ("models", MODELS.replace("5,7,", "5,8,"), "NM_1 has 12 bases; expected 13, the sum of its exons in"),
        ("half_lives", "gene\tvalue\na\t1\n", "no column 'ensembl_gene_id'; found gene, value"),
        ("efficiencies", "SYMBOL,te\nA1,1\n", "no column 'mean_te_true'; found SYMBOL, te"),
        ("protein_abundance", "gene_id,cds\na,ATG,1\n", "line 2 has 3 columns; expected 2"),
        ("decay", "no R data", "not R data with one table"),
    ],
)
def test_a_file_that_differs_from_the_published_one_is_refused_without_output(files, tmp_path, role, content, sentence):
    files[role].write_text(content)
    with pytest.raises(InputError, match=sentence):
        write_transcript_tables(PublishedFiles(**files), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_every_published_file_has_an_address_with_a_commit_and_a_checksum():
    sources = read_sources(ROOT / "resources" / "transcript_tables.tsv")
    assert {source.sample for source in sources} >= set(NAMES.values())
    for source in sources:
        assert source.checksum.startswith("sha256:")
        assert source.size > 0
        assert f"/{source.version.removeprefix('commit ')}" in source.url
    genes = read_tsv(ROOT / "resources" / "transcripts" / "genes.tsv.gz", ("refseq", "ensembl_gene", "symbol"))
    assert len(genes) == genes["refseq"].nunique() == 2272


@pytest.mark.workflow
@pytest.mark.slow
def test_the_tables_of_the_results_are_downloaded_and_made_by_rules(files, tmp_path):
    both = [ROOT / "config" / name for name in ("mrna-real.yaml", "fetched/mrna.yaml")]
    done = run_snakemake("-n", "--cores", "1", "mrna", "--configfile", *both, folder=tmp_path)
    for rule in ("fetch_transcript_file", "make_transcript_tables", "pretrain_teacher", "distil_transcript_student"):
        assert f"rule {rule}:" in done.stdout, rule
    assert "shared/data" not in done.stdout


@pytest.mark.workflow
def test_the_rule_of_the_tables_reads_the_downloaded_files(files, tmp_path):
    place = tmp_path / "run" / "resources" / "downloads" / "transcripts"
    shutil.copytree(files["models"].parent, place / "files")
    table = "resources/downloads/transcripts/tables/cds_decay_rate_icodon.tsv.gz"
    done = run_snakemake("--cores", "1", table, "--configfile", ROOT / "config" / "test.yaml", folder=tmp_path / "run",
                         check=False)  # fmt: skip
    # The genes of the results are not among these transcripts.
    assert "no transcript 'NM_" in (tmp_path / "run" / "logs" / "downloads" / "transcripts" / "tables.log").read_text()
    assert done.returncode != 0
