"""The decision log: who serves, and how that came about.

Records are numbered files `000001.json`, each the canonical JSON of a `Decision` that holds the SHA-256 of
the record before it. A record is created only if its number is absent and is never written again; taking the
next number IS the compare-and-set on the champion, so no lock and no clock are needed.

What the chain shows: any record that was changed, removed or inserted before the last one. A last record that
was cut off, or replaced by another well-formed one, is shown by the head that is kept elsewhere (`log_head`);
against somebody who can change both keep the log in a bucket with object lock.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum

from pydantic import ValidationError

from components.contract.digests import canonical_json, sha256_bytes
from components.contract.errors import FencedError, PromotionError, StorageError
from components.contract.ports import ObjectStore
from components.contract.records import Decision, DecisionKind
from components.contract.texts import as_utf8

CHAMPION_KINDS: frozenset[DecisionKind] = frozenset({"promotion", "override", "rollback"})
"""The kinds after which another release serves."""
VERDICT_KINDS: frozenset[DecisionKind] = frozenset({"promotion", "rejection", "inconclusive"})
"""The kinds that settle what becomes of a run's challenger."""
Clock = Callable[[], datetime]
ATTEMPTS = 1_000
"""Numbers that one append may lose to other writers before it gives up."""
_KEY = re.compile(r"(\d{6}|[1-9]\d{6,})\.json")


class Unfenced(Enum):
    """Stands for "whoever the champion is", for records that do not change it."""

    ANY_CHAMPION = "any champion"


ANY_CHAMPION = Unfenced.ANY_CHAMPION


def utc_now() -> datetime:
    return datetime.now(UTC)


