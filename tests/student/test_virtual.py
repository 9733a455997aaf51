import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from genestill.cli import main
from genestill.core.label_tree import LabelTree
from genestill.core.predictions import lineage_probabilities
from genestill.core.table_schemas import ALIGNMENTS, INDEX, LINEAGE_PROBABILITIES, PREDICTIONS
from genestill.core.tables import read_table, write_table
from genestill.student.corrector import virtual
from genestill.student.corrector.pipeline import Sources
from genestill.student.corrector.settings import CorrectorSettings

ABOVE = "d__D;p__P;c__C;o__O;f__F"


def test_correctors_are_trained_on_the_references_of_the_judging_half(tmp_path, monkeypatch):
    """Each uses labels, hits and label tree of its reference and alignments to the remaining genomes, once."""
    rows = [("mine", f"{half}-001", half, f"{ABOVE};g__A") for half in ("fitting", "judging")]
    columns = ["community", "reference", "half", "clade"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "withheld.tsv", sep="\t", index=False)
    taxonomy = tmp_path / "taxonomy"
    taxonomy.mkdir()
    (taxonomy / "genomes.tsv").write_text("genome\ttaxid\none\t11\ntwo\t12\n")
    lineages = {11: ("D", "P", "C", "O", "F", "A", "A a"), 12: ("D", "P", "C", "O", "F", "B", "B b")}
    monkeypatch.setattr(virtual, "read_lineages", lambda folder: lineages)
    table = pd.DataFrame({"id": "c", "genome": ["one", "two"], "identity": 1.0, "matches": 9, "aligned": 1.0})
    write_table(tmp_path / "alignments.parquet", table, ALIGNMENTS)
    learnt = []

    tree = LabelTree.from_lineages([lineages[12]], other_children=True)
    found = lineage_probabilities(["c"], np.array([[0.6, *[0.4 / 7] * 7]]), tree)

    def learn(sources, training, seed, model, probabilities, read):
        genomes = read_table(sources.evidence["alignments"], ALIGNMENTS)["genome"].tolist()
        learnt.append((sources.labels.parent.name, seed, sources.evidence["agreeing_hits"], genomes))
        write_table(probabilities, found, LINEAGE_PROBABILITIES)

    monkeypatch.setattr(virtual, "learn", learn)
    evidence = {"alignments": tmp_path / "alignments.parquet"}
    (tmp_path / "contigs.fna").write_text(">c\nACGT\n")
    write_table(tmp_path / "index.parquet", INDEX.empty_table(), INDEX)
    write_table(tmp_path / "abundance.parquet", pa.table({"id": ["c"]}), pa.schema([("id", pa.string())]))
    given = [tmp_path / name for name in ("contigs.fna", "index.parquet", "abundance.parquet")]
    sources = Sources(*given[:2], "", "", taxonomy, given[2], evidence)
    place = tmp_path / "virtual"

    def learn_virtual(training, threshold=0.5, seeds=2):
        where = (tmp_path / "withheld.tsv", "mine", False, seeds, threshold, place, tmp_path / "correctors.tsv")
        virtual.learn_virtual(sources, ("agreeing_hits", "alignments"), training, *where)
        table = read_table(place / "judging-001" / "corrector.seed1.parquet", PREDICTIONS)
        return table["accepted"].tolist()

    for _ in range(2):
        assert learn_virtual(CorrectorSettings()) == [7]
    hits = place / "judging-001" / "hits.parquet"
    assert learnt == [("judging-001", seed, hits, ["two"]) for seed in (1, 2)]
    assert pd.read_csv(tmp_path / "correctors.tsv", sep="\t")["seconds"].tolist() == [0, 0]
    assert learn_virtual(CorrectorSettings(), 0.7)[0] < 7
    assert len(learnt) == 2  # another threshold does not train again
    learn_virtual(CorrectorSettings(epochs=3))
    assert len(learnt) == 4  # other settings train again
    learn_virtual(CorrectorSettings(epochs=3), seeds=1)
    assert len(learnt) == 4
    # Tables of further seeds would be scored as well.
    given[0].write_text(">c\nACGA\n")
    learn_virtual(CorrectorSettings(epochs=3), seeds=1)
    assert len(learnt) == 5  # other contigs train again
    write_table(given[2], pa.table({"id": ["d"]}), pa.schema([("id", pa.string())]))
    learn_virtual(CorrectorSettings(epochs=3), seeds=1)
    assert len(learnt) == 6  # and so do other abundances,
    write_table(evidence["alignments"], table.assign(matches=8), ALIGNMENTS)
    learn_virtual(CorrectorSettings(epochs=3), seeds=1)
    assert len(learnt) == 7  # other alignments
    (taxonomy / "lineages.tsv").write_text("taxid\tlineage\n")
    learn_virtual(CorrectorSettings(epochs=3), seeds=1)
    assert len(learnt) == 8  # and another taxonomy
    names = sorted(path.name for path in (place / "judging-001").glob("corrector.*"))
    assert names == ["corrector.probabilities.seed1.parquet", "corrector.seed1.parquet"]


def test_correctors_of_virtual_references_have_no_option_for_fragments(capsys):
    with pytest.raises(SystemExit):
        main(["student", "train-virtual", "--help"])
    shown = capsys.readouterr().out
    assert "--epochs" in shown
    assert "--fragments" not in shown
