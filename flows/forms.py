"""Forms that people fill in in Prefect's pages."""

from typing import Literal

from prefect.input import RunInput


class ReviewAnswer(RunInput):
    """Approve or reject the challenger that waits."""

    decision: Literal["approve", "reject"]
    reviewer: str
    """Your name. Prefect's open-source server does not check it: with review.four_eyes it is no approval."""
    reason: str = ""
    """Needed to reject."""
