"""What a task's declaration may say."""

from typing import Any

import pytest
from pydantic import ValidationError

from components.contract.task import Task

KIND = {"name": "kind", "says": "Kind", "rows": "SELECT 1", "text": ["title"], "head": "classification"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["absolute_error"]}, "absolute_error is none of this classification's"),
        ({"metrics": ["answered_accuracy"], "precision": 0.9}, "answered_accuracy cannot come first"),
        ({"metrics": ["answered_share", "accuracy"], "precision": 0.9}, "answered_share cannot come first"),
        ({"head": "regression", "precision": 0.9}, "a regression does not abstain"),
        ({"otherwise": "See {items}."}, "only with precision"),
        ({"head": "nearest", "balanced": True}, "only for a classification"),
        ({"head": "regression", "loss": "contrastive"}, "contrastive needs labels"),
        ({"loss": "contrastive", "weight": 0}, "a weight above 0"),
        ({"head": "nearest", "self_training": 0.9}, "self_training: only for a classification"),
        ({"text": ["query"], "self_training": 0.9}, "texts that are no queries"),
        ({"log_scale": True}, "only for a regression"),
        ({"text": ["query", "title"]}, "a query is read alone"),
        ({"text": ["query"], "prompt": "Say:"}, "without a prompt"),
        ({"facet": "brand"}, r"only where the text is \[query\]"),
        ({"text": ["query"], "facet": "price"}, "price goes with a regression"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Task.model_validate(KIND | changes)


@pytest.mark.parametrize("coverage", [0.0, 1.0])
def test_an_interval_that_no_rows_can_show_is_refused(coverage: float) -> None:
    """Of all answers, or of none: there would never be an interval."""
    with pytest.raises(ValidationError, match="coverage"):
        Task.model_validate(KIND | {"head": "regression", "coverage": coverage})


def test_abstaining_is_measured_after_what_decides() -> None:
    task = Task.model_validate(KIND | {"precision": 0.9})
    assert task.measured[0] == "accuracy" and "answered_accuracy" in task.measured
