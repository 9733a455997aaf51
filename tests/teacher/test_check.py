import json

import numpy as np
import pytest
import torch

from genestill.core.errors import CheckFailed, InputError
from genestill.core.sequences import write_fasta
from genestill.teacher.check import _gc_entropy, _states, check_teacher
from genestill.teacher.genomes import Genomes, genome_files
from genestill.teacher.loading import load_teacher
from genestill.teacher.pretraining import pretrain
from genestill.teacher.settings import PretrainingSettings
from genestill.teacher.windows import cut_windows

# A repeat that any language model learns within a few steps.
MOTIF = "ACGTTGCATGCACCGTAGGCATCATTTGACGGAC"


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fna"
    write_fasta(path, [("chromosome", MOTIF * 200)])
    return path


@pytest.fixture(scope="module", params=["genomeocean", "nucleotide-transformer"])
def trained(request, genome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / request.param
    settings = PretrainingSettings(
        request.param, hidden_size=32, layers=1, heads=2, vocabulary=40, context=32, batch=8, steps=60,
        learning_rate=1e-2,
    )  # fmt: skip
    pretrain([genome], folder, settings)
    return folder


def test_a_teacher_trained_on_the_genomes_passes_and_its_figures_are_reported(trained, genome, tmp_path):
    found = check_teacher(trained, [genome], tmp_path / "check.json", windows=8)
    written = json.loads((tmp_path / "check.json").read_text())
    assert found.loss < found.threshold < found.uniform
    assert found.loss < found.unigram_entropy
    assert found.uniform == pytest.approx(np.log(found.vocabulary))
    assert found.agreement == 0
    assert written["loss"] == found.loss
    assert written["revision"].startswith("sha256:")


@pytest.mark.parametrize("folder", ["causal_folder", "masked_folder", "letters_folder"])
def test_a_random_teacher_fails_with_a_clear_message_and_its_figures(request, genome, tmp_path, folder):
    with pytest.raises(CheckFailed, match=r"a loss of \d+\.\d+ nats .* expected less than 0.9[38] x ln\(\d+\) = "):
        check_teacher(request.getfixturevalue(folder), [genome], tmp_path / "check.json", windows=8)
    assert not (tmp_path / "check.json").exists()
    assert json.loads((tmp_path / "check.failed.json").read_text())["loss"] > 0


def test_a_share_outside_0_and_1_is_refused_by_the_name_of_its_setting(genome, tmp_path):
    with pytest.raises(InputError, match=r"^maximum_relative_loss 1\.5: expected a number between 0 and 1"):
        check_teacher(tmp_path, [genome], tmp_path / "check.json", share=1.5)


def test_two_loads_that_differ_fail(trained, genome, tmp_path, monkeypatch):
    def loads(*arguments, **options):
        teacher = load_teacher(*arguments, **options)
        with torch.no_grad():
            next(teacher.model.lm_head.parameters()).add_(0.1 * torch.rand(()))
        return teacher

    monkeypatch.setattr("genestill.teacher.check.load_teacher", loads)
    with pytest.raises(CheckFailed, match=r"two loads of .* differ"):
        check_teacher(trained, [genome], tmp_path / "check.json", windows=8)


def test_the_loss_equals_that_of_transformers(causal_folder, genome, tmp_path):
    from genestill.teacher.check import _loss
    from genestill.teacher.windows import cut_windows

    teacher = load_teacher(causal_folder)
    windows = cut_windows([MOTIF * 3, MOTIF], teacher.tokenizer, 1000, 64)
    loss, _, scored, _ = _loss(teacher, windows, np.random.default_rng(1))
    total = 0.0
    for window in windows:
        ids = torch.from_numpy(window.ids)[None]
        total += float(teacher.model(ids, labels=ids).loss) * (len(window) - 1)
    assert scored == sum(len(window) - 1 for window in windows)
    assert loss == pytest.approx(total / scored, rel=1e-5)


def test_genomes_are_listed_by_files_and_by_tables(tmp_path):
    (tmp_path / "genomes.tsv").write_text("file\tlineage\na.fna\tx\nb.fna.gz\ty\n")
    assert genome_files([tmp_path / "c.fna", tmp_path / "genomes.tsv"]) == [
        tmp_path / "c.fna", tmp_path / "a.fna", tmp_path / "b.fna.gz",
    ]  # fmt: skip
    assert genome_files([tmp_path / "genomes.tsv"], tmp_path / "there")[0] == tmp_path / "there" / "a.fna"
    (tmp_path / "genomes.tsv").write_text("genome\nx\n")
    with pytest.raises(InputError, match="no column 'file'; found genome"):
        genome_files([tmp_path / "genomes.tsv"])


def test_windows_are_drawn_in_proportion_to_length_from_both_strands():
    drawn = Genomes(["A" * 900, "C" * 100]).draw(np.random.default_rng(1), 10, 2000)
    assert all(len(window) == 10 and len(set(window)) == 1 for window in drawn)
    share = {letter: sum(window[0] == letter for window in drawn) / 2000 for letter in "ACGT"}
    assert share["A"] + share["T"] == pytest.approx(0.9, abs=0.03)
    assert share["A"] == pytest.approx(share["T"], abs=0.05)


def test_the_entropy_of_gc_content_equals_that_of_bases_drawn_with_it(masked_folder):
    teacher = load_teacher(masked_folder)
    texts = ["ACGT" * 9, "AT" * 18]
    windows = cut_windows(texts, teacher.tokenizer, 36, 48)
    known = [3 * np.log(4)] * 12 + [3 * np.log(2)] * 12
    assert _gc_entropy(texts, windows) == pytest.approx(np.mean(known), rel=0.01)


def test_states_of_a_model_without_attention_depend_only_on_the_tokens(masked_folder):
    teacher = load_teacher(masked_folder)
    texts = ["".join(np.random.default_rng(row).choice(list("ACGT"), 90)) for row in range(12)]
    windows = cut_windows(texts, teacher.tokenizer, 90, 48)
    norms, share = _states(teacher, windows)
    assert len(norms) == teacher.layers
    for layer in teacher.model.esm.encoder.layer:
        torch.nn.init.zeros_(layer.attention.output.dense.weight)
        torch.nn.init.zeros_(layer.attention.output.dense.bias)
    alone = _states(teacher, windows)[1]
    assert share < 0.9
    assert alone == pytest.approx(1, abs=1e-3)
