"""What a search form asks for, and what is wrong with it."""

from dataclasses import dataclass, field

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from components.contract.texts import as_utf8
from components.index.columns import Filters

PLACES = (10, 20, 50)
"""How many results the form offers; the first is what it starts with."""
FILTERS = ("brand", "category", "min_price", "max_price")
_SENTENCES = {
    "brand": "A brand has at most 2,000 characters.",
    "category": "A category has at most 2,000 characters.",
    "min_price": "A price is a number from 0 on, such as 19.90.",
    "max_price": "A price is a number from 0 on, such as 19.90.",
}


@dataclass(frozen=True)
class PageQuery:
    """The fields as they were typed, and their meaning."""

    q: str
    k: int
    typed: dict[str, str]
    """Filter fields by name, "" where empty."""
    filters: Filters
    errors: dict[str, str] = field(default_factory=dict)
    """Field → a sentence; then `filters` filters nothing."""

    @property
    def active(self) -> int:
        """How many filters are set."""
        return sum(bool(value) for value in self.typed.values())


def page_query(params: QueryParams, max_characters: int) -> PageQuery:
    """The query string of `/` and `/why`; never raises, whatever it holds."""
    q = params.get("q", "").strip()
    typed = {name: params.get(name, "").strip() for name in FILTERS}
    errors: dict[str, str] = {}
    if len(q) > max_characters:
        errors["q"] = f"That is {len(q):,} characters; at most {max_characters:,} are searched."
    if "q" in params and not q:
        errors["q"] = "Type what a customer would type."
    filters = _filters(typed, errors)
    return PageQuery(as_utf8(q), _places(params.get("k", "")), typed, filters, errors)


def _filters(typed: dict[str, str], errors: dict[str, str]) -> Filters:
    given = {name: _number(value) if "price" in name else value for name, value in typed.items() if value}
    try:
        return Filters.model_validate(given)
    except ValidationError as error:
        for found in error.errors():
            name = str(found["loc"][0]) if found["loc"] else "max_price"
            errors[name] = _SENTENCES[name] if found["loc"] else "The highest price is below the lowest."
        return Filters()


def _number(text: str) -> str:
    """ "19,90" as people in many countries write 19.90."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def _places(text: str) -> int:
    return int(text) if text in map(str, PLACES) else PLACES[0]
