"""From checked tables to a split folder: catalogue, training rows, validation and test apart."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from components.contract.digests import sha256_tree
from components.contract.errors import DataError, JudgeError
from components.contract.files import write_json
from components.contract.records import Entrance, PreparedData
from components.contract.settings import SplitSettings
from components.split.by_item import split_by_item
from components.split.by_time import split_by_time
from components.split.catalogue import with_first_seen, with_groups
from components.split.parts import SplitParts
from components.split.statistics import review_rows


def split(checked: Path, settings: SplitSettings, out: Path, primary: str = "auto") -> PreparedData:
    """Splits the checked tables into `out` (layout: docs/layout.md) and returns the record of it.

    Raises JudgeError where neither judgements nor events say which item answers a request, no request has a
    relevant new item, or a single one is judged; DataError where the cut-off leaves nothing to train on;
    ConfigError for a setting that undated judgements have no use for.
    """
    tables = {path.stem: pl.read_parquet(path) for path in sorted(checked.glob("*.parquet"))}
    parts = _parts(tables, settings)
    _require_judged(parts)
    entrances = _entrances(parts, primary)
    _require_several(parts, entrances[0])
    _write(parts, entrances, review_rows(tables.get("reviews"), parts), out)
    return PreparedData(
        path=out.name,
        digest=sha256_tree(out),
        counts=_counts(parts),
        entrances=entrances,
        cutoff=parts.cutoff,
        judged_until=parts.judged_until,
    )


def learned_until(split: Path) -> datetime | None:
    """Where the training rows that choose the settings end; None for undated judgements."""
    return _described(split, "validation_cutoff")


def cutoff_of(split: Path) -> datetime | None:
    """T; None for undated judgements."""
    return _described(split, "cutoff")


def _described(split: Path, name: str) -> datetime | None:
    moment = json.loads((split / "split.json").read_text())[name]
    return datetime.fromisoformat(moment) if moment else None


def _parts(tables: dict[str, pl.DataFrame], settings: SplitSettings) -> SplitParts:
    judged_by = settings.judged_by(tables)
    items = with_first_seen(with_groups(tables["items"]), tables.get("events"))
    source = tables.get(judged_by)
    if source is None or not len(source):
        raise JudgeError(_nothing_judges(judged_by, source is None))
    split_rows = split_by_item if judged_by == "judgements" else split_by_time
    return split_rows(items, source, settings)


def _nothing_judges(wanted: str, absent: bool) -> str:
    effect = "so nothing says which item answers a query or suits a user"
    if absent:
        return (
            f"tables: there are no {wanted}, {effect}. Add a SELECT for judgements or events; `debut check` "
            f"works without."
        )
    return (
        f"tables.{wanted} gives no row that passes the checks, {effect}. Check its SELECT and its file, and "
        f"`debut quarantine list`."
    )


def _require_judged(parts: SplitParts) -> None:
    new = set(parts.items.filter("is_new").get_column("item_id"))
    if not new:
        raise JudgeError(
            f"items: none is new (listed or first seen at or after {parts.cutoff}); there is nothing to "
            f"judge. Set split.cutoff earlier, or give items a listed_at."
        )
    if not len(parts.test[0]) and parts.cutoff is not None:
        raise JudgeError(
            f"No event from {parts.cutoff} on makes a request to judge: none has a query and at least "
            f"split.relevant_grade, nor the user_id of someone who acted before. Map query and user_id in "
            f"tables.events, or set split.cutoff later."
        )
    relevant = parts.test[1].filter("relevant").get_column("item_id")
    if not new & set(relevant):
        raise JudgeError(
            f"{len(new)} items are new, but none of the {len(parts.test[0])} judged requests has one of them "
            f"as relevant, so new-item recall does not exist. Judge queries that ask for them, or widen "
            f"split.judge_window_days."
        )
    if parts.train_search is None and parts.train_purchases is None:
        raise DataError("nothing is left to train on before the validation window; set split.cutoff later.")


def _entrances(parts: SplitParts, primary: str) -> tuple[Entrance, ...]:
    """Search first where judged queries exist, unless the configuration names the primary."""
    names: list[Entrance] = ["search", "recommendation"]
    judged = parts.test[0].get_column("entrance").unique().to_list()
    found = [name for name in names if name in judged]
    if primary != "auto" and primary not in found:
        raise JudgeError(f"judge.primary is {primary}, but no request of that entrance is judged: {found}.")
    return tuple(sorted(found, key=lambda name: name != primary)) if primary != "auto" else tuple(found)


def _require_several(parts: SplitParts, primary: Entrance) -> None:
    """A single request has no spread, so whatever it shows, no training could be promoted on it."""
    if parts.test[0].filter(pl.col("entrance") == primary).height > 1:
        return
    other = "recommendation" if primary == "search" else "search"
    raise JudgeError(
        f"A single {primary} request is judged, so nothing could be shown. Widen split.judge_window_days, "
        f"add judgements, or set judge.primary to {other} where that has more."
    )


def _write(
    parts: SplitParts, entrances: tuple[Entrance, ...], reviews: pl.DataFrame | None, out: Path
) -> None:
    frames = {
        "items": parts.items,
        "graded/search": parts.graded_search,
        "train/search": parts.train_search,
        "train/purchases": parts.train_purchases,
        "refit/search": parts.refit_search,
        "refit/purchases": parts.refit_purchases,
        "statistics/purchases": parts.purchases,
        "statistics/traffic": parts.traffic,
        "statistics/reviews": reviews,
        "validation/requests": parts.validation[0],
        "validation/judgements": parts.validation[1],
        "test/requests": parts.test[0],
        "test/judgements": parts.test[1],
    }
    for name, frame in frames.items():
        if frame is not None:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(out / f"{name}.parquet")
    write_json(out / "split.json", _description(parts, entrances))


def _description(parts: SplitParts, entrances: tuple[Entrance, ...]) -> dict[str, Any]:
    return {
        "cutoff": _iso(parts.cutoff),
        "validation_cutoff": _iso(parts.validation_cutoff),
        "judged_until": _iso(parts.judged_until),
        "entrances": entrances,
        "counts": _counts(parts),
        # Every statistic of behaviour that the split hands on, and the moment it was computed up to.
        "statistics": dict.fromkeys(
            ("request_frequency", "purchases", "traffic", "reviews"), _iso(parts.cutoff)
        ),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _counts(parts: SplitParts) -> dict[str, int]:
    items = parts.items
    requests, judgements = parts.test
    new = items.filter("is_new").select("item_id")
    with_new = judgements.filter("relevant").join(new, on="item_id", how="semi")
    held_back = items.filter(~pl.col("is_new") & ~pl.col("is_validation_new") & ~pl.col("trainable"))
    counts = {
        "items": len(items),
        "new_items": len(new),
        "validation_new_items": int(items.get_column("is_validation_new").sum()),
        "duplicates_held_back": len(held_back),
        "validation_requests": len(parts.validation[0]),
        "requests_with_new": with_new.select("entrance", "request_id").unique().height,
    }
    for entrance in ("search", "recommendation"):
        counts[f"test_{entrance}_requests"] = requests.filter(pl.col("entrance") == entrance).height
    for name in ("train_search", "train_purchases", "refit_search", "refit_purchases"):
        frame = getattr(parts, name)
        counts[name] = 0 if frame is None else len(frame)
    return counts
