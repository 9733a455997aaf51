import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import sparse

from genestill.core.errors import CheckFailed, InputError
from genestill.core.label_tree import LabelTree, running_totals
from genestill.core.lineage import parse_lineage
from genestill.core.predictions import predictions_of
from genestill.core.training.checkpoints import Checkpoint
from genestill.core.training.optimizer import Group, RowAdamW
from genestill.student.corrector.evidence.labels import evidence_of_labels
from genestill.student.corrector.evidence.source import GARBAGE, marginal
from genestill.student.corrector.features import Contigs, evidence_arrays
from genestill.student.corrector.inputs import Inputs
from genestill.student.corrector.neighbours import (
    find_neighbours,
    fit_logistic,
    nearest,
    principal_components,
    profile_abundance,
    reduce_composition,
)
from genestill.student.corrector.network import Corrector, CorrectorConfig
from genestill.student.corrector.prediction import leaf_probabilities, predict_lineages
from genestill.student.corrector.settings import CorrectorSettings
from genestill.student.corrector.softmax import FullSoftmax, SampledSoftmax, full_losses, held_out_losses
from genestill.student.corrector.targets import (
    Targets,
    agreement,
    apply_teacher_prior,
    combine_hypotheses,
    targets_of_evidence,
    weigh_neighbours,
)
from genestill.student.corrector.training import train_corrector
from genestill.student.corrector.wide_nodes import WideNodes

SPECIES = 6
LINEAGES = [parse_lineage(f"d__B;p__P;c__C;o__O;f__F{k // 3};g__G{k // 2};s__G{k // 2} s{k}") for k in range(SPECIES)]


@pytest.fixture(scope="module")
def tree():
    return LabelTree.from_lineages(LINEAGES, other_children=True)


@pytest.fixture(scope="module")
def community():
    """Six well-separated genomes of 60 contigs; a fifth of the contigs has no label."""
    random = np.random.default_rng(0)
    genome = np.repeat(np.arange(SPECIES), 60)
    centre = random.normal(size=(SPECIES, 103))
    composition = (centre[genome] + 0.3 * random.normal(size=(len(genome), 103))).astype(np.float32)
    depth = random.lognormal(1, 1, size=(SPECIES, 4))
    abundance = (depth[genome] * random.lognormal(0, 0.1, size=(len(genome), 4))).astype(np.float32)
    lengths = random.integers(1000, 9000, len(genome))
    contigs = Contigs([f"c{i}" for i in range(len(genome))], lengths, composition, abundance, list("abcd"))
    labels = [LINEAGES[g] if random.random() > 0.2 else (None,) * 7 for g in genome]
    return contigs, genome, labels


@pytest.fixture(scope="module")
def targets(tree, community):
    contigs, genome, labels = community
    confident = np.array([label[-1] is not None for label in labels])
    spaces = [reduce_composition(contigs.composition), profile_abundance(contigs.abundance)]
    neighbourhood = find_neighbours(spaces, contigs.lengths, genome, confident, np.random.default_rng(0))
    return targets_of_evidence(evidence_of_labels(labels, tree), neighbourhood)


@pytest.fixture(scope="module")
def student(tree, community, targets):
    return train_corrector(community[0], targets, tree, CorrectorSettings(epochs=8, batch_size=32), seed=1)[0]


def species_of(probabilities, tree):
    table = predictions_of([str(i) for i in range(len(probabilities))], probabilities, tree, 0.5)
    return table["species"].to_numpy()


def test_principal_components_computed_in_blocks_equal_those_of_the_whole_table(community):
    composition = community[0].composition
    scaled = (composition - composition.mean(axis=0)) / composition.std(axis=0)
    expected = scaled @ np.linalg.svd(scaled, full_matrices=False)[2][:20].T
    found = principal_components(np.array_split(composition, 7))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.abs(found), np.abs(expected / expected[:, 0].std()), atol=2e-3)


def test_unlabelled_contigs_get_the_species_of_their_genome_from_neighbours(tree, community, targets):
    _, genome, labels = community
    bare = np.array([label[-1] is None for label in labels])
    called = species_of(targets.posterior.toarray(), tree)
    right = np.array([called[row] == LINEAGES[genome[row]][-1] for row in range(len(genome))])
    assert bare.sum() > 30
    assert right[bare].mean() > 0.95


