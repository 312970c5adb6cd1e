"""The whole of debut.yaml as frozen, typed sections; nonsense is refused where it is built."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from components.contract.knowledge import KnowledgeSettings
from components.contract.operations import (
    ChatSettings,
    CostSettings,
    MonitoringSettings,
    OpinionSettings,
    ReviewSettings,
)
from components.contract.pretraining import PretrainingSettings
from components.contract.section import Section, Share
from components.contract.tables import TableName
from components.contract.task import Facet, Task
from components.contract.tuning import Parameter, TuneSettings

Inference = Literal["torch", "onnx", "onnx-int8"]
"""What encodes queries: torch: fp32 from encoder/; onnx, onnx-int8: ONNX Runtime, fp32 or 8-bit weights."""
Language = Literal[
    "none",
    "danish",
    "dutch",
    "english",
    "french",
    "german",
    "italian",
    "norwegian",
    "portuguese",
    "russian",
    "spanish",
    "swedish",
    "turkish",
]
"""Of the stop words and the stemmer; none: neither."""
HistoryScoring = Literal["mean", "top3", "top10", "centred_top10", "gru", "attention"]
HistoryEncoderKind = Literal["gru", "attention"]
"""The history scorings that are learned."""


class Source(Section):
    """One file (or s3:// object) that the shop's SQL can select from by its name."""

    path: str
    """Relative to --root (default: the folder of debut.yaml), absolute, or s3://bucket/key."""
    format: Literal["csv", "parquet", "json"] | None = None
    """Read off the file's suffix where not given (.gz and .zst are looked through)."""
    encoding: str = "utf-8"
    """Python's name of the text encoding; decoded once to UTF-8."""


class QualitySettings(Section):
    tolerance: Share = 0.05
    """Share of a table's rows that may be quarantined before the run stops."""
    table_tolerance: dict[TableName, Share] = Field(default_factory=dict)
    """The same for single tables."""
    max_title_characters: int = Field(default=2_000, ge=1)
    max_text_characters: int = Field(default=100_000, ge=1)
    max_price: float = Field(default=1e7, gt=0)
    ignore_item_pattern: str | None = None
    """Regular expression (re.search): item ids that are no products (postage, fees), quarantined as such."""
    max_grade: float = Field(default=10.0, gt=0)


class SplitSettings(Section):
    method: Literal["auto", "by_time", "by_item"] = "auto"
    """auto: by_time where events decide relevance, by_item where judgements do."""
    cutoff: datetime | None = None
    """T. Not given: the latest event minus the judge window."""
    judge_window_days: int = Field(default=14, ge=1)
    validation_window_days: int | None = Field(default=None, ge=1)
    """Not given: as long as the judge window."""
    refit_on_validation: bool = False
    """After the number of epochs was chosen on the validation window, train again on all before T."""
    new_item_share: Share = 0.2
    """by_item: share of the items, last in item_id order, that are held out as new."""
    validation_new_item_share: Share = 0.1
    """by_item: share of the established items, last in order, kept for validation."""
    test_queries: int = Field(default=3_000, ge=1)
    validation_queries: int = Field(default=1_500, ge=1)
    """by_item: the next queries of the same shuffle."""
    max_test_requests: int | None = Field(default=None, ge=1)
    """by_time: at most so many judged queries or users, drawn by seed."""
    seed: int = 0
    relevant_grade: float = 1.0
    """A judged item counts as relevant from this grade on."""
    positive_grade: float = 1.0
    """A judged item is trained on as a positive from this grade on."""


class WriterSettings(Section):
    """Who writes queries: a small encoder–decoder trained on the shop's own training pairs, or a service."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://")
    """What stands before /chat/completions at a service with OpenAI's interface, which is told the items'
    texts. Its key, if it wants one, is in the environment's DEBUT_WRITER_KEY."""
    model: str | None = None
    """The service's name of its model."""
    layers: int = Field(default=2, ge=1)
    """Of the decoder, at most the base encoder's."""
    epochs: int = Field(default=2, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = 0

    @model_validator(mode="after")
    def _a_service_has_a_model(self) -> "WriterSettings":
        if (self.endpoint is None) != (self.model is None):
            raise ValueError("endpoint and model belong together: give both or neither")
        return self


class AugmentSettings(Section):
    typo_share: Share = 0.1
    """Share of training queries that get one typing error."""
    synonym_share: Share = 0.1
    """Share of training queries in which one word or phrase is replaced by a synonym of `knowledge`."""
    attribute_dropout: Share = 0.1
    """Share of training items whose brand, category and attributes are left out."""
    hard_negatives: int = Field(default=1, ge=0, le=8)
    """Mined items per pair that look right and are not."""
    mining_depth: int = Field(default=50, ge=1)
    """Negatives come from the top so many items of the current champion."""
    positive_ceiling: Share = 0.95
    """A negative scoring above this share of its positive's score is dropped (arXiv 2407.15831)."""
    written_queries: int = Field(default=0, ge=0, le=20)
    """Queries written per training-side item that few asked for, as further training pairs; 0: none."""
    written_below: int = Field(default=1, ge=1)
    """Few: fewer training queries than this."""
    written_items: int | None = Field(default=5_000, ge=1)
    """At most so many of these items, drawn by seed; None: all."""
    round_trip: int = Field(default=10, ge=1)
    """A written query is kept where the champion finds its item among its first so many."""
    writer: WriterSettings = WriterSettings()


class EncoderSettings(Section):
    name: str = "sentence-transformers/all-MiniLM-L6-v2"
    """A hub name, or a local folder with config.json and safetensors."""
    revision: str | None = None
    pooling: Literal["mean", "cls", "last_token"] = "mean"
    query_prefix: str = ""
    item_prefix: str = ""
    max_length: int = Field(default=64, ge=4, le=8192)
    """Tokens; longer texts are cut."""
    dimensions: int | None = Field(default=None, ge=1)
    """A vector is the first so many numbers that the model gives: a smaller index. None: all of them."""
    item_fields: tuple[str, ...] = ("title", "brand", "attributes")
    """Columns of items that make up an item's text, in this order."""
    language: Language = "english"
    """Of the texts, for the lexical side."""


class DistillationSettings(Section):
    """A teacher: a cross-encoder that is trained on the shop's graded judgements, the low ones too, and whose
    scores of query and item the encoder learns beside the pairs."""

    weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Of this in the loss, where the pairs weigh 1; 0: no teacher."""
    candidates: int = Field(default=4, ge=1, le=32)
    """Items per training query, judged or not, that the teacher scores beside the query's own."""
    judgements: int | None = Field(default=None, ge=2)
    """At most so many for the teacher to learn from, drawn by seed; None: all."""
    epochs: int = Field(default=2, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    seed: int = 0


class TrainingSettings(Section):
    start: Literal["base", "champion"] = "base"
    """What is fine-tuned: encoder.name, or the champion's encoder (a warm start) on what is new since it was
    trained, with some of the rest."""
    replay_share: float = Field(default=0.5, ge=0, lt=1)
    """Warm start: share of the training pairs that are drawn from those the champion was trained on."""
    method: Literal["full", "lora", "ia3", "prompt", "query_side"] = "full"
    """What is trained: all weights; or, those frozen, narrow matrices beside the layers (lora), a factor per
    dimension (ia3) or tokens before every text (prompt): these want a higher learning rate. query_side: a map
    of the query's vector alone, from searches and in seconds; the champion's item vectors stay, so it needs
    start: champion. Learning rate, batch size and epochs are its own."""
    lora_rank: int = Field(default=16, ge=1)
    prompt_tokens: int = Field(default=16, ge=1, le=128)
    max_epochs: int = Field(default=1, ge=1)
    patience: int = Field(default=1, ge=1)
    """Epochs without a better validation recall before training stops."""
    max_pairs: int | None = Field(default=None, ge=2)
    """Training pairs per run, drawn by seed; None: all."""
    batch_size: int = Field(default=128, ge=2)
    """Pairs per optimizer step, across all ranks."""
    encode_chunk: int | None = Field(default=None, ge=1)
    """Texts per forward pass of a rank. The activations of more are computed again in the backward pass, so
    memory does not grow with `batch_size`, for about a third more time; None: all texts of a step at once."""
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup_share: Share = 0.1
    weight_decay: float = Field(default=0.01, ge=0)
    temperature: float = Field(default=0.05, gt=0)
    lowest_grade_weight: Share = 1.0
    """Weight in the loss of a pair with the lowest grade that is trained on; the highest grade's is 1, and
    between them it is linear. 1: all alike. Pairs without a grade weigh 1."""
    matryoshka_dimensions: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """The loss is also taken of the first so many numbers of every vector, so that the encoder can be cut to
    them later (`encoder.dimensions`)."""
    distillation: DistillationSettings = DistillationSettings()
    fine_tuned_share: Share = 1.0
    """Share of the fine-tuned weights in the saved encoder; the rest is the encoder it started from. Less
    than 1 keeps more of what that one knew of words the training rows do not have."""
    dropout: Share | None = None
    """None: as the encoder's own configuration has it."""
    logq_correction: bool = True
    logq_floor: float = Field(default=1e-6, gt=0)
    """Lowest sampling probability assumed for an item, so that unseen ones get no huge bonus."""
    history_length: int = Field(default=8, ge=1)
    """Past items per training history."""
    validation_items: int | None = Field(default=10_000, ge=100)
    """Early stopping ranks the validation's relevant items among so many; None: all."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where a GPU has it, or where a short measurement finds it faster than fp32 on this CPU."""
    ranks: int | Literal["auto"] = "auto"
    """Processes; auto: one per GPU, else `cpu_ranks`."""
    cpu_ranks: int = Field(default=1, ge=1)
    """What `ranks: auto` is where there is no GPU, at most one per core. Two ranks of one thread train MiniLM
    1.3 times as fast as one of two threads (measured on two cores); each holds model and optimizer."""
    task_rows: int = Field(default=16, ge=1)
    """Rows of each task (`tasks:`) per optimizer step, across all ranks."""
    checkpoint_every_steps: int = Field(default=100, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _a_prompt_averages_with_nothing(self) -> "TrainingSettings":
        if self.method == "prompt" and self.fine_tuned_share < 1.0:
            raise ValueError("method prompt adds words that the base has not: set fine_tuned_share to 1")
        return self

    @model_validator(mode="after")
    def _a_query_side_needs_an_index(self) -> "TrainingSettings":
        if self.method == "query_side" and self.start != "champion":
            raise ValueError("method query_side tunes queries to the champion's index: set start to champion")
        return self

    @model_validator(mode="after")
    def _a_query_side_has_its_own_loss(self) -> "TrainingSettings":
        default = TrainingSettings.model_fields
        for name in ("lowest_grade_weight", "matryoshka_dimensions", "distillation"):
            if self.method == "query_side" and getattr(self, name) != default[name].default:
                raise ValueError(f"method query_side has its own loss, without {name}: leave that out")
        return self


class RetrievalSettings(Section):
    inference: Inference | Literal["auto"] = "auto"
    """What encodes in the service. torch: fp32 weights; onnx: ONNX Runtime, fp32; onnx-int8: 8-bit weights;
    auto: the fastest that loses at most `max_loss` of the fp32 recall on validation."""
    max_loss: Share = 0.02
    """Share of the fp32 encoder's recall@10 that a faster path may lose: on validation when it is chosen,
    of the new items when it is judged."""
    lexical_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"] = "auto"
    """Added to the cosine per unit of the lexical score (normalised BM25, 0 to 1); 0: vectors alone; auto:
    chosen on validation, 0 where it does not help."""
    grams_share: Share | Literal["auto"] = "auto"
    """Of runs of three characters in the lexical score, the rest are whole words; auto: chosen on
    validation."""
    history_scoring: HistoryScoring | Literal["auto"] = "auto"
    """How a user's history scores an item: similarity to its mean vector, or the mean of the three
    or ten most similar past items, or of ten after the catalogue's mean vector was taken out of all
    vectors, or that and similarity to a vector that one of `history_encoders` makes of the history; auto:
    chosen on validation."""
    history_encoders: tuple[HistoryEncoderKind, ...] = ()
    """Learned encoders of a history that are trained and stand for choice."""
    co_purchase_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"] = "auto"
    """Added to that similarity per unit of the score by what the same users bought before the cut-off; 0:
    texts alone; auto: chosen on validation, 0 where new or established items would lose by it."""
    implied_weights: dict[Facet, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | Literal["auto"] = (
        "auto"
    )
    """Per facet, added to a query's score per unit of an item's match with what the query implies; auto:
    chosen on validation, 0 where it does not help."""
    synonym_share: Share | Literal["auto"] = "auto"
    """Of the lexical score that an item has by a synonym of the query's words; auto: chosen on validation."""

    @model_validator(mode="after")
    def _a_learned_scoring_is_trained(self) -> "RetrievalSettings":
        if self.history_scoring in ("gru", "attention") and self.history_scoring not in self.history_encoders:
            raise ValueError(f"history_scoring {self.history_scoring}: add it to history_encoders")
        return self


class RankingSettings(Section):
    """A second stage that scores the first stage's proposals again (components.ranking)."""

    learner: Literal["none", "lambdarank"] = "none"
    """none: the first stage's order is the release's. lambdarank: LightGBM's (extra `ranking`), carried where
    on validation neither new nor established items, nor new items among themselves, are found less by it."""
    candidates: int = Field(default=100, ge=20, le=200)
    """Proposals per request that are scored again."""
    trees: tuple[Annotated[int, Field(ge=1, le=2_000)], ...] = (10, 25, 50, 100, 200)
    """Numbers of trees to choose from on validation."""
    leaves: int = Field(default=15, ge=2, le=255)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    fewest_in_leaf: int = Field(default=50, ge=1)
    position_weights: bool = True
    """A click weighs 1 / the probability that its place was looked at."""
    popularity_bias: float = Field(default=0.25, ge=0, le=2)
    """A user's act on an item weighs (1 + acts on it before) ** -popularity_bias: what was shown much is
    acted on more because it was shown; 0: all acts weigh alike."""
    seed: int = 0

    @model_validator(mode="after")
    def _has_trees(self) -> "RankingSettings":
        if not self.trees:
            raise ValueError("trees: name at least one number of trees, or set learner to none")
        return self


class JudgeSettings(Section):
    primary: Literal["auto", "search", "recommendation"] = "auto"
    k: int = Field(default=10, ge=1)
    """The k of the gate's recall@k and of the exposure measures."""
    age_bucket_days: tuple[int, ...] = (1, 7, 14, 30, 60)
    max_categories: int = Field(default=12, ge=0)
    """Category slices reported, largest first; the rest are one slice "other"."""


class Bound(Section):
    """A limit on one measure of the challenger."""

    at_most: float | None = None
    at_least: float | None = None


BOUNDS = {
    "typo_recall_loss": Bound(at_most=0.5),
    "attribute_dropout_recall_loss": Bound(at_most=0.5),
    "fast_path_recall_loss": Bound(at_most=0.02),
    "exposure_new_item_share_ratio": Bound(at_most=3.0),
    "exposure_top_1_percent_share": Bound(at_most=0.5),
    "exposure_small_brand_share_ratio": Bound(at_least=0.5),
    "ranker_new_item_share_change": Bound(at_least=-0.05, at_most=0.05),
    "ranker_top_1_percent_share_change": Bound(at_most=0.1),
    "p95_latency_ms": Bound(at_most=250.0),
    "size_mb": Bound(at_most=2_000.0),
}


class GatePolicy(Section):
    """DESIGN.md, "The gate". All margins are shares of the champion's value."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    guardrail_margin: Share = 0.05
    slice_margin: Share = 0.05
    min_queries: int = Field(default=50, ge=1)
    """Slices with fewer requests read "not judged"."""
    resamples: int = Field(default=10_000, ge=100)
    seed: int = 0
    min_gain: float = Field(default=0.02, gt=0)
    """Recall points (0.02 = 2 points) at which an INCONCLUSIVE verdict plans for 80 % power."""
    power: float = Field(default=0.8, gt=0.5, lt=1.0)
    bounds: dict[str, Bound] = Field(default_factory=lambda: dict(BOUNDS))


class TrackingSettings(Section):
    uri: str | None = None
    """MLflow tracking URI; None: SQLite in the workspace."""
    experiment: str | None = None
    """None: the shop's name."""
    system_metrics: bool = True
    loggers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Tools that get the same parameters and metrics; both write to the workspace (extra `loggers`)."""


class ExplorationSettings(Section):
    share: Share = 0.0
    """Probability that a request gets a drawn item."""
    position: int | None = Field(default=None, ge=1)
    """1-based place of the drawn item; None: the last one of the answer."""


class AnswerSettings(Section):
    """`POST /answer`: who writes an answer where no past one is sure enough."""

    task: str = "answer"
    """Whose head finds past answers: a task with `head: nearest`."""
    endpoint: str | None = None
    """Address of an OpenAI-compatible service ("http://127.0.0.1:8000/v1"): it writes an answer from what was
    found for the question, and from nothing else of the shop. None: the task's own template."""
    model: str | None = None
    """The name under which the endpoint knows its model."""
    key_variable: str = "DEBUT_ANSWERS_KEY"
    """Environment variable with the endpoint's key; none is sent where it is not set."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)
    """After so long the template answers, and the answer says why."""
    max_tokens: int = Field(default=200, ge=1, le=4_000)

    @model_validator(mode="after")
    def _whole(self) -> "AnswerSettings":
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint: give an address that begins with http:// or https://")
        if (self.endpoint is None) != (self.model is None):
            raise ValueError("endpoint and model belong together: give both or neither")
        return self


class ServingRankingSettings(Section):
    """What the shop adds to a ranking when it serves; no judged ranking has it."""

    freshness: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Added to the score of an item that is listed this moment."""
    half_life_days: float = Field(default=7.0, gt=0, allow_inf_nan=False)
    """Age at which half of that is left."""


class ServingSettings(Section):
    """`debut serve`. Paths not given are folders of the workspace; replicas need shared ones."""

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
    max_bulk_items: int = Field(default=1_000, ge=1)
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


OPERATING = {
    *("serving", "signing", "promotion", "review", "monitoring", "opinions", "chat", "cost", "tune"),
    "pretraining",
}
"""Sections that say how a release is operated, a better one searched or its start pretrained: none of them
changes what a retrain computes."""


class Settings(Section):
    shop: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    workspace: str = ".debut"
    """Folder for caches, runs and candidates; relative to the current folder."""
    decisions: str | None = None
    """Folder or s3:// prefix of the decision log; None: in the workspace."""
    sources: dict[str, Source] = Field(default_factory=dict)
    tables: dict[TableName, str]
    """Per table a SELECT over the sources' names whose columns are the contract's."""
    quality: QualitySettings = QualitySettings()
    split: SplitSettings = SplitSettings()
    augment: AugmentSettings = AugmentSettings()
    encoder: EncoderSettings = EncoderSettings()
    training: TrainingSettings = TrainingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    ranking: RankingSettings = RankingSettings()
    judge: JudgeSettings = JudgeSettings()
    gate: GatePolicy = GatePolicy()
    tasks: tuple[Task, ...] = ()
    """What else the encoder answers. In debut.yaml: names of those that come with Debut (category,
    category_path, brand, price, sentiment, answer; of queries query_category, query_brand, query_price,
    query_attribute), paths of files like theirs, or what such a file holds."""
    knowledge: KnowledgeSettings | None = None
    """Synonyms, category tree and rules: here, or the path of a file that holds them."""
    tracking: TrackingSettings = TrackingSettings()
    serving: ServingSettings = ServingSettings()
    signing: SigningSettings = SigningSettings()
    promotion: Literal["auto", "review"] = "auto"
    """What follows the verdict PROMOTE. auto: the promotion; review: a person's approval first."""
    review: ReviewSettings = ReviewSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    opinions: OpinionSettings = OpinionSettings()
    chat: ChatSettings = ChatSettings()
    cost: CostSettings = CostSettings()
    tune: TuneSettings = TuneSettings()
    pretraining: PretrainingSettings = PretrainingSettings()

    @field_validator("tune")
    @classmethod
    def _searches_what_the_sections_take(cls, tune: TuneSettings) -> TuneSettings:
        for name, dimension in tune.space.items():
            for value in dimension.values():
                try:
                    _SECTIONS[section_of(name)].model_validate({name: value})
                except ValidationError as error:
                    told = error.errors()[0]["msg"]
                    raise ValueError(f"space.{name}: {value:g} is refused ({told})") from None
        return tune

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        names = [task.name for task in tasks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"the task {twice} stands here twice")
        return tasks

    @model_validator(mode="after")
    def _has_items(self) -> "Settings":
        if "items" not in self.tables:
            raise ValueError("tables: `items` is missing: a SELECT that gives item_id and title")
        return self


_SECTIONS: dict[str, type[Section]] = {"training": TrainingSettings, "augment": AugmentSettings}


def section_of(parameter: Parameter) -> str:
    """The section of debut.yaml that a searched parameter stands in."""
    return "training" if parameter in TrainingSettings.model_fields else "augment"


def changed(settings: Settings, values: Mapping[Parameter, int | float]) -> Settings:
    """The settings with other values of searched parameters."""
    sections = {section: getattr(settings, section) for section in _SECTIONS}
    for name, value in values.items():
        section = section_of(name)
        sections[section] = sections[section].model_copy(update={name: value})
    return settings.model_copy(update=sections)
