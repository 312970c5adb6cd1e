"""How many requests a gate needs, and what it can see with those it has (normal approximation).

Everything is planned from the observed standard deviation of the paired differences, never from the
observed gain: power computed at the observed gain says only again what the p-value said (Hoenig & Heisey,
The American Statistician 2001).
"""

import math
from statistics import NormalDist

GAINS = (0.01, 0.02, 0.04)
"""Score points whose power reports state: 1, 2 and 4 points of recall."""

_NORMAL = NormalDist()


def requests_needed(sd: float, gain: float, power: float, confidence: float) -> int | None:
    """Requests with which a true `gain` has its two-sided `confidence` interval above 0 in a share
    `power` of all judged sets. sd, gain: score points, gain > 0. None where sd is 0: requests that all
    differ alike say nothing about the next ones."""
    if sd == 0.0:
        return None
    return _requests(sd, gain, _z_two_sided(confidence), power)


def requests_needed_non_inferior(sd: float, margin: float, power: float, confidence: float) -> int | None:
    """Requests with which an unchanged challenger is shown to lose no more than `margin`, one-sided;
    None where the margin is 0, which no number of requests can show."""
    return _requests(sd, margin, _NORMAL.inv_cdf(confidence), power) if margin > 0 else None


def achieved_power(sd: float, requests: int, gain: float, confidence: float) -> float:
    """Chance that `requests` show a true `gain` (lower end of the two-sided interval above 0)."""
    if requests < 1:
        return 0.0
    if sd == 0.0:
        return 1.0 if gain > 0 else 0.0
    return _NORMAL.cdf(gain * math.sqrt(requests) / sd - _z_two_sided(confidence))


def _requests(sd: float, distance: float, z: float, power: float) -> int:
    return max(1, math.ceil(((z + _NORMAL.inv_cdf(power)) * sd / distance) ** 2))


def _z_two_sided(confidence: float) -> float:
    return _NORMAL.inv_cdf(0.5 + confidence / 2.0)
