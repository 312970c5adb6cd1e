"""What the shop's people know of their customers' words, whatever was clicked."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from components.contract.section import Section, Share

Words = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\w")]
"""A word or a phrase; its form (plural, letter case) does not matter."""


class Rule(Section):
    """A query with one of these words is after items of this category, brand, price or attribute."""

    words: Annotated[tuple[Words, ...], Field(min_length=1)]
    category: str | None = None
    """A path A > B: it and all below it."""
    brand: str | None = None
    min_price: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_price: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    attributes: tuple[str, ...] = ()
    """As items have them: "colour: red"."""
    probability: Share = 1.0

    @model_validator(mode="after")
    def _implies_something(self) -> Self:
        given = (self.category, self.brand, self.min_price, self.max_price)
        if all(one is None for one in given) and not self.attributes:
            raise ValueError(
                "a rule implies something: give category, brand, min_price, max_price or attributes"
            )
        if self.min_price and self.max_price and self.min_price > self.max_price:
            raise ValueError("min_price is above max_price")
        return self


class Accessory(Section):
    """Items of the category go with items of those others, as lenses do with cameras: a query that names both
    is after the accessory."""

    category: str = Field(min_length=1)
    """A path A > B: it and all below it."""
    of: Annotated[tuple[str, ...], Field(min_length=1)]
    """Paths as well."""


class KnowledgeSettings(Section):
    """`knowledge:` in debut.yaml, or the file that it names."""

    synonyms: tuple[Annotated[tuple[Words, ...], Field(min_length=2)], ...] = ()
    """Groups of words or phrases of one meaning: a search for one finds the others' items, too."""
    tree: bool = True
    """A query that names a category (of any level) is after items in it."""
    rules: tuple[Rule, ...] = ()
    accessories: tuple[Accessory, ...] = ()
