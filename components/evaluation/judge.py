"""The judge: a retriever and judged requests in, a scorecard out.

It is the one reader of the test rows: hand it `read_judged(split, "test", reader="judge")`. Champion,
challenger and BM25 are judged by the same call with the same arguments.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from components.contract.errors import JudgeError
from components.contract.judging import JudgeSettings
from components.contract.ports import Retriever
from components.contract.records import Entrance
from components.evaluation import bounds
from components.evaluation.bounds import Measurement, Typos
from components.evaluation.measures import Values, condense, slice_measures, slice_recall
from components.evaluation.pairs import JudgedPairs, Mask, Numbers, judged_pairs
from components.evaluation.scorecard import EntranceScores, Scorecard
from components.evaluation.slices import age_slices_reason, item_slices, request_slices
from components.split.judged import JudgedSet

DEPTH = 100
RECALL_CUTOFFS = (10, 50, 100)
MOST_GRADES_NAMED = 10
RANKER_BOUNDS = ("ranker_new_item_share_change", "ranker_top_1_percent_share_change")
"""What the gate bounds of a second stage: a share of the shown places with it, less the same without."""


@dataclass(frozen=True, eq=False)
class _Judged:
    """One entrance with its rankings looked up in the judgements."""

    judged: JudgedSet
    pairs: JudgedPairs
    rows: Numbers
    """(n, depth) full-catalogue ranking."""
    scores: EntranceScores


def judge(
    retriever: Retriever,
    judged: Mapping[Entrance, JudgedSet],
    catalogue: pl.DataFrame,
    settings: JudgeSettings,
    *,
    primary: Entrance,
    digest: str | None,
    trained: Collection[str],
    judged_until: datetime | None = None,
    typos: Typos | None = None,
    without_attributes: Retriever | None = None,
    exact: Retriever | None = None,
    first_stage: Retriever | None = None,
    size_mb: float | None = None,
    seed: int = 0,
) -> Scorecard:
    """Measures `retriever` on the judged requests, full catalogue, exact.

    catalogue: the split's items.parquet. trained: items with a training row (slices.trained_items).
    judged_until: end of the judge window; None for undated judgements. typos, without_attributes (the
    same retriever over item texts without brand, category and attributes), exact (the same retriever in fp32,
    scanning everything), first_stage (the same retriever without its second stage, where it has one) and
    size_mb feed the bounds.

    Raises JudgeError where there is nothing to judge, or the arguments do not belong together.
    """
    _check(retriever, judged, catalogue, primary)
    slices = item_slices(catalogue, trained, settings, judged_until)
    new = slices["new"]
    results = {name: _judge_entrance(retriever, one, slices, settings.k) for name, one in judged.items()}
    plain: dict[Entrance, _Judged] = {}
    if first_stage is not None:
        plain = {name: _judge_entrance(first_stage, one, slices, settings.k) for name, one in judged.items()}

    def scorecard_of(name: str, found: Mapping[Entrance, _Judged], first: Scorecard | None) -> Scorecard:
        return Scorecard(
            name=name,
            digest=digest,
            primary=primary,
            entrances={entrance: result.scores for entrance, result in found.items()},
            bounds={},
            gains=_gains(found.values()),
            k=settings.k,
            first_stage=first,
        )

    first = scorecard_of(f"{retriever.name} without its second stage", plain, None) if plain else None
    scorecard = scorecard_of(retriever.name, results, first)
    main = results[primary]
    measured = _exposure(main, catalogue, settings.k)
    measured["typo_recall_loss"] = _typo_loss(scorecard, retriever, results.get("search"), new, typos, seed)
    measured["attribute_dropout_recall_loss"] = _dropout_loss(scorecard, main, new, without_attributes)
    measured["fast_path_recall_loss"] = _fast_path_loss(scorecard, main, new, exact)
    measured |= _ranker_exposure(results, plain, catalogue, settings.k)
    measured["p95_latency_ms"] = bounds.p95_latency_ms(retriever, main.judged.requests, settings.k)
    measured["size_mb"] = Measurement(size_mb, None if size_mb is not None else "the size was not given")
    _record(scorecard, measured)
    if reason := age_slices_reason(catalogue, judged_until):
        scorecard.not_applicable["age_slices"] = reason
    return scorecard


def _check(
    retriever: Retriever, judged: Mapping[Entrance, JudgedSet], catalogue: pl.DataFrame, primary: Entrance
) -> None:
    if list(retriever.item_ids) != catalogue.get_column("item_id").to_list():
        raise JudgeError(
            f"{retriever.name} ranks {len(retriever.item_ids)} items, which are not the {len(catalogue)} "
            "of the split's catalogue: build its index from this split's items.parquet."
        )
    if primary not in judged or not judged[primary].requests:
        raise JudgeError(
            f"There are no judged {primary} requests: add judgements, or events with a query or user in the "
            "judge window, or set judge.primary to the other entrance."
        )
    new = frozenset(catalogue.filter("is_new").get_column("item_id"))
    if not any(new & relevant for relevant in judged[primary].relevant.values()):
        raise JudgeError(
            f"{len(new)} of {len(catalogue)} items are new, but none of the {len(judged[primary].requests)} "
            f"judged {primary} requests has a relevant one: set split.cutoff earlier, widen "
            "split.judge_window_days, or raise split.new_item_share."
        )


def _judge_entrance(retriever: Retriever, judged: JudgedSet, slices: dict[str, Mask], k: int) -> _Judged:
    pairs = judged_pairs(judged, retriever.item_ids)
    depth, cutoffs = max(DEPTH, k), tuple(sorted({*RECALL_CUTOFFS, k}))
    rows = retriever.search(judged.requests, depth).rows
    found, filled = pairs.find(rows), rows >= 0
    new_only = pairs.find(retriever.search(judged.requests, depth, among=slices["new"]).rows)
    new = slices["new"][pairs.row]
    measures: dict[str, Values] = {}
    for name, items in slices.items():
        _add(measures, name, slice_measures(found, filled, pairs, items[pairs.row], cutoffs))
        if name == "new":
            recalls = {f"recall@{cut}": slice_recall(new_only, pairs, new, cut) for cut in sorted({10, k})}
            _add(measures, "new_only", recalls)
    if judged.has_nonrelevant:
        condensed = [("new_condensed", found, slices["all"]), ("new_only_condensed", new_only, slices["new"])]
        for name, lists, items in condensed:
            of_request = np.bincount(pairs.request[items[pairs.row]], minlength=pairs.requests)
            if items.sum() <= depth and of_request.max() <= k:
                continue  # all judged items are among the first k of any system
            _add(measures, name, {f"recall@{k}": slice_recall(condense(lists), pairs, new, k)})
    _add_request_slices(measures, judged)
    scores = EntranceScores(judged.entrance, tuple(r.request_id for r in judged.requests), measures)
    return _Judged(judged, pairs, rows, scores)


def _add(measures: dict[str, Values], name: str, values: dict[str, Values]) -> None:
    measures.update({f"{name}/{metric}": value for metric, value in values.items()})


def _add_request_slices(measures: dict[str, Values], judged: JudgedSet) -> None:
    """The "all" measures again, NaN for the requests outside the slice."""
    everything = {name.removeprefix("all/"): v for name, v in measures.items() if name.startswith("all/")}
    for name, requests in request_slices(judged).items():
        _add(measures, name, {m: np.where(requests, values, np.nan) for m, values in everything.items()})


def _exposure(main: _Judged, catalogue: pl.DataFrame, k: int) -> dict[str, Measurement]:
    shown = main.rows[:, :k]
    shown = shown[shown >= 0]
    return {
        "exposure_new_item_share_ratio": bounds.new_item_share_ratio(shown, catalogue),
        "exposure_top_1_percent_share": bounds.top_1_percent_share(shown, len(catalogue)),
        "exposure_small_brand_share_ratio": bounds.small_brand_share_ratio(shown, catalogue),
    }


def _ranker_exposure(
    results: Mapping[Entrance, _Judged], plain: Mapping[Entrance, _Judged], catalogue: pl.DataFrame, k: int
) -> dict[str, Measurement]:
    """Of the entrance with the largest change: each has a ranker of its own, and none makes good what
    another one shows."""
    if not plain:
        none = Measurement(None, "the release has no second stage", applicable=False)
        return dict.fromkeys(RANKER_BOUNDS, none)
    new, top = [], []
    for entrance, result in results.items():
        shown = [one.rows[:, :k][one.rows[:, :k] >= 0] for one in (result, plain[entrance])]
        new.append(bounds.change(*(bounds.new_item_share(of, catalogue) for of in shown)))
        top.append(bounds.change(*(bounds.top_1_percent_share(of, len(catalogue)) for of in shown)))
    return dict(zip(RANKER_BOUNDS, (bounds.largest(new, key=abs), bounds.largest(top)), strict=True))


def _typo_loss(
    scorecard: Scorecard,
    retriever: Retriever,
    search: _Judged | None,
    new: Mask,
    typos: Typos | None,
    seed: int,
) -> Measurement:
    if search is None:
        return Measurement(None, "there are no judged queries to misspell", applicable=False)
    if typos is None:
        return Measurement(None, "no function that makes typing errors was given")
    requests = bounds.with_typos(search.judged.requests, typos, seed)
    clean = scorecard.mean("search", f"new/recall@{scorecard.k}")
    if clean is None:
        return Measurement(None, "no judged query has a relevant new item", applicable=False)
    return bounds.recall_loss(clean, retriever, requests, search.pairs, new, scorecard.k)


def _dropout_loss(
    scorecard: Scorecard, main: _Judged, new: Mask, without_attributes: Retriever | None
) -> Measurement:
    if without_attributes is None:
        return Measurement(None, "the item texts hold no brand, category or attributes", applicable=False)
    clean = scorecard.mean(scorecard.primary, f"new/recall@{scorecard.k}") or 0.0
    return bounds.recall_loss(clean, without_attributes, main.judged.requests, main.pairs, new, scorecard.k)


def _fast_path_loss(scorecard: Scorecard, main: _Judged, new: Mask, exact: Retriever | None) -> Measurement:
    """What the retriever loses of the exact path's new-item recall@k; below 0 where it happens to gain."""
    if exact is None:
        return Measurement(None, "the path is exact, or was not compared with one", applicable=False)
    reached = bounds.slice_recall_of(exact, main.judged.requests, main.pairs, new, scorecard.k)
    found = scorecard.mean(scorecard.primary, f"new/recall@{scorecard.k}") or 0.0
    if reached == 0.0:
        return Measurement(None, "the exact path finds no new item, so a loss relative to it does not exist")
    return Measurement(1.0 - found / reached)


def _record(scorecard: Scorecard, measured: Mapping[str, Measurement]) -> None:
    for name, measurement in measured.items():
        scorecard.bounds[name] = measurement.value
        if measurement.value is None:
            reasons = scorecard.missing if measurement.applicable else scorecard.not_applicable
            reasons[name] = measurement.reason or "not measured"


def _gains(results: Collection[_Judged]) -> str:
    grades: Sequence[float] = np.unique(np.concatenate([result.pairs.grade for result in results])).tolist()
    shown = [f"{grade:g}" for grade in grades]
    if len(shown) > MOST_GRADES_NAMED:
        shown = [*shown[:3], "…", shown[-1]]
    return f"gain = grade ({', '.join(shown)}), discount 1/log2(place + 1)"
