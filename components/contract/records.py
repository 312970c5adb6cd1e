"""The small frozen records that travel between stages; bytes stay on disk or in S3.

All of them are JSON-safe (`model_dump(mode="json")` and back), so that a flow can
cache and show them. Paths in them are relative to the workspace.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from components.contract.retrieving import HistoryScoring, Inference
from components.contract.task import Facet

Verdict = Literal["PROMOTE", "REJECT", "INCONCLUSIVE"]
Outcome = Literal["pass", "fail", "unsure", "not judged", "not applicable", "missing"]
Entrance = Literal["search", "recommendation"]


DecisionKind = Literal[
    "promotion",
    "rejection",
    "inconclusive",
    "override",
    "rollback",
    "replay",
    "labels",
    "key_change",
    "role_change",
    "chat_command",
]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoadedData(Record):
    """What `load` left: `<table>.parquet` per table, contract columns and key columns."""

    path: str
    digest: str
    """SHA-256 over all its files."""
    input_digests: dict[str, str]
    """Per source name the SHA-256 (or S3 ETag) of what was read."""
    rows: dict[str, int]
    """Rows per table; a corrected row counts in place of the one it corrects."""
    corrected: dict[str, int] = {}
    """Rows per table that were replayed from the quarantine, where there are any."""
    outdated: dict[str, int] = {}
    """Replayed rows per table that were left out: what they correct has changed since, or is gone."""
    control_characters: dict[str, int]
    """Per source, control characters that decoding left in the text."""


class CheckedData(Record):
    """What `check` left: the clean tables, quarantine.parquet, quality.json and quality.html."""

    path: str
    digest: str
    rows: dict[str, int]
    quarantined: dict[str, int]
    """Bad rows per table."""
    broken: dict[str, int]
    """Bad rows per "table: expectation"."""


class PreparedData(Record):
    """What `split` left: the catalogue, training rows, and validation and test requests apart."""

    path: str
    digest: str
    counts: dict[str, int]
    """Requests, items and pairs by name (new_items, train_pairs, test_queries, …)."""
    entrances: tuple[Entrance, ...]
    """The first is the primary one."""
    cutoff: datetime | None
    judged_until: datetime | None
    """End of the judge window."""


class TaskData(Record):
    """What `prepare task rows` left: per task its rows, cut into parts (components.tasks.rows)."""

    path: str
    digest: str
    counts: dict[str, dict[str, int]]
    """Per task rows of train, validation and test; of the latter test_new: of new items, test_asked_again:
    with a text that a training row has."""


class TrainedModel(Record):
    """What `train` left: encoder weights as safetensors and the history of its metrics."""

    path: str
    encoder_digest: str
    epochs: int
    steps: int
    pairs: int
    seconds: float
    best_validation_recall: float | None


class RetrievalPlan(Record):
    """retrieval.json of a candidate: how it ranks, the same for the judge and for the service."""

    history_scoring: HistoryScoring = "mean"
    history_encoder_epochs: int = 0
    """That the learned encoder of histories was trained, where the scoring is one."""
    inference: Inference = "torch"
    """What encodes queries and changed items."""
    lexical_weight: float = 0.0
    """Added to the cosine per unit of the lexical score, which is between 0 and 1; 0: vectors alone."""
    grams_share: float = 0.0
    """Of runs of three characters in the lexical score; the rest are words."""
    co_purchase_weight: float = 0.0
    """Added to the score by a history's texts per unit of that by co-purchases; 0: texts alone."""
    co_purchases: Literal["ease"] = "ease"
    """How they are counted: what the weight was chosen for."""
    implied_weights: dict[Facet, float] = {}
    """Added to a query's score per unit of an item's match with what the query implies; a facet that is not
    named adds nothing."""
    synonym_share: float = 0.0
    """Of the lexical score that an item has by a synonym of the query's words; 0: no synonyms."""
    rankers: tuple[Entrance, ...] = ()
    """Entrances whose proposals a second stage scores again (components.ranking)."""


class Candidate(Record):
    """An immutable directory with one digest D."""

    path: str
    digest: str
    encoder_digest: str
    data_digest: str
    baseline: bool = False


class Gate(Record):
    """One line of a gate report."""

    name: str
    kind: Literal["primary", "guardrail", "slice", "bound", "baseline", "check", "ranking", "task"]
    champion: float | None
    challenger: float | None
    difference: float | None
    low: float | None
    """Lower end of the interval of the difference (or, for a one-sided test, its bound)."""
    high: float | None
    margin: float | None
    """The difference may be so much below 0; where less is better, it is below 0 and says how much above."""
    requests: int
    p_value: float | None = None
    outcome: Outcome
    sentence: str


class OwnJudgements(Record):
    """What a shop's own people judged (`debut label import`)."""

    imported: int
    judged: int
    """Of these, those that the verdict rests on: about the test's requests."""

    @property
    def sentence(self) -> str:
        return (
            f"Judgements by your own people, imported with debut label import: {self.imported:,}, of which "
            f"{self.judged:,} are of this test's requests."
        )


class GateReport(Record):
    """Every gate, the verdict, and the candidate it is about. No clock in it: a re-run is byte-identical."""

    challenger_digest: str
    champion_digest: str | None
    verdict: Verdict
    sentence: str
    gates: tuple[Gate, ...]
    queries_needed: int | None
    """For INCONCLUSIVE: requests for the planned power at `min_gain`; None where it cannot be told."""
    policy: dict[str, Any]
    own_judgements: OwnJudgements | None = None
    """None: there are none."""


class ReviewCase(Record):
    """A challenger with the verdict PROMOTE that waits for a person; keyed by run and D, settled once."""

    run_id: str
    shop: str
    release: str
    """D of the challenger."""
    champion: str | None
    """D of the champion that it was judged against."""
    requester: str
    """Who or what asked for the run: "slack:U0123ABCD", a login name, "schedule", "drift"."""
    because: str
    opened: datetime
    expires: datetime
    after_record: int
    """Records in the decision log when it was opened."""


class Decision(Record):
    """One record of the decision log."""

    number: int
    kind: DecisionKind
    release: str | None
    """Digest D of the candidate that is promoted, refused or rolled back to."""
    predecessor: str | None
    """Champion's D when this was decided."""
    at: datetime
    actor: str
    reason: str
    run_id: str | None = None
    gate_report_digest: str | None = None
    previous_hash: str | None
    """SHA-256 of the record numbered one less."""