def test_a_student_learns_its_targets_and_is_saved_with_them(tree, community, student, tmp_path):
    contigs, genome, _ = community
    student.save_pretrained(tmp_path / "student")
    opened = Corrector.from_pretrained(tmp_path / "student")
    before = leaf_probabilities(student, Inputs(student, contigs.groups(), None))
    after = leaf_probabilities(opened, Inputs(opened, contigs.groups(), None))
    np.testing.assert_array_equal(before, after)
    called = species_of(after, tree)
    assert np.mean([called[row] == LINEAGES[genome[row]][-1] for row in range(len(genome))]) > 0.95


def test_a_student_trained_with_abundances_works_without_them(tree, community, student):
    contigs, genome, _ = community
    found = leaf_probabilities(student, Inputs(student, {"composition": contigs.composition}, None))
    called = species_of(found, tree)
    assert np.mean([called[row] == LINEAGES[genome[row]][-1] for row in range(len(genome))]) > 0.8


def test_the_same_seed_gives_the_same_student_bit_for_bit(tree, community, targets, student):
    again, _ = train_corrector(community[0], targets, tree, CorrectorSettings(epochs=8, batch_size=32), seed=1)
    for name, value in student.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_predictions_in_blocks_of_bounded_size_equal_those_of_the_whole(tree, community, student, monkeypatch):
    contigs, inputs = community[0], Inputs(student, community[0].groups(), None)
    whole = predict_lineages(student, inputs, contigs.ids)
    sizes = []

    def noted(*arguments):
        sizes.append(len(running_totals(*arguments)) * 8 * (len(tree.leaves) + 1))
        return running_totals(*arguments)

    monkeypatch.setattr("genestill.core.predictions.running_totals", noted)
    monkeypatch.setattr("genestill.core.memory.BLOCK_BYTES", 2000)
    blocks = predict_lineages(student, inputs, contigs.ids)
    assert max(sizes) <= 2000
    for name in whole:
        if whole[name].dtype.kind == "f":
            np.testing.assert_allclose(blocks[name], whole[name], atol=1e-6)
        else:
            assert blocks[name].fillna("").tolist() == whole[name].fillna("").tolist(), name


def test_evidence_moves_the_logits_of_the_leaves_it_supports_and_no_others(tree, student):
    values = torch.zeros(1, sum(student.config.groups.values()))
    present = torch.ones(1, 2)
    plain = student(values, present)
    moved = student(values, present, torch.tensor([[3, 0]]), torch.tensor([[2.0, 0.0]]))
    difference = (moved - plain)[0]
    assert difference[3].item() == pytest.approx(2.0 * student.evidence_weight.item(), rel=1e-4)
    assert difference.abs().sum().item() == pytest.approx(difference[3].abs().item(), rel=1e-4)


def test_evidence_gains_are_the_log_ratio_to_a_leaf_without_evidence():
    prior = np.array([0.2, 0.3, 0.5])
    leaves, gains = evidence_arrays(sparse.csr_matrix([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), prior, GARBAGE)
    mixed = (1 - GARBAGE) * np.array([0, 1, 0]) + GARBAGE * prior
    expected = np.log(mixed / prior) - np.log(GARBAGE)
    assert leaves[0, 0] == 1
    assert gains[0, 0] == pytest.approx(expected[1], rel=1e-5)
    assert (gains[1] == 0).all()


def test_a_folder_that_is_not_a_student_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        Corrector.from_pretrained(tmp_path)


def test_a_truncated_weights_file_is_refused(student, tmp_path):
    student.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="do not match"):
        Corrector.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"temperature": 0}, "temperature is '0'; expected a number above zero"),
        ({"temperature": "1"}, "temperature is '1'; expected a number above zero"),
        ({"dropout": 1.5}, "dropout is '1.5'; expected a number of at least 0 and less than 1"),
        ({"layers": 9}, "layers is 9, but 2 by model.safetensors"),
        ({"leaves": 10**12}, "1000000000000 in config.json"),
    ],
)
def test_settings_of_a_student_out_of_bounds_are_refused_by_name(student, tmp_path, changes, sentence):
    student.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(InputError, match=re.escape(sentence)):
        Corrector.from_pretrained(tmp_path)


