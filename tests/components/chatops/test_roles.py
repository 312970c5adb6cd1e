"""Who may say what."""

import pytest

from components.chatops.commands import VERBS
from components.chatops.roles import RoleError, permitted

ROLES = {"U1": "reader", "U2": "operator", "U3": "approver"}


@pytest.mark.parametrize(
    ("user", "forbidden"),
    [
        ("U1", {"retrain", "rollback", "approve", "reject"}),
        ("U2", {"approve", "reject"}),
        ("U3", set()),
    ],
)
def test_a_role_allows_its_commands_and_no_others(user: str, forbidden: set[str]) -> None:
    for verb in VERBS:
        if verb in forbidden:
            with pytest.raises(RoleError, match=rf"Your role is {ROLES[user]}; `{verb}` needs "):
                permitted(ROLES, "slack", user, verb)  # type: ignore[arg-type]
        else:
            assert permitted(ROLES, "slack", user, verb) == f"slack:{user}"  # type: ignore[arg-type]


def test_the_refusal_names_the_least_role_that_may() -> None:
    with pytest.raises(RoleError, match="`rollback` needs operator"):
        permitted(ROLES, "slack", "U1", "rollback")  # type: ignore[arg-type]


def test_an_unknown_user_is_told_their_id() -> None:
    with pytest.raises(RoleError, match=r"Your user id is U9; add it to chat\.roles"):
        permitted(ROLES, "slack", "U9", "help")  # type: ignore[arg-type]


def test_a_request_without_a_user_is_refused() -> None:
    with pytest.raises(RoleError, match="Your user id is missing"):
        permitted(ROLES, "slack", "", "help")  # type: ignore[arg-type]


def test_the_actor_says_which_chat_the_user_is_of() -> None:
    assert permitted(ROLES, "mattermost", "U3", "approve") == "mattermost:U3"  # type: ignore[arg-type]
