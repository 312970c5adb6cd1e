"""Acts of people: what stands in their way, and what follows them."""

import shlex
from typing import Any

import pytest

from components.chatops.recorder import Recorder
from components.contract.errors import FencedError, PromotionError, StorageError
from components.contract.serving import SigningSettings
from components.release.signature import make_keys, sign, signature_path
from flows import acts, reviews
from flows.cli import _next_steps
from flows.releases import is_calibrated
from flows.serving import ShopReleases
from flows.shop import Shop, open_shop
from flows.signing import sign_release, verify_release

RUN = "20990101-000000-review"
"""Of the fixture `waiting`."""


def opened(retrained: Any, **changes: Any) -> Shop:
    retrained.configure(**changes)
    return open_shop(str(retrained.config), None, str(retrained.workspace.parent))


def promote(shop: Shop, **given: Any) -> Any:
    digest = acts.report_of_run(shop, RUN).challenger_digest
    options = {"override": False, "reason": "", "role": ""} | given
    return acts.promote_by_hand(shop, digest, "tester", **options)


def test_a_release_that_waits_for_review_is_not_promoted_past_it(waiting: Shop, retrained: Any) -> None:
    """The sentence says how it is approved; an override, with reason and role on record, is possible."""
    shop = opened(retrained, promotion="review")
    with pytest.raises(PromotionError, match=f"waits for a review: `debut review approve {RUN}`"):
        promote(shop)
    assert shop.reviews().waiting() is not None
    assert promote(shop, override=True, reason="launch", role="lead").kind == "override"


def test_a_refused_challenger_that_is_promoted_all_the_same_can_be_watched(
    retrained: Any, connected: Any
) -> None:
    """By an override: its retrain has made reference and alarms, as for the champion."""
    shop = opened(retrained, monitoring={"min_rows": 20, "resamples": 100, "false_alarm_rate": 0.2})
    told = connected("retrain", *retrained.arguments, "--force", "--json")
    assert told.code == 0, told.err
    result = told.json
    assert result["verdict"] != "PROMOTE"
    override = {"override": True, "reason": "launch", "role": "lead"}
    promoted = acts.promote_by_hand(shop, result["challenger_digest"], "tester", **override)
    for release in (result["champion_digest"], promoted.release):
        assert is_calibrated(shop.references / str(release), shop.settings.monitoring)


def test_a_rejected_release_is_not_promoted_by_its_gate_report(waiting: Shop) -> None:
    """Its report still says PROMOTE, but the newest word on it is a person's no."""
    reviews.settle(waiting, RUN, approve=False, actor="ben", reason="too risky")
    with pytest.raises(PromotionError, match=r"was refused: rejection by ben in record 3 \(too risky\)"):
        promote(waiting)
    assert promote(waiting, override=True, reason="launch", role="lead").kind == "override"


def test_with_review_nothing_is_promoted_without_one(waiting: Shop, retrained: Any) -> None:
    """Not even a release with a good report about which nobody said no."""
    shop = opened(retrained, promotion="review")
    reviews.settle(shop, RUN, approve=True, actor="ben")
    acts.roll_back(shop, "mia", to=None, reason="complaints")
    with pytest.raises(PromotionError, match="promotes by review, and none waits for"):
        promote(shop)
    assert promote(opened(retrained, promotion="auto")).kind == "promotion"


def test_a_rollback_verifies_the_signature_before_it_is_recorded(waiting: Shop, retrained: Any) -> None:
    """As approve and promote do: the service could not serve what is not signed."""
    reviews.settle(waiting, RUN, approve=True, actor="ben")
    private, public = make_keys(retrained.folder / "keys")
    log = waiting.decision_log()
    target, count = str(log.records()[0].release), len(log.records())
    shop = opened(retrained, signing={"public_key": str(public)})
    with pytest.raises(PromotionError, match=r"\.sig is missing: the candidate was not signed"):
        acts.roll_back(shop, "mia", to=None, reason="complaints")
    assert len(log.records()) == count
    sign(shop.candidates / target, private, None, signature_path(shop.candidates / target))
    assert acts.roll_back(shop, "mia", to=None, reason="complaints").release == target


def test_signing_keys_may_lie_in_the_home_folder(waiting: Shop, retrained: Any, monkeypatch: Any) -> None:
    """`~` in debut.yaml."""
    monkeypatch.setenv("HOME", str(retrained.folder))
    make_keys(retrained.folder / "keys")
    settings = SigningSettings(private_key="~/keys/signing.key", public_key="~/keys/signing.pub")
    folder = waiting.candidates / str(waiting.decision_log().champion())
    assert sign_release(settings, folder) is not None
    verify_release(settings, folder)


def test_a_role_without_an_override_is_refused(waiting: Shop) -> None:
    """It would be on no record."""
    with pytest.raises(PromotionError, match="recorded with --override alone"):
        promote(waiting, role="head of search")
    assert len(waiting.decision_log().records()) == 2


def test_the_next_step_of_a_run_that_waits_is_a_command_that_works(waiting: Shop, debut: Any) -> None:
    """It says which shop, from whichever folder it is typed."""
    steps = _next_steps(waiting, {"run_id": RUN, "decision": None, "quarantined": {}})
    outcome = debut(*shlex.split(steps["approve or reject"])[1:])
    assert outcome.code == 0, outcome.err
    assert waiting.reviews().waiting() is None


def test_the_pages_rollback_is_of_the_champion_that_it_showed(waiting: Shop) -> None:
    shown = str(waiting.decision_log().champion())
    reviews.settle(waiting, RUN, approve=True, actor="ben")
    releases, wanted = ShopReleases(waiting), {"to": shown, "reason": "complaints", "actor": "mia"}
    with pytest.raises(FencedError):
        releases.roll_back(expected_champion=shown, **wanted)
    champion = str(waiting.decision_log().champion())
    assert champion != shown
    assert releases.roll_back(expected_champion=champion, **wanted).release == shown


def test_promotion_and_rollback_by_hand_are_told(waiting: Shop, retrained: Any, tmp_path: Any) -> None:
    """A team's webhook hears of them as of a settled review; what came by chat, chat itself tells."""
    with Recorder(tmp_path / "team") as team:
        shop = opened(retrained, chat={"webhooks": [f"{team.url}hooks/team"]})
        promote(shop, override=True, reason="launch", role="lead")
        acts.roll_back(shop, "mia", to=None, reason="complaints")
        told = [post["text"] for post in team.posts]
        assert [("launch" in text, "complaints" in text) for text in told] == [(True, False), (False, True)]
        served = str(shop.decision_log().records()[-2].release)
        acts.roll_back(shop, "slack:U0MIA", to=served, reason="by chat")
        assert len(team.posts) == 2


def test_a_recorded_act_does_not_fail_with_the_mirror(
    waiting: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever of ours stops it, a full disk for example: the act stands, and what is missing is said."""

    def refuse(*_: Any) -> None:
        raise StorageError("no space left on device.")

    monkeypatch.setattr(acts, "connect", refuse)
    assert reviews.settle(waiting, RUN, approve=True, actor="ben").kind == "promotion"
    told = " ".join(capsys.readouterr().err.split())
    assert "recorded, but MLflow's aliases are not renewed yet: no space left on device." in told
