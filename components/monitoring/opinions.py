"""Opinions in reviews: what they are about, which are negative by the champion's own head, where negatives
surge, and what is thought of each item.

    opinions/<D>/  topics.safetensors, topics.json   learnt from the reviews before the cut-off
                   reviews.parquet                   item_id, at, text, topic, negative, score
                   items.parquet                     per item sentiment and reviews (roll_up)
                   opinions.json                     the report
"""

import io
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from components.contract.errors import MonitoringError
from components.contract.files import disk_errors, write_bytes, write_json
from components.contract.learning import Language
from components.contract.operations import OpinionSettings
from components.contract.ports import Encoder
from components.contract.records import Record
from components.contract.task import NEGATIVE, POSITIVE, tells_sentiment
from components.monitoring.surges import Chart, calibrated, comparable_days, surges
from components.monitoring.topics import FACTORS, Topics
from components.tasks.heads import Head
from components.tasks.left_out import LeftOut, probabilities_unlearned

REVIEWS, ITEMS, REPORT = "reviews.parquet", "items.parquet", "opinions.json"
EXAMPLES, EXAMPLE_CHARACTERS = 3, 160
_MOST_PRIOR = 1_000.0
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "item_id": pl.String,
    "at": pl.Datetime("us"),
    "text": pl.String,
}


class TopicSurge(Record):
    """An alarm, as people read it."""

    topic: tuple[str, ...]
    """Its words, strongest first."""
    since: datetime
    until: datetime
    """First and last day."""
    negatives: int
    reviews: int
    """Of all topics, in these days."""
    usual: float
    """Negatives of the topic that so many reviews usually hold."""
    examples: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return (
            f"Negative reviews about {', '.join(self.topic[:3])} surge: {self.negatives} of {self.reviews} "
            f"reviews from {self.since:%Y-%m-%d} to {self.until:%Y-%m-%d}, where {self.usual:.1f} are usual."
        )


class TopicCount(Record):
    topic: tuple[str, ...]
    reviews: int
    negatives: int


class OpinionReport(Record):
    release: str
    reviews: int
    """Read since the cut-off; all, where reviews are undated."""
    topics: tuple[TopicCount, ...]
    """Of these."""
    surges: tuple[TopicSurge, ...]
    false_alarms_per_year: float | None
    """What the alarms are calibrated to, over all topics together; None: surges are not looked for."""
    sentence: str


def watch_opinions(
    reviews: pl.DataFrame,
    head: Head,
    left_out: LeftOut,
    encoder: Encoder,
    release: str,
    cutoff: datetime | None,
    language: Language,
    settings: OpinionSettings,
    out: Path,
) -> OpinionReport:
    """Reads all reviews (item_id, at, text) and writes the files above into `out`; what was read of a text
    before is kept. cutoff: of the champion; before it topics and usual shares are learnt. left_out: of the
    head, so that what is usual is read by heads that had not learned it, as what comes is.

    Raises MonitoringError where too few reviews are there to learn from."""
    rows = (
        reviews.select(pl.col(name).cast(kind) for name, kind in _COLUMNS.items())
        .filter(pl.col("text").is_not_null())
        .sort("at", "item_id", "text")
    )
    dated = cutoff if rows.get_column("at").null_count() < len(rows) else None
    learn = rows.filter(pl.col("at") < dated) if dated else rows
    if len(learn) < settings.min_reviews:
        raise MonitoringError(
            f"{len(learn)} reviews before the cut-off are fewer than the {settings.min_reviews} of "
            f"opinions.min_reviews: topics are learnt from so many."
        )
    out.mkdir(parents=True, exist_ok=True)
    topics = _topics(learn, language, settings, out)
    read = _read(rows, topics, head, encoder, left_out, out)
    _write(out / REVIEWS, read)
    _write(out / ITEMS, roll_up(read, cutoff))
    report = _report(read, topics, release, dated, settings)
    write_json(out / REPORT, report.model_dump(mode="json"))
    return report


