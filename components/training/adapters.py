"""Parameter-efficient tuning by peft: what is trained in place of all weights, and – but for a prefix –
merged into them.

| method | what is trained | source |
|---|---|---|
| lora | two narrow matrices beside each linear layer | Hu et al. 2021 |
| ia3 | a factor per dimension of keys, values and feed-forward layers | Liu et al. 2022 |
| prompt | the embeddings of tokens before every text | Lester et al. 2021 |
| prefix | keys and values before those of every text, in every layer | Li and Liang 2021 |
"""

import inspect

import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    TaskType,
    TrainableTokensConfig,
    get_peft_model,
)

from components.contract.errors import ConfigError
from components.contract.learning import TrainingSettings
from components.encoder.prompt import add_prompt, embeddings_name, prompt_ids
from components.encoder.transformer import TransformerEncoder, longest_text

_PREFIX_SCALE = 0.02
"""peft draws a prefix from a normal distribution of deviation 1, far above a trained model's keys and values:
the encoder would begin with other vectors."""


def add_adapters(encoder: TransformerEncoder, settings: TrainingSettings) -> None:
    """Freezes the encoder's weights and adds what `settings.method` trains, in place; full: nothing.

    Raises ConfigError where peft has no such adapter for the model.
    """
    if settings.method == "full":
        return
    if settings.method == "prefix":
        _check_prefix(encoder, settings)
    torch.manual_seed(settings.seed)  # LoRA's first weights are drawn at random
    try:
        encoder.model = get_peft_model(encoder.model, _configuration(encoder, settings))
    except ValueError as error:
        raise ConfigError(
            f"training.method {settings.method}: peft has none for a model of type "
            f"{encoder.model.config.model_type} ({str(error).splitlines()[0]}); set lora, prompt or full."
        ) from error
    if settings.method == "prefix":
        with torch.no_grad():
            for weight in encoder.model.prompt_encoder.parameters():
                weight *= _PREFIX_SCALE


def _check_prefix(encoder: TransformerEncoder, settings: TrainingSettings) -> None:
    config = encoder.model.config
    if "past_key_values" not in inspect.signature(encoder.model.forward).parameters:
        raise ConfigError(
            f"training.method prefix: a model of type {config.model_type} takes no keys and values before "
            f"those of its text; set lora, prompt or full."
        )
    left = longest_text(config) - settings.prompt_tokens
    if encoder.settings.max_length > left:
        raise ConfigError(
            f"training.prompt_tokens: a prefix of {settings.prompt_tokens} leaves positions for texts of "
            f"{left} tokens, and encoder.max_length is {encoder.settings.max_length}: set one of them lower."
        )


def merge_adapters(encoder: TransformerEncoder) -> None:
    """Adds the adapters to the weights they adapt, in place, so that the encoder loads without peft."""
    if hasattr(encoder.model, "merge_and_unload"):
        encoder.model = encoder.model.merge_and_unload()


def with_prompt(encoder: TransformerEncoder, settings: TrainingSettings) -> TransformerEncoder:
    """The encoder, with the prompt's tokens where the method trains them: what cuts training texts, too."""
    if settings.method == "prompt":
        add_prompt(encoder, settings.prompt_tokens, settings.seed)
    return encoder


def _configuration(encoder: TransformerEncoder, settings: TrainingSettings) -> PeftConfig:
    if settings.method == "lora":
        rank = settings.lora_rank
        return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", bias="none")
    if settings.method == "ia3":
        return IA3Config()  # which layers, peft knows per type of model
    if settings.method == "prefix":
        return PrefixTuningConfig(
            task_type=TaskType.FEATURE_EXTRACTION, num_virtual_tokens=settings.prompt_tokens
        )
    with_prompt(encoder, settings)
    return TrainableTokensConfig(
        token_indices=prompt_ids(encoder, settings.prompt_tokens),
        target_modules=[embeddings_name(encoder.model)],
    )
