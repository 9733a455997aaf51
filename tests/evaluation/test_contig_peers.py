import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from genestill.core.errors import InputError
from genestill.core.lineage import NO_LINEAGE, format_lineage, parse_lineage
from genestill.core.table_schemas import GENE_HITS, INDEX, PREDICTIONS
from genestill.core.tables import read_metadata, read_table, write_table
from genestill.evaluation.contig_peers import registry
from genestill.evaluation.contig_peers.calling import call_peer
from genestill.evaluation.contig_peers.diamond import run_diamond, summarise_hits
from genestill.evaluation.contig_peers.evidence import Evidence, cut, read_bins, read_calls, to_genus
from genestill.evaluation.contig_peers.metabuli import run_metabuli
from genestill.evaluation.contig_peers.registry import PEERS, TRAINED, Program, leave_out


def lineage(genus, species):
    return parse_lineage(f"d__Bacteria;p__P;c__C;o__O;f__F;g__{genus};s__{species}")


NEAR, FAR = lineage("Near", "Near one"), lineage("Far", "Far one")
LABEL = lineage("Label", "Label one")
GENOMES = {"near": NEAR, "near2": NEAR, "far": FAR}


def evidence(rows, lengths=None, depth=None, **more):
    """Contigs c0, c1, …, one per (genome, identity, aligned) of ``rows``; None is a contig without an alignment."""
    ids = [f"c{number}" for number in range(len(rows))]
    table = pd.DataFrame(
        [(name, *row) for name, row in zip(ids, rows, strict=True) if row],
        columns=["id", "genome", "identity", "aligned"],
    )
    return Evidence(
        ids,
        np.array(lengths or [1000] * len(rows)),
        [LABEL] * len(rows),
        np.array(depth or [[10.0]] * len(rows)),
        dict(GENOMES),
        {},
        table,
        **more,
    )


def test_minimap2_calls_a_species_by_identity_and_aligned_share_and_otherwise_the_genus_of_mmseqs2():
    given = evidence([("near", 0.95, 0.4), ("near", 0.949, 0.9), ("near", 0.99, 0.39), None])
    assert PEERS["minimap2"].call(given, 0.95) == [NEAR, to_genus(LABEL), to_genus(LABEL), to_genus(LABEL)]


def test_the_bag_rule_accepts_a_divergent_contig_of_a_near_group_and_refuses_a_near_contig_of_a_divergent_one():
    """The hand-made case: two groups of five contigs of equal length, whose medians are .98 and .95."""
    near = [("near", identity, 0.9) for identity in (0.91, 0.975, 0.98, 0.985, 0.99)]
    far = [("far", identity, 0.9) for identity in (0.93, 0.94, 0.95, 0.96, 1.0)]
    named = PEERS["bag-rule"].call(evidence(near + far), 0.97)
    assert named == [NEAR] * 5 + [to_genus(LABEL)] * 5


def test_the_bag_rule_weights_contigs_by_length():
    rows = [("near", 0.94, 0.9), ("near", 0.99, 0.9), ("near", 0.94, 0.9)]
    assert PEERS["bag-rule"].call(evidence(rows, [1000, 3000, 1000]), 0.97) == [NEAR] * 3
    assert PEERS["bag-rule"].call(evidence(rows, [1000, 1000, 1000]), 0.97) == [to_genus(LABEL)] * 3


def test_the_bag_rule_does_not_mix_contigs_of_different_depth():
    """A strain at depth 20 is near, another at depth 2 is a relative that the reference lacks."""
    rows = [("near", 0.99, 0.9)] * 3 + [("near", 0.93, 0.9)] * 2
    named = PEERS["bag-rule"].call(evidence(rows, depth=[[20.0]] * 3 + [[2.0]] * 2), 0.97)
    assert named == [NEAR] * 3 + [to_genus(LABEL)] * 2


def test_the_bag_rule_merges_genomes_of_a_species_and_drops_contigs_below_its_minimum_identity_or_share():
    rows = [("near", 0.98, 0.9), ("near2", 0.96, 0.9), ("near", 0.98, 0.9), ("near", 0.89, 0.9), ("near", 0.98, 0.19)]
    assert PEERS["bag-rule"].call(evidence(rows), 0.97) == [NEAR] * 3 + [to_genus(LABEL)] * 2


