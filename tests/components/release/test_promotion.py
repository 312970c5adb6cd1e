import math

import pytest

from components.contract.digests import sha256_json
from components.contract.errors import FencedError, PromotionError
from components.release.promotion import (
    override,
    promote,
    promote_baseline,
    record_refusal,
    report_digest,
    status,
)


def test_promotion_is_recorded_with_its_report(log, baseline, candidates, make_candidate, make_report):
    """A promotion names the candidate, the champion it beat, the run, and the report by digest."""
    digest = make_candidate(seed=1).digest
    report = make_report(digest, baseline)
    record = promote(
        log, candidates / digest, report, expected_champion=baseline, actor="flow", run_id="run-1"
    )
    assert (record.kind, record.release, record.predecessor) == ("promotion", digest, baseline)
    assert record.gate_report_digest == sha256_json(report.model_dump(mode="json"))
    assert record.reason == report.sentence
    assert log.champion() == digest


def test_baseline_is_promoted_only_into_an_empty_log(log, baseline, candidates, make_candidate):
    """Version 0 needs no report, but there must be no champion yet; a repeat by the same run is harmless."""
    assert log.records()[0].reason == "baseline"
    assert promote_baseline(log, candidates / baseline, actor="flow", run_id="run-0").number == 1
    with pytest.raises(FencedError):
        promote_baseline(log, candidates / baseline, actor="flow", run_id="run-1")


def test_trained_candidate_is_no_baseline(log, candidates, make_candidate):
    """A candidate that was trained cannot slip in as version 0 without being judged."""
    digest = make_candidate(seed=1).digest
    with pytest.raises(PromotionError, match="no baseline"):
        promote_baseline(log, candidates / digest, actor="flow", run_id=None)


def attempt(log, candidates, digest, report, over):
    return promote(log, candidates / digest, report, expected_champion=over, actor="flow", run_id="r")


@pytest.mark.parametrize("verdict", ["REJECT", "INCONCLUSIVE"])
def test_other_verdicts_do_not_promote(log, baseline, candidates, make_candidate, make_report, verdict):
    """Only PROMOTE promotes."""
    digest = make_candidate(seed=1).digest
    with pytest.raises(PromotionError, match=f"says {verdict}"):
        attempt(log, candidates, digest, make_report(digest, baseline, verdict), baseline)
    assert log.champion() == baseline


@pytest.mark.parametrize("outcome", ["fail", "unsure", "missing"])
def test_report_with_a_gate_that_did_not_pass_is_refused(
    log, baseline, candidates, make_candidate, make_report, outcome
):
    """A verdict that was edited to PROMOTE over a gate that did not pass is refused, naming the gate."""
    digest = make_candidate(seed=1).digest
    with pytest.raises(PromotionError, match="new/recall@10 did not pass"):
        attempt(log, candidates, digest, make_report(digest, baseline, outcome=outcome), baseline)


def test_report_without_gates_is_refused(log, baseline, candidates, make_candidate, make_report):
    """A PROMOTE that rests on nothing is refused."""
    digest = make_candidate(seed=1).digest
    report = make_report(digest, baseline).model_copy(update={"gates": ()})
    with pytest.raises(PromotionError, match="does not allow"):
        attempt(log, candidates, digest, report, baseline)


def test_report_must_be_about_this_pair(log, baseline, candidates, make_candidate, make_report):
    """A report about another candidate, or against another champion, releases nothing."""
    digest = make_candidate(seed=1).digest
    with pytest.raises(PromotionError, match="is about ffff"):
        attempt(log, candidates, digest, make_report("f" * 64, baseline), baseline)
    with pytest.raises(PromotionError, match="judged against champion ffff"):
        attempt(log, candidates, digest, make_report(digest, "f" * 64), baseline)
    assert log.champion() == baseline


def test_number_that_is_not_finite_is_refused(log, baseline, candidates, make_candidate, make_report):
    """A NaN in the report never promotes."""
    digest = make_candidate(seed=1).digest
    report = make_report(digest, baseline)
    gate = report.gates[0].model_copy(update={"low": math.nan})
    with pytest.raises(PromotionError, match="not finite"):
        attempt(log, candidates, digest, report.model_copy(update={"gates": (gate,)}), baseline)