def test_weights_of_a_student_that_are_not_finite_are_refused_by_name(student, tmp_path):
    student.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["head.weight"][0, 0] = float("inf")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"head\.weight has values that are not finite"):
        Corrector.from_pretrained(tmp_path)


def test_inputs_of_another_number_of_samples_are_refused(student, community):
    groups = community[0].groups()
    groups["abundance"] = groups["abundance"][:, :2]
    with pytest.raises(InputError, match="abundance: 2 values per contig; the student was trained with 5"):
        Inputs(student, groups, None)


@pytest.mark.faults
def test_a_nan_loss_stops_the_training(tree, community, targets):
    contigs = community[0]
    broken = Contigs(contigs.ids, contigs.lengths, contigs.composition * np.nan, None, [])
    with pytest.raises(CheckFailed, match="loss is nan"):
        train_corrector(broken, targets, tree, CorrectorSettings(epochs=1), seed=1)


def test_too_few_targets_are_refused(tree, community):
    empty = sparse.csr_matrix((len(community[0].ids), len(tree.leaves)))
    nothing = Targets(empty, empty, empty, marginal(empty, WideNodes()), 0.0)
    with pytest.raises(InputError, match="only 0 contigs"):
        train_corrector(community[0], nothing, tree, CorrectorSettings(epochs=1), seed=1)


def test_agreement_favours_the_same_rare_leaf_and_is_neutral_without_evidence():
    prior = np.array([0.9, 0.1])
    rare, common = sparse.csr_matrix([[0.0, 1.0]]), sparse.csr_matrix([[1.0, 0.0]])
    blank = sparse.csr_matrix((1, 2))
    assert agreement(rare, rare, prior)[0] > agreement(common, common, prior)[0] > 1
    assert agreement(rare, common, prior)[0] < 0.05
    assert agreement(rare, blank, prior)[0] == 1


def test_uncertain_neighbours_are_weighted_by_their_odds(community):
    from genestill.student.corrector.neighbours import Neighbourhood

    own = sparse.csr_matrix((4, 3))
    hood = Neighbourhood(np.array([[1, 2, 3]] * 4), np.full((4, 3), 0.6))
    weights = weigh_neighbours(own, np.full(3, 1 / 3), hood, np.full(4, 100.0), WideNodes())
    np.testing.assert_allclose(weights.sum(axis=1), 1.5)


def test_a_contig_that_contradicts_uncertain_neighbours_keeps_its_own_label():
    prior = np.full(4, 0.25)
    own, around = sparse.csr_matrix([[1.0, 0, 0, 0]]), sparse.csr_matrix([[0, 1.0, 0, 0]])
    doubtful = combine_hypotheses(own, around, around, np.array([0.6]), prior).toarray()[0]
    certain = combine_hypotheses(own, around, around, np.array([0.99999]), prior).toarray()[0]
    assert doubtful[0] > 0.9
    assert certain[1] > 0.9


def test_an_uninformative_teacher_gets_zero_weight_and_a_good_one_full_weight(tree, community, targets):
    _, genome, _ = community
    random = np.random.default_rng(0)
    leaf = np.array([int(np.flatnonzero(tree.leaves == tree.node_of(lineage))[0]) for lineage in LINEAGES])
    noise = random.dirichlet(np.ones(len(tree.leaves)), len(genome))
    # The evidence is labels without hits, which are only partly trusted.
    alone = Targets(targets.own, sparse.csr_matrix(targets.own.shape), targets.own, targets.prior, 0.0)
    known = ~tree.is_other[tree.leaves]
    assert apply_teacher_prior(alone, sparse.csr_matrix(noise), known, random).teacher_weight == 0.0
    good = np.full((len(genome), len(tree.leaves)), 0.001)
    good[np.arange(len(genome)), leaf[genome]] = 0.9
    weighted = apply_teacher_prior(alone, sparse.csr_matrix(good), known, random)
    assert weighted.teacher_weight == 1.0
    # The teacher must not reduce the probability that the evidence assigns to unknown taxa.
    np.testing.assert_allclose(weighted.posterior[:, ~known].toarray(), alone.posterior[:, ~known].toarray())
    np.testing.assert_allclose(weighted.posterior.sum(axis=1), alone.posterior.sum(axis=1))


