"""The head of the decision log: number and hash of its last record, to be kept where the log is not.

The chain alone cannot show that its end was cut off or replaced. A head that was noted before can: the
record with that number must still be there and have that hash. Records after it are not covered.
"""

from collections.abc import Sequence
from typing import NamedTuple

from components.contract.errors import PromotionError
from components.contract.records import Decision
from components.release.decision_log import record_hash, record_key


class Head(NamedTuple):
    number: int
    hash: str
    """SHA-256 of the record as it is stored."""


def head_of(records: Sequence[Decision]) -> Head | None:
    """None where the log is empty."""
    return Head(records[-1].number, record_hash(records[-1])) if records else None


def check_head(records: Sequence[Decision], noted: Head) -> None:
    """Raises PromotionError that names the record unless the log still holds the one that was noted."""
    if noted.number > len(records):
        raise PromotionError(
            f"Decision log: record {record_key(noted.number)} is missing: it was noted when it was written, "
            f"but the log has {len(records)} records. Restore it, and what is missing before it, from a copy."
        )
    if record_hash(records[noted.number - 1]) != noted.hash:
        raise PromotionError(
            f"Decision log: record {record_key(noted.number)} is not the one that was noted when it was "
            f"written: it, or one before it, was replaced. Restore it from a copy."
        )