def test_damaged_candidate_is_not_promoted(log, baseline, candidates, make_candidate, make_report):
    """Files that are no longer D's stop a promotion and an override alike."""
    digest = make_candidate(seed=1).digest
    (candidates / digest / "encoder" / "model.safetensors").unlink()
    with pytest.raises(PromotionError, match=r"model.safetensors is missing"):
        attempt(log, candidates, digest, make_report(digest, baseline), baseline)
    with pytest.raises(PromotionError, match=r"model.safetensors is missing"):
        override(
            log,
            candidates / digest,
            None,
            expected_champion=baseline,
            actor="mia",
            role="lead",
            reason="now",
        )


def test_champion_is_not_promoted_over_itself(log, baseline, candidates, make_report):
    """Promoting what serves already is refused."""
    with pytest.raises(PromotionError, match="champion already"):
        attempt(log, candidates, baseline, make_report(baseline, baseline), baseline)


def test_fenced_run_cannot_promote(log, baseline, candidates, make_candidate, make_report, release):
    """A run that was judged against an older champion loses to the one that promoted first."""
    slow = make_candidate(seed=1).digest
    report = make_report(slow, baseline)
    winner = release(2, run_id="fast")
    with pytest.raises(FencedError, match=rf"now {winner[:12]} \(promotion .* \(run fast\)"):
        attempt(log, candidates, slow, report, baseline)
    assert log.champion() == winner


def test_override_needs_a_reason_and_a_role(log, baseline, candidates, make_candidate, make_report):
    """A person may decide against the verdict, on record as an override with reason, name and role."""
    digest = make_candidate(seed=1).digest
    report = make_report(digest, baseline, "INCONCLUSIVE")
    common = {"expected_champion": baseline, "actor": "mia"}
    for role, reason in (("", "launch"), ("lead", " ")):
        with pytest.raises(PromotionError, match="a reason and the role"):
            override(log, candidates / digest, report, role=role, reason=reason, **common)
    with pytest.raises(PromotionError, match="is about"):
        override(log, candidates / digest, make_report("f" * 64, baseline), role="lead", reason="x", **common)
    record = override(log, candidates / digest, report, role="lead", reason="launch today", **common)
    assert (record.kind, record.actor, record.reason) == ("override", "mia (lead)", "launch today")
    assert record.gate_report_digest == report_digest(report)
    assert log.champion() == digest


@pytest.mark.parametrize(("verdict", "kind"), [("REJECT", "rejection"), ("INCONCLUSIVE", "inconclusive")])
def test_refusals_are_recorded(log, baseline, make_report, verdict, kind):
    """A refusal is on record with its report, and the champion stays."""
    record = record_refusal(log, make_report("f" * 64, baseline, verdict), actor="flow", run_id="r")
    assert (record.kind, record.release, record.reason) == (kind, "f" * 64, f"{verdict}: as the gates say.")
    assert log.champion() == baseline


def test_promote_verdict_is_no_refusal(log, make_report):
    """A PROMOTE cannot be filed as a refusal."""
    with pytest.raises(PromotionError, match="no refusal"):
        record_refusal(log, make_report("f" * 64, None), actor="flow", run_id=None)


def test_status_is_plain_json(log, baseline, candidates, release, make_report):
    """Status names champion, previous, open challenger and since when; aliases mirror just that."""
    assert {k: status(log)[k] for k in ("champion", "previous", "challenger", "records")} == {
        "champion": baseline,
        "previous": None,
        "challenger": None,
        "records": 1,
    }
    first = release(1)
    record_refusal(log, make_report("f" * 64, first, "REJECT"), actor="flow", run_id="r")
    seen = status(log)
    assert (seen["champion"], seen["previous"], seen["challenger"]) == (first, baseline, "f" * 64)
    assert seen["since"] == "2026-01-01T00:01:00Z"
    assert seen["last_record"]["kind"] == "rejection"
    assert len(sha256_json(seen)) == 64
    release(2)
    assert status(log)["challenger"] is None


def test_status_of_an_empty_log(log):
    """Before the first run everything is None."""
    assert status(log) == {
        "champion": None,
        "previous": None,
        "challenger": None,
        "since": None,
        "records": 0,
        "last_record": None,
    }
