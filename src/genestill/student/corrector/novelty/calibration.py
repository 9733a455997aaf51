"""How probably the reference lacks the taxon of a group: fitted and judged on clades that are withheld from it."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from genestill.core.novelty import LEDGER_RANKS
from genestill.student.corrector.novelty.conformal import half_width, threshold

SPLITS = 10  # of the families into two halves
FEWEST_FAMILIES = 6
DRAWS = 400  # virtual samples
MOST_ABSENT = 0.6  # share of the units of a virtual sample that lose their clade, at most
# Groups are compared with cases of similar size: genes with hits, up to each number and beyond.
SIZES = (10, 100)
LEVEL = 0.9
# Weights of the log odds of identity and of agreement on the genus and on the family, each divided by its scale, and
# intercept: of an absent genus where the species is absent, and of an absent family where the genus is. Fitted on the
# families of the fixed community that are in the fitting half of its virtual references.
SCALE = np.array([0.6, 1.6, 1.4])
GENERAL = ((-0.3, -1.1, -1.0, 1.9), (-0.9, -0.8, -2.0, 2.0))
SMALLEST_DEVIATION = 0.005  # of a share


@dataclass
class Cases:
    """Groups, and parts of groups, whose species is known, as the reference with and without some clade sees them.

    Attributes (n cases):
        features: float64 [n, f].
        absent: bool [n, 3], whether that reference lacks the species, the genus and the family.
        family: int64 [n], number of the true family.
        genes: float64 [n], genes with hits.
        unit: int64 [n], number of the group, or part of one.
    """

    features: np.ndarray
    absent: np.ndarray
    family: np.ndarray
    genes: np.ndarray
    unit: np.ndarray


class Model:
    """Whether a species is absent; where it is, whether its genus is; where that is, whether its family is.

    The first is told by the field's boundary, the others by logistic regressions that start from `GENERAL` weights.
    Either answer counts as much in total, however many cases it has: nothing is assumed of how much is absent. Cases
    of one family are no independent observations, so that both answers together count as often as there are families
    with the rarer one. Where a family gives only one of the answers, the general weights stay.
    """

    def __init__(self, cases: Cases, fitting: np.ndarray):
        features, absent, family = cases.features[fitting, 1:], cases.absent[fitting], cases.family[fitting]
        self.weights = []
        for rank, general in enumerate(GENERAL, start=1):
            above = absent[:, rank - 1]
            outcomes = absent[above, rank]
            families = min(len(np.unique(family[above & (absent[:, rank] == answer)])) for answer in (True, False))
            size = np.where(outcomes, outcomes.sum(), (~outcomes).sum())
            counts = families / np.maximum(size, 1)
            self.weights.append(fit_towards(np.array(general), features[above] / SCALE, outcomes, counts))

    def steps(self, features: np.ndarray) -> np.ndarray:
        """Log odds that a rank is absent where the one below it is: float64 [n, 3]."""
        scaled = features[:, 1:] / SCALE
        return np.column_stack([features[:, 0], *(scaled @ one[:-1] + one[-1] for one in self.weights)])


def fit_towards(general: np.ndarray, features: np.ndarray, outcomes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression, the intercept last: float64 [f + 1].

    Minimises Σ counts · log loss + ½|w - general|²: without observations the weights are the ``general`` ones.
    """
    wide = np.column_stack([features, np.ones(len(features))])
    signs = np.where(outcomes, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins, away = signs * (wide @ weights), weights - general
        value = float((counts * np.logaddexp(0, -margins)).sum() + 0.5 * away @ away)
        return value, away - (counts * signs * expit(-margins)) @ wide

    return minimize(loss, general, jac=True, method="L-BFGS-B").x


def log_odds_of(steps: np.ndarray) -> np.ndarray:
    """Log odds that each rank is absent, from those of the `Model.steps` [n, 3]: float64 [n, 3], falling."""
    # Probabilities are multiplied; in logarithms, so that odds of e^50 stay what they are.
    product = -np.logaddexp(0, -steps).cumsum(axis=1)
    return product - np.log(-np.expm1(np.minimum(product, -1e-300)))


class Calibration:
    """Models of halves of the families, and what they say of the cases of the other halves.

    Each of `SPLITS` times the families are split into two halves; a model is fitted on each, and says of the cases of
    the other half, whose clades it never saw, how probably they are absent. Thresholds and intervals come from these
    alone (cross-conformal prediction, Vovk 2015, doi 10.1007/s10472-013-9368-4). A group is judged by the mean of all.
    """

    def __init__(self, cases: Cases, random: np.random.Generator):
        self.cases, self.models = cases, []
        total, seen = np.zeros(cases.absent.shape), np.zeros((len(cases.genes), 1))
        families = np.unique(cases.family)
        for _ in range(SPLITS):
            first = random.permutation(families)[: len(families) // 2]
            inside = np.isin(cases.family, first)
            for fitting in (inside, ~inside):
                model = Model(cases, fitting)
                self.models.append(model)
                total[~fitting] += model.steps(cases.features[~fitting])
                seen[~fitting] += 1
        # Families with the rarer answer; with Jeffreys's prior, so many of the other answer leave odds of 1 to 2 n + 1.
        answers = [
            cases.absent[:, rank - 1] & (cases.absent[:, rank] == answer) for rank in (1, 2) for answer in (0, 1)
        ]
        families = np.array([len(np.unique(cases.family[answer])) for answer in answers]).reshape(2, 2).min(axis=1)
        self.limit = np.append(np.inf, np.log(2 * families + 1))
        self.steps = total / seen

    def judge(self, features: np.ndarray) -> np.ndarray:
        """`Model.steps` of groups, by all models: float64 [n, 3]."""
        total = sum((model.steps(features) for model in self.models), np.zeros(()))
        return total / len(self.models)

    def probabilities(self, steps: np.ndarray) -> np.ndarray:
        """That species, genus and family are absent: float64 [n, 3].

        No step is surer than the number of families with the rarer answer allows.
        """
        return expit(log_odds_of(np.clip(steps, -self.limit, self.limit)))

    def thresholds(self, samples: "VirtualSamples", rate: float) -> np.ndarray:
        """Log odds above which a group of each size is called novel at each rank: float64 [sizes, 3].

        Infinite at a rank where too few families give the rarer answer to be as sure as ``rate`` asks: for a rate of
        .05, fewer than nine.
        """
        return np.where(self.limit < np.log((1 - rate) / rate) - 1e-9, np.inf, samples.thresholds(rate))

    def virtual_samples(self, weights: np.ndarray, random: np.random.Generator) -> "VirtualSamples":
        """Samples of the units under references that lack some of their clades; units have ``weights`` [units].

        In every sample something is withheld from a share of the units, from 0 to `MOST_ABSENT`; how often that
        leaves the genus there, leaves the family, or leaves neither is another mixture in each.
        """
        table = np.full((1 + len(LEDGER_RANKS), len(weights)), -1)
        table[self.cases.absent.sum(axis=1), self.cases.unit] = np.arange(len(self.cases.unit))
        case = np.repeat(table[:1], DRAWS, axis=0)
        there = [np.flatnonzero(level >= 0) for level in table]
        for sample in case:
            mixture = random.dirichlet(np.ones(len(LEDGER_RANKS)))
            lacking = int(random.uniform(0, MOST_ABSENT) * len(weights))
            for level in 1 + random.choice(len(LEDGER_RANKS), lacking, p=mixture):
                if len(there[level]):
                    unit = random.choice(there[level])
                    sample[unit] = table[level, unit]
        log_odds = np.where(case[:, :, None] >= 0, log_odds_of(self.steps)[case], np.nan)
        probability = self.probabilities(self.steps)[case]
        return VirtualSamples(log_odds, probability, self.cases.absent[case], self.cases.genes[case], weights)


@dataclass
class VirtualSamples:
    """What is said of the same units in several samples, and what is true there.

    Attributes:
        log_odds: float64 [samples, units, 3]; NaN where a unit is not in a sample.
        probability: float64 [samples, units, 3], see `Calibration.probabilities`.
        absent: bool [samples, units, 3].
        genes: float64 [samples, units].
        weights: float64 [units].
    """

    log_odds: np.ndarray
    probability: np.ndarray
    absent: np.ndarray
    genes: np.ndarray
    weights: np.ndarray

    def thresholds(self, rate: float) -> np.ndarray:
        """Log odds above which a group of each size is called novel at each rank, at least 0: float64 [sizes, 3]."""
        size = np.digitize(self.genes, SIZES)
        found = np.array(
            [
                [
                    threshold(np.where(size == one, self.log_odds[:, :, rank], np.nan), self.absent[:, :, rank], rate)
                    for rank in range(len(LEDGER_RANKS))
                ]
                for one in range(len(SIZES) + 1)
            ]
        )
        return np.maximum(found, 0.0)

    def factors(self) -> np.ndarray:
        """How many deviations (see `shares`) wide an interval is on either side, at each rank: float64 [3]."""
        errors = []
        for log_odds, probability, absent in zip(self.log_odds, self.probability, self.absent, strict=True):
            some = ~np.isnan(log_odds[:, 0]) & (self.weights > 0)
            share, deviation = shares(probability[some], self.weights[some, None])
            truth, _ = shares(absent[some].astype(float), self.weights[some, None])
            errors.append((np.abs(share - truth) / deviation)[0])
        return np.array([half_width(column, LEVEL) for column in np.array(errors).T])


def called_novel(log_odds: np.ndarray, genes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """At how many ranks, from species on, groups are called novel: int64 [n], 0 to 3."""
    return (log_odds > thresholds[np.digitize(genes, SIZES)]).cumprod(axis=1).sum(axis=1)


def shares(absent: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the probabilities ``absent`` [n, 3] under ``weights`` [n, samples], and its deviation: [samples, 3] each.

    The deviation is that of groups which are absent, or not, independently of each other.
    """
    part = weights / np.maximum(weights.sum(axis=0), 1e-9)
    variance = (part**2).T @ (absent * (1 - absent))
    return part.T @ absent, np.sqrt(variance + SMALLEST_DEVIATION**2)


def can_calibrate(cases: Cases) -> bool:
    """Whether the cases are of enough families, with something absent and something present."""
    enough = len(np.unique(cases.family)) >= FEWEST_FAMILIES
    return enough and bool(cases.absent.any() and (~cases.absent).any())
