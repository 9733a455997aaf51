"""Baselines of probe tasks, and the fit in blocks, which treats baselines and models alike."""

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from genestill.core.reading_frames import longest_frame
from genestill.core.table_schemas import PROBE_PREDICTIONS, PROBE_TASK, embeddings
from genestill.core.tables import read_table, write_table
from genestill.evaluation.probes import baselines, blocks
from genestill.evaluation.probes.baselines import union
from genestill.evaluation.probes.baselines.parts import parts_of
from genestill.evaluation.probes.baselines.regional_kmers import REGIONS
from genestill.evaluation.probes.features import describe_task
from genestill.evaluation.probes.tables import probe_tasks
from genestill.evaluation.settings import TRANSCRIPT_BASELINES, ProbeSettings, TranscriptBaselineSettings
from genestill.reference.probe_tasks import build_task, write_task
from genestill.reference.transcripts import Transcript, codon_starts

UPSTREAM, CODING, DOWNSTREAM = "CCATGCCATAACCCCACC", "ATGGCTGCTGCTGCTTAA", "CCTGTAAATACCATTTACCC"


def table_of(*transcripts) -> pd.DataFrame:
    return build_task(list(transcripts), np.zeros((len(transcripts), 1)))


def whole(**more) -> Transcript:
    stop = len(UPSTREAM + CODING)
    return Transcript("t", UPSTREAM + CODING + DOWNSTREAM, cds=codon_starts(len(UPSTREAM), stop), **more)


def features(name, table):
    module = import_module(f"{baselines.__name__}.{name}")
    return module.features(table, TranscriptBaselineSettings(features=name, shortest=1, longest=2))


def test_features_of_a_task_are_computed_once_and_again_if_their_file_is_damaged(tmp_path, monkeypatch):
    table, asked = table_of(whole(), Transcript("n", "CCCC")), []
    settings = TranscriptBaselineSettings(features="union")
    found = describe_task(table, settings, tmp_path)
    original = union.composition.describe
    monkeypatch.setattr(union.composition, "describe", lambda parts: asked.append(1) or original(parts))
    for again in (settings, TranscriptBaselineSettings(features="boosting")):
        kept = describe_task(table, again, tmp_path)
        assert list(kept) == list(found)
        assert all(np.array_equal(kept[name], found[name]) for name in found)
    assert not asked
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-400])
    assert np.array_equal(describe_task(table, settings, tmp_path)["codons"], found["codons"])
    assert len(asked) == 1
    describe_task(table.iloc[:1], settings, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@given(st.text("ATG", max_size=30) | st.text("ACGT", max_size=40))
def test_the_longest_open_reading_frame_is_found(sequence):
    frames = [(0, 0)]
    for start in range(len(sequence)):
        if sequence[start : start + 3] == "ATG":
            stop = start
            while len(codon := sequence[stop : stop + 3]) == 3:
                stop += 3
                if codon in ("TAA", "TAG", "TGA"):
                    break
            frames.append((start, stop))
    start, stop = longest_frame(sequence)
    assert (start, stop) in frames
    assert stop - start == max(stop - start for start, stop in frames)


@pytest.mark.parametrize("name", TRANSCRIPT_BASELINES)
def test_every_baseline_describes_every_transcript(name):
    strange = [Transcript("a", "ACGTN" * 3), Transcript("b", "NNN"), Transcript("c", "ATG"), Transcript("d", "A")]
    cut = whole(splice=np.array([3, 40]))
    cut.sequence = cut.sequence[: len(UPSTREAM) + 4]  # ends within its second codon
    cut.cds, cut.splice = cut.cds[:2], cut.splice[:1]
    found = features(name, table_of(whole(), cut, *strange))
    assert found
    for block in found.values():
        assert len(block) == 6
        assert np.isfinite(block).all()


def test_baseline_features_of_a_known_transcript_have_the_expected_values():
    table = table_of(whole(splice=np.array([9, 25, len(UPSTREAM + CODING + DOWNSTREAM) - 1])), Transcript("n", "CCCC"))
    sizes = [len(UPSTREAM + CODING + DOWNSTREAM), len(UPSTREAM), len(CODING), len(DOWNSTREAM), len(CODING), 3]
    assert np.expm1(features("lengths", table)["lengths"][0]) == pytest.approx(sizes, rel=1e-5)
    codons = features("codons", table)["codons"][0]
    assert codons[int("213", 4)] == pytest.approx(4 / 6)  # GCT
    assert codons.sum() == pytest.approx(1)
    upstream = features("initiation", table)["initiation"][0]
    assert np.expm1(upstream[:4]).round().tolist() == [1, 1, 0, 0]  # ATG CCA TAA
    assert upstream[4:6].tolist() == [1, 1]  # ATG, ACC ATG G
    exons = features("exons", table)["exon junctions"][0]
    assert exons[:4] == pytest.approx([2000 / sizes[0], 1000 / sizes[1], 1000 / sizes[2], 0])
    motifs = np.expm1(features("motifs", table)["motifs"][0]).round()
    assert motifs[[0, 3]].tolist() == [1, 1]  # ATTTA, TGTAAATA
    folded = features("folding", table_of(Transcript("f", "GGGGGGAAAACCCCCC"), Transcript("u", "A" * 16)))["folding"]
    assert folded[0, 0] < -5 < folded[1, 0] == 0


def test_k_mers_are_counted_by_region():
    table = table_of(whole(), Transcript("n", "CCCC"))
    regions = features("regional_kmers", table)
    only_coding = int("221322", 4)  # GGCTGG does not occur, GCTGCT is in the coding sequence
    word = int("213213", 4)
    start = sum(4**k for k in range(1, 6))
    assert [regions[f"k-mers of the {name}"][0, start + word] > 0 for name in REGIONS] == [False, True, False]
    assert not any(block[0, start + only_coding] for block in regions.values())
    norms = [np.linalg.norm(block[0]) for block in regions.values()]
    assert norms == pytest.approx([1, 1, 1], rel=1e-5)


def test_a_long_open_reading_frame_replaces_an_unknown_coding_sequence():
    long = UPSTREAM + "ATG" + "GCT" * 98 + "TAA" + DOWNSTREAM
    known, short, guessed = parts_of(table_of(whole(), Transcript("s", whole().sequence), Transcript("g", long)))
    assert [(one.start, one.stop) for one in (known, short, guessed)] == [(18, 36), (0, 0), (18, 318)]


def example(seed=0, rows=150):
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(rows, 4)), generator.normal(size=(rows, 300))
    target = first @ [1.0, -1, 0.5, 0] + 0.3 * generator.normal(size=rows)
    return [first, second], target[:, None], np.arange(100), np.arange(100, rows)


