"""Prefect's form on a real server: it is lost by no refused answer, and left over by no case that is over."""

import contextlib

import pytest

from components.contract.errors import PromotionError
from flows import reviews
from flows.orchestrator import PrefectOrchestrator, prefect_client
from flows.shop import open_shop

RUN = "20990101-000000-review"
"""Of the fixture `waiting`."""


class Form:
    """The run of `review`, carried on in this process as a worker does it."""

    def __init__(self, retrained, client):
        self._client = client
        config, workspace = str(retrained.config), str(retrained.workspace.parent)
        self.shop = open_shop(config, None, workspace)
        flow_id = client.create_flow(reviews.review)
        client.create_deployment(
            flow_id=flow_id,
            name="tiny",
            entrypoint="flows.reviews:review",
            parameters={"config": config, "workspace": workspace},
        )

    def show(self):
        reviews.ask_for_review(self.shop, RUN)
        return self.go_on()

    def answer(self, decision, reason="", reviewer="ben"):
        """As the page sends it; the state in which the run is then."""
        sent = {"decision": decision, "reviewer": reviewer, "reason": reason}
        assert PrefectOrchestrator("tiny").resume(f"review {RUN}", sent)
        return self.go_on()

    def go_on(self):
        from prefect.exceptions import Pause
        from prefect.flow_engine import run_flow_sync

        run = self._run()
        with contextlib.suppress(Pause):
            run_flow_sync(reviews.review, run, run.parameters, return_type="state")
        return self._run().state

    def text(self):
        """What stands above the fields."""
        return self._input(self._run().state.state_details.run_input_keyset["description"])

    def given(self):
        """The answer to the first form."""
        return self._input(f"suspended-review-{RUN}-0-response")

    def forget(self):
        self._client.delete_flow_run(self._run().id)

    def _input(self, key):
        return self._client._client.get(f"/flow_runs/{self._run().id}/input/{key}").json()

    def _run(self):
        from prefect.client.schemas.filters import FlowRunFilter

        named = FlowRunFilter.model_validate({"name": {"any_": [f"review {RUN}"]}})
        (run,) = self._client.read_flow_runs(flow_run_filter=named)
        return run


@pytest.fixture
def form(waiting, retrained, connected):
    with prefect_client("test the form") as client:
        found = Form(retrained, client)
        assert found.show().name == "Suspended"
        yield found
        found.forget()


def last(shop):
    return shop.decision_log().records()[-1]


def test_a_rejection_without_a_reason_is_taken(form):
    """The page's field may stay empty; the record says that nothing was given."""
    assert form.answer("reject").name == "Completed"
    decision = last(form.shop)
    assert (decision.kind, decision.actor) == ("rejection", "prefect:ben:unidentified")
    assert decision.reason == "rejected in Prefect, no reason given"


def test_a_refused_answer_is_told_on_a_new_form(form, retrained):
    """four_eyes refuses an approval by the form; the next form says so, and its answer is taken alone: the
    refused approval is not tried again when four_eyes is off by then."""
    retrained.configure(review={"four_eyes": True})
    assert form.answer("approve").name == "Suspended"
    assert "prefect does not say" in form.text()
    assert form.answer("approve", reviewer="carl").name == "Suspended"
    retrained.configure(review={"four_eyes": False})
    assert form.answer("reject", "too many chairs").name == "Completed"
    assert (last(form.shop).kind, last(form.shop).reason) == ("rejection", "too many chairs")


def test_a_persons_answer_to_a_case_that_is_over_fails_the_run(form, monkeypatch):
    """Who answered must see that it changed nothing."""
    monkeypatch.setattr(reviews, "_end_form", lambda *_: False)  # Prefect was away meanwhile
    reviews.settle(form.shop, RUN, approve=False, actor="anna", reason="too risky")
    state = form.answer("approve")
    assert state.name == "Failed"
    with pytest.raises(PromotionError, match="settled already: rejection by anna"):
        state.result()
    assert len([r for r in form.shop.decision_log().records() if r.run_id == RUN]) == 1


def test_a_case_that_was_settled_elsewhere_ends_the_form(form):
    """The run goes on by itself and completes; what it is resumed with never approves."""
    reviews.settle(form.shop, RUN, approve=False, actor="anna", reason="too risky")
    assert form.go_on().name == "Completed"
    assert last(form.shop).actor == "anna"


def test_the_loops_own_answer_decides_nothing_while_the_case_waits(form):
    """By mistake or by somebody who types it: the form is shown again."""
    assert reviews._end_form(form.shop, form.shop.reviews().get(RUN))
    assert form.given()["decision"] == "reject"  # whatever reads it, it approves nothing
    assert form.go_on().name == "Suspended"
    assert form.shop.reviews().waiting().run_id == RUN


def test_the_form_of_a_superseded_case_is_ended_by_the_regular_look(form):
    """Nobody settles such a case; looking again does nothing."""
    assert reviews.end_forms(form.shop) == []
    log, champion = form.shop.decision_log(), form.shop.decision_log().champion()
    log.append("inconclusive", release="e" * 64, actor="flow", reason="a newer one", run_id="newer")
    assert reviews.end_forms(form.shop) == [RUN]
    assert form.go_on().name == "Completed"
    assert reviews.end_forms(form.shop) == []
    assert log.champion() == champion
