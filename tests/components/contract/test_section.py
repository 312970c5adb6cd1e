"""What holds of every section of debut.yaml."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from components.contract.section import Section
from components.contract.settings import Settings
from components.contract.tuning import Dimension


def sections(kind: Any) -> Iterator[type[Section]]:
    """A section's class and those of all sections in it, however deep in lists and alternatives."""
    if isinstance(kind, type) and issubclass(kind, Section):
        yield kind
        for field in kind.model_fields.values():
            yield from sections(field.annotation)
    else:
        for part in get_args(kind):
            yield from sections(part)


ALL = sorted(set(sections(Settings)), key=lambda one: one.__name__)
SEEDED = [one for one in ALL if "seed" in one.model_fields]


def test_all_sections_are_looked_at() -> None:
    """The walk finds nested ones, and enough."""
    assert Dimension in ALL
    assert len(SEEDED) >= 10


@pytest.mark.parametrize("section", SEEDED)
def test_a_seed_is_one_that_every_library_takes(section: type[Section]) -> None:
    """From 0 to 2^31 - 1: refused here, and not after the training."""
    for seed, refused in ((-1, True), (0, False), (2**31 - 1, False), (2**31, True)):
        try:
            section.model_validate({"seed": seed})
            errors: list[Any] = []
        except ValidationError as error:
            errors = [one for one in error.errors() if one["loc"] == ("seed",)]
        assert bool(errors) == refused


@pytest.mark.parametrize("section", ALL)
def test_a_number_is_finite(section: type[Section]) -> None:
    """NaN would pass every comparison, infinity ends in no JSON."""
    numbers = [name for name, field in section.model_fields.items() if _is_number(field.annotation)]
    for value in (float("nan"), float("inf")):
        for name in numbers:
            with pytest.raises(ValidationError) as error:
                section.model_validate({name: value})
            assert (name,) in [one["loc"] for one in error.value.errors()]


def _is_number(kind: Any) -> bool:
    return kind is float or float in get_args(kind)
