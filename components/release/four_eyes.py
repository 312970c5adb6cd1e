"""Four eyes: whether who approves is another person than who asked for the run.

People are known by ids: a login name on the command line, "slack:U0…" and "mattermost:…" in chat. What stands
before the colon is the id's namespace, empty for a login. Ids of one namespace differ where people differ;
across namespaces only `review.people` tells which ids are one person's.
"""

from collections.abc import Mapping

from components.contract.errors import PromotionError
from components.contract.records import ReviewCase

UNIDENTIFIED = ":unidentified"
"""End of an actor's name where the way it came by carries none ("mlflow:unidentified")."""
NO_PERSON = frozenset({"schedule", "drift"})
"""Requesters that are nobody: any known person may approve."""
_NO_NAME = frozenset({"", "unknown"})

People = Mapping[str, tuple[str, ...]]
"""Per person their ids (`ReviewSettings.people`)."""


def require_second(case: ReviewCase, actor: str, people: People) -> None:
    """Raises PromotionError unless `actor` is known and known to be another person than the requester."""
    asked = case.requester
    if _is_unknown(actor) or actor in NO_PERSON:
        raise PromotionError(
            f"review.four_eyes asks who approves, and {actor.partition(':')[0] or 'the actor'} does not say: "
            f"approve by chat or with `debut review approve {case.run_id}`."
        )
    if asked in NO_PERSON:
        return
    if _is_unknown(asked):
        raise PromotionError(
            f"Who asked for run {case.run_id} is not known ({asked or 'no name'}), so review.four_eyes "
            f"cannot tell whether {actor} is another person: `debut retrain --force`, or promote it with "
            f"--override."
        )
    if _person(actor, people) == _person(asked, people):
        same = "" if actor == asked else f", as {asked}"
        raise PromotionError(
            f"{actor} asked for run {case.run_id}{same}: review.four_eyes wants another person."
        )
    if _namespace(actor) != _namespace(asked) and not (_named(actor, people) and _named(asked, people)):
        raise PromotionError(
            f"review.four_eyes cannot tell whether {actor} and {asked}, who asked for run {case.run_id}, are "
            f"one person: name both under review.people in debut.yaml."
        )


def _is_unknown(who: str) -> bool:
    return who in _NO_NAME or who.endswith(UNIDENTIFIED)


def _person(who: str, people: People) -> tuple[str, str]:
    """A named person, or the id itself where nobody is named with it; never equal across the two."""
    name = next((person for person, ids in people.items() if who in ids), None)
    return ("id", who) if name is None else ("person", name)


def _named(who: str, people: People) -> bool:
    return any(who in ids for ids in people.values())


def _namespace(who: str) -> str:
    before, colon, _ = who.partition(":")
    return before if colon else ""
