"""Roll back: an earlier champion serves again. It checks what it must and then appends one record."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from components.contract.errors import PromotionError
from components.contract.records import Decision
from components.release.candidate import verify
from components.release.decision_log import (
    ANY_CHAMPION,
    CHAMPION_KINDS,
    DecisionLog,
    Unfenced,
    champion_of,
    last_change,
    short_digest,
)

SAME_INCIDENT = timedelta(minutes=10)
"""Within so long two rollbacks "to the one before" are taken for two people's answer to one incident."""


def rollback(
    log: DecisionLog,
    candidates: Path,
    *,
    to: str | None = None,
    reason: str,
    actor: str,
    run_id: str | None = None,
    check: Callable[[Path], None] = verify,
    expected_champion: str | Unfenced = ANY_CHAMPION,
) -> Decision:
    """Makes an earlier champion the champion again, after its files were checked.

    to: D, or the first characters of it, of any earlier champion; None: the one before the present champion
    (`lineage`); not within ten minutes (SAME_INCIDENT) of another rollback, which then has to be named.
    check: raises PromotionError unless the folder's files are D's; a caller with a key checks the signature
    too. expected_champion: D that the caller decided against, else the one that serves now.

    Raises PromotionError where there is no such release, or where `check` does; FencedError where another
    release serves meanwhile.
    """
    if not reason.strip():
        raise PromotionError("A rollback needs a reason; it is recorded.")
    records = log.records()
    target = _previous(records, log.now()) if to is None else _earlier_champion(records, to)
    check(candidates / target)
    return log.append(
        "rollback",
        release=target,
        actor=actor,
        reason=reason,
        run_id=run_id,
        expected_champion=champion_of(records)
        if isinstance(expected_champion, Unfenced)
        else expected_champion,
    )


def lineage(records: Sequence[Decision]) -> list[str]:
    """The champions that rollbacks walk back along, oldest first; the last one serves.

    A promotion or override adds its release. A rollback removes all after its target; where the target was
    itself rolled back from before, it is added again. Promotions A, B, C: a rollback leaves A, B; another A.
    """
    champions: list[str] = []
    for record in records:
        if record.kind not in CHAMPION_KINDS or record.release is None:
            continue
        if record.kind == "rollback" and record.release in champions:
            while champions[-1] != record.release:
                champions.pop()
        else:
            champions.append(record.release)
    return champions


def _previous(records: Sequence[Decision], now: datetime) -> str:
    champions = lineage(records)
    if len(champions) < 2:
        known = ", ".join(digest[:12] for digest in _served_earlier(records))
        raise PromotionError(
            f"There is no earlier champion to go back to; --to takes one that served before: {known}."
            if known
            else "There is no earlier champion to roll back to; see `debut status`."
        )
    _check_no_second(last_change(records), champions[-2], now)
    return champions[-2]


def _check_no_second(change: Decision | None, target: str, now: datetime) -> None:
    """Two people who answer the same incident would else go back one release too many."""
    if change is None or change.kind != "rollback" or now - change.at >= SAME_INCIDENT:
        return
    raise PromotionError(
        f"{change.actor} rolled back to {short_digest(change.release)} at {change.at:%Y-%m-%d %H:%M} UTC "
        f"(record {change.number}). To go back further name the release: "
        f"`debut rollback --to {short_digest(target)}`, in chat `/debut rollback to {short_digest(target)}`, "
        f"with a reason."
    )


def _earlier_champion(records: Sequence[Decision], to: str) -> str:
    earlier = _served_earlier(records)
    matches = [digest for digest in earlier if to and digest.startswith(to)]
    if len(matches) != 1:
        raise PromotionError(
            f"Cannot roll back to {to!r}: it fits {len(matches)} earlier champions; give one of "
            f"{', '.join(digest[:12] for digest in earlier) or 'them, once there is one'}."
        )
    return matches[0]


def _served_earlier(records: Sequence[Decision]) -> list[str]:
    """Every release that was champion once and is not now, sorted."""
    served = {record.release for record in records if record.kind in CHAMPION_KINDS and record.release}
    return sorted(served - {champion_of(records) or ""})
