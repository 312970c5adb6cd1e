"""Times as people and configurations give them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def _naive_utc(at: datetime) -> datetime:
    """An aware time in UTC, without its zone; a naive one is taken for UTC."""
    if at.tzinfo is None:
        return at
    try:
        return at.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError("must be within the years 1 to 9999 in UTC") from error


def _no_number(at: Any) -> Any:
    """A bare number would be taken for seconds or milliseconds since 1970, and "2026" for one."""
    try:
        float(at)
    except (TypeError, ValueError):
        return at
    raise ValueError("must be a date and time such as 2026-03-01T12:00:00Z, not a number")


UtcTime = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_naive_utc)]
"""Naive, in UTC; a value with a zone is converted."""