def test_a_bag_processed_in_several_batches_gives_the_same_result(monkeypatch):
    rng = np.random.default_rng(1)
    rows = [("near", float(identity), 0.9) for identity in rng.uniform(0.95, 0.99, 30)]
    given = evidence(rows, rng.integers(1000, 9000, 30).tolist(), rng.uniform(1, 20, (30, 2)).tolist())
    whole = PEERS["bag-rule"].call(given, 0.97)
    monkeypatch.setattr("genestill.evaluation.contig_peers.alignment_rules._BLOCK", 7)
    assert PEERS["bag-rule"].call(given, 0.97) == whole
    assert len(set(whole)) == 2


def test_kraken2_is_a_peer_alone_and_combined_with_the_genus_of_mmseqs2():
    given = evidence([None, None], kraken2={0.05: [NEAR, to_genus(NEAR)], 0.1: [NO_LINEAGE, NO_LINEAGE]})
    assert PEERS["kraken2"].call(given, 0.05) == [NEAR, to_genus(NEAR)]
    assert PEERS["kraken2-genus"].call(given, 0.05) == [NEAR, to_genus(LABEL)]
    assert PEERS["kraken2"].call(given, 0.1) == [NO_LINEAGE] * 2


def genes(*rows):
    """Evidence of two contigs with rows (contig, gene, genome, bits)."""
    return evidence([None, None], genes=pd.DataFrame(rows, columns=["id", "gene", "genome", "bits"]))


def test_cats_rule_takes_the_common_ancestor_of_the_hits_of_a_gene_within_ten_percent_of_the_best():
    """near and far share the family; a hit at exactly 90 % of the best bit score still counts, one below does not."""
    within = genes(("c0", 1, "near", 100.0), ("c0", 1, "far", 90.0), ("c1", 1, "near", 100.0), ("c1", 1, "far", 89.9))
    assert PEERS["cat-rule"].call(within, 0.5) == [cut(NEAR, 5), NEAR]


def test_cats_rule_weights_genes_by_bit_score_and_requires_more_than_the_fraction():
    half = [("c0", 1, "near", 100.0), ("c0", 2, "far", 60.0), ("c0", 3, "far", 40.0)]
    assert PEERS["cat-rule"].call(genes(*half), 0.5) == [cut(NEAR, 5), NO_LINEAGE]
    more = [*half, ("c1", 1, "near", 61.0), ("c1", 2, "far", 39.0)]
    assert PEERS["cat-rule"].call(genes(*more), 0.6) == [cut(NEAR, 5), NEAR]
    assert PEERS["cat-rule"].call(genes(*more), 0.7) == [cut(NEAR, 5), cut(NEAR, 5)]


def test_cats_rule_counts_genomes_of_one_species_once_and_makes_no_call_without_hits():
    assert PEERS["cat-rule"].call(genes(("c1", 4, "near", 50.0), ("c1", 4, "near2", 49.0)), 0.5) == [NO_LINEAGE, NEAR]
    assert PEERS["cat-rule"].call(genes(), 0.5) == [NO_LINEAGE] * 2


def test_cats_rule_does_not_go_below_the_rank_at_which_a_genome_of_the_reference_ends():
    given = genes(("c0", 1, "genus", 100.0), ("c1", 1, "genus", 100.0), ("c1", 1, "near", 95.0))
    given.lineage_of_genome["genus"] = to_genus(NEAR)
    assert PEERS["cat-rule"].call(given, 0.5) == [to_genus(NEAR)] * 2


def bins(rows, names, found):
    """Contigs c0, c1, … of 1000 base pairs in the bins ``names``, with alignments ``rows`` and hits ``found``."""
    given = evidence(rows, bins=names, genes=pd.DataFrame(found, columns=["id", "gene", "genome", "bits"]))
    return replace(given, alignments=given.alignments.assign(matches=lambda table: table["aligned"] * 1000))


def test_a_bin_near_a_genome_gives_its_species_to_all_its_contigs():
    """.97 over 1800 bases and .90 over 200 are .9625 on average; the third contig of the bin has no alignment."""
    given = bins([("near", 0.97, 1.0), ("near", 0.90, 1.0), None, ("near", 0.99, 1.0)], ["1", "1", "1", ""], [])
    assert PEERS["vamb-bins"].call(given, 0.93) == [NEAR, NEAR, NEAR, NO_LINEAGE]
    assert PEERS["vamb-bins"].call(given, 0.95) == [NO_LINEAGE] * 4


def test_a_bin_far_from_all_genomes_or_aligned_over_less_than_half_is_called_by_its_gene_majority():
    found = [("c0", 1, "near", 60.0), ("c0", 2, "far", 50.0), ("c1", 1, "near", 40.0), ("c2", 1, "far", 10.0)]
    given = bins([("near", 0.99, 0.9), None, None], ["1", "1", "2"], found)
    assert PEERS["vamb-bins"].call(given, 0.95) == [to_genus(NEAR), to_genus(NEAR), to_genus(FAR)]


