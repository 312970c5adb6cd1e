"""How gates name slices and write numbers, in words a shop person follows."""

from decimal import Decimal

from components.contract.records import Entrance
from components.gate.comparison import Comparison

SLICES = {
    "new": "New items",
    "new_only": "New items with only new items as candidates",
    "established": "Established items",
    "established_trained": "Established items seen in training",
    "established_untrained": "Established items not seen in training",
    "all": "All items",
}
FAMILIES = {
    "category": "Category {}",
    "age": "Items {} days old",
    "query_length": "Queries of {} words",
    "query_frequency": "Requests {} in training",
}


def gate_name(comparison: Comparison, primary: Entrance) -> str:
    """The measure, with the entrance before it where that is not the primary one."""
    same = comparison.entrance == primary
    return comparison.measure if same else f"{comparison.entrance} {comparison.measure}"


def label(comparison: Comparison, primary: Entrance) -> str:
    """ "New items", or "Recommendation, all items" for the other entrance."""
    words = slice_label(comparison.measure.rsplit("/", 1)[0])
    if comparison.entrance == primary:
        return words
    return f"{comparison.entrance.capitalize()}, {words[0].lower()}{words[1:]}"


def slice_label(name: str) -> str:
    family, _, value = name.partition(":")
    if name == "query_length:1":
        return "Queries of 1 word"
    if value and family in FAMILIES:
        return FAMILIES[family].format(value)
    return SLICES.get(name, name)


def values(comparison: Comparison, other: str = "") -> str:
    """ "recall@10 0.515 against 0.404, +0.111"; other: words before the second figure."""
    assert comparison.challenger is not None and comparison.other is not None
    assert comparison.difference is not None
    metric = comparison.measure.rsplit("/", 1)[1]
    gain = signed(comparison.difference)
    return f"{metric} {comparison.challenger:.3f} against {other}{comparison.other:.3f}, {gain}"


def interval(low: float, high: float) -> str:
    return f"[{signed(low)}, {signed(high)}]"


def signed(value: float) -> str:
    """Three decimals and a sign; one significant digit where three decimals would read 0 and it is not."""
    text = f"{value:+.3f}"
    if float(text) == 0.0:
        text = f"{Decimal(f'{value:.1g}'):+f}" if value else "0.000"
    return text.replace("-", "−")


def points(gain: float) -> str:
    """0.02 → "2 points"."""
    count = f"{gain * 100:g}"
    return f"{count} point" if count == "1" else f"{count} points"


def percent(share: float) -> str:
    """0.8 → "80 %"."""
    return f"{share * 100:.3g} %"


def requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count:,} requests"


def listed(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
