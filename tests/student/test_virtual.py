import pandas as pd

from genestill.core.table_schemas import ALIGNMENTS
from genestill.core.tables import read_table, write_table
from genestill.student.corrector import virtual
from genestill.student.corrector.pipeline import Sources
from genestill.student.corrector.settings import CorrectorSettings

ABOVE = "d__D;p__P;c__C;o__O;f__F"


def test_correctors_learn_from_what_the_references_of_the_judging_half_hold(tmp_path, monkeypatch):
    """Each from labels, hits and label tree of its reference and alignments to genomes that are left; once."""
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

    def learn(sources, training, seed, model, predictions, read):
        genomes = read_table(sources.evidence["alignments"], ALIGNMENTS)["genome"].tolist()
        learnt.append((sources.labels.parent.name, seed, sources.evidence["agreeing_hits"], genomes))
        predictions.write_bytes(b"")

    monkeypatch.setattr(virtual, "learn", learn)
    evidence = {"alignments": tmp_path / "alignments.parquet"}
    sources = Sources("c", "i", "", "", taxonomy, None, evidence)
    place = tmp_path / "virtual"
    where = (tmp_path / "withheld.tsv", "mine", False, 2, place, tmp_path / "correctors.tsv")
    for _ in range(2):
        virtual.learn_virtual(sources, ("agreeing_hits", "alignments"), CorrectorSettings(), *where)
    hits = place / "judging-001" / "hits.parquet"
    assert learnt == [("judging-001", seed, hits, ["two"]) for seed in (1, 2)]
    assert pd.read_csv(tmp_path / "correctors.tsv", sep="\t")["seconds"].tolist() == [0, 0]
    virtual.learn_virtual(sources, ("agreeing_hits", "alignments"), CorrectorSettings(epochs=3), *where)
    assert len(learnt) == 4  # other settings: what stood is made again