class DecisionLog:
    """An append-only log in a folder or under an S3 prefix.

    Every read checks the whole chain: a log that was tampered with raises PromotionError and so refuses
    every promotion.
    """

    def __init__(self, store: ObjectStore, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock

    def records(self) -> list[Decision]:
        """All records, oldest first; raises PromotionError that names the record that breaks the chain."""
        # The highest number decides how many there are: a listing made while others append may show a
        # number and miss the one before it.
        count = max((_number(key) for key in self._keys()), default=0)
        records: list[Decision] = []
        previous_hash = None
        for number in range(1, count + 1):
            data = self._read(number)
            record = _parse(data, number)
            _check_link(record, number, previous_hash, champion_of(records))
            records.append(record)
            previous_hash = sha256_bytes(data)
        return records

    def verify(self) -> int:
        """Number of records, all of them checked; raises PromotionError as `records` does."""
        return len(self.records())

    def champion(self) -> str | None:
        """D of the release that serves; None before the first promotion."""
        return champion_of(self.records())

    def now(self) -> datetime:
        """The moment by the clock that dates the records."""
        return self._clock()

    def append(
        self,
        kind: DecisionKind,
        *,
        release: str | None,
        actor: str,
        reason: str,
        run_id: str | None = None,
        gate_report_digest: str | None = None,
        expected_champion: str | Unfenced | None = ANY_CHAMPION,
        once: bool = False,
    ) -> Decision:
        """Adds a record under the next free number.

        A writer that loses the number to another reads the log again and retries, but a record that changes
        the champion only while the champion is still `expected_champion`; else FencedError says who won. A
        run (`run_id`) that repeats an act it already recorded gets that record back, so a retry after a lost
        answer is safe; with `once` it is PromotionError, as is any second verdict on the same run.
        """
        if kind in CHAMPION_KINDS and expected_champion is ANY_CHAMPION:
            raise ValueError(f"a {kind} needs the champion it was decided against")
        for _ in range(ATTEMPTS):
            records = self.records()
            act: dict[str, str | None] = {
                "kind": kind,
                "release": release,
                "run_id": run_id,
                "gate_report_digest": gate_report_digest,
            }
            if once:
                _refuse_second(records, run_id, release)
            elif run_id is not None and (earlier := _same_act(records, act)) is not None:
                return earlier
            _fence(records, release, expected_champion)
            record = Decision(
                number=len(records) + 1,
                predecessor=champion_of(records),
                at=self._clock(),
                actor=as_utf8(actor),
                reason=as_utf8(reason),
                previous_hash=record_hash(records[-1]) if records else None,
                **act,  # type: ignore[arg-type]  # a dict, so that it can also be compared with older records
            )
            if self._store.create(record_key(record.number), _encode(record)):
                return record
        raise PromotionError(f"Decision log: {ATTEMPTS} numbers in a row went to other writers; run again.")

    def _keys(self) -> list[str]:
        """Keys of records; other files (a killed writer's temporary one, a note) are none of the log's."""
        return [key for key in self._store.keys("") if _KEY.fullmatch(key)]

    def _read(self, number: int) -> bytes:
        try:
            return self._store.read(record_key(number))
        except StorageError as error:
            if record_key(number) in self._keys():
                raise  # there, but unreadable: a matter of the disk or network, not of the chain
            raise PromotionError(
                f"Decision log: record {record_key(number)} is missing. {_RESTORE_REMEDY}"
            ) from error


def champion_of(records: Sequence[Decision]) -> str | None:
    """The release named by the highest-numbered promotion, override or rollback."""
    change = last_change(records)
    return change.release if change else None


def last_change(records: Sequence[Decision]) -> Decision | None:
    """The record that made the champion the champion."""
    return next((record for record in reversed(records) if record.kind in CHAMPION_KINDS), None)


def last_verdict(records: Sequence[Decision], release: str) -> Decision | None:
    """The newest record that says what became of a release as a challenger."""
    verdicts = (record for record in reversed(records) if record.kind in VERDICT_KINDS)
    return next((one for one in verdicts if one.release == release), None)


def record_hash(record: Decision) -> str:
    """SHA-256 of the record as it is stored."""
    return sha256_bytes(_encode(record))


def record_key(number: int) -> str:
    """The file of the record with that number."""
    return f"{number:06d}.json"


def short_digest(digest: str | None) -> str:
    """The first characters of D, as sentences name a release."""
    return digest[:12] if digest else "none"


_RESTORE_REMEDY = "Nothing is promoted until the log is whole again: restore that file from a copy."


def _number(key: str) -> int:
    return int(key.removesuffix(".json"))


def _encode(record: Decision) -> bytes:
    return canonical_json(record.model_dump(mode="json"))


def _parse(data: bytes, number: int) -> Decision:
    try:
        record = Decision.model_validate_json(data)
    except ValidationError as error:
        raise PromotionError(
            f"Decision log: record {record_key(number)} is not a readable decision. {_RESTORE_REMEDY}"
        ) from error
    if _encode(record) != data:  # every writer writes canonical JSON
        raise PromotionError(
            f"Decision log: record {record_key(number)} was edited after it was written. {_RESTORE_REMEDY}"
        )
    return record


def _check_link(record: Decision, number: int, previous_hash: str | None, champion: str | None) -> None:
    """That a record is the one written after its predecessor."""
    name = f"Decision log: record {record_key(number)}"
    if record.number != number:
        raise PromotionError(f"{name} says it is number {record.number}. {_RESTORE_REMEDY}")
    if record.previous_hash != previous_hash:
        raise PromotionError(
            f"{name} names another hash for the record before it: "
            f"{record_key(number - 1) if number > 1 else record_key(number)} was changed. {_RESTORE_REMEDY}"
        )
    if record.predecessor != champion:
        raise PromotionError(f"{name} names a champion that did not serve then. {_RESTORE_REMEDY}")


def _same_act(records: Sequence[Decision], act: dict[str, str | None]) -> Decision | None:
    """The record of the same act by the same run; FencedError where another change came after it."""
    earlier = next((r for r in reversed(records) if act.items() <= r.model_dump().items()), None)
    change = last_change(records)
    if earlier and change and earlier.kind in CHAMPION_KINDS and change != earlier:
        raise FencedError(
            f"This run already made {short_digest(earlier.release)} champion in record {earlier.number}; "
            f"{_describe(change)} came after it, so the run may not do it again."
        )
    return earlier


def _refuse_second(records: Sequence[Decision], run_id: str | None, release: str | None) -> None:
    settled = settled_by(records, run_id, release)
    if settled is not None:
        raise PromotionError(f"Run {run_id} is settled already: {_describe(settled)}. Nothing was changed.")


def settled_by(records: Sequence[Decision], run_id: str | None, release: str | None) -> Decision | None:
    """The record that settled what becomes of a run's challenger; a first run promotes version 0 too."""
    verdicts = (record for record in records if record.kind in VERDICT_KINDS)
    return next((one for one in verdicts if (one.run_id, one.release) == (run_id, release)), None)


def _fence(records: Sequence[Decision], release: str | None, expected: str | Unfenced | None) -> None:
    champion = champion_of(records)
    if isinstance(expected, Unfenced) or champion == expected:
        return
    change = last_change(records)
    raise FencedError(
        f"{short_digest(release)} was decided against champion {short_digest(expected)}, but the champion is "
        f"now {short_digest(champion)}{f' ({_describe(change)})' if change else ''}. "
        f"Nothing was changed; run again to decide against the present champion."
    )


def _describe(record: Decision) -> str:
    run = f" (run {record.run_id})" if record.run_id else ""
    return f"{record.kind} of {short_digest(record.release)} by {record.actor}{run} in record {record.number}"
