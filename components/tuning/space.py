"""Values of the searched parameters: as debut.yaml has them, as the search proposes them, and as YAML."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from components.augment.noise import drop_attributes
from components.contract.errors import ConfigError
from components.contract.settings import Settings, section_of
from components.contract.tuning import WHOLE, Dimension, Parameter

Values = dict[Parameter, int | float]
DIGITS = 3
"""Significant digits that a drawn value keeps, so that what is shown is what was trained with."""


def exact(name: Parameter, value: float, dimension: Dimension) -> int | float:
    """A drawn value as it is trained with: a whole number, a choice, or rounded within its range."""
    if name in WHOLE:
        return round(value)
    if dimension.choices is not None:
        return value
    low, high = dimension.values()
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)


def inside(value: float, dimension: Dimension) -> bool:
    if dimension.choices is not None:
        return value in dimension.choices
    low, high = dimension.values()
    return low <= value <= high


def check_space(settings: Settings) -> None:
    """Raises ConfigError for a parameter that no trial's recall would depend on: its values would be told as
    better and worse ones."""
    if settings.training.method == "query_side":
        raise ConfigError(
            "training.method query_side has none of the settings that are searched: set it to full."
        )
    unused = _unused(settings)
    for name in settings.tune.space:
        if name in unused:
            raise ConfigError(f"tune.space: {unused[name]}: leave {name} out.")


def _unused(settings: Settings) -> dict[Parameter, str]:
    """Parameters that change nothing, and why."""
    training, why = settings.training, dict[Parameter, str]()
    if training.method != "lora":
        why["lora_rank"] = f"training.method is {training.method}, and only lora has a rank"
    if training.method == "prompt" or training.adapter_only:
        why["fine_tuned_share"] = "neither a prompt nor an adapter alone is averaged with its base"
    if not _most_negatives(settings):
        why["positive_ceiling"] = "no negative is mined where augment.hard_negatives is 0"
        if not training.distillation.weight:  # a teacher's candidates come from this depth as well
            why["mining_depth"] = why["positive_ceiling"]
    fields = settings.encoder.item_fields
    if drop_attributes(fields) == fields:
        why["attribute_dropout"] = (
            f"encoder.item_fields is {', '.join(fields)}, so an item's text has no brand, category or "
            f"attributes beside other fields"
        )
    return why


def _most_negatives(settings: Settings) -> int | float:
    """The highest `hard_negatives` of a trial."""
    searched = settings.tune.space.get("hard_negatives")
    return max(searched.values()) if searched else settings.augment.hard_negatives


def configured(settings: Settings, base: Path) -> Values | None:
    """The searched parameters as debut.yaml has them; None where one lies outside `tune.space`.

    base: folder of the base encoder, whose own dropout counts where `training.dropout` is not given.
    """
    values: Values = {}
    for name, dimension in settings.tune.space.items():
        value = getattr(getattr(settings, section_of(name)), name)
        if name == "dropout" and value is None:
            value = _own_dropout(base)
        if value is None or not inside(value, dimension):
            return None
        values[name] = exact(name, value, dimension)
    return values


@dataclass(frozen=True)
class Grid:
    """The combinations of a space that has finitely many, each with a number from 0 on."""

    axes: dict[Parameter, Sequence[int | float]]

    @classmethod
    def of(cls, space: Mapping[Parameter, Dimension]) -> Self | None:
        """None where a parameter has a range of fractions."""
        axes = {name: _axis(name, dimension) for name, dimension in space.items()}
        finite = {name: axis for name, axis in axes.items() if axis is not None}
        return cls(finite) if len(finite) == len(axes) else None

    def left(self, known: Sequence[Values]) -> int:
        """How many combinations are not among the known."""
        return math.prod(len(axis) for axis in self.axes.values()) - len(self._numbers(known))

    def draw(self, known: Sequence[Values], generator: random.Random) -> Values:
        """One that is not known, each as likely as the others; empty where there is none."""
        if not self.left(known):
            return {}
        number = generator.randrange(self.left(known))
        for one in sorted(self._numbers(known)):  # all need not be listed: they may be millions
            if one <= number:
                number += 1
        return self._combination(number)

    def _numbers(self, known: Sequence[Values]) -> set[int]:
        """Of those that have a value of every parameter."""
        return {self._number(values) for values in known if values.keys() == self.axes.keys()}

    def _number(self, values: Values) -> int:
        number = 0
        for name, axis in self.axes.items():
            number = number * len(axis) + axis.index(values[name])
        return number

    def _combination(self, number: int) -> Values:
        values: Values = {}
        for name, axis in reversed(self.axes.items()):
            number, place = divmod(number, len(axis))
            values[name] = axis[place]
        return values


def yaml_lines(values: Mapping[Parameter, int | float]) -> str:
    """What to put into debut.yaml, by section."""
    sections: dict[str, dict[str, int | float]] = {}
    for name, value in values.items():
        sections.setdefault(section_of(name), {})[name] = value
    return yaml.safe_dump(sections, sort_keys=False).rstrip()


def _axis(name: Parameter, dimension: Dimension) -> Sequence[int | float] | None:
    if dimension.choices is not None:
        return tuple(exact(name, value, dimension) for value in dimension.choices)
    low, high = dimension.values()
    if name in WHOLE:
        return range(int(low), int(high) + 1)
    return (low,) if low == high else None


def _own_dropout(base: Path) -> float | None:
    """Of a BERT-like encoder with one share throughout; None for any other."""
    config = json.loads((base / "config.json").read_text())
    shares = {config.get(name) for name in ("hidden_dropout_prob", "attention_probs_dropout_prob")}
    return shares.pop() if len(shares) == 1 else None
