import torch

from genestill.core.training.selection import BestWeights


def test_the_weights_of_the_best_epoch_are_kept_and_ties_keep_the_first():
    model = torch.nn.Linear(1, 1)
    scores = iter([0.5, 0.8, 0.8, 0.1])
    best = BestWeights(model, [2, 4, 6, 8], lambda: (next(scores),))
    for step in range(1, 9):
        torch.nn.init.constant_(model.weight, float(step))
        best(step)
    best.restore()
    assert (best.best, best.epoch, model.weight.item()) == ((0.8,), 2, 4.0)


def test_epochs_with_equal_first_scores_are_compared_by_the_next_one():
    scores = iter([(0.8, -0.5), (0.8, -0.3), (0.8, -0.4), (0.7, -0.1)])
    best = BestWeights(torch.nn.Linear(1, 1), [1, 2, 3, 4], lambda: next(scores))
    assert [best(step)["validation"] for step in range(1, 5)] == [0.8, 0.8, 0.8, 0.7]
    assert (best.best, best.epoch) == ((0.8, -0.3), 2)


def test_training_ends_when_patience_is_exhausted_and_does_not_continue_from_its_checkpoint():
    scores = iter([0.5, 0.4, 0.3, 0.9])
    best, after = (BestWeights(torch.nn.Linear(1, 1), [1, 2, 3, 4], lambda: (next(scores),), patience=2) for _ in "12")
    assert [(best(step), best.ended)[1] for step in (1, 2, 3)] == [False, False, True]
    after.load_state(best.state())
    assert after.ended
