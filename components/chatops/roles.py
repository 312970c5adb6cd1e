"""Who may say what: `chat.roles` in debut.yaml, by the chat's own user id."""

from collections.abc import Mapping
from typing import Literal

from components.chatops.commands import Verb
from components.contract.errors import DebutError
from components.contract.operations import ChatRole

Platform = Literal["slack", "mattermost"]
_READING: frozenset[Verb] = frozenset({"status", "drift", "champion", "compare", "help"})
_OPERATING: frozenset[Verb] = _READING | {"retrain", "rollback"}
ALLOWED: dict[ChatRole, frozenset[Verb]] = {
    "reader": _READING,
    "operator": _OPERATING,
    "approver": _OPERATING | {"approve", "reject"},
}

CHANGING: frozenset[Verb] = ALLOWED["approver"] - ALLOWED["reader"]
"""What does more than tell."""


class RoleError(DebutError):
    """The user's role does not allow the command, or nobody gave them one."""


def permitted(roles: Mapping[str, ChatRole], platform: Platform, user: str, verb: Verb) -> str:
    """The actor ("slack:U0123ABCD") that may give the command; raises RoleError."""
    role = roles.get(user)
    if role is None:
        raise RoleError(f"Your user id is {user or 'missing'}; add it to chat.roles in debut.yaml first.")
    if verb not in ALLOWED[role]:
        least = next(name for name in ALLOWED if verb in ALLOWED[name])
        raise RoleError(f"Your role is {role}; `{verb}` needs {least} (chat.roles in debut.yaml).")
    return f"{platform}:{user}"
