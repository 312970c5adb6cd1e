"""How often the gate promotes: with no true gain, and with 1, 2 and 4 points.

    python tests/benchmarks/gate_power.py [--pairs 2000] [--out power.json]

Simulated scorecards of home_depot's sizes: 2,466 requests, 608 of them with a relevant new item (1.6 such
items each), 3.4 relevant established items each. Each relevant item is found with its own probability;
champion and challenger agree on it more often than by chance. A gain turns misses into hits.
About three minutes on two cores; the figures are in docs/figures.md.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.contract.judging import Bounds, GatePolicy
from components.evaluation.scorecard import EntranceScores, Scorecard
from components.gate import power, statistics
from components.gate.verdict import decide

REQUESTS, NEW_REQUESTS = 2_466, 608
NEW_ITEMS, ESTABLISHED_ITEMS = 1.6, 3.4
TRAINED_SHARE = 0.3
"""Of the relevant established items (data/README.md of home_depot: 2,230 of 7,310)."""
AGREEMENT = 0.35
"""Share of the relevant items on which the challenger's outcome is copied from the champion's."""
GAINS = (0.0, *power.GAINS)
IDS = tuple(f"q{number}" for number in range(REQUESTS))
Values = NDArray[np.float64]
Found = NDArray[np.bool_]


def hits(rng: np.random.Generator, items: NDArray[np.int64], gain: float) -> tuple[Values, Values]:
    """recall@10 of champion and challenger, (requests,) each, for `items` relevant items per request."""
    chance = rng.beta(0.5, 0.6, int(items.sum()))
    return _recalls(items, *_found(rng, chance), gain, rng.random(len(chance)))


def _found(rng: np.random.Generator, chance: Values) -> tuple[Found, Found]:
    """Which relevant items champion and challenger find, with no true difference between them."""
    champion, own = rng.random((2, len(chance))) < chance
    return champion, np.where(rng.random(len(chance)) < AGREEMENT, champion, own)


def _recalls(
    items: NDArray[np.int64], champion: Found, challenger: Found, gain: float, luck: Values
) -> tuple[Values, Values]:
    """The challenger also finds a share of what it missed, so that its recall rises by `gain`."""
    better = challenger | (luck < gain / max(1e-9, 1.0 - float(challenger.mean())))
    owner = np.repeat(np.arange(len(items)), items)
    sides = [np.bincount(owner, weights=side, minlength=len(items)) / items for side in (champion, better)]
    return sides[0], sides[1]


def item_counts(rng: np.random.Generator, requests: int, mean: float) -> NDArray[np.int64]:
    return 1 + rng.poisson(mean - 1.0, requests)


def new_recalls(
    rng: np.random.Generator, gain: float, n: int = NEW_REQUESTS
) -> dict[str, tuple[Values, Values]]:
    """Both primaries; lists of new items alone find what full lists find, and more."""
    items = item_counts(rng, n, NEW_ITEMS)
    count = int(items.sum())
    champion, challenger = _found(rng, rng.beta(0.5, 0.6, count))
    more_champion, more_challenger = _found(rng, rng.beta(0.5, 0.6, count))
    luck = rng.random(count)
    return {
        "new": _recalls(items, champion, challenger, gain, luck),
        "new_only": _recalls(items, champion | more_champion, challenger | more_challenger, gain, luck),
    }


def scorecards(rng: np.random.Generator, gain: float, *, sub_slices: bool) -> tuple[Scorecard, Scorecard]:
    """Champion and challenger with a true `gain` on new items and none on established ones."""
    columns = {name: _spread(pair, NEW_REQUESTS) for name, pair in new_recalls(rng, gain).items()}
    trained = rng.binomial(item_counts(rng, REQUESTS, ESTABLISHED_ITEMS), TRAINED_SHARE)
    untrained = np.maximum(item_counts(rng, REQUESTS, ESTABLISHED_ITEMS * (1 - TRAINED_SHARE)), 1)
    if sub_slices:
        columns["established_trained"] = hits_or_nan(rng, trained)
        columns["established_untrained"] = hits(rng, untrained, 0.0)
    else:
        nothing = np.full(REQUESTS, np.nan)
        columns |= dict.fromkeys(("established_trained", "established_untrained"), (nothing, nothing))
    columns["established"] = hits(rng, untrained + trained, 0.0)
    columns["all"] = columns["established"]
    return _card("champion", columns, 0), _card("challenger", columns, 1)


def hits_or_nan(rng: np.random.Generator, items: NDArray[np.int64]) -> tuple[Values, Values]:
    """As `hits`, NaN for requests without a relevant item."""
    some = items > 0
    sides = tuple(np.full(len(items), np.nan) for _ in range(2))
    for side, values in zip(sides, hits(rng, items[some], 0.0), strict=True):
        side[some] = values
    return sides[0], sides[1]


def _spread(pair: tuple[Values, Values], filled: int) -> tuple[Values, Values]:
    blank = np.full(REQUESTS - filled, np.nan)
    return np.concatenate([pair[0], blank]), np.concatenate([pair[1], blank])


def _card(name: str, columns: dict[str, tuple[Values, Values]], side: int) -> Scorecard:
    measures = {f"{slice_name}/recall@10": pair[side] for slice_name, pair in columns.items()}
    scores = EntranceScores("search", IDS, measures)
    return Scorecard(name=name, digest=name, primary="search", entrances={"search": scores}, bounds={})


def promotion_rate(gain: float, pairs: int, *, sub_slices: bool, resamples: int = 500) -> dict[str, float]:
    """Share of `pairs` simulated comparisons with each verdict, by the whole gate.

    Every pair has its own bootstrap seed: one fixed set of few resamples would be off in one direction.
    """
    rng = np.random.default_rng([7, round(gain * 1_000)])
    verdicts = []
    for seed in range(pairs):
        champion, challenger = scorecards(rng, gain, sub_slices=sub_slices)
        policy = GatePolicy(resamples=resamples, seed=seed, bounds=dict.fromkeys(Bounds.model_fields))
        verdicts.append(decide(challenger, champion, policy).verdict)
    return {name: verdicts.count(name) / pairs for name in ("PROMOTE", "INCONCLUSIVE", "REJECT")}


def shown_better(gain: float, pairs: int, n: int = NEW_REQUESTS) -> dict[str, float]:
    """Share of `pairs` in which the primaries' intervals lie above 0, with the default 10,000 resamples.

    The product's own draws, as a matrix of counts, so that all pairs share one multiplication.
    """
    rng = np.random.default_rng([8, n, round(gain * 1_000)])
    counts = np.zeros((GatePolicy().resamples, n))
    start = 0
    for indices in statistics.resample_indices(n, len(counts), seed=0):
        for row in indices:
            counts[start] = np.bincount(row, minlength=n)
            start += 1
    drawn = [new_recalls(rng, gain, n) for _ in range(pairs)]
    above, sds = {}, {}
    for name in ("new", "new_only"):
        differences = np.stack([pair[name][1] - pair[name][0] for pair in drawn], axis=1)
        sds[name] = float(differences.std(axis=0, ddof=1).mean())
        lows = [
            np.quantile(counts @ part / n, 0.025, axis=0) for part in np.array_split(differences, 8, axis=1)
        ]
        above[name] = np.concatenate(lows) > 1e-12
    both = above["new"] & above["new_only"]
    rates = {name: float(rows.mean()) for name, rows in above.items()} | {"both": float(both.mean())}
    return rates | {f"sd_{name}": round(sd, 3) for name, sd in sds.items()}


def planned(sd: float) -> dict[str, dict[str, float | None]]:
    """The normal approximation that verdicts plan with: power at 608 requests, requests for 80 %."""
    return {
        f"{gain:g}": {
            "power_at_608": round(power.achieved_power(sd, NEW_REQUESTS, gain, 0.95), 3),
            "requests_for_80_percent": power.requests_needed(sd, gain, 0.8, 0.95),
        }
        for gain in power.GAINS
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=2_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    figures = {
        "pairs": arguments.pairs,
        "whole_gate": {
            f"{gain:g}": promotion_rate(gain, arguments.pairs, sub_slices=False) for gain in GAINS
        },
        "whole_gate_with_sub_slices": {
            f"{gain:g}": promotion_rate(gain, arguments.pairs // 4, sub_slices=True) for gain in GAINS
        },
        "primaries_10000_resamples": {f"{gain:g}": shown_better(gain, arguments.pairs) for gain in GAINS},
        "no_gain_by_requests": {str(n): shown_better(0.0, arguments.pairs, n) for n in (50, 100, 200)},
        "planned_at_sd": {f"{sd:g}": planned(sd) for sd in (0.29, 0.37, 0.383, 0.45)},
    }
    text = json.dumps(figures, indent=1)
    sys.stdout.write(f"{text}\n")
    if arguments.out:
        arguments.out.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
