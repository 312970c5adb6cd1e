"""`debut profile`: a user as the champion and the shop's newest data know them, without a running service."""

from components.contract.errors import DataError
from components.contract.ports import Request
from components.index.retrieval import open_candidate
from components.profiles.behaviour import Behaviour
from components.profiles.brands import DEPTH
from components.profiles.readable import OfRelease, UserProfile, user_profile
from flows.acts import verify_by_hand
from flows.shop import Shop


def profile(shop: Shop, user_id: str) -> UserProfile:
    """By the release that serves, its files and signature verified. Raises DataError for a user that the
    newest check has no act of."""
    folder = verify_by_hand(shop, None)
    behaviour = Behaviour.read(shop.newest_check(passed=True))
    past = behaviour.past(user_id) if behaviour is not None else []
    if behaviour is None or not past:
        raise DataError("Nothing is known of this user: the shop's checked events hold no act of theirs.")
    index = open_candidate(folder, folder.name[:12])
    request = Request("profile", history=tuple(past), exclude=frozenset(past))
    rows = index.search([request], DEPTH).rows[0]
    items = [index.item(row) for row in rows.tolist() if row >= 0]
    ranked = [(item["item_id"], item["brand"]) for item in items]
    vector = index.user_vector(past)
    found = user_profile(
        behaviour, user_id, OfRelease(folder.name, index.plan.history_scoring, vector, ranked)
    )
    assert found is not None  # its past is known
    return found
