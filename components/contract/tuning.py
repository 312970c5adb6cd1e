"""The section `tune:` of debut.yaml: what `debut tune` searches."""

from typing import Literal, Self

from pydantic import Field, model_validator

from components.contract.section import Section, Seed

Parameter = Literal[
    "learning_rate",
    "temperature",
    "max_epochs",
    "batch_size",
    "hard_negatives",
    "dropout",
    "fine_tuned_share",
    "warmup_share",
    "weight_decay",
    "lora_rank",
    "mining_depth",
    "positive_ceiling",
    "typo_share",
    "attribute_dropout",
]
"""Numbers of the sections `training` and `augment`."""
WHOLE: frozenset[str] = frozenset({"max_epochs", "batch_size", "hard_negatives", "lora_rank", "mining_depth"})
"""Those that are whole numbers."""


class Dimension(Section):
    """The values of one parameter: a range from `low` to `high`, or `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    """Drawn evenly by order of magnitude; `low` is then above 0."""
    choices: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give either `choices`, or `low` and `high`")
            if not self.choices or len(set(self.choices)) < len(self.choices):
                raise ValueError("`choices` needs at least one value, and none twice")
        elif self.low is None or self.high is None:
            raise ValueError("give `low` and `high`, or `choices`")
        elif not self.low <= self.high:
            raise ValueError(f"low: {self.low:g} is more than high: {self.high:g}")
        elif self.log and self.low <= 0:
            raise ValueError(f"low: {self.low:g} must be above 0 where log is true")
        return self

    def values(self) -> tuple[float, ...]:
        """The choices, or both ends."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None and self.high is not None
        return self.low, self.high


def _default_space() -> dict[Parameter, Dimension]:
    return {
        "learning_rate": Dimension(low=1e-5, high=1e-3, log=True),
        "temperature": Dimension(low=0.02, high=0.1, log=True),
        "max_epochs": Dimension(low=1, high=3),
        "batch_size": Dimension(choices=(32, 64, 128, 256)),
        "hard_negatives": Dimension(low=0, high=3),
        "dropout": Dimension(low=0.0, high=0.2),
        "fine_tuned_share": Dimension(low=0.2, high=1.0),
    }


class TuneSettings(Section):
    space: dict[Parameter, Dimension] = Field(default_factory=_default_space)
    """The parameters to search; the others stay as debut.yaml has them."""
    startup_trials: int = Field(default=5, ge=1)
    """Drawn at random before the search learns from what it has; until so many are done none is stopped
    early."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _searches_something(self) -> Self:
        if not self.space:
            raise ValueError("space: names no parameter, so there is nothing to search")
        for name, dimension in self.space.items():
            if name in WHOLE and any(value != int(value) for value in dimension.values()):
                raise ValueError(f"space.{name}: takes whole numbers")
        return self
