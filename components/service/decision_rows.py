"""The decision log as the page shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.contract.records import Decision
from components.release.decision_log import CHAMPION_KINDS, champion_of, last_change
from components.service import phrases
from components.service.releases import Releases


@dataclass(frozen=True)
class DecisionRow:
    record: Decision
    words: str
    tone: str
    sign: str
    report: bool
    """Whether there is a gate report to link to."""
    serves: bool
    """This decision made the present champion the champion."""
    can_return: bool
    """The release was a champion and is not now: a rollback can go there."""


def decision_rows(releases: Releases, records: Sequence[Decision]) -> list[DecisionRow]:
    """One row per record, in their order; `records` is the whole log."""
    change, earlier = last_change(records), earlier_champions(records)
    reports = {r.release: releases.report(r.release) is not None for r in records if r.release}
    rows = []
    for record in records:
        words, tone, sign = phrases.verdict(record)
        rows.append(
            DecisionRow(
                record=record,
                words=words,
                tone=tone,
                sign=sign,
                report=record.gate_report_digest is not None and reports.get(record.release or "", False),
                serves=record == change,
                can_return=record.release in earlier,
            )
        )
    return rows


def earlier_champions(records: Sequence[Decision]) -> frozenset[str]:
    """D of every release that was champion and is not now."""
    served = {record.release for record in records if record.kind in CHAMPION_KINDS and record.release}
    return frozenset(served - {champion_of(records) or ""})
