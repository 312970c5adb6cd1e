"""Who approves is known, and is known to be another person than who asked."""

from datetime import UTC, datetime

import pytest

from components.contract.errors import PromotionError
from components.contract.records import ReviewCase
from components.release.four_eyes import UNIDENTIFIED, require_second

PEOPLE = {"Alice": ("alice", "a.smith", "slack:U0ALICE"), "Ben": ("ben", "slack:U0BEN", "mattermost:b1")}


def case(requester):
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return ReviewCase(
        run_id="run-1",
        shop="demo",
        release="d" * 64,
        champion=None,
        requester=requester,
        because="",
        opened=now,
        expires=now,
        after_record=1,
    )


@pytest.mark.parametrize(
    ("requester", "actor", "people"),
    [
        ("alice", "ben", {}),
        ("slack:U1", "slack:U2", {}),
        ("alice", "slack:U0BEN", PEOPLE),
        ("mattermost:b1", "alice", PEOPLE),
        ("alice", "carl", PEOPLE),
        ("schedule", "slack:U2", {}),
        ("drift", "alice", {}),
    ],
)
def test_another_person_may_approve(requester, actor, people):
    """Two logins, or two users of one chat, are two people; across these, where both are named."""
    require_second(case(requester), actor, people)


@pytest.mark.parametrize(
    ("requester", "actor", "people"),
    [
        ("alice", "alice", {}),
        ("slack:U1", "slack:U1", {}),
        ("alice", "slack:U0ALICE", PEOPLE),
        ("slack:U0ALICE", "alice", PEOPLE),
        ("alice", "a.smith", PEOPLE),
        ("mattermost:b1", "slack:U0BEN", PEOPLE),
    ],
)
def test_the_requester_may_not_under_any_name(requester, actor, people):
    with pytest.raises(PromotionError, match=f"^{actor} asked for run run-1.* wants another person"):
        require_second(case(requester), actor, people)


@pytest.mark.parametrize(
    ("requester", "actor", "people"),
    [
        ("alice", "slack:U0ALICE", {}),
        ("alice", "slack:U0ALICE", {"Alice": ("alice",)}),
        ("alice", "slack:U0ALICE", {"Alice": ("slack:U0ALICE",)}),
        ("slack:U1", "mattermost:U2", {}),
        ("alice", "Alice:x", PEOPLE),
    ],
)
def test_ids_of_two_kinds_need_both_to_be_named(requester, actor, people):
    """A login and a chat's user can be one person; what to write where is said."""
    with pytest.raises(PromotionError, match=r"name both under review\.people in debut\.yaml"):
        require_second(case(requester), actor, people)


@pytest.mark.parametrize(
    "actor", [f"mlflow{UNIDENTIFIED}", "prefect:ben:unidentified", "unknown", "", "drift"]
)
def test_who_is_not_known_approves_nothing(actor):
    """Not even a scheduled run, and not by standing under review.people."""
    for requester in ("schedule", "alice"):
        with pytest.raises(PromotionError, match="does not say"):
            require_second(case(requester), actor, {"Ben": (actor,)})


@pytest.mark.parametrize("requester", ["prefect:alice:unidentified", "unknown", ""])
def test_a_requester_who_is_not_known_cannot_be_told_apart(requester):
    with pytest.raises(PromotionError, match="cannot tell whether ben is another person"):
        require_second(case(requester), "ben", PEOPLE)
