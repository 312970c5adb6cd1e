"""How the page says dates, ages, releases and decisions."""

from datetime import datetime, timedelta

from components.contract.records import Decision

_DAY = timedelta(days=1)
# (shorter than so many days, days per unit, unit); counted in whole units, as people do.
_UNITS = ((14, 1, "day"), (61, 7, "week"), (731, 30.44, "month"), (10**9, 365.25, "year"))
_VERDICTS = {
    "promotion": ("Promoted", "good", "✓"),
    "rejection": ("Rejected", "bad", "✗"),
    "inconclusive": ("Not settled", "open", "?"),
    "override": ("Promoted against the verdict", "open", "!"),
    "rollback": ("Rolled back", "open", "↩"),
    "replay": ("Bad rows corrected", "quiet", "·"),
    "labels": ("Judgements added", "quiet", "·"),
    "key_change": ("Key changed", "quiet", "·"),
    "role_change": ("Role changed", "quiet", "·"),
    "chat_command": ("Asked in chat", "quiet", "·"),
}
BASELINE = ("Baseline", "quiet", "✓")


def age(listed_at: datetime | None, first_seen: datetime | None, now: datetime) -> str:
    """ "listed 3 days ago"; "first seen …" where only that is known. All naive, in UTC."""
    at = listed_at or first_seen
    if at is None:
        return "no listing date"
    verb = "listed" if listed_at is not None else "first seen"
    days = (now.date() - at.date()).days
    if days < 0:
        return f"to be {verb} on {day(at)}"
    return f"{verb} {_ago(days)}"


def _ago(days: int) -> str:
    if days < 2:
        return ("today", "yesterday")[days]
    size, unit = next((size, unit) for below, size, unit in _UNITS if days < below)
    count = int(days / size)
    return f"{count} {unit}{'s' if count > 1 else ''} ago"


def day(at: datetime) -> str:
    """ "3 Nov 2026"."""
    return f"{at.day} {at:%b %Y}"


def moment(at: datetime) -> str:
    """ "3 Nov 2026, 23:08 UTC"; `at` in UTC."""
    return f"{day(at)}, {at:%H:%M} UTC"


def short(digest: str | None) -> str:
    """The first twelve characters, as every command prints and takes them."""
    return digest[:12] if digest else "none"


def verdict(record: Decision) -> tuple[str, str, str]:
    """A decision in words, its tone (good, bad, open, quiet) and a sign."""
    if record.kind == "promotion" and record.predecessor is None:
        return BASELINE
    return _VERDICTS[record.kind]


def plural(count: int, one: str, many: str | None = None) -> str:
    """ "1 item", "2,000 items"."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
