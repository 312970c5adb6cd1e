"""A prompt: trained tokens that stand before every text, while the rest of the encoder stays as it is.

Prompt tuning (Lester et al. 2021, "The power of scale for parameter-efficient prompt tuning", section 2), put
as words of the vocabulary that only the prefixes use. So the encoder that results is a plain one: saved,
exported and served without knowing of prompts.
"""

from typing import Any

import torch
from tokenizers import AddedToken

from components.contract.errors import ConfigError
from components.encoder.transformer import TransformerEncoder, longest_text


def prompt_tokens(count: int) -> list[str]:
    return [f"[PROMPT{number}]" for number in range(count)]


def add_prompt(encoder: TransformerEncoder, count: int, seed: int) -> None:
    """Puts `count` new tokens before the encoder's prefixes, in place; one that has them stays as it is.

    They begin as copies of words drawn by seed. `max_length` grows by as many, up to what the model takes.
    Raises ConfigError for an encoder whose prompt has another length.
    """
    tokens, words_known = prompt_tokens(count), encoder.tokenizer.get_vocab()
    if tokens[0] in words_known:
        if tokens[-1] not in words_known or prompt_tokens(count + 1)[-1] in words_known:
            raise ConfigError(
                f"training.prompt_tokens is {count}, but the encoder that training starts from has a prompt "
                f"of another length: set the number it was trained with, or training.start: base."
            )
        return
    words = len(encoder.tokenizer)
    encoder.tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    drawn = torch.randint(words, (count,), generator=torch.Generator().manual_seed(seed))
    encoder.model.resize_token_embeddings(max(len(encoder.tokenizer), words + count), mean_resizing=False)
    with torch.no_grad():
        embeddings = encoder.model.get_input_embeddings().weight
        embeddings[prompt_ids(encoder, count)] = embeddings[drawn]
    settings, before = encoder.settings, "".join(tokens)
    longest = longest_text(encoder.model.config)
    encoder.settings = settings.model_copy(
        update={
            "query_prefix": before + settings.query_prefix,
            "item_prefix": before + settings.item_prefix,
            "max_length": max(settings.max_length, min(settings.max_length + count, longest)),
        }
    )


def prompt_ids(encoder: TransformerEncoder, count: int) -> list[int]:
    ids: list[int] = encoder.tokenizer.convert_tokens_to_ids(prompt_tokens(count))
    return ids


def embeddings_name(model: Any) -> str:
    """Name, in the model, of its word embeddings."""
    embeddings = model.get_input_embeddings()
    names: list[str] = [name for name, module in model.named_modules() if module is embeddings]
    return names[0]