def test_clusters_of_vamb_are_read_and_contigs_of_another_run_are_refused(tmp_path):
    (tmp_path / "vae_clusters_unsplit.tsv").write_text("clustername\tcontigname\n7\ta\n7\tc\n")
    assert read_bins(tmp_path, ["a", "b", "c"]) == ["7", "", "7"]
    with pytest.raises(InputError, match="the contig 'c' is not in the index"):
        read_bins(tmp_path, ["a", "b"])


METABULI = """#!/bin/sh
# As Metabuli writes and asks: every accession needs a taxid, the table has a header.
set -e
case "$1" in
build)
    test -d "$2" && test "$5" = --taxonomy-path && test -f "$6/merged.dmp"
    grep '>' "$(cat "$3")" | tr -d '>' | while read -r name; do grep -q "^$name	" "$4"; done
    cp "$4" "$2/" ;;
classify)
    test "$2 $3" = "--seq-mode 3"
    printf '#is_classified\tname\ttaxID\tquery_length\tscore\trank\ttaxID:match_count\n' > "$6/$7_classifications.tsv"
    printf '1\tb\t12\t1000\t0.9\tspecies\t12:65\n0\ta\t0\t900\t0\tno rank\t\n' >> "$6/$7_classifications.tsv" ;;
esac
"""