def test_the_scale_of_a_block_does_not_change_the_fit():
    given_blocks, targets, training, tested = example()
    said = blocks.predict_with_blocks(given_blocks, targets, training, tested, 1)
    other = [given_blocks[0] * 1000 + 5, given_blocks[1] / 1000]
    again = blocks.predict_with_blocks(other, targets, training, tested, 1)
    np.testing.assert_allclose(said, again, rtol=2e-3, atol=2e-3)
    assert np.corrcoef(said[:, 0], targets[tested, 0])[0, 1] > 0.9  # 300 columns of noise do not mask four


def test_test_rows_are_not_used_in_the_fit():
    given_blocks, targets, training, tested = example()
    said = blocks.predict_with_blocks(given_blocks, targets, training, tested[:1], 1)
    for block in given_blocks:
        block[tested[1:]] *= 50
    targets[tested] = 0
    np.testing.assert_array_equal(said, blocks.predict_with_blocks(given_blocks, targets, training, tested[:1], 1))


@pytest.mark.parametrize("columns", [5, 60])  # fewer than rows, more than rows
def test_leave_one_out_errors_equal_those_of_explicit_refits(columns):
    generator = np.random.default_rng(3)
    values, targets = generator.normal(size=(30, columns)), generator.normal(size=(30, 2))
    values -= values.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(values @ values.T)
    errors = blocks._leave_one_out(np.maximum(eigenvalues, 0), vectors, targets - targets.mean(axis=0))
    for number in (6, 8, 12):
        ridge = Ridge(blocks.PENALTIES[number] * 30)
        left = []
        for row in range(30):
            others = np.delete(np.arange(30), row)
            left.append(targets[row] - ridge.fit(values[others], targets[others]).predict(values[[row]])[0])
        assert errors[number] == pytest.approx(np.mean(np.square(left)), rel=1e-6)
    ridge = blocks._Ridge(values.astype(np.float32), targets)
    best = Ridge(blocks.PENALTIES[int(np.argmin(errors))] * 30).fit(values, targets)
    np.testing.assert_allclose(ridge.predict(values), best.predict(values), atol=1e-3)


def test_a_model_is_probed_alone_in_blocks_and_together_with_a_baseline(tmp_path):
    generator = np.random.default_rng(0)
    sequences = ["".join(generator.choice(list("ACGT"), 40)) for _ in range(90)]
    content = np.array([sequence.count("G") for sequence in sequences], float)
    table = build_task([Transcript(f"t{n}", text) for n, text in enumerate(sequences)], content[:, None])
    write_task(tmp_path / "task.parquet", table, "g", "regression", "default", ["g"])
    shard = {
        "id": table["transcript"],
        "embedding": list(generator.normal(size=(90, 3))),
        "tokens": 40,
        "truncated": False,
    }
    write_table(tmp_path / "shard.parquet", pd.DataFrame(shard), embeddings(3), {})
    settings = ProbeSettings(split_seeds=(1,), beside=("composition", "lengths"))
    scores = {}
    for model, given_features in (
        ("model", [tmp_path / "shard.parquet"]),
        ("boosted", TranscriptBaselineSettings("boosting")),
    ):
        probe_tasks(
            [tmp_path / "task.parquet"], None, given_features, model, "d", settings,
            tmp_path / "metrics.parquet", tmp_path / "predictions.parquet",
        )  # fmt: skip
        for variant, rows in read_table(tmp_path / "predictions.parquet", PROBE_PREDICTIONS).groupby("variant"):
            said, right = (np.concatenate(rows[name].tolist()) for name in ("predictions", "targets"))
            scores[model, variant] = np.corrcoef(said, right)[0, 1]
    beside = "fit=blocks, with=composition"
    assert set(scores) == {
        *(("model", name) for name in ("fit=mrnabench", "fit=blocks", beside, "fit=blocks, with=lengths")),
        ("boosted", "fit=boosting"),
    }
    assert scores["model", beside] > 0.8 > abs(scores["model", "fit=blocks"])
    assert len(read_table(tmp_path / "task.parquet", PROBE_TASK)) == 90