def test_a_teacher_sharpens_a_wide_node_to_a_species_and_the_total_probability_is_kept(community):
    wide = WideNodes(np.array([1]), np.array([0]), np.array([4]))
    known = np.array([True, True, True, False, True])
    own = sparse.csr_matrix([[0.0, 0, 0, 0.2, 0, 0.8]] + [[0.95, 0, 0, 0, 0.05, 0]] * 20)
    targets = Targets(own, sparse.csr_matrix(own.shape), own, marginal(own, wide), 0.0, wide)
    soft = sparse.csr_matrix(([0.9] * 21, ([*range(21)], [1] + [0] * 20)), shape=(21, 5))
    weighted = apply_teacher_prior(targets, soft, known, np.random.default_rng(0))
    assert weighted.teacher_weight > 0
    spread = wide.spread(weighted.posterior)
    np.testing.assert_allclose(spread.sum(axis=1), 1)
    assert spread[0, 1] > 0.7


def test_nearest_equals_a_brute_force_search(community):
    features = community[0].composition
    found = nearest(features, 5, np.random.default_rng(0))
    distance = ((features[:, None].astype(np.float64) - features[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    for row in range(len(features)):
        expected = np.sort(distance[row])[:5]
        np.testing.assert_allclose(np.sort(distance[row][found[row]]), expected, rtol=1e-4)


def test_neighbours_in_cells_are_distinct_and_never_the_contig_itself(community, monkeypatch):
    monkeypatch.setattr("genestill.student.corrector.neighbours.EXACT", 100)
    monkeypatch.setattr("genestill.student.corrector.neighbours.CELL", 10)
    monkeypatch.setattr("genestill.student.corrector.neighbours.PROBED", 1)
    features = community[0].composition
    found = nearest(features, 15, np.random.default_rng(0))
    for row, others in enumerate(found):
        assert row not in others
        assert len(set(others)) == 15


@pytest.mark.slow
def test_neighbours_in_cells_are_close_to_those_of_an_exact_search():
    random = np.random.default_rng(0)
    centres = random.normal(size=(1500, 40)) * np.geomspace(1, 0.1, 40)
    genome = random.choice(1500, 60_000, p=random.dirichlet(np.ones(1500)))
    features = (centres[genome] + 0.15 * random.normal(size=(60_000, 40))).astype(np.float32)
    found = nearest(features, 40, random)
    asked = random.choice(60_000, 300, replace=False)
    distance = (features**2).sum(axis=1) - 2 * features[asked] @ features.T
    distance[np.arange(300), asked] = np.inf
    exact = np.argpartition(distance, 39, axis=1)[:, :40]
    recall = np.mean([len(set(found[row]) & set(right)) / 40 for row, right in zip(asked, exact, strict=True)])
    assert recall > 0.98


def test_logistic_regression_gives_the_weights_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(5)
    features = random.normal(size=(3000, 4))
    outcomes = random.random(3000) < 1 / (1 + np.exp(-(features @ [2.0, -1.0, 0.0, 0.5] - 1)))
    theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(features, outcomes)
    ours = fit_logistic(features, outcomes)
    np.testing.assert_allclose(ours, np.append(theirs.coef_[0], theirs.intercept_), atol=2e-3)


def test_a_sample_of_all_leaves_gives_the_loss_over_all_leaves_and_its_gradient(tree, community, targets):
    contigs = community[0]
    torch.manual_seed(0)
    groups = contigs.groups()
    config = CorrectorConfig({name: values.shape[1] for name, values in groups.items()}, len(tree.leaves), 16)
    student = Corrector(config, tree).eval()
    inputs = Inputs(student, groups, evidence_arrays(targets.own, targets.prior, GARBAGE))
    optimizer = RowAdamW([Group(list(student.head.parameters()), lambda step: 0.1, 0.0)])
    softmax = SampledSoftmax(student, inputs, targets, optimizer.take)
    rows, every = np.arange(40), torch.arange(len(tree.leaves))
    batch = {name: getattr(inputs, name)[rows] for name in ("values", "present", "leaves", "gains")}
    batch |= {"rows": torch.from_numpy(rows)} | softmax.draw(rows, np.random.default_rng(1))
    found = softmax.loss(batch | {"sample": every, "weights": torch.ones(len(every))})
    expected = FullSoftmax(student, targets).loss(batch)
    torch.testing.assert_close(found, expected)
    found.backward()
    body = student.body[0].weight.grad.clone()
    student.zero_grad()
    expected.backward()
    assert [len(part) for part in optimizer.taken] == [len(every)] * 2
    torch.testing.assert_close(optimizer.taken[0].grad, student.head.weight.grad, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(student.body[0].weight.grad, body, atol=1e-6, rtol=1e-4)


def test_the_loss_of_a_wide_node_is_the_mean_over_its_leaves(tree, community, targets):
    logits = torch.randn(2, 6)
    wide = WideNodes(np.array([1]), np.array([1]), np.array([5]))
    posterior = sparse.csr_matrix([[0.5, 0, 0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0, 0, 1.0]])
    spread = torch.from_numpy(wide.spread(posterior)).float()
    nothing = Targets(posterior, posterior, posterior, np.full(6, 1 / 6), 0.0, wide)
    found = full_losses(logits, posterior, nothing, [1.0, 2.0])
    for loss, temperature in zip(found, (1.0, 2.0), strict=True):
        expected = -(spread * torch.log_softmax(logits / temperature, dim=1)).sum(dim=1).mean()
        torch.testing.assert_close(loss, expected)


def test_training_on_sampled_leaves_learns_the_same_as_training_on_all_leaves(tree, community, targets, monkeypatch):
    contigs, genome, _ = community
    settings = CorrectorSettings(epochs=8, batch_size=32)
    _, of_all = train_corrector(contigs, targets, tree, settings, seed=1)
    monkeypatch.setattr("genestill.student.corrector.training.MOST_LEAVES", 1)
    monkeypatch.setattr("genestill.student.corrector.softmax.SAMPLED", 8)
    student, history = train_corrector(contigs, targets, tree, settings, seed=1)
    called = species_of(leaf_probabilities(student, Inputs(student, contigs.groups(), None)), tree)
    assert np.mean([called[row] == LINEAGES[genome[row]][-1] for row in range(len(genome))]) > 0.95
    held_out, expected = (table["held_out_loss"].dropna().to_numpy() for table in (history, of_all))
    assert len(held_out) == 8
    assert np.abs(held_out - expected).max() < 0.1


@pytest.mark.parametrize("most_leaves", [8192, 1])
def test_a_killed_training_of_a_corrector_resumes_and_gives_the_same_student(
    tree, community, targets, tmp_path, monkeypatch, most_leaves
):
    """With a large tree, the rows of the head have separate moments, which are part of the checkpoint."""
    monkeypatch.setattr("genestill.student.corrector.training.MOST_LEAVES", most_leaves)
    monkeypatch.setattr("genestill.core.training.checkpoints.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    settings = CorrectorSettings(epochs=3, batch_size=64)
    expected, _ = train_corrector(community[0], targets, tree, settings, seed=1)
    calls = []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return held_out_losses(*arguments)

    with monkeypatch.context() as context:
        context.setattr("genestill.student.corrector.training.held_out_losses", killed)
        with pytest.raises(KeyboardInterrupt):
            train_corrector(community[0], targets, tree, settings, 1, Checkpoint(tmp_path / "c", {}, {}))
    found, history = train_corrector(community[0], targets, tree, settings, 1, Checkpoint(tmp_path / "c", {}, {}))
    assert history["step"].tolist() == list(range(1, len(history) + 1))
    for name, value in expected.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name


def test_the_held_out_loss_is_the_same_in_blocks(tree, community, targets, student, monkeypatch):
    contigs, rows = community[0], torch.arange(50)
    inputs = Inputs(student, contigs.groups(), evidence_arrays(targets.own, targets.prior, GARBAGE))
    whole = held_out_losses(student, inputs, targets, rows, [0.5, 1.0])
    monkeypatch.setattr("genestill.core.memory.BLOCK_BYTES", 1000)
    np.testing.assert_allclose(held_out_losses(student, inputs, targets, rows, [0.5, 1.0]), whole, rtol=1e-5)


def test_training_loads_neither_a_compiler_nor_a_second_machine_learning_library():
    code = "import sys, genestill.student.corrector.pipeline; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sklearn", "torch._dynamo", "scipy.stats", "transformers"} & set(loaded)
