"""What `debut serve` does: the section serving of debut.yaml, and the team's keys."""

from typing import Literal

from pydantic import Field

from components.contract.section import EndpointSettings, Section, Share

MOST_BULK = 10_000
"""Items, ids or events of one request, whatever `serving.max_bulk_items` says."""


class ExplorationSettings(Section):
    share: Share = 0.0
    """Probability that a request gets a drawn item."""
    position: int | None = Field(default=None, ge=1)
    """1-based place of the drawn item; None: the last one of the answer."""


class AnswerSettings(EndpointSettings):
    """`POST /answer`: who writes an answer where no past one is sure enough: an endpoint, or without one the
    task's template. The endpoint is sent the question and what was found for it – past questions with their
    answers, and of items the title and the beginning of the description – and nothing else of the shop."""

    task: str = "answer"
    """Whose head finds past answers: a task with `head: nearest`."""
    key_variable: str = "DEBUT_ANSWERS_KEY"
    """Environment variable with the endpoint's key; none is sent where it is not set."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)
    """After so long the template answers, and the answer says why."""
    max_tokens: int = Field(default=200, ge=1, le=4_000)


class ServingRankingSettings(Section):
    """What the shop adds to a ranking when it serves; no judged ranking has it."""

    freshness: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Added to the score of an item that is listed this moment."""
    half_life_days: float = Field(default=7.0, gt=0, allow_inf_nan=False)
    """Age at which half of that is left."""


class ServingSettings(Section):
    """`debut serve`. Paths are relative to the folder of debut.yaml; those not given are in the workspace;
    replicas need shared ones."""

    live: str | None = None
    """LanceDB table of the live items: a folder or s3://bucket/prefix."""
    key_file: str | None = None
    """JSON file of the API keys (hashes only)."""
    traffic: str | None = None
    """Folder of the traffic log."""
    log_secret: str | None = None
    """File with the secret of pseudonyms and sealed queries; DEBUT_LOG_SECRET (base64) goes first."""
    log_seconds: float = Field(default=60.0, gt=0)
    """A file of the traffic log is written when its oldest row is so old."""
    query_texts: Literal["encrypted", "dropped"] = "encrypted"
    """What the traffic log keeps of a query's text; dropped leaves its vector out too."""
    exploration: ExplorationSettings = ExplorationSettings()
    answers: AnswerSettings = AnswerSettings()
    ranking: ServingRankingSettings = ServingRankingSettings()
    max_bulk_items: int = Field(default=1_000, ge=1, le=MOST_BULK)
    max_body_bytes: int = Field(default=20_000_000, ge=1_000)
    max_query_characters: int = Field(default=1_000, ge=1)
    requests_per_minute: int = Field(default=60_000, ge=1)
    """Per API key, or per address without one."""
    burst: int = Field(default=2_000, ge=1)
    query_cache: int = Field(default=10_000, ge=0)
    """Queries whose vectors are kept."""
    max_batch: int = Field(default=32, ge=1)
    """Requests that are encoded and ranked together."""
    poll_seconds: float = Field(default=1.0, gt=0)
    """How often a replica looks for others' changes and for a new champion."""
    maintain_every: int = Field(default=100, ge=1)
    """Writes to the live table after which it is compacted."""


class SigningSettings(Section):
    """The team's own key pair, PEM files; `debut keys signing` makes one."""

    private_key: str | None = None
    """Signs every candidate that a retrain builds; its password, if any, is in DEBUT_SIGNING_PASSWORD."""
    public_key: str | None = None
    """What a release's signature must fit before it is promoted and before it serves; None: not checked."""