def test_metabuli_classifies_contigs_with_a_database_of_the_reference(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "metabuli"
    program.parent.mkdir()
    program.write_text(METABULI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / "taxonomy").mkdir()
    (tmp_path / "taxonomy" / "genomes.tsv").write_text("genome\ttaxid\ng.1\t12\n")
    (tmp_path / "taxonomy" / "merged.dmp").write_text("")
    (tmp_path / "g.1.fna").write_text(">x\nACGT\n>y\nACGT\n")
    (tmp_path / "genomes.tsv").write_text("file\ng.1.fna\n")
    (tmp_path / "contigs.fna").write_text(">a\nACGT\n>b\nACGT\n")
    where = (tmp_path / "genomes.tsv", tmp_path, tmp_path / "taxonomy", 1, tmp_path / "out.tsv")
    run_metabuli(tmp_path / "contigs.fna", *where)
    assert read_calls(tmp_path / "out.tsv", "metabuli", ["a", "b", "c"], {12: NEAR}) == [NO_LINEAGE, NEAR, NO_LINEAGE]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    (tmp_path / "genomes.tsv").write_text("file\nother.fna\n")
    with pytest.raises(InputError, match="other: not in"):
        run_metabuli(tmp_path / "contigs.fna", *where)


def test_hits_of_diamond_are_kept_once_for_each_gene_and_genome(tmp_path):
    rows = ["1_2\tnear|7\t50.5", "0_1\tfar|1\t30", "1_2\tnear|8\t60", "1_2\tfar|3\t70", "1_10\tnear|1\t20"]
    (tmp_path / "hits.tsv").write_text("\n".join(rows) + "\n")
    table = summarise_hits(tmp_path / "hits.tsv", ["a_1", "b"])
    assert table[["id", "gene", "genome", "bits"]].to_numpy().tolist() == [
        ["a_1", 1, "far", 30.0],
        ["b", 2, "far", 70.0],
        ["b", 2, "near", 60.0],
        ["b", 10, "near", 20.0],
    ]
    (tmp_path / "none.tsv").write_text("")
    assert summarise_hits(tmp_path / "none.tsv", ["a_1"]).empty


PYRODIGAL = """#!/bin/sh
# Two genes on each contig, named as Pyrodigal names them.
test "$7 $8" = "-p meta"
grep '>' "$2" | while read -r name; do printf '%s_1 # 1 # 9\nMK\n%s_2 # 1 # 9\nMK\n' "$name" "$name"; done > "$4"
"""
DIAMOND = """#!/bin/sh
# Every gene hits every protein.
set -e
case "$1" in
makedb) cp "$3" "$5.dmnd" ;;
blastp)
    grep '>' "$3" | tr -d '>' | cut -d' ' -f1 | while read -r gene; do
        grep '>' "$5.dmnd" | tr -d '>' | while read -r protein; do printf '%s\t%s\t50\n' "$gene" "$protein"; done
    done > "$7" ;;
esac
"""


def test_genes_of_the_contigs_of_the_index_are_searched_in_the_proteins_of_the_reference(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for name, text in (("pyrodigal", PYRODIGAL), ("diamond", DIAMOND)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "contigs.fna").write_text(">short\nAC\n>k_1\nACGT\n>k_2\nACGT\n")
    index = {"id": ["k_2", "k_1"], "length": [4, 4], "gc": [0.5, 0.5], "sample": [None, None], "checksum": ["", ""]}
    write_table(tmp_path / "index.parquet", pd.DataFrame(index), INDEX)
    (tmp_path / "genomes.tsv").write_text("file\nnear.fna.gz\nfar.fna\n")
    for genome in ("near", "far", "other"):
        (tmp_path / f"{genome}.faa").write_text(f">{genome}|1\nMK\n>{genome}|2\nMK\n")
    where = (tmp_path / "index.parquet", tmp_path / "genomes.tsv", tmp_path, 1, tmp_path / "genes.parquet")
    run_diamond(tmp_path / "contigs.fna", *where)
    table = read_table(tmp_path / "genes.parquet", GENE_HITS)
    rows = [[name, gene, genome] for name in ("k_2", "k_1") for gene in (1, 2) for genome in ("far", "near")]
    assert table[["id", "gene", "genome"]].to_numpy().tolist() == rows
    (tmp_path / "far.faa").unlink()
    with pytest.raises(InputError, match=r"no such file: .*far\.faa"):
        run_diamond(tmp_path / "contigs.fna", *where)


def test_a_peer_takes_the_threshold_that_was_chosen_for_it(tmp_path):
    given = evidence([("near", 0.955, 0.9)])
    (tmp_path / "chosen.tsv").write_text("model\tthreshold\nminimap2\t0.96\n")
    call_peer("minimap2", given, None, tmp_path / "usual.parquet")
    call_peer("minimap2", given, tmp_path / "chosen.tsv", tmp_path / "chosen.parquet")
    accepted = [
        read_table(tmp_path / f"{name}.parquet", PREDICTIONS)["accepted"].item() for name in ("usual", "chosen")
    ]
    assert accepted == [7, 6]
    call_peer("minimap2", given, None, tmp_path / "usual.parquet", tmp_path / "usual.tsv")
    assert (tmp_path / "usual.tsv").read_text() == f"contigs\tpredictions\nc0\t{format_lineage(NEAR)}\n"
    call_peer("minimap2-at0.97", given, tmp_path / "chosen.tsv", tmp_path / "hindsight.parquet")
    assert read_metadata(tmp_path / "hindsight.parquet")["threshold"] == "0.97"
    call_peer("bag-rule", given, tmp_path / "chosen.tsv", tmp_path / "usual.parquet")
    assert read_metadata(tmp_path / "usual.parquet")["threshold"] == "0.97"
    with pytest.raises(InputError, match=r"minimap2: threshold 0.5; expected one of 0.93, "):
        call_peer("minimap2-at0.5", given, None, tmp_path / "no.parquet")
    (tmp_path / "twice.tsv").write_text("model\tthreshold\nminimap2\t0.96\nminimap2\t0.97\n")
    with pytest.raises(InputError, match="2 rows for the model 'minimap2'"):
        call_peer("minimap2", given, tmp_path / "twice.tsv", tmp_path / "no.parquet")


def test_a_peer_without_its_evidence_and_an_unknown_one_are_refused(tmp_path):
    with pytest.raises(InputError, match="needs the evidence 'kraken2'"):
        call_peer("kraken2", evidence([None]), None, tmp_path / "k.parquet")
    lacking = replace(evidence([None]), depth=None, alignments=pd.DataFrame({"id": [], "genome": []}))
    with pytest.raises(InputError, match="needs the evidence 'depth'; give --abundance"):
        call_peer("bag-rule", lacking, None, tmp_path / "k.parquet")
    with pytest.raises(InputError, match="no peer 'nobody'"):
        call_peer("nobody", evidence([None]), None, tmp_path / "k.parquet")


def test_peers_that_need_a_missing_program_are_omitted_with_a_reason(monkeypatch):
    nobody = Program("a-program-that-nobody-has", "bioconda: nobody")
    monkeypatch.setattr(registry, "PROGRAMS", {"kraken2": nobody})
    reasons = leave_out(["corrector", *PEERS, *TRAINED, "kraken2-at0.2"], programs_known=False, genomes_known=True)
    assert set(reasons) == {"kraken2", "kraken2-genus", "kraken2-at0.2", "taxometer-kraken2"}
    assert reasons["kraken2"] == "the program a-program-that-nobody-has is not on PATH (bioconda: nobody)"


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_the_default_threshold_of_a_peer_is_one_of_the_candidates(peer):
    assert peer.usual in peer.thresholds
    assert list(peer.thresholds) == sorted(set(peer.thresholds))
