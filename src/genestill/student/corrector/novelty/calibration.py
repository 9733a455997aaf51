"""The probability that the reference lacks the taxon of a group, fitted and evaluated by withholding clades."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from genestill.core.novelty import LEDGER_RANKS
from genestill.student.corrector.novelty.conformal import half_width, threshold

SPLITS = 10  # divisions of the families into two halves
FEWEST_FAMILIES = 6
DRAWS = 400  # number of virtual samples
MOST_ABSENT = 0.6  # largest share of the units of a virtual sample whose clade is withheld
# Groups are compared with cases of similar size: classes of the number of genes with hits, separated by these values.
SIZES = (10, 100)
CLASSES = range(len(SIZES) + 1)
LEVEL = 0.9
# Weights of the log odds of identity and of agreement on the genus and on the family, each divided by its scale, and
# intercept: for an absent genus given an absent species, and for an absent family given an absent genus. Fitted with
# the families of the fixed community that are in the fitting half of its virtual references.
SCALE = np.array([0.6, 1.6, 1.4])
GENERAL = ((-0.3, -1.1, -1.0, 1.9), (-0.9, -0.8, -2.0, 2.0))
SMALLEST_DEVIATION = 0.005  # smallest standard deviation of a share


@dataclass
class Cases:
    """Groups, and parts of groups, of known species, with the whole reference and without some clade.

    Attributes (n cases):
        features: float64 [n, f].
        absent: bool [n, 3], whether this reference lacks the species, the genus and the family.
        family: int64 [n], number of the true family.
        genes: float64 [n], number of genes with hits.
        unit: int64 [n], number of the group, or part of a group.
    """

    features: np.ndarray
    absent: np.ndarray
    family: np.ndarray
    genes: np.ndarray
    unit: np.ndarray


class Model:
    """Whether the species is absent; if so, whether the genus is absent; if so, whether the family is absent.

    The first step uses the usual boundary, the others logistic regressions that are regularised towards the weights
    `GENERAL`. Both outcomes have the same total weight, independent of their numbers of cases, so that nothing is
    assumed about the share of absent taxa. Cases of one family are not independent, so the total weight of both
    outcomes is the number of families with the rarer outcome. Without families of both outcomes, the general weights
    are used.
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
        """Log odds that a rank is absent given that the rank below is absent: float64 [n, 3]."""
        scaled = features[:, 1:] / SCALE
        return np.column_stack([features[:, 0], *(scaled @ one[:-1] + one[-1] for one in self.weights)])


