"""All ways of answering a review end in one function; what may be answered how (the form: test_forms.py)."""

import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from components.contract.errors import PromotionError, TrackingError
from components.release.promotion import report_digest
from components.release.review import Reviews
from components.tracking.client import connect
from flows import acts, decision_stages, reviews
from flows.shop import Shop, open_shop

RUN = "20990101-000000-review"
"""Of the fixture `waiting`."""


def waits(shop):
    return acts.report_of_run(shop, RUN).challenger_digest


def set_tag(shop, value):
    """As a reviewer does in MLflow's page of the challenger."""
    acts.mirror(shop)
    client = connect(shop.settings, shop.workspace).client
    version = client.get_model_version_by_alias("tiny", "challenger").version
    client.set_model_version_tag("tiny", version, "review", value)


def test_an_approval_promotes_and_moves_the_aliases(waiting):
    """The decision names run, report and approver; MLflow's champion is the approved version."""
    report = acts.report_of_run(waiting, RUN)
    decision = reviews.settle(waiting, RUN, approve=True, actor="ben")
    assert (decision.kind, decision.actor, decision.run_id) == ("promotion", "ben", RUN)
    assert decision.gate_report_digest == report_digest(report)
    assert waiting.decision_log().champion() == report.challenger_digest
    client = connect(waiting.settings, waiting.workspace).client
    assert client.get_model_version_by_alias("tiny", "champion").tags["digest"] == report.challenger_digest


def test_the_waiting_release_is_mlflows_challenger_until_it_is_settled(waiting):
    acts.mirror(waiting)
    client = connect(waiting.settings, waiting.workspace).client
    waits = acts.report_of_run(waiting, RUN).challenger_digest
    assert client.get_model_version_by_alias("tiny", "challenger").tags["digest"] == waits


def test_a_tag_in_mlflow_approves_for_nobody_in_particular(waiting):
    """The recorded actor says that MLflow does not tell who it was."""
    assert reviews.read_mlflow_tag(waiting) is None
    set_tag(waiting, f"approved:{waits(waiting)[:12]}")
    decision = reviews.read_mlflow_tag(waiting)
    assert (decision.kind, decision.actor) == ("promotion", "mlflow:unidentified")
    assert reviews.read_mlflow_tag(waiting) is None


@pytest.mark.parametrize(
    ("answer", "told"), [("approved", "have approved it"), ("rejected", r"have rejected it \(no good\)")]
)
def test_with_four_eyes_a_tag_is_a_comment(waiting, retrained, capsys, answer, told):
    """Neither an approval nor a rejection: nobody is known to have set it. What it says is shown."""
    retrained.configure(review={"four_eyes": True})
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    set_tag(shop, f"{answer}:{waits(shop)[:12]}{' no good' if answer == 'rejected' else ''}")
    capsys.readouterr()
    assert reviews.read_mlflow_tag(shop) is None
    assert re.search(told, capsys.readouterr().err)
    assert shop.reviews().waiting() is not None


def test_a_tag_that_was_set_before_the_case_opened_does_not_answer_it(waiting):
    """An approval is used once: the same release, judged again, needs a new one."""
    log, release = waiting.decision_log(), waits(waiting)
    set_tag(waiting, f"approved:{release[:12]}")
    log.append("inconclusive", release="e" * 64, actor="flow", reason="ends the first case", run_id="other")
    shutil.copytree(waiting.runs / RUN, waiting.runs / "20990102-000000-again")
    report = acts.report_of_run(waiting, RUN)
    decision_stages.open_review.fn(waiting, "20990102-000000-again", report, "anna", "")
    assert waiting.reviews().waiting().release == release
    assert reviews.read_mlflow_tag(waiting) is None
    set_tag(waiting, f"approved:{release[:12]}")
    assert reviews.read_mlflow_tag(waiting).release == release


