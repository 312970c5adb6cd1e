"""All ways of answering a review end in one function; Prefect's form is one of them, on a real server."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from components.contract.digests import canonical_json
from components.contract.errors import PromotionError
from components.release.promotion import report_digest
from components.tracking.client import connect
from flows import acts, reviews
from flows.shop import open_shop


@pytest.fixture
def waiting(retrained):
    """A shop whose refused challenger is taken for one that passed its gates, and waits."""
    settings = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    path = next(settings.runs.glob("*/gate_report.json"))
    report = json.loads(path.read_bytes())
    for gate in report["gates"]:
        gate["outcome"] = "pass"
    report |= {"verdict": "PROMOTE"}
    # A run of its own: the first one is settled, by the refusal in the log.
    run = settings.runs / "20990101-000000-review"
    run.mkdir()
    (run / "gate_report.json").write_bytes(canonical_json(report))
    opened = acts.report_of_run(settings, run.name)
    reviews.shop_reviews(settings).open(
        run.name, "tiny", opened, days=7, requester="anna", because="a new season"
    )
    return settings


RUN = "20990101-000000-review"


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
    waits = acts.report_of_run(waiting, RUN).challenger_digest
    acts.mirror(waiting)
    assert reviews.read_mlflow_tag(waiting) is None
    client = connect(waiting.settings, waiting.workspace).client
    version = client.get_model_version_by_alias("tiny", "challenger").version
    client.set_model_version_tag("tiny", version, "review", f"approved:{waits[:12]}")
    decision = reviews.read_mlflow_tag(waiting)
    assert (decision.kind, decision.actor) == ("promotion", "mlflow:unidentified")
    assert reviews.read_mlflow_tag(waiting) is None


def test_with_four_eyes_a_tag_is_a_comment(waiting, retrained):
    retrained.configure(review={"four_eyes": True})
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    acts.mirror(shop)
    client = connect(shop.settings, shop.workspace).client
    version = client.get_model_version_by_alias("tiny", "challenger")
    client.set_model_version_tag("tiny", version.version, "review", f"approved:{version.tags['digest'][:12]}")
    assert reviews.read_mlflow_tag(shop) is None
    assert reviews.shop_reviews(shop).waiting() is not None


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


def test_expired_reviews_are_rejected_by_the_regular_look(waiting, retrained, connected, monkeypatch):
    """`look_after_reviews`, as its deployment runs it, records "review expired"."""
    later = reviews.Reviews(
        waiting.review_store(), waiting.decision_log(), lambda: datetime.now(UTC) + timedelta(days=8)
    )
    monkeypatch.setattr(reviews, "shop_reviews", lambda shop: later)
    done = reviews.look_after_reviews(str(retrained.config), None, str(retrained.workspace.parent))
    assert done["expired"] == [RUN]
    assert waiting.decision_log().records()[-1].reason == "review expired"
