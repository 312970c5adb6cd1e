"""What is tried next: what Optuna's TPE draws, or, where that was tried before, something that was not.

TPE draws near what did well. Among choices and whole numbers that is soon the same few combinations.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from components.contract.tuning import WHOLE, Dimension, Parameter, TuneSettings
from components.tuning.space import Grid, Values, exact

REPEATS = 30
"""So many draws in a row that were tried before: of TPE, then at random."""


class UntriedSampler(BaseSampler):
    """Draws the values of a trial together, as Optuna's relative sampling, so that it can tell whether the
    whole of them was tried before the trial has any.

    tried: the values of a study's trials that count.
    """

    def __init__(self, tune: TuneSettings, seed: int, tried: Callable[[], list[Values]]) -> None:
        generator = random.Random(seed)
        self.space = {str(name): _distribution(name, one) for name, one in tune.space.items()}
        self._dimensions, self._tried = tune.space, tried
        self._grid, self._generator = Grid.of(tune.space), generator
        self._tpe = TPESampler(n_startup_trials=tune.startup_trials, seed=seed)
        # With the seed itself it would draw what TPE begins with.
        self._random = RandomSampler(generator.getrandbits(32))

    def exhausted(self) -> bool:
        """Whether all combinations were tried; never where a parameter has a range of fractions."""
        return self._grid is not None and not self._grid.left(self._tried())

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002 – the names are Optuna's
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Without those that have one value: Optuna gives it itself, and TPE divides by the range."""
        return {name: one for name, one in self.space.items() if not one.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Empty where nothing untried is found."""
        known = self._tried()
        drawn = self._untried(self._tpe, study, trial, search_space, known)
        if drawn is not None:
            return drawn
        if self._grid is not None:
            return {str(name): value for name, value in self._grid.draw(known, self._generator).items()}
        return self._untried(self._random, study, trial, search_space, known) or {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Only where nothing untried was found: what is drawn then was tried."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _untried(
        self,
        sampler: BaseSampler,
        study: Study,
        trial: FrozenTrial,
        space: dict[str, BaseDistribution],
        known: list[Values],
    ) -> dict[str, Any] | None:
        for _ in range(REPEATS):
            drawn = sampler.sample_relative(study, trial, space)
            drawn |= {
                name: sampler.sample_independent(study, trial, name, one)
                for name, one in space.items()
                if name not in drawn
            }
            if self._values(drawn) not in known:
                return drawn
        return None

    def _values(self, drawn: Mapping[str, Any]) -> Values:
        return {
            name: exact(name, drawn.get(name, one.values()[0]), one) for name, one in self._dimensions.items()
        }


def _distribution(name: Parameter, dimension: Dimension) -> BaseDistribution:
    if dimension.choices is not None:
        return CategoricalDistribution([exact(name, value, dimension) for value in dimension.choices])
    low, high = dimension.values()
    if name in WHOLE:
        return IntDistribution(int(low), int(high), log=dimension.log)
    return FloatDistribution(low, high, log=dimension.log)
