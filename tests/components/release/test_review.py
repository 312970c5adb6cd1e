"""Approvals are single-use records keyed by run and D; the decision log alone says what became of them."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from components.contract.errors import FencedError, PromotionError
from components.contract.operations import ReviewSettings
from components.data.storage import open_store
from components.release.promotion import aliases, override, promote_baseline, record_refusal
from components.release.review import Reviews

START = datetime(2026, 11, 1, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reviews(log, clock, tmp_path):
    return Reviews(open_store(str(tmp_path / "reviews")), log, clock)


@pytest.fixture
def waiting(reviews, baseline, make_candidate, make_report):
    """Opens the case of run `run` about candidate `seed`; returns the case and its report."""

    def act(run="run-1", seed=1, requester="anna"):
        report = make_report(make_candidate(seed=seed).digest, baseline)
        case = reviews.open(run, "demo", report, days=7, requester=requester, because="a new season")
        return case, report

    return act


def approve(reviews, candidates, case, report, actor="ben", **settings):
    chosen = ReviewSettings(**settings)
    return reviews.approve(case, candidates / case.release, report, actor=actor, settings=chosen)


def test_an_approval_promotes_with_the_runs_id_and_the_reviewer(log, reviews, waiting, candidates):
    """An approval is a promotion like any other: it names D, the run, the report and who approved."""
    case, report = waiting()
    record = approve(reviews, candidates, case, report)
    assert (record.kind, record.release, record.run_id, record.actor) == (
        "promotion",
        case.release,
        "run-1",
        "ben",
    )
    assert log.champion() == case.release
    assert reviews.state(case) == "settled"
    assert reviews.waiting() is None


def test_an_approval_is_used_once(reviews, waiting, candidates):
    """A second approval of the same case is refused and names the first."""
    case, report = waiting()
    approve(reviews, candidates, case, report)
    with pytest.raises(PromotionError, match="settled already: promotion by ben"):
        approve(reviews, candidates, case, report, actor="carl")


def test_a_rejection_ends_the_case(log, reviews, waiting, candidates, baseline):
    """After a rejection, which needs a reason, no approval is possible and the champion stays."""
    case, report = waiting()
    with pytest.raises(PromotionError, match="needs a reason"):
        reviews.reject(case, report, actor="ben", reason=" ")
    record = reviews.reject(case, report, actor="ben", reason="too many chairs")
    assert (record.kind, record.reason) == ("rejection", "too many chairs")
    with pytest.raises(PromotionError, match="settled already: rejection by ben"):
        approve(reviews, candidates, case, report)
    assert log.champion() == baseline


def test_an_expired_case_is_rejected_and_cannot_be_approved(log, clock, reviews, waiting, candidates):
    """After its days a case is over: `expire` records "review expired", once."""
    case, report = waiting()
    clock.now = START + timedelta(days=7)
    with pytest.raises(PromotionError, match="expired at 2026-11-08"):
        approve(reviews, candidates, case, report)
    (record,) = reviews.expire()
    assert (record.kind, record.reason, record.run_id) == ("rejection", "review expired", "run-1")
    assert reviews.expire() == []
    assert log.champion() != case.release


def test_a_later_case_ends_an_earlier_one(clock, reviews, waiting, candidates):
    """The newest challenger alone can be approved."""
    first, report = waiting()
    clock.now += timedelta(hours=1)
    second, _ = waiting(run="run-2", seed=2)
    assert reviews.waiting() == second
    with pytest.raises(PromotionError, match="newer challenger"):
        approve(reviews, candidates, first, report)


def test_a_later_verdict_ends_the_case(
    log, reviews, waiting, candidates, make_candidate, make_report, baseline
):
    """A newer challenger that was judged and refused ends the case of an older one, too."""
    case, report = waiting()
    other = make_report(make_candidate(seed=5).digest, baseline, verdict="REJECT")
    record_refusal(log, other, actor="flow", run_id="run-9")
    with pytest.raises(PromotionError, match="newer challenger"):
        approve(reviews, candidates, case, report)


def test_another_promotion_meanwhile_ends_the_case(
    log, reviews, waiting, candidates, make_candidate, baseline
):
    """A champion that changed after the judge ends the case: it was judged against another one."""
    case, report = waiting()
    other = make_candidate(seed=7).digest
    override(
        log, candidates / other, None, expected_champion=baseline, actor="eve", role="lead", reason="urgent"
    )
    with pytest.raises((PromotionError, FencedError)):
        approve(reviews, candidates, case, report)
    assert log.champion() == other


def test_four_eyes_want_another_person(log, reviews, waiting, candidates, baseline):
    """With four_eyes who asked for the run may not approve it, under any of their names."""
    case, report = waiting(requester="anna")
    settings = {"four_eyes": True, "people": {"Anna": ("anna", "slack:U0ANNA"), "Ben": ("slack:U0BEN",)}}
    for actor in ("anna", "slack:U0ANNA"):
        with pytest.raises(PromotionError, match="wants another person"):
            approve(reviews, candidates, case, report, actor=actor, **settings)
    assert log.champion() == baseline
    assert approve(reviews, candidates, case, report, actor="slack:U0BEN", **settings).kind == "promotion"


def test_a_case_is_about_one_candidate(reviews, waiting, candidates, make_candidate):
    """Another candidate's folder, or another report, is refused."""
    case, report = waiting()
    other = candidates / make_candidate(seed=3).digest
    with pytest.raises(PromotionError, match="not about"):
        reviews.approve(case, other, report, actor="ben", settings=ReviewSettings())