def test_without_mlflow_no_case_is_opened(waiting, retrained):
    """A tag that cannot be taken off could answer it. The task is tried again, as registering is."""
    retrained.configure(tracking={"uri": "http://127.0.0.1:9"})
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    report = acts.report_of_run(shop, RUN)
    with pytest.raises(TrackingError):
        decision_stages.open_review.fn(shop, "20990102-000000-again", report, "anna", "")
    assert [case.run_id for case in shop.reviews().cases()] == [RUN]
    registering, opening = decision_stages.register_version, decision_stages.open_review
    assert (opening.retries, opening.retry_delay_seconds) == (registering.retries, [2, 10])
    assert opening.retry_condition_fn is registering.retry_condition_fn


def test_without_its_gate_report_nothing_is_promoted(waiting):
    """Fail closed: a run whose report is gone cannot be approved."""
    (waiting.runs / RUN / "gate_report.json").unlink()
    with pytest.raises(PromotionError, match="is missing"):
        reviews.settle(waiting, RUN, approve=True, actor="ben")


def test_a_changed_candidate_is_not_approved(waiting):
    release = acts.report_of_run(waiting, RUN).challenger_digest
    config = waiting.candidates / release / "encoder" / "config.json"
    config.chmod(0o644)
    config.write_text(config.read_text() + " ")
    with pytest.raises(PromotionError, match=r"config\.json was changed"):
        reviews.settle(waiting, RUN, approve=True, actor="ben")
    assert waiting.decision_log().champion() != release


def test_the_command_line_lists_approves_and_rejects(waiting, retrained, debut):
    told = debut("review", "list", *retrained.arguments)
    assert RUN in told.out
    assert "waiting until" in told.out
    refused = debut("review", "reject", RUN, *retrained.arguments, "--reason", "")
    assert (refused.code, "needs a reason" in refused.err) == (1, True)
    assert debut("review", "reject", RUN, *retrained.arguments, "--reason", "too risky").code == 0
    again = debut("review", "approve", RUN, *retrained.arguments)
    assert (again.code, "settled already" in again.err) == (1, True)
    shown = debut("decisions", "show", *retrained.arguments, "--json")
    assert shown.json[-1]["reason"] == "too risky"


def test_four_eyes_ask_who_people_are(waiting, retrained):
    """anna, who asked on the command line, cannot approve as a chat user; a named second person can."""
    four_eyes = {"four_eyes": True}
    for people, actor, refusal in [
        ({}, "slack:U0ANNA", "name both under review.people"),
        ({"Anna": ["anna", "slack:U0ANNA"]}, "slack:U0ANNA", "wants another person"),
        ({"Anna": ["anna"], "Ben": ["slack:U0BEN"]}, "slack:U0BEN", None),
    ]:
        retrained.configure(review=four_eyes | {"people": people})
        shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
        if refusal:
            with pytest.raises(PromotionError, match=refusal):
                reviews.settle(shop, RUN, approve=True, actor=actor)
        else:
            assert reviews.settle(shop, RUN, approve=True, actor=actor).kind == "promotion"


@pytest.fixture
def expired(waiting, monkeypatch):
    """The shop, eight days after its review was opened."""
    store, log = waiting.review_store(), waiting.decision_log()
    later = Reviews(store, log, lambda: datetime.now(UTC) + timedelta(days=8))
    monkeypatch.setattr(Shop, "reviews", lambda shop: later)
    return waiting


def test_expired_reviews_are_rejected_by_the_regular_look(expired, retrained, connected):
    """`look_after_reviews`, as its deployment runs it, records "review expired"."""
    done = reviews.look_after_reviews(str(retrained.config), None, str(retrained.workspace.parent))
    assert done == {"expired": [RUN], "ended": [], "settled": None}
    assert expired.decision_log().records()[-1].reason == "review expired"


def test_listing_reviews_records_the_expired_one(expired, retrained, debut):
    """A team without deployments has an expiry in the log as well, and MLflow's aliases follow."""
    told = debut("review", "list", *retrained.arguments)
    assert (told.code, f"{waits(expired)[:12]} settled" in told.out) == (0, True)
    assert expired.decision_log().records()[-1].reason == "review expired"
    assert debut("review", "list", *retrained.arguments).code == 0
    assert len([r for r in expired.decision_log().records() if r.reason == "review expired"]) == 1
