"""Parameter-efficient tuning by peft: what is trained in place of all weights, and merged into them.

| method | what is trained | source |
|---|---|---|
| lora | two narrow matrices beside each linear layer | Hu et al. 2021 |
| ia3 | a factor per dimension of keys, values and feed-forward layers | Liu et al. 2022 |
| prompt | the embeddings of tokens before every text | Lester et al. 2021 |
"""

import torch
from peft import IA3Config, LoraConfig, PeftConfig, TrainableTokensConfig, get_peft_model

from components.contract.errors import ConfigError
from components.contract.learning import TrainingSettings
from components.encoder.prompt import add_prompt, embeddings_name, prompt_ids
from components.encoder.transformer import TransformerEncoder


def add_adapters(encoder: TransformerEncoder, settings: TrainingSettings) -> None:
    """Freezes the encoder's weights and adds what `settings.method` trains, in place; full: nothing.

    Raises ConfigError where peft has no such adapter for the model.
    """
    if settings.method == "full":
        return
    torch.manual_seed(settings.seed)  # LoRA's first weights are drawn at random
    try:
        encoder.model = get_peft_model(encoder.model, _configuration(encoder, settings))
    except ValueError as error:
        raise ConfigError(
            f"training.method {settings.method}: peft has none for a model of type "
            f"{encoder.model.config.model_type} ({str(error).splitlines()[0]}); set lora, prompt or full."
        ) from error


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
    with_prompt(encoder, settings)
    return TrainableTokensConfig(
        token_indices=prompt_ids(encoder, settings.prompt_tokens),
        target_modules=[embeddings_name(encoder.model)],
    )