def test_an_approval_and_a_rejection_at_once_settle_the_case_once(log, reviews, waiting, candidates):
    """Of many people who answer at the same moment one is recorded, and all others are refused."""
    case, report = waiting()
    outcomes, start = [], threading.Barrier(8)

    def answer(number):
        start.wait()
        try:
            if number % 2:
                outcomes.append(approve(reviews, candidates, case, report, actor=f"a{number}"))
            else:
                outcomes.append(reviews.reject(case, report, actor=f"r{number}", reason="no"))
        except PromotionError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [one for one in outcomes if not isinstance(one, Exception)]
    assert len(done) == 1
    assert len(outcomes) == 8
    assert [r for r in log.records() if r.run_id == "run-1"] == done


def test_the_first_runs_version_0_settles_nothing(log, reviews, candidates, make_candidate, make_report):
    """A shop's first run promotes version 0 under its own id; its challenger waits all the same."""
    baseline = make_candidate(seed=0, baseline=True).digest
    promote_baseline(log, candidates / baseline, actor="flow", run_id="run-1")
    report = make_report(make_candidate(seed=1).digest, baseline)
    case = reviews.open("run-1", "demo", report, days=7, requester="anna", because="")
    assert reviews.waiting() == case
    assert approve(reviews, candidates, case, report).kind == "promotion"


def test_only_a_promote_verdict_waits(reviews, make_candidate, make_report, baseline):
    report = make_report(make_candidate(seed=1).digest, baseline, verdict="REJECT")
    with pytest.raises(PromotionError, match="nothing to approve"):
        reviews.open("run-1", "demo", report, days=7, requester="anna", because="")


def test_a_case_judged_against_an_older_champion_is_not_opened(
    log, reviews, baseline, release, make_candidate, make_report
):
    """Where another release was promoted between judging and opening, nobody is asked to approve."""
    report = make_report(make_candidate(seed=1).digest, baseline)
    champion = release(2)
    with pytest.raises(FencedError, match=f"judged against champion {baseline[:12]}.* now {champion[:12]}"):
        reviews.open("run-1", "demo", report, days=7, requester="anna", because="")
    assert reviews.cases() == []


def test_an_expiry_that_another_process_records_first_is_no_error(clock, reviews, waiting, monkeypatch):
    """The regular look, `debut review list` and a retrain may all find the same case at the same moment."""
    waiting()
    clock.now = START + timedelta(days=8)
    state, recorded = reviews.state, []

    def overtaken(case):
        found = state(case)
        if not recorded:
            recorded.append(True)
            assert len(reviews.expire()) == 1
        return found

    monkeypatch.setattr(reviews, "state", overtaken)
    assert reviews.expire() == []


def test_an_unknown_run_is_refused_and_told_which_one_waits(reviews, waiting):
    waiting()
    with pytest.raises(PromotionError, match="'run-7' has no review here; run-1 waits"):
        reviews.get("run-7")


def test_a_run_opens_its_case_once(reviews, waiting, clock):
    """A flow that is run again after a crash finds the case that it opened before, with its time."""
    first, _ = waiting()
    clock.now += timedelta(days=1)
    again, _ = waiting()
    assert again == first


def test_the_waiting_release_is_the_challenger(log, reviews, waiting):
    case, _ = waiting()
    assert aliases(log.records(), case.release)["challenger"] == case.release