def roll_up(read: pl.DataFrame, cutoff: datetime | None) -> pl.DataFrame:
    """Per item the mean score of its reviews, from -1 (all negative) to 1, shrunk towards that of all reviews
    the more the fewer it has (empirical Bayes; the prior's weight by the method of moments: Morris, JASA
    1983), and their number. …_before: of reviews before the cut-off alone, for what is judged after it; of
    undated reviews none are known to be, where there is a cut-off."""
    before = read.filter(pl.col("at") < cutoff) if cutoff else read
    now, then = (
        _shrunk(read),
        _shrunk(before).rename({"sentiment": "sentiment_before", "reviews": "reviews_before"}),
    )
    joined = now.join(then, on="item_id", how="left").with_columns(pl.col("reviews_before").fill_null(0))
    usual = 0.0 if before.is_empty() else float(np.mean(before.get_column("score").to_numpy()))
    return joined.with_columns(pl.col("sentiment_before").fill_null(usual)).sort("item_id")


def _shrunk(read: pl.DataFrame) -> pl.DataFrame:
    score = pl.col("score")
    items = read.group_by("item_id").agg(
        mean=score.mean(), spread=score.var(), reviews=pl.len().cast(pl.Int64)
    )
    usual, weight = read.get_column("score").mean(), _prior_weight(items)
    shrunk = (pl.col("mean") * pl.col("reviews") + weight * pl.lit(usual)) / (pl.col("reviews") + weight)
    return items.select("item_id", sentiment=shrunk, reviews="reviews")


def _prior_weight(items: pl.DataFrame) -> float:
    """Reviews that the mean of all counts for: variance within items ÷ variance between them."""
    several = items.filter(pl.col("reviews") > 1)
    if len(several) < 2:
        return _MOST_PRIOR
    n, means = (several.get_column(name).to_numpy().astype(np.float64) for name in ("reviews", "mean"))
    within = float(np.average(several.get_column("spread").to_numpy(), weights=n - 1.0))
    between = float(means.var(ddof=1)) - within * float(np.mean(1.0 / n))
    return _MOST_PRIOR if between <= 0.0 else min(within / between, _MOST_PRIOR)


def _topics(learn: pl.DataFrame, language: Language, settings: OpinionSettings, out: Path) -> Topics:
    """Learnt once per release, so that a topic stays what it was told to be."""
    if (out / FACTORS).is_file():
        known = Topics.load(out)
        if known.asked == settings.topics:
            return known
    topics = Topics.fit(learn.get_column("text").to_list(), settings.topics, language, settings.seed)
    with disk_errors(out):
        (out / REVIEWS).unlink(missing_ok=True)  # it numbers the topics that were
    topics.save(out)
    return topics


def _read(
    rows: pl.DataFrame, topics: Topics, head: Head, encoder: Encoder, left_out: LeftOut, out: Path
) -> pl.DataFrame:
    found = ("topic", "negative", "score")
    known = pl.DataFrame(
        schema={"text": pl.String, "topic": pl.Int64, "negative": pl.Boolean, "score": pl.Float64}
    )
    if (out / REVIEWS).is_file():
        known = pl.read_parquet(out / REVIEWS).select("text", *found).unique("text")
    unread = rows.join(known, on="text", how="anti").get_column("text").unique().sort().to_list()
    if unread:
        probability = probabilities_unlearned(head, encoder, unread, left_out)
        label = np.asarray(head.labels, dtype=object)[head.answered(probability)]
        sides = [probability[:, head.labels.index(name)] for name in (POSITIVE, NEGATIVE)]
        fresh = pl.DataFrame(
            {
                "text": unread,
                "topic": topics.of(unread),
                "negative": (label == NEGATIVE).tolist(),
                "score": sides[0] - sides[1],
            }
        )
        known = pl.concat([known, fresh])
    return rows.join(known, on="text", how="left", maintain_order="left")


def _report(
    read: pl.DataFrame, topics: Topics, release: str, cutoff: datetime | None, settings: OpinionSettings
) -> OpinionReport:
    stream = read.filter(pl.col("at") >= cutoff) if cutoff else read
    counts = stream.group_by("topic").agg(reviews=pl.len(), negatives=pl.col("negative").sum())
    by_topic = {topic: (total, bad) for topic, total, bad in counts.sort("topic").iter_rows()}
    told = tuple(
        TopicCount(topic=topics.words(topic), reviews=total, negatives=bad)
        for topic, (total, bad) in by_topic.items()
        if topic >= 0
    )
    chart, why_not = _chart(read, topics, cutoff, settings)
    found = _surges(stream, topics, chart) if chart is not None and len(stream) else ()
    return OpinionReport(
        release=release,
        reviews=len(stream),
        topics=told,
        surges=found,
        false_alarms_per_year=chart.false_alarms_per_year if chart is not None else None,
        sentence=why_not or _sentence(found, len(stream), settings),
    )


