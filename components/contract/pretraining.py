"""The section `pretraining` of debut.yaml: `debut pretrain`."""

from typing import Literal

from pydantic import Field

from components.contract.section import Section, Seed, Share


class PretrainingSettings(Section):
    start: Literal["encoder", "scratch"] = "encoder"
    """encoder: encoder.name's weights; scratch: a small BERT with random weights and a vocabulary learned
    from the shop's own text."""
    epochs: int = Field(default=3, ge=1)
    batch_size: int = Field(default=32, ge=2)
    """Texts per optimizer step across all ranks; and so many titles with their descriptions."""
    learning_rate: float = Field(default=5e-5, gt=0)
    warmup_share: Share = 0.1
    weight_decay: float = Field(default=0.01, ge=0)
    masked_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of a text's tokens that are hidden and guessed."""
    matching_weight: float = Field(default=1.0, ge=0)
    """Of the second task (which of the batch's descriptions belongs to this title?); 0: none."""
    temperature: float = Field(default=0.05, gt=0)
    """Of the second task's scores."""
    head_share: Share = 0.1
    """Share of the steps, at the beginning, that train the prediction head alone, where encoder.name brings
    none: a head with random weights would first spoil the encoder."""
    held_out_share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the items and queries whose texts measure perplexity and are not trained on."""
    max_length: int = Field(default=128, ge=8, le=8192)
    """Tokens; longer texts are cut."""
    vocabulary: int = Field(default=8_000, ge=100)
    """scratch: word pieces at most."""
    layers: int = Field(default=4, ge=1)
    """scratch."""
    width: int = Field(default=256, ge=32, multiple_of=32)
    """scratch: dimensions of the vectors, a multiple of 32."""
    checkpoint_every_steps: int = Field(default=100, ge=1)
    seed: Seed = 0
