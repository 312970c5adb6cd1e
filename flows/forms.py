"""Forms that people fill in in Prefect's pages."""

from typing import Literal

from prefect.input import RunInput

SETTLED_ELSEWHERE = "settled elsewhere"
"""Reviewer in the answer by which the loop itself ends a form whose case is over."""
NO_REASON = "rejected in Prefect, no reason given"


class ReviewAnswer(RunInput):
    """Approve or reject the challenger that waits."""

    decision: Literal["approve", "reject"]
    reviewer: str
    """Your name. Prefect's open-source server does not check it: with review.four_eyes it is no approval."""
    reason: str = ""
    """Of a rejection; it is recorded."""
