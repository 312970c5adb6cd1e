"""Values of the searched parameters: as debut.yaml has them, as the search proposes them, and as YAML."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

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


def yaml_lines(values: Mapping[Parameter, int | float]) -> str:
    """What to put into debut.yaml, by section."""
    sections: dict[str, dict[str, int | float]] = {}
    for name, value in values.items():
        sections.setdefault(section_of(name), {})[name] = value
    return yaml.safe_dump(sections, sort_keys=False).rstrip()


def _own_dropout(base: Path) -> float | None:
    """Of a BERT-like encoder with one share throughout; None for any other."""
    config = json.loads((base / "config.json").read_text())
    shares = {config.get(name) for name in ("hidden_dropout_prob", "attention_probs_dropout_prob")}
    return shares.pop() if len(shares) == 1 else None
