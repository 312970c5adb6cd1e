"""What a candidate cost, per point of new-item recall that it gained: cost.json, and as words for people."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from components.contract.operations import CostSettings
from components.contract.records import GateReport, Record
from components.cost.usage import Usage, together

WATT_HOUR = 3_600.0
"""Joules."""
Measured = Literal["this run", "earlier", "partly earlier"]
PARTS = ("preparing", "training", "judging")
PREPARED = "Preparing: data, encoding, mining, plan, heads, export; not: assembling the release."


class Part(Record):
    """Preparing, training, judging, or all three."""

    seconds: float
    cpu_hours: float
    gpu_hours: float
    peak_memory_mb: float
    energy_wh: float
    energy: str
    """How the energy is known: counted, or estimated and from what."""
    estimated: bool
    measured: Measured
    """earlier: the stage came from the cache, and this is what it took when it was run."""
    ended: datetime
    """UTC; of its latest stage."""


class PerPoint(Record):
    """Preparing, training and judging, divided by the points of new-item recall gained."""

    seconds: float
    cpu_hours: float
    gpu_hours: float
    energy_wh: float


class Cost(Record):
    preparing: Part | None = None
    """Of the data, the catalogue as the challenger and what its negatives are mined with see it, the
    examples, the exported encoder, the plan and the heads; None: it is older than its measurement."""
    unmeasured: int = 0
    """Stages of preparing that are older than their measurement; no part counts them."""
    training: Part
    """Of the ranks that fine-tuned, all attempts of a run that was continued included."""
    judging: Part
    """Of the scorecards: challenger, champion and BM25."""
    total: Part
    gain_points: float | None
    """Hundredths of new-item recall, challenger minus champion, full catalogue; None: not judged."""
    gain_low: float | None
    gain_high: float | None
    per_point: PerPoint | None
    """None where no point was gained."""


def cost_of(
    preparing: Sequence[Usage],
    training: Sequence[Usage],
    judging: Sequence[Usage],
    report: GateReport,
    settings: CostSettings,
    began: datetime,
    unmeasured: int = 0,
) -> Cost | None:
    """began: of this run (UTC); what ended before it came from the cache. unmeasured: stages of preparing
    that are older than their measurement. None where training or judging is."""
    if not training or not judging:
        return None
    gate = next((gate for gate in report.gates if gate.kind == "primary"), None)
    gain, low, high = (_points(getattr(gate, name, None)) for name in ("difference", "low", "high"))
    total = _part([*preparing, *training, *judging], settings, began)
    return Cost(
        preparing=_part(preparing, settings, began) if preparing else None,
        unmeasured=unmeasured,
        training=_part(training, settings, began),
        judging=_part(judging, settings, began),
        total=total,
        gain_points=gain,
        gain_low=low,
        gain_high=high,
        per_point=_per_point(total, gain),
    )


def cost_metrics(cost: Cost) -> dict[str, float | None]:
    """`cost/<part>/<figure>`, for the tracking server."""
    metrics: dict[str, float | None] = {"cost/gain_points": cost.gain_points}
    for name in (*PARTS, "total", "per_point"):
        part = getattr(cost, name)
        figures = part.model_dump(mode="json") if part else {}
        metrics |= {f"cost/{name}/{figure}": v for figure, v in figures.items() if type(v) is float}
    return metrics


HEADER = ("", *PARTS, "together", "per point gained")


def cost_rows(cost: Cost) -> list[tuple[str, ...]]:
    """Lines under HEADER."""
    parts = [getattr(cost, name) for name in (*PARTS, "total")]
    figures = {
        "time": ("seconds", _duration),
        "CPU-hours": ("cpu_hours", _figure),
        "GPU-hours": ("gpu_hours", _figure),
        "energy (estimate)" if cost.total.estimated else "energy": ("energy_wh", _energy),
    }
    rows = [
        (label, *(form(getattr(of, name)) if of else "–" for of in (*parts, cost.per_point)))
        for label, (name, form) in figures.items()
        if name != "gpu_hours" or cost.total.gpu_hours
    ]
    memory = (f"{part.peak_memory_mb:,.0f} MB" if part else "–" for part in parts)
    return [*rows, ("peak memory", *memory, "")]


def cost_notes(cost: Cost) -> list[str]:
    """Sentences: what the points are, how the energy is known, what counts, what came from the cache."""
    notes = [_gain_note(cost), f"Energy: {cost.total.energy}."]
    if cost.preparing:
        notes.append(PREPARED)
    if cost.unmeasured:
        notes.append(
            f"Stages of preparing run before they were measured, and not counted: {cost.unmeasured}."
        )
    for name in PARTS:
        part: Part | None = getattr(cost, name)
        if part and part.measured != "this run":
            which = "came" if part.measured == "earlier" else "came in part"
            moment = f"{part.ended:%Y-%m-%d %H:%M} UTC"
            until = "on" if part.measured == "earlier" else "until"
            notes.append(
                f"{name.capitalize()} {which} from the cache: its cost is what it took when it was run, "
                f"{until} {moment}."
            )
    return notes


def _part(usages: Sequence[Usage], settings: CostSettings, began: datetime) -> Part:
    usage = together(usages)
    cpu_hours, gpu_hours = usage.cpu_seconds / 3_600, usage.gpu_seconds / 3_600
    cpu_wh, cpu_source = _energy_of(
        usage.cpu_joules, cpu_hours * settings.watts_per_core, "processor packages counted (RAPL)",
        f"estimated from CPU-hours × {settings.watts_per_core:g} W per core",
    )  # fmt: skip
    gpu_wh, gpu_source = 0.0, ""
    if gpu_hours:
        gpu_wh, gpu_source = _energy_of(
            usage.gpu_joules, gpu_hours * settings.watts_per_gpu, "GPUs counted (NVML)",
            f"GPUs estimated from GPU-hours × {settings.watts_per_gpu:g} W",
        )  # fmt: skip
    cached = [one.ended < began for one in usages]
    return Part(
        seconds=round(usage.seconds, 3),
        cpu_hours=round(cpu_hours, 6),
        gpu_hours=round(gpu_hours, 6),
        peak_memory_mb=round(usage.peak_memory_mb, 1),
        energy_wh=round(cpu_wh + gpu_wh, 4),
        energy="; ".join(source for source in (cpu_source, gpu_source) if source),
        estimated=usage.cpu_joules is None or (bool(gpu_hours) and usage.gpu_joules is None),
        measured="earlier" if all(cached) else "partly earlier" if any(cached) else "this run",
        ended=usage.ended,
    )


def _energy_of(joules: float | None, estimate_wh: float, counted: str, estimated: str) -> tuple[float, str]:
    return (estimate_wh, estimated) if joules is None else (joules / WATT_HOUR, counted)


def _per_point(total: Part, gain: float | None) -> PerPoint | None:
    if gain is None or gain <= 0:
        return None
    figures = {name: round(getattr(total, name) / gain, 6) for name in PerPoint.model_fields}
    return PerPoint(**figures)


def _points(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 4)


def _gain_note(cost: Cost) -> str:
    if cost.gain_points is None:
        return "New-item recall was not compared, so there is no cost per point."
    interval = "" if cost.gain_low is None else f" [{_signed(cost.gain_low)}, {_signed(cost.gain_high)}]"
    gained = f"{_signed(cost.gain_points)} points of new-item recall{interval}"
    return f"Gained: {gained}." if cost.per_point else f"No point was gained ({gained}): no cost per point."


def _signed(value: float | None) -> str:
    """With the minus sign that the gates' lines have."""
    return "–" if value is None else f"{value:+.1f}".replace("-", "−")


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _figure(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:,.2f}"


def _energy(watt_hours: float) -> str:
    return f"{watt_hours:.2f} Wh" if watt_hours < 1_000 else f"{watt_hours / 1_000:,.2f} kWh"
