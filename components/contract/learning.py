"""What the encoder is and how it learns: the sections encoder, augment and training of debut.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.contract.paths import at_home
from components.contract.section import EndpointSettings, Section, Seed, Share

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
TEXT_FIELDS = ("title", "description", "brand", "category", "attributes", "price", "item_id")
"""Columns of items that an encoder may read."""
NOT_OF_A_QUERY_SIDE = (
    *("lowest_grade_weight", "matryoshka_dimensions", "distillation"),
    *("fine_tuned_share", "dropout", "encode_chunk"),
)
"""Settings of training that method query_side does not read."""


class WriterSettings(EndpointSettings):
    """Who writes queries: a small encoder–decoder trained on the shop's own training pairs, or the endpoint,
    which is told the items' texts. Its key, if it wants one, is in the environment's DEBUT_WRITER_KEY."""

    layers: int = Field(default=2, ge=1)
    """Of the decoder, at most the base encoder's."""
    epochs: int = Field(default=2, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    seed: Seed = 0


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
    """A hub name, or a local folder (relative to that of debut.yaml) with config.json and safetensors."""
    revision: str | None = None
    pooling: Literal["mean", "cls", "last_token"] = "mean"
    query_prefix: str = ""
    item_prefix: str = ""
    max_length: int = Field(default=64, ge=4, le=8192)
    """Tokens; longer texts are cut."""
    dimensions: int | None = Field(default=None, ge=1)
    """A vector is the first so many numbers that the model gives: a smaller index. None: all of them."""
    item_fields: tuple[str, ...] = ("title", "brand", "attributes")
    """Columns of items that make up an item's text, in this order. Not listed_at: what an encoder reads must
    not tell what is new."""
    language: Language = "english"
    """Of the texts, for the lexical side."""

    @field_validator("item_fields")
    @classmethod
    def _columns_that_are_texts(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [field for field in fields if field not in TEXT_FIELDS]
        if unknown or not fields:
            raise ValueError(
                f"{unknown[0] if unknown else 'nothing'} is no text of an item; name one or more of "
                f"{', '.join(TEXT_FIELDS)}"
            )
        return fields

    def without_place(self) -> Self:
        """The same; a local base is called by its folder alone. Where that lies differs by machine, and would
        give one release two digests."""
        local = at_home(self.name)
        return self.model_copy(update={"name": local.name}) if local.is_absolute() else self


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
    seed: Seed = 0


class TrainingSettings(Section):
    start: Literal["base", "champion"] = "base"
    """What is fine-tuned: encoder.name, or the champion's encoder (a warm start) on what is new since it was
    trained, with some of the rest."""
    replay_share: float = Field(default=0.5, ge=0, lt=1)
    """Warm start: share of the training pairs that are drawn from those the champion was trained on."""
    method: Literal["full", "lora", "ia3", "prompt", "prefix", "query_side"] = "full"
    """What is trained: all weights; or, those frozen, narrow matrices beside the layers (lora), a factor per
    dimension (ia3), tokens before every text (prompt) or keys and values before every text's in each layer
    (prefix, which is merged with nothing: adapter_only): these want a higher learning rate. query_side: a map
    of the query's vector alone, from searches and in seconds; the champion's item vectors stay, so it needs
    start: champion. Learning rate, batch size and epochs are its own, and texts are taken as they are:
    neither mined negatives nor typing errors."""
    frozen_layers: int = Field(default=0, ge=0)
    """method full: so many of the lowest layers, and the embeddings, stay as they are. Each saves its
    backward pass; what it costs in recall: decision 0013."""
    cache_frozen: bool = False
    """The states that frozen layers give a text are kept, up to 1 GB a rank, and these layers computed
    without dropout. On a CPU; what it saves: decision 0013."""
    lora_rank: int = Field(default=16, ge=1)
    adapter_only: bool = False
    """method lora, ia3 or prefix: an encoder is saved and released as its adapter alone, a few per cent of
    its size, and put into encoder.name wherever it is loaded. Wants retrieval.inference: torch."""
    prompt_tokens: int = Field(default=16, ge=1, le=128)
    """Of a prompt or a prefix."""
    max_epochs: int = Field(default=1, ge=1)
    patience: int = Field(default=1, ge=1)
    """Epochs without a better validation recall before training stops."""
    max_pairs: int | None = Field(default=None, ge=2)
    """Training pairs per run, drawn by seed; None: all. Written queries get what the shop's own leave."""
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
    ranks: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Processes; auto: one per GPU, else `cpu_ranks`."""
    cpu_ranks: int = Field(default=1, ge=1)
    """What `ranks: auto` is where there is no GPU, at most one per core. Two ranks of one thread train MiniLM
    1.2 times as fast as one of two threads (measured on two cores); each holds model and optimizer."""
    task_rows: int = Field(default=16, ge=1)
    """Rows of each task (`tasks:`) per optimizer step, across all ranks."""
    checkpoint_every_steps: int = Field(default=100, ge=1)
    seed: Seed = 0

    @model_validator(mode="after")
    def _a_prompt_averages_with_nothing(self) -> "TrainingSettings":
        if self.method == "prompt" and self.fine_tuned_share < 1.0:
            raise ValueError("method prompt adds words that the base has not: set fine_tuned_share to 1")
        return self

    @model_validator(mode="after")
    def _adapters_freeze_all_layers(self) -> "TrainingSettings":
        if self.frozen_layers and self.method != "full":
            raise ValueError(f"method {self.method} freezes all layers itself: leave frozen_layers out")
        if self.cache_frozen and not self.frozen_layers:
            raise ValueError("cache_frozen: no layer is frozen: set frozen_layers, or leave it out")
        return self

    @model_validator(mode="after")
    def _an_adapter_alone_has_a_base_that_is_found(self) -> "TrainingSettings":
        if self.method == "prefix" and not self.adapter_only:
            raise ValueError("method prefix is merged with no weights: set adapter_only to true")
        if not self.adapter_only:
            return self
        if self.method not in ("lora", "ia3", "prefix"):
            raise ValueError(
                f"adapter_only: method {self.method} trains no adapter: set method to lora, ia3 or prefix"
            )
        if self.start != "base":
            raise ValueError("adapter_only: an adapter's base is encoder.name: leave start out")
        if self.fine_tuned_share < 1.0:
            raise ValueError(
                "adapter_only: an average with the base is no adapter: set fine_tuned_share to 1"
            )
        return self

    @model_validator(mode="after")
    def _a_query_side_needs_an_index(self) -> "TrainingSettings":
        if self.method == "query_side" and self.start != "champion":
            raise ValueError("method query_side tunes queries to the champion's index: set start to champion")
        return self

    @model_validator(mode="after")
    def _a_query_side_has_its_own_loss(self) -> "TrainingSettings":
        default = TrainingSettings.model_fields
        for name in NOT_OF_A_QUERY_SIDE:
            if self.method == "query_side" and getattr(self, name) != default[name].default:
                raise ValueError(f"method query_side has its own loss, without {name}: leave that out")
        return self
