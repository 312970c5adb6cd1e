"""Means, intervals and comparisons of `make bench-recall`, as JSON and as a table.

A system's value of a request is its mean over the seeds; intervals are of the requests: percentile bootstrap,
95 %, of the gate (components.gate.statistics). A gain is paired: the same requests, drawn together.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.gate.statistics import mean, resampled_means, to_units, two_sided_interval

Values = NDArray[np.float64]
"""(requests,) in [0, 1]; NaN where the request has nothing relevant in the slice."""
MEASURES = {
    "new_recall@10": "new/recall@10",
    "new_only_recall@10": "new_only/recall@10",
    "established_recall@10": "established/recall@10",
    "all_recall@10": "all/recall@10",
}
"""Name here → name in a scorecard."""
DEBUT = "debut"
OURS = {
    DEBUT: "a whole first retrain per seed, judged through its own retrieval path",
    "debut_version_0": "the untrained encoder through the same path: what a first retrain must beat",
}
RESAMPLES, SEED = 10_000, 0


def compared(systems: Mapping[str, Mapping[str, Values]]) -> dict[str, Any]:
    """systems: name → measure → seed means.

    `gains` has per other system and measure what ours has more. `best_peer` has the highest new-item recall;
    the gain over it, and per measure which peer is best in that one.
    """
    figures = {
        name: {measure: interval(values) for measure, values in measures.items()}
        for name, measures in systems.items()
    }
    gains = {}
    if DEBUT in systems:
        ours = systems[DEBUT]
        gains = {
            name: {measure: interval(ours[measure], measures[measure]) for measure in MEASURES}
            for name, measures in systems.items()
            if name != DEBUT
        }
    peers = [name for name in systems if name not in OURS]
    found: dict[str, Any] = {"systems": figures, "gains": gains, "best_peer": None}
    found["gain_over_best_peer_ci95"] = None
    if not peers:
        return found
    best = {measure: max(peers, key=lambda name: figures[name][measure]["value"]) for measure in MEASURES}
    peer = found["best_peer"] = best["new_recall@10"]
    if gains:
        found["gain_over_best_peer_ci95"] = gains[peer]["new_recall@10"]["ci95"]
    return found | {"best_peer_by_measure": best}


def interval(values: Values, less: Values | None = None) -> dict[str, Any]:
    judged = ~np.isnan(values)
    if not judged.any():
        raise SystemExit("No request has a relevant item in a slice: there is nothing to compare.")
    units = to_units(values[judged])
    if less is not None:
        units = units - to_units(less[judged])
    means = resampled_means({"": units}, RESAMPLES, SEED)[""]
    return {
        "value": round(mean(units), 4),
        "ci95": [round(end, 4) for end in two_sided_interval(means, 0.95)],
    }


def seed_means(seeds: list[Mapping[str, Values]]) -> dict[str, Values]:
    """Per measure of MEASURES and request the mean over the seeds' scorecards."""
    return {name: np.mean([one[measure] for one in seeds], axis=0) for name, measure in MEASURES.items()}


def markdown(figures: Mapping[str, Any], what: Mapping[str, str]) -> str:
    """what: how each system was run."""
    lines = [
        f"### {figures['dataset']}",
        "",
        f"{figures['requests']} test requests, {figures['requests_with_new']} of them with a relevant new "
        f"item; commit {figures['commit']}, `{figures['command']}`. Means over {figures['seeds']} seeds "
        "where a system has one; 95 % intervals of the requests.",
        "",
        *_rows("system", figures["systems"]),
    ]
    if figures["gains"]:
        lines += ["", *_rows(f"{DEBUT} less", figures["gains"], sign="+")]
    if figures["best_peer"]:
        best = figures["best_peer_by_measure"]
        lines += [
            "",
            "Best peers: " + ", ".join(f"{best[measure]} ({measure})" for measure in MEASURES) + ".",
        ]
    lines += ["", *(f"- {name}: {text}" for name, text in what.items())]
    lines += [f"- {note}" for note in figures["notes"]]
    return "\n".join(lines) + "\n"


def _rows(title: str, figures: Mapping[str, Any], sign: str = "") -> list[str]:
    """A table with a row per system and a column per measure."""
    lines = [f"| {title} | new | new only | established | all |", "|---|--:|--:|--:|--:|"]
    for name, row in figures.items():
        lines.append(f"| {name} | " + " | ".join(_cell(row[measure], sign) for measure in MEASURES) + " |")
    return lines


def _cell(figure: Mapping[str, Any], sign: str = "") -> str:
    low, high = figure["ci95"]
    return f"{figure['value']:{sign}.3f} [{low:.3f}, {high:.3f}]"
