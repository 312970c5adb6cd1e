"""The verdict under any change of the scorecards: monotone, symmetric, never PROMOTE without a number."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.judging import GatePolicy
from components.contract.records import GateReport
from components.gate.report import report_json
from components.gate.verdict import decide

RANK = {"REJECT": 0, "INCONCLUSIVE": 1, "PROMOTE": 2}
OUTCOME_RANK = {"fail": 0, "missing": 1, "unsure": 1, "pass": 2, "not judged": 2}
ROLES = ("challenger", "champion")
GATED = [
    "new",
    "new_only",
    "established",
    "established_trained",
    "established_untrained",
    "all",
    "category:Tools",
    "query_length:2",
    "new_condensed",
    "new_only_condensed",
]


def random_recalls(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Challenger's and champion's recalls, 0 … 0.5, so that a bonus up to 0.5 keeps them recalls."""
    rng = np.random.default_rng(seed)
    shift = rng.integers(-2, 4)
    champion = rng.integers(0, 11, n)
    return np.clip(champion + rng.integers(-3, 4, n) + shift, 0, 10) / 20, champion / 20


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10))
def test_a_constant_bonus_on_every_request_never_makes_it_worse(cards, seed, bonus):
    """Monotone: adding a constant ≥ 0 to the challenger's recalls worsens no gate and no verdict."""
    policy = GatePolicy(resamples=150)
    ours, theirs = random_recalls(seed)
    champion = cards.make("champion", theirs)
    plain = decide(cards.make("challenger", ours), champion, policy)
    better = decide(cards.make("challenger", ours + bonus / 20), champion, policy)
    assert RANK[better.verdict] >= RANK[plain.verdict]
    for before, after in zip(plain.gates, better.gates, strict=True):
        if before.kind in ("primary", "guardrail", "slice") and before.name != "age":
            assert OUTCOME_RANK[after.outcome] >= OUTCOME_RANK[before.outcome]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_swapping_the_sides_flips_every_difference(cards, seed):
    """Every difference changes its sign and every interval is mirrored; both never promote."""
    policy = GatePolicy(resamples=150)
    ours, theirs = random_recalls(seed)
    a, b = cards.make("a", ours), cards.make("b", theirs)
    forward, backward = decide(a, b, policy), decide(b, a, policy)
    for one, other in zip(forward.gates, backward.gates, strict=True):
        if one.difference is not None:
            assert one.difference == -other.difference
        if one.low is not None:
            assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
    assert {forward.verdict, backward.verdict} != {"PROMOTE"}


@pytest.mark.parametrize("role", [0, 1])
@pytest.mark.parametrize("name", GATED)
def test_a_removed_measure_never_promotes(cards, policy, change, role, name):
    """Any measure that a gate reads, removed from either scorecard: never PROMOTE."""
    pair = list(cards.promoted())
    pair[role] = change(pair[role], f"{name}/recall@10", None)
    report = decide(*pair, policy)
    assert report.verdict != "PROMOTE"
    assert "missing" in {g.outcome for g in report.gates}


@pytest.mark.parametrize("name", ["new", "new_only", "established", "established_trained", "all"])
def test_a_measure_removed_from_both_never_promotes(cards, policy, change, name):
    """A measure that every scorecard owes is missed even where neither has it."""
    pair = tuple(change(card, f"{name}/recall@10", None) for card in cards.promoted())
    assert decide(*pair, policy).verdict != "PROMOTE"


def test_a_removed_bound_never_promotes(cards, policy):
    """Any measured bound of the policy, removed or None: never PROMOTE."""
    challenger, champion = cards.promoted()
    for name in [name for name, value in challenger.bounds.items() if value is not None]:
        for bounds in (
            {key: value for key, value in challenger.bounds.items() if key != name},
            challenger.bounds | {name: None},
        ):
            assert decide(replace(challenger, bounds=bounds), champion, policy).verdict == "INCONCLUSIVE"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.sampled_from(GATED), min_size=1, max_size=4), st.booleans())
def test_any_set_of_missing_measures_never_promotes(cards, change, seed, names, ours):
    """Whatever else the scorecards hold, a missing number never promotes."""
    _, champion = cards.promoted()
    lucky = np.minimum(1.0, champion.entrances["search"].measures["all/recall@10"] + (seed % 5) / 10)
    pair = [cards.make("challenger", lucky), champion]
    for name in names:
        pair[1 - ours] = change(pair[1 - ours], f"{name}/recall@10", None)
    assert decide(*pair, GatePolicy(resamples=100)).verdict != "PROMOTE"


def test_a_rerun_gives_the_same_bytes(cards, policy):
    """Equal scorecards give byte-identical JSON, and the record reads back."""
    first, second = (report_json(decide(*cards.promoted(), policy)) for _ in range(2))
    assert first == second
    assert GateReport.model_validate_json(first) == decide(*cards.promoted(), policy)
    assert json.loads(first)["policy"]["resamples"] == 400


SCRIPT = """
import sys
from components.contract.judging import GatePolicy
from components.gate.report import report_json
from components.gate.verdict import decide
import importlib.util, numpy as np
spec = importlib.util.spec_from_file_location("gate_power", sys.argv[1])
power = importlib.util.module_from_spec(spec)
spec.loader.exec_module(power)
champion, challenger = power.scorecards(np.random.default_rng(4), 0.02, sub_slices=True)
sys.stdout.buffer.write(report_json(decide(challenger, champion, GatePolicy(resamples=300))))
"""


def test_another_process_gives_the_same_bytes(simulation):
    """Hash seed and number of threads leave the report as it is."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, simulation.__file__],
            env=os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for seed, threads in (("1", "1"), ("2", "2"))
    ]
    assert outputs[0] == outputs[1] and outputs[0].startswith(b"{")
