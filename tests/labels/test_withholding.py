"""A search that is filtered afterwards, against a real search in the smaller database."""

import itertools

import numpy as np
import pandas as pd
import pytest

from genestill.cli import main
from genestill.core.errors import InputError
from genestill.core.sequences import write_fasta
from genestill.core.table_schemas import LABELS, lineages_of
from genestill.core.tables import read_table
from genestill.labels.settings import SearchSettings
from genestill.labels.withholding import keep_search, read_withheld, withhold

CODONS = ["".join(bases) for bases in itertools.product("ACGT", repeat=3)]
CODONS = [codon for codon in CODONS if codon not in ("TAA", "TAG", "TGA")]
ABOVE = "d__Bacteria;p__P;c__C;o__O;f__F"
LINEAGES = {
    "one": f"{ABOVE};g__A;s__A one",
    "two": f"{ABOVE};g__A;s__A two",
    "three": f"{ABOVE};g__B;s__B three",
    "four": f"{ABOVE};g__B;s__B four",
}
FAST = ["--kmer", "5", "--orf-filter", "0"]


def call(*words) -> int:
    return main([str(word) for word in words])


def database_of(folder, names):
    rows = "".join(f"{name}.fna\t{LINEAGES[name]}\n" for name in names)
    table = folder / f"{'-'.join(names)}.tsv"
    table.write_text(f"file\tlineage\n{rows}")
    made = folder / "-".join(names)
    assert call("reference", "taxonomy", "--genomes", table, "--genomes-folder", folder, "--output", made / "tax") == 0
    proteins = ["--proteins", folder / "proteins", "--taxonomy", made / "tax"]
    assert call("reference", "database", *proteins, "--output", made / "database") == 0
    return made


@pytest.mark.slow
def test_labels_of_a_filtered_search_are_those_of_real_searches(tmp_path, capsys):
    """Three references, 48 contigs each; at least 95 % of the labels are the same: all 144 when this was written."""
    rng = np.random.default_rng(3)
    ancestor = [rng.choice(CODONS, 300) for _ in range(24)]

    def drift(genes, share):
        return [np.where(rng.random(len(gene)) < share, rng.choice(CODONS, len(gene)), gene) for gene in genes]

    genus = {"A": drift(ancestor, 0.25), "B": drift(ancestor, 0.25)}
    genes = {name: drift(genus["A" if name in ("one", "two") else "B"], 0.12) for name in LINEAGES}
    contigs = {}
    for name, own in genes.items():
        sequence = ["ATG" + "".join(gene) + "TAA" for gene in own]
        write_fasta(tmp_path / f"{name}.fna", [("x", "".join(sequence))])
        for number in range(0, 24, 2):
            contigs[f"{name}_{number}"] = "AAACCC".join(sequence[number : number + 2])
    write_fasta(tmp_path / "contigs.fna", contigs.items())
    rows = "".join(f"{name}.fna\t{lineage}\n" for name, lineage in LINEAGES.items())
    (tmp_path / "genomes.tsv").write_text(f"file\tlineage\n{rows}")
    given = ["--genomes", tmp_path / "genomes.tsv"]
    assert call("reference", "proteins", *given, "--threads", 2, "--output", tmp_path / "proteins") == 0
    index = ["--output-index", tmp_path / "index.parquet", "--output-abundance", tmp_path / "abundance.parquet"]
    assert call("reference", "contigs", "--contigs", tmp_path / "contigs.fna", *index) == 0
    whole = database_of(tmp_path, list(LINEAGES))
    settings = SearchSettings(kmer=5, orf_filter=0)
    places = (tmp_path / "contigs.fna", tmp_path / "index.parquet", whole / "database" / "proteins")
    keep_search(*places, settings, 1, tmp_path / "kept")
    equal, number = 0, 0
    for withheld, left in (
        ([f"{ABOVE};g__A;s__A one"], ["two", "three", "four"]),
        ([f"{ABOVE};g__B"], ["one", "two"]),
        ([f"{ABOVE};g__A;s__A one", f"{ABOVE};g__B;s__B four"], ["two", "three"]),
    ):
        outputs = (tmp_path / "virtual.parquet", tmp_path / "virtual.tsv")
        where = (tmp_path / "kept", tmp_path / "index.parquet", whole / "database" / "proteins", whole / "tax")
        withhold(*where, withheld, settings, 1, *outputs)
        made = database_of(tmp_path, left)
        words = ["--contigs", tmp_path / "contigs.fna", "--index", tmp_path / "index.parquet", *FAST]
        words += ["--database", made / "database" / "proteins", "--taxonomy", made / "tax"]
        words += ["--output-labels", tmp_path / "real.parquet", "--output-hits", tmp_path / "hits.parquet"]
        words += ["--output-tsv", tmp_path / "real.tsv", "--output-summary", tmp_path / "summary.json"]
        assert call("labels", "search", *words) == 0
        virtual, real = (lineages_of(read_table(tmp_path / f"{name}.parquet", LABELS)) for name in ("virtual", "real"))
        equal += sum(one == other for one, other in zip(virtual, real, strict=True))
        number += len(real)
    with capsys.disabled():
        print(f" {equal} of {number} labels are equal")
    assert equal >= 0.95 * number


def test_withheld_clades_are_read_by_community_and_reference(tmp_path):
    rows = [("a", "fitting-001", "x"), ("a", "fitting-002", "y"), ("b", "fitting-001", "z")]
    pd.DataFrame(rows, columns=["community", "reference", "clade"]).to_csv(tmp_path / "w.tsv", sep="\t", index=False)
    assert read_withheld(tmp_path / "w.tsv", "a", "fitting-001") == ["x"]
    with pytest.raises(InputError, match="no row for the reference 'judging-001' of the community 'a'"):
        read_withheld(tmp_path / "w.tsv", "a", "judging-001")


def test_only_the_approximate_lca_can_be_filtered(tmp_path):
    with pytest.raises(InputError, match="with lca_mode 3 only"):
        keep_search("c.fna", "i.parquet", "database", SearchSettings(lca_mode=1), 1, tmp_path / "kept")