def fit_towards(general: np.ndarray, features: np.ndarray, outcomes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression, the intercept last: float64 [f + 1].

    Minimises Σ counts · log loss + ½|w - general|²: without observations, the weights are ``general``.
    """
    wide = np.column_stack([features, np.ones(len(features))])
    signs = np.where(outcomes, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins, away = signs * (wide @ weights), weights - general
        value = float((counts * np.logaddexp(0, -margins)).sum() + 0.5 * away @ away)
        return value, away - (counts * signs * expit(-margins)) @ wide

    return minimize(loss, general, jac=True, method="L-BFGS-B").x


def limits_of(absent: np.ndarray, family: np.ndarray) -> np.ndarray:
    """The highest log odds of each step of `Model.steps` that cases support: float64 [3], 0 without cases.

    With Jeffreys's prior and n families with the rarer outcome, odds are limited to 1 to 2 n + 1.

    Args:
        absent: bool [n, 3], see `Cases`.
        family: int64 [n].
    """
    above = np.column_stack([np.ones(len(absent), dtype=bool), absent[:, :-1]])
    families = [
        min(len(np.unique(family[above[:, rank] & (absent[:, rank] == answer)])) for answer in (True, False))
        for rank in range(len(LEDGER_RANKS))
    ]
    return np.log(2 * np.array(families) + 1)


def log_odds_of(steps: np.ndarray) -> np.ndarray:
    """Log odds that each rank is absent, from those of `Model.steps`, float [n, 3]: float64 [n, 3], decreasing."""
    # Probabilities are multiplied, in logarithms because of odds such as e^50.
    product = -np.logaddexp(0, -steps).cumsum(axis=1)
    return product - np.log(-np.expm1(np.minimum(product, -1e-300)))


class Calibration:
    """Models of halves of the families, and their predictions for the cases of the other halves.

    The families are divided into two halves `SPLITS` times; a model is fitted on each half, and predicts the cases of
    the other half, whose clades it has not been trained on. Thresholds and intervals are computed only from these
    predictions (cross-conformal prediction, Vovk 2015, doi 10.1007/s10472-013-9368-4). For a group, the mean over all
    models is used.
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
        # The boundary of species is not fitted to these families.
        self.limit = np.append(np.inf, limits_of(cases.absent, cases.family)[1:])
        self.steps = total / seen

    def judge(self, features: np.ndarray) -> np.ndarray:
        """`Model.steps` of groups, averaged over all models: float64 [n, 3]."""
        total = sum((model.steps(features) for model in self.models), np.zeros(()))
        return total / len(self.models)

    def probabilities(self, steps: np.ndarray) -> np.ndarray:
        """Probability that species, genus and family are absent: float64 [n, 3].

        The certainty of the steps from species to genus and to family is limited by the number of families with the
        rarer outcome (`limits_of`).
        """
        return expit(log_odds_of(np.clip(steps, -self.limit, self.limit)))

    def thresholds(self, samples: "VirtualSamples", rate: float) -> np.ndarray:
        """Log odds above which a group of each size is called novel at each rank: float64 [sizes, 3].

        Infinite at a size and rank with too few families of the rarer outcome for the ``rate``: for a rate of .05,
        fewer than nine.
        """
        size = np.digitize(self.cases.genes, SIZES)
        limits = [limits_of(self.cases.absent[size == one], self.cases.family[size == one]) for one in CLASSES]
        return np.where(np.array(limits) < np.log((1 - rate) / rate) - 1e-9, np.inf, samples.thresholds(rate))

    def virtual_samples(self, weights: np.ndarray, random: np.random.Generator) -> "VirtualSamples":
        """Samples of the units with references that lack some of their clades; units have ``weights`` [units].

        In every sample a clade is withheld for a share of the units, from 0 to `MOST_ABSENT`, in a random mixture of
        clades after which the genus is present, only the family is present, or neither is.
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
    """Predictions for the same units in several samples, and the truth.

    Attributes:
        log_odds: float64 [samples, units, 3]; NaN if a unit is not in a sample.
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
                for one in CLASSES
            ]
        )
        return np.maximum(found, 0.0)

    def factors(self) -> np.ndarray:
        """Half widths of the intervals at each rank, in deviations (see `shares`): float64 [3]."""
        errors = []
        for log_odds, probability, absent in zip(self.log_odds, self.probability, self.absent, strict=True):
            some = ~np.isnan(log_odds[:, 0]) & (self.weights > 0)
            share, deviation = shares(probability[some], self.weights[some, None])
            truth, _ = shares(absent[some].astype(float), self.weights[some, None])
            errors.append((np.abs(share - truth) / deviation)[0])
        return np.array([half_width(column, LEVEL) for column in np.array(errors).T])


def called_novel(log_odds: np.ndarray, genes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The number of ranks, from species upwards, at which groups are called novel: int64 [n], 0 to 3."""
    return (log_odds > thresholds[np.digitize(genes, SIZES)]).cumprod(axis=1).sum(axis=1)


def shares(absent: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the probabilities ``absent`` [n, 3] with ``weights`` [n, samples], and its deviation: [samples, 3] each.

    The deviation assumes that groups are absent independently of each other.
    """
    part = weights / np.maximum(weights.sum(axis=0), 1e-9)
    variance = (part**2).T @ (absent * (1 - absent))
    return part.T @ absent, np.sqrt(variance + SMALLEST_DEVIATION**2)


def can_calibrate(cases: Cases) -> bool:
    """Whether the cases come from enough families, with absent and present ones."""
    enough = len(np.unique(cases.family)) >= FEWEST_FAMILIES
    return enough and bool(cases.absent.any() and (~cases.absent).any())
