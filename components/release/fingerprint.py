"""What a candidate was trained on, kept with it: the next judge asks whether that overlaps its test."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from components.contract.digests import hashed
from components.contract.records import Record
from components.contract.settings import SplitSettings


class Fingerprint(Record):
    """fingerprint.json of a candidate. Requests and items are hashed: users' ids stay out of a release.

    (Unsalted hashes of ids or queries that can be guessed can be recomputed; they hide nothing from someone
    who has the list.)
    """

    data_digest: str
    encoder_digest: str
    base_digest: str
    lock_digest: str
    code_digest: str
    cutoff: datetime | None
    """T: dated rows at or after it were not used. None: undated data, split by item and query."""
    settings: dict[str, Any]
    requests: tuple[str, ...] = ()
    """`hashed` request_ids of all training rows, its own and those of the encoders it was trained from."""
    items: tuple[str, ...] = ()
    """`hashed` item_ids, likewise."""
    baseline: bool = False
    """Version 0: the untrained encoder."""
    starts_cutoff: datetime | None = None
    """The latest T of the encoders it was trained from, where that is later than its own."""
    encoder_until: datetime | None = None
    """Of a query-side update: where the training rows of its encoder, which it left as it was, end."""

    def after(self, start: "Fingerprint") -> "Fingerprint":
        """The same of a training that began with the encoder of `start`, whose rows it has learned, too."""
        both = {name: (*getattr(self, name), *getattr(start, name)) for name in ("requests", "items")}
        update: dict[str, Any] = {name: tuple(sorted(set(hashes))) for name, hashes in both.items()}
        later = [
            one for one in (start.cutoff, start.starts_cutoff) if one and self.cutoff and one > self.cutoff
        ]
        update["starts_cutoff"] = max(later, default=None)
        if self._of_queries:
            update["encoder_until"] = start.encoder_learned_until
        return self.model_copy(update=update)

    @property
    def has_learned_parts(self) -> bool:
        """Whether a ranker or an encoder of histories may be in it, also of version 0."""
        learner = self.settings.get("ranking", {}).get("learner", "none")
        return learner != "none" or bool(self.settings.get("retrieval", {}).get("history_encoders"))

    @property
    def learned_until(self) -> datetime | None:
        """Where its training rows end; None: it had none, or undated ones."""
        split = SplitSettings.model_validate(self.settings.get("split", {}))
        if self.baseline or self.cutoff is None or split.refit_on_validation:
            return None if self.baseline else self.cutoff
        return self.cutoff - timedelta(days=split.validation_window_days or split.judge_window_days)

    @property
    def encoder_learned_until(self) -> datetime | None:
        """Where the training rows of its encoder end, which a query-side update did not train."""
        return self.encoder_until if self._of_queries else self.learned_until

    @property
    def _of_queries(self) -> bool:
        return not self.baseline and self.settings.get("training", {}).get("method") == "query_side"


def overlap(
    champion: Fingerprint, *, cutoff: datetime | None, requests: Iterable[str], new_items: Iterable[str]
) -> str | None:
    """One sentence where the champion was trained on what is judged now; None where it was not.

    requests, new_items: request_ids and new item_ids of the judged set. Dated data: its training must end at
    or before this cut-off; the same query or user at an earlier time is no overlap. Undated data: no judged
    request may be among its training requests. In both, no new item may be among its training items.
    """
    if not champion.requests and not champion.items and not champion.has_learned_parts:
        return None
    until = champion.starts_cutoff or champion.cutoff
    dated = cutoff is not None and until is not None
    if dated and until > cutoff:  # type: ignore[operator]  # both are set where `dated`
        return f"The champion was trained on rows up to {until}, past this cut-off, {cutoff}."
    shared_items = len(set(champion.items) & set(hashed(new_items)))
    if shared_items:
        return f"The champion was trained on {shared_items} of the items that are new in this test."
    shared_requests = 0 if dated else len(set(champion.requests) & set(hashed(requests)))
    if shared_requests:
        return (
            f"The champion was trained on {shared_requests} of the requests that are judged in this test. "
            f"Hold the same ones out in every retrain: split.query_order: hashed, or the column `split`."
        )
    return None
