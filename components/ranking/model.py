"""The second stage's model: LightGBM's LambdaRank on top of the first stage's score.

Burges, "From RankNet to LambdaRank to LambdaMART" (MSR-TR-2010-82); Ke et al., "LightGBM" (NeurIPS 2017). The
trees start from the first stage's score, so they learn what to change in its order, and few trees change
little.

LightGBM divides the lambdas of a list by the DCG of its best order, and by a function of their sum
(`lambdarank_norm`); then it multiplies them by the rows' weights. A row's weight is the largest gain of its
list (`list_weights`). So a list with one relevant item counts in proportion to that item's gain; where this
is a click's 1 ÷ propensity, that is its share of the unbiased DCG (Agarwal, Takatsu, Zaitsev and Joachims,
SIGIR 2019). In a list with several relevant items their gains keep their proportions, but the list counts for
less than their sum, so there it is not unbiased.

Shapes: m items of all lists one after the other, r lists, F features.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import ConfigError, DataError
from components.ranking.features import FEATURES, RISING, Floats

LABELS = 100
SCALE = 1.0
"""Of the first stage's score, in standard deviations, where the trees start: LambdaRank's logistic is at home
around differences of 1."""


@dataclass(frozen=True, eq=False)
class Lists:
    """Proposals of several requests, one after the other."""

    features: Floats
    """(m, F)"""
    gains: NDArray[np.float64]
    """(m,) 0: not relevant."""
    sizes: NDArray[np.int64]
    """Items per request."""

    def of(self, chosen: NDArray[np.bool_]) -> "Lists":
        """The lists of some requests alone."""
        rows = np.repeat(chosen, self.sizes)
        return Lists(self.features[rows], self.gains[rows], self.sizes[chosen])


def labels_of(lists: Lists) -> NDArray[np.int64]:
    """(m,) gains in steps, LABELS of them for the largest of a list: of a query that is often asked each gain
    is small. How large the gains of one list are beside another's is in `list_weights`."""
    most = np.repeat(largest_gains(lists), lists.sizes)
    shares = np.divide(lists.gains, most, out=np.zeros(len(most)), where=most > 0)
    return np.asarray(np.ceil(LABELS * shares), dtype=np.int64)


def list_weights(lists: Lists) -> NDArray[np.float64]:
    """(m,) per row the largest gain of its list ÷ the mean of these over the lists with a relevant item.
    Labels, and NDCG, are relative to a list's best; without weights a click's propensity would cancel out
    wherever it is the only one of its list."""
    most = largest_gains(lists)
    mean = most[most > 0].mean() if (most > 0).any() else 1.0
    return np.repeat(most / mean, lists.sizes)


def largest_gains(lists: Lists) -> NDArray[np.float64]:
    """(r,) 0: nothing of the list is relevant."""
    request = np.repeat(np.arange(len(lists.sizes)), lists.sizes)
    most = np.zeros(len(lists.sizes))
    np.maximum.at(most, request, lists.gains)
    return most


@dataclass(frozen=True)
class Growth:
    """How the trees are grown."""

    trees: int = 100
    learning_rate: float = 0.05
    leaves: int = 15
    fewest_in_leaf: int = 50
    seed: int = 0

    def with_trees(self, trees: int) -> "Growth":
        return replace(self, trees=trees)


class Ranker:
    """score of the first stage + what the trees add; FEATURES in, one number out."""

    def __init__(self, text: str) -> None:
        """text: LightGBM's own text format. Raises DataError where it is damaged or of other features."""
        lightgbm = load_lightgbm()
        try:
            self._booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise DataError(
                f"The ranker's model cannot be read ({error}): build the release again."
            ) from error
        names = self._booster.feature_name()
        if not set(names) <= set(FEATURES):
            raise DataError("The ranker reads other features than this version of Debut has; retrain.")
        self._columns = [FEATURES.index(name) for name in names]  # an earlier version had fewer
        self.text = text

    @classmethod
    def fit(cls, lists: Lists, growth: Growth) -> Self:
        """Deterministic: one thread, one seed."""
        lightgbm = load_lightgbm()
        parameters = {
            "objective": "lambdarank",
            "label_gain": list(range(LABELS + 1)),
            "learning_rate": growth.learning_rate,
            "num_leaves": growth.leaves,
            "min_data_in_leaf": growth.fewest_in_leaf,
            "monotone_constraints": [int(name in RISING) for name in FEATURES],
            "lambdarank_truncation_level": 20,
            "seed": growth.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(
            lists.features,
            label=labels_of(lists),
            weight=list_weights(lists),
            group=lists.sizes,
            init_score=SCALE * lists.features[:, 0].astype(np.float64),
            feature_name=list(FEATURES),
        )
        return cls(lightgbm.train(parameters, data, num_boost_round=growth.trees).model_to_string())

    @property
    def trees(self) -> int:
        return int(self._booster.num_trees())

    def scores(self, features: Floats, trees: int | None = None) -> Floats:
        """(m, F) → (m,) in standard deviations of the first stage's score; trees: only so many."""
        added = self._booster.predict(features[:, self._columns], num_iteration=trees, num_threads=1)
        scores: Floats = (features[:, 0] + added / SCALE).astype(np.float32)
        return scores

    def contributions(self, features: Floats) -> NDArray[np.float64]:
        """(m, F + 1): what each feature adds to a score, and last what all items get (TreeSHAP: Lundberg,
        Erion and Lee, 2018). The first stage's score counts to the feature of that name."""
        own = self._booster.predict(features[:, self._columns], pred_contrib=True, num_threads=1) / SCALE
        found = np.zeros((len(features), len(FEATURES) + 1))
        found[:, [*self._columns, -1]] = own
        found[:, 0] += features[:, 0]
        return found

    def importance(self) -> dict[str, float]:
        """Per feature its share of the gain of all splits."""
        gains = self._booster.feature_importance("gain")
        names = self._booster.feature_name()
        return dict(zip(names, (gains / max(gains.sum(), 1e-12)).tolist(), strict=True))


def load_lightgbm() -> Any:
    """Raises ConfigError where it cannot be."""
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: it is there, but the system's libgomp is not
        raise ConfigError(
            f"The second stage needs LightGBM, which cannot be loaded ({error}): pip install "
            f"lightgbm, and the system's libgomp where that is missing, or retrain with "
            f"ranking.learner: none."
        ) from error
    return lightgbm