def _sentence(found: tuple[TopicSurge, ...], reviews: int, settings: OpinionSettings) -> str:
    rate = f"calibrated to {settings.false_alarms_per_year:g} false alarms a year"
    if not found:
        return f"No surge of negatives in {reviews:,} reviews since the cut-off ({rate})."
    return f"{found[-1].sentence} ({rate})"


def _chart(
    read: pl.DataFrame, topics: Topics, cutoff: datetime | None, settings: OpinionSettings
) -> tuple[Chart | None, str | None]:
    """The calibrated chart, or why there is none."""
    if cutoff is None or read.get_column("at").null_count() == len(read):
        return None, "Reviews or the data are undated: opinions are counted, a surge cannot be looked for."
    negatives, reviews, _ = daily(read.filter(pl.col("at") < cutoff), topics.count)
    base = comparable_days(reviews, settings.min_days) if len(reviews) else 0
    negatives, reviews = negatives[-base:], reviews[-base:]
    if (days := np.count_nonzero(reviews)) < settings.min_days:
        return None, (
            f"{days} of the last {len(reviews)} days of reviews before the cut-off have any, fewer than the "
            f"{settings.min_days} of opinions.min_days: what is usual is not known."
        )
    if not negatives.any():
        return None, (
            "No review before the cut-off is read as negative: what is usual is not known, so no surge is "
            "looked for."
        )
    return calibrated(negatives, reviews, settings.odds, settings.false_alarms_per_year, settings.seed), None


def _surges(stream: pl.DataFrame, topics: Topics, chart: Chart) -> tuple[TopicSurge, ...]:
    negatives, reviews, first = daily(stream, topics.count)
    return tuple(
        TopicSurge(
            topic=topics.words(one.topic),
            since=first + timedelta(days=one.first_day),
            until=first + timedelta(days=one.day),
            negatives=int(negatives[one.first_day : one.day + 1, one.topic].sum()),
            reviews=int(reviews[one.first_day : one.day + 1].sum()),
            usual=float(chart.usual[one.topic] * reviews[one.first_day : one.day + 1].sum()),
            examples=_examples(stream, one.topic, first, one.first_day, one.day),
        )
        for one in surges(negatives, reviews, chart)
    )


def daily(rows: pl.DataFrame, topics: int) -> tuple[np.ndarray, np.ndarray, datetime]:
    """(days, topics) negatives and (days,) reviews of every day from the first to the last, and the first."""
    dated = rows.filter(pl.col("at").is_not_null()).with_columns(day=pl.col("at").dt.truncate("1d"))
    first = dated.get_column("day").min()
    if not isinstance(first, datetime):
        return np.zeros((0, topics), np.int64), np.zeros(0, np.int64), datetime.min
    number = ((dated.get_column("day") - first).dt.total_days()).to_numpy()
    reviews = np.bincount(number).astype(np.int64)
    bad = dated.get_column("negative").to_numpy() & (dated.get_column("topic").to_numpy() >= 0)
    negatives = np.zeros((len(reviews), topics), dtype=np.int64)
    np.add.at(negatives, (number[bad], dated.get_column("topic").to_numpy()[bad]), 1)
    return negatives, reviews, first


def _examples(stream: pl.DataFrame, topic: int, first: datetime, start: int, end: int) -> tuple[str, ...]:
    since, until = first + timedelta(days=start), first + timedelta(days=end + 1)
    rows = stream.filter(
        pl.col("negative"), pl.col("topic") == topic, pl.col("at").is_between(since, until, closed="left")
    )
    texts = rows.sort("score", "text").get_column("text").head(EXAMPLES).to_list()
    return tuple(" ".join(text.split())[:EXAMPLE_CHARACTERS] for text in texts)


def _write(path: Path, frame: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    write_bytes(path, buffer.getvalue())


def opinion_head(heads: Mapping[str, Head]) -> Head | None:
    """The champion's head of the task of `opinions`, where its labels tell negative from positive."""
    heads_of = (head for head in heads.values() if head.task.opinions and tells_sentiment(head.labels))
    return next(heads_of, None)
