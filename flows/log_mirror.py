"""The decision log in MLflow: aliases after it, and a note of its head, by which a cut-off end is seen."""

from collections.abc import Sequence

from components.contract.errors import DebutError, PromotionError
from components.contract.records import Decision
from components.release import promotion
from components.release.log_head import Head, check_head, head_of
from components.tracking.client import Connection, connect
from components.tracking.registry import LOG_HEAD, mirror_aliases, read_log_head, write_log_head
from flows import console
from flows.shop import Shop


def aliases_of(shop: Shop) -> dict[str, str | None]:
    """D per alias, by the decision log and the review that waits."""
    waiting = shop.reviews().waiting()
    return promotion.aliases(shop.decision_log().records(), waiting.release if waiting else None)


def mirror_log(connection: Connection, shop: Shop) -> dict[str, str | None]:
    """Renews aliases and note; returns the version per alias. Raises TrackingError, and PromotionError where
    the log is damaged."""
    versions = mirror_aliases(connection, shop.settings.shop, aliases_of(shop))
    _note_head(connection, shop)
    return versions


def compare_end(shop: Shop) -> str:
    """What MLflow's note says of the log's end, or why it says nothing. Raises PromotionError that names the
    record where the noted one is missing or another one."""
    try:
        noted = read_log_head(connect(shop.settings, shop.workspace), shop.settings.shop)
    except DebutError as error:
        return f"Its end was not compared with MLflow's note of it: {error}"
    if noted is None:
        return "Its end was not compared: MLflow has no note of it yet."
    records = shop.decision_log().records()
    _check(shop, records, Head(*noted))
    later = len(records) - noted[0]
    return f"Record {noted[0]} is the one that MLflow noted{f'; {later} came later' if later else ''}."


def _note_head(connection: Connection, shop: Shop) -> None:
    """A note that the log no longer fits stays as it is: it is the evidence."""
    noted = read_log_head(connection, shop.settings.shop)
    records = shop.decision_log().records()  # read after the note: what was noted must be in it
    try:
        if noted is not None:
            _check(shop, records, Head(*noted))
    except PromotionError as error:
        console.problem(str(error))
        return
    head = head_of(records)
    if head is not None and head != noted:
        write_log_head(connection, shop.settings.shop, *head)


def _check(shop: Shop, records: Sequence[Decision], noted: Head) -> None:
    try:
        check_head(records, noted)
    except PromotionError as error:
        raise PromotionError(
            f"{error} If the log was begun anew on purpose, delete the tag {LOG_HEAD} of MLflow's registered "
            f"model {shop.settings.shop}."
        ) from error
