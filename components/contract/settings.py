"""The whole of debut.yaml as frozen, typed sections; nonsense is refused where it is built."""

import re
from collections.abc import Collection, Mapping
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from components.contract.judging import GatePolicy, JudgeSettings
from components.contract.knowledge import KnowledgeSettings, Rule
from components.contract.learning import AugmentSettings, EncoderSettings, TrainingSettings
from components.contract.operations import (
    ChatSettings,
    CostSettings,
    MonitoringSettings,
    OpinionSettings,
    ReviewSettings,
)
from components.contract.pretraining import PretrainingSettings
from components.contract.retrieving import RankingSettings, RetrievalSettings
from components.contract.section import Section, Seed, Share
from components.contract.serving import ServingSettings, SigningSettings
from components.contract.tables import TableName
from components.contract.task import Facet, Task
from components.contract.times import UtcTime
from components.contract.tuning import Parameter, TuneSettings


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
    cutoff: UtcTime | None = None
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
    """by_item: the next queries in the same order."""
    query_order: Literal["hashed", "shuffled"] = "hashed"
    """by_item: which queries are held out first. hashed: by a hash with the seed, so that no training query
    becomes a judged one when judgements are added; shuffled: all of them shuffled by the seed, as a published
    split may be: with one query more they all change places."""
    max_test_requests: int | None = Field(default=None, ge=1)
    """by_time: at most so many judged queries or users, drawn by seed."""
    seed: Seed = 0
    relevant_grade: float = 1.0
    """A judged item counts as relevant from this grade on."""
    positive_grade: float = 1.0
    """A judged item is trained on as a positive from this grade on."""

    def judged_by(self, tables: Collection[str]) -> Literal["judgements", "events"]:
        """The table that says what is relevant, of a shop with these."""
        if self.method == "auto":
            return "judgements" if "judgements" in tables else "events"
        return "judgements" if self.method == "by_item" else "events"


class TrackingSettings(Section):
    uri: str | None = None
    """MLflow tracking URI; None: SQLite in the workspace. sqlite:///x is taken from the current folder, which
    a deployed run has of its own: give sqlite:////whole/path."""
    experiment: str | None = None
    """None: the shop's name."""
    system_metrics: bool = True
    loggers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Tools that get the same parameters and metrics; both write to the workspace (extra `loggers`)."""


OPERATING = {
    *("serving", "signing", "promotion", "review", "monitoring", "opinions", "chat", "cost", "tune"),
    "pretraining",
}
"""Sections that say how a release is operated, a better one searched or its start pretrained: none of them
changes what a retrain computes."""


class Settings(Section):
    shop: str
    """Names folders and the model in MLflow."""
    workspace: str = ".debut"
    """Folder for caches, runs and candidates; relative to the current folder."""
    decisions: str | None = None
    """Folder or s3:// prefix of the decision log; None: in the workspace. Relative paths,
    here and in the sections, are taken from the folder of debut.yaml."""
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

    @field_validator("shop")
    @classmethod
    def _is_a_name(cls, shop: str) -> str:
        # Not a pattern of the field: its message would be the expression.
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", shop):
            raise ValueError(
                "give a name of 1 to 63 small letters (a to z), digits, - and _ that begins with a letter or "
                "digit, such as my-shop"
            )
        return shop

    @field_validator("decisions")
    @classmethod
    def _leaves_room_beside_it(cls, decisions: str | None) -> str | None:
        """Reviews lie beside the log; beside a whole bucket lies another one, perhaps another owner's."""
        bucket = (decisions or "").removeprefix("s3://").strip("/")
        if decisions and decisions.startswith("s3://") and "/" not in bucket:
            bucket = bucket or "bucket"
            raise ValueError(
                f"name a prefix in the bucket (records of an existing log move there, those of "
                f"s3://{bucket}-reviews to s3://{bucket}/decisions-reviews), such as s3://{bucket}/decisions"
            )
        return decisions

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
        of_opinions = [task.name for task in tasks if task.opinions]
        if len(of_opinions) > 1:
            raise ValueError(f"tasks {', '.join(of_opinions)}: only one may be of opinions")
        # Here, not in Task: a release from before keeps its declaration, and has to load.
        more = next((task.name for task in tasks if task.opinions and task.text != ("text",)), None)
        if more:
            raise ValueError(
                f"the task {more} is of opinions, so its text must be [text]: the monitor reads that alone"
            )
        return tasks

    @model_validator(mode="after")
    def _has_items(self) -> "Settings":
        if "items" not in self.tables:
            raise ValueError("tables: `items` is missing: a SELECT that gives item_id and title")
        return self

    @model_validator(mode="after")
    def _a_query_side_learns_from_searches(self) -> "Settings":
        if self.training.method == "query_side" and self.augment.written_queries:
            raise ValueError(
                "training.method query_side learns from what was searched alone: leave "
                "augment.written_queries out"
            )
        return self

    @model_validator(mode="after")
    def _an_adapter_alone_has_no_graph(self) -> "Settings":
        if self.training.adapter_only and self.retrieval.inference != "torch":
            raise ValueError(
                "training.adapter_only: a graph for ONNX Runtime holds all weights: set retrieval.inference "
                "to torch"
            )
        return self

    @model_validator(mode="after")
    def _weighs_what_queries_can_imply(self) -> "Settings":
        """A weight of what nothing says would be left out of the release in silence."""
        weights = self.retrieval.implied_weights
        known = facets_of(self.tasks, self.knowledge)
        said = {} if weights == "auto" else weights
        unsaid = next((facet for facet, weight in said.items() if weight and facet not in known), None)
        if unsaid:
            task = "query_attribute" if unsaid == "attributes" else f"query_{unsaid}"
            raise ValueError(
                f"retrieval.implied_weights: nothing says which {unsaid} a query implies: add {task} to "
                f"tasks or a rule for it to knowledge, or leave {unsaid} out"
            )
        return self


def facets_of(tasks: Collection[Task], knowledge: KnowledgeSettings | None) -> set[Facet]:
    """What queries may imply, by the tasks of queries and the shop's knowledge."""
    facets = {task.facet for task in tasks if task.facet is not None}
    if knowledge is None:
        return facets
    tree: set[Facet] = {"category"} if knowledge.tree else set()
    return facets.union(tree, *map(_facets_of_rule, knowledge.rules))


def _facets_of_rule(rule: Rule) -> set[Facet]:
    said: dict[Facet, object] = {
        "category": rule.category,
        "brand": rule.brand,
        "price": rule.min_price or rule.max_price,
        "attributes": rule.attributes,
    }
    return {facet for facet, value in said.items() if value}


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
