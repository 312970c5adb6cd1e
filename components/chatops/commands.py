"""The grammar of `/debut …`, the same in every chat."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast, get_args

from components.contract.errors import DebutError

Verb = Literal["retrain", "status", "drift", "champion", "compare", "approve", "reject", "rollback", "help"]
VERBS: tuple[Verb, ...] = get_args(Verb)
USAGES: dict[Verb, str] = {
    "retrain": "`/debut retrain [shop] [because …]` asks for a retrain",
    "status": "`/debut status` tells what serves, what waits and what runs",
    "drift": "`/debut drift` tells the monitor's latest verdict",
    "champion": "`/debut champion` tells what serves, since when and why",
    "compare": "`/debut compare` shows champion and challenger in the newest gate report",
    "approve": "`/debut approve RUN` promotes the challenger that waits",
    "reject": "`/debut reject RUN reason` refuses the challenger that waits",
    "rollback": "`/debut rollback [to RELEASE] reason` makes the champion before this one, or the one named, "
    "serve again; within ten minutes of another rollback one must be named",
    "help": "`/debut help` lists the commands",
}
MAX_REASON = 1_000
"""Characters of a reason, which the decision log keeps for ever."""
_SHOP = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_RELEASE = re.compile(r"[0-9a-f]{6,64}")


class CommandError(DebutError):
    """A command that does not fit the grammar; the message says how the nearest one goes."""


@dataclass(frozen=True)
class Command:
    """One command, understood."""

    verb: Verb
    shop: str | None = None
    """Of retrain, where it was named."""
    run_id: str = ""
    """Of approve and reject."""
    reason: str = ""
    """Of reject and rollback; of retrain what followed "because"."""
    to: str | None = None
    """Of rollback: the first characters of D, at least six, where a release was named."""


def parse(text: str) -> Command:
    """The command in what was typed after `/debut`; no words at all are "help". Raises CommandError."""
    words = text.split()
    if not words:
        return Command("help")
    verb, rest = _verb(words[0]), words[1:]
    if verb == "retrain":
        return _retrain(rest)
    if verb in ("approve", "reject"):
        return _review(verb, rest)
    if verb == "rollback":
        return _rollback(rest)
    if rest:
        raise _wrong(verb)
    return Command(verb)


def is_run_id(text: str) -> bool:
    """Whether a text can be a run's id; it names files, so it holds no path."""
    return _RUN.fullmatch(text) is not None


def _verb(word: str) -> Verb:
    """The verb that a word is; else CommandError about the one it resembles."""
    lower = word.lower()
    if lower in VERBS:
        return lower
    nearest = get_close_matches(lower, VERBS, n=1, cutoff=0.5)
    raise _wrong(cast(Verb, nearest[0]) if nearest else "help")


def _retrain(words: list[str]) -> Command:
    lower = [word.lower() for word in words]
    place = lower.index("because") if "because" in lower else len(words)
    named, because = words[:place], words[place + 1 :]
    fits = len(named) <= 1 and all(_SHOP.fullmatch(shop) for shop in named)
    if not fits or (place < len(words) and not because):
        raise _wrong("retrain")
    return Command(
        "retrain",
        shop=named[0] if named else None,
        reason=_reason("retrain", because) if because else "",
    )


def _review(verb: Verb, words: list[str]) -> Command:
    run_id = words[0].strip("`") if words else ""
    if not is_run_id(run_id) or (verb == "approve" and len(words) > 1):
        raise _wrong(verb)
    return Command(verb, run_id=run_id, reason=_reason(verb, words[1:]) if verb == "reject" else "")


def _rollback(words: list[str]) -> Command:
    """A reason may not begin with "to": what follows is a release, or the command is refused."""
    if not words or words[0].lower() != "to":
        return Command("rollback", reason=_reason("rollback", words))
    release = words[1].strip("`").lower() if len(words) > 1 else ""
    if not _RELEASE.fullmatch(release):
        raise _wrong("rollback")
    return Command("rollback", to=release, reason=_reason("rollback", words[2:]))


def _reason(verb: Verb, words: list[str]) -> str:
    reason = " ".join(words)
    if not reason:
        raise _wrong(verb)
    if len(reason) > MAX_REASON:
        raise CommandError(f"The reason has {len(reason):,} characters; give at most {MAX_REASON:,}.")
    return reason


def _wrong(verb: Verb) -> CommandError:
    return CommandError(f"This is no command of Debut. {USAGES[verb]}.")
