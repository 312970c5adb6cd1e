"""What the service takes and gives, as its OpenAPI document shows it."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from components.contract.live import ItemId, LiveItem
from components.contract.serving import MOST_BULK
from components.index.columns import Filters
from components.service.problems import MANY, ONE
from components.service.traffic_records import ActKind
from components.tasks.heads import ClassAnswer, ValueAnswer

MOST_RESULTS = 100
MOST_HISTORY = 1_000
K = Annotated[int, Field(ge=1, le=MOST_RESULTS, description="How many items at most.")]
UserId = Annotated[str, Field(min_length=1, max_length=200)]
_PAIR = {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 2, "maxItems": 2}
# pydantic would write prefixItems, which few tools that read OpenAPI know.
WordShare = Annotated[tuple[str, float], WithJsonSchema(_PAIR)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Hit(BaseModel):
    """One item of an answer."""

    item_id: str
    title: str
    brand: str | None
    category: str | None
    price: float | None
    listed_at: datetime | None
    in_stock: bool
    new: bool
    """Listed at or after the cut-off that the release was trained up to."""
    age_days: float | None
    """To a tenth."""
    score: float
    explored: bool = False
    """Put here by the randomised exploration slot, not by the ranking."""


class Answer(BaseModel):
    request_id: str
    """Send it with the clicks and orders that follow (POST /events)."""
    release: str
    """D of the release that answered; also in the header X-Debut-Release."""
    results: list[Hit]


class SearchAnswer(Answer):
    query: str
    debug: dict[str, Any] | None = None


class RecommendBody(Body):
    """A user the shop knows, or the past items themselves, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["user_id"], "properties": {"user_id": {"type": "string"}}},
                {"required": ["history"], "properties": {"history": {"minItems": 1}}},
            ]
        }
    )

    user_id: UserId | None = None
    history: Annotated[list[ItemId], Field(max_length=MOST_HISTORY)] = []
    k: K = 10
    filters: Filters = Filters()
    exclude_history: bool = True


class ItemsAnswer(BaseModel):
    seq: int
    """Position in the upsert log; grows with every change."""
    items: int
    """How many different ids the request held."""
    searchable: bool
    """Findable on this replica now; false while no release serves (they are kept and come with the first)."""


class DeletedAnswer(ItemsAnswer):
    found: int | None
    """How many of the ids were findable on this replica before; null while no release serves."""


class Act(Body):
    request_id: Annotated[str, Field(min_length=1, max_length=100)]
    kind: ActKind
    item_id: ItemId
    user_id: UserId | None = None
    quantity: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class ActsAnswer(BaseModel):
    logged: int
    joined: int
    """Of them, those whose request this replica remembers."""


MOST_CHARACTERS = 20_000


class PredictBody(Body):
    text: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
    """What the task reads; the encoder cuts it at its `max_length` tokens."""


class FoundItem(BaseModel):
    item_id: str
    title: str
    description: str
    """Its beginning; empty where the item has none."""
    score: float


class Prediction(BaseModel):
    release: str
    prediction: ClassAnswer | ValueAnswer
    composed: str | None = None
    """Where the answer abstained and its task says so: a text made of what a search for it found."""
    items: list[FoundItem] = []
    """The items that stand in it."""


class ItemPredictions(BaseModel):
    release: str
    item_id: str
    predictions: list[ClassAnswer | ValueAnswer]


class Explanation(BaseModel):
    release: str
    query: str
    item_id: str
    title: str
    parts: dict[str, float]
    """cosine, lexical, lexical_weight; per facet that the plan weighs "implied <facet>", what the match with
    what the query implies adds; score = cosine + lexical_weight × lexical + these."""
    query_words: list[WordShare]
    """What each word adds to the cosine, with the item's side held fixed; and the other way round. Both are
    empty where the encoder reads no word of the query or none of the item."""
    item_words: list[WordShare]
    completeness: float
    """What the contributions miss of the cosine they explain: 0 is exact."""
    place: int | None
    """Of the item in the answer to this query, within the first 100."""
    filters: dict[str, Any]
    passes_filters: bool


class ReleaseAnswer(BaseModel):
    release: str
    since: datetime | None
    cutoff: datetime | None
    items: int
    plan: dict[str, Any]
    """How it ranks (retrieval.json)."""
    figures: dict[str, Any]
    """What the judge measured."""
    history: list[dict[str, Any]]
    """Decisions, newest first."""


class Health(BaseModel):
    status: str
    release: str | None
    problem: str | None


def _shape(body: Any) -> str | None:
    """Which errors to tell: those of the one object, or those of the list."""
    if isinstance(body, list):
        return MANY
    return ONE if isinstance(body, dict | BaseModel) else None


_BY_SHAPE = Discriminator(
    _shape, custom_error_type="one_or_many", custom_error_message="Send one object, or a list of them"
)


def _short_enough(body: Any) -> Any:
    """Before the members are looked at: each of a million bad ones would be an error of its own. The document
    does not say it, because `serving.max_bulk_items`, which it does not know, is lower as a rule."""
    if isinstance(body, list) and len(body) > MOST_BULK:
        raise PydanticCustomError("too_long", "Send at most {most} at a time", {"most": MOST_BULK})
    return body


_NOT_EMPTY, _SHORT = Field(min_length=1), BeforeValidator(_short_enough)
ItemsBody = Annotated[
    Annotated[LiveItem, Tag(ONE)] | Annotated[list[LiveItem], _NOT_EMPTY, _SHORT, Tag(MANY)], _BY_SHAPE
]
ActsBody = Annotated[
    Annotated[Act, Tag(ONE)] | Annotated[list[Act], _NOT_EMPTY, _SHORT, Tag(MANY)], _BY_SHAPE
]
IdsBody = Annotated[list[ItemId], _NOT_EMPTY, _SHORT]
