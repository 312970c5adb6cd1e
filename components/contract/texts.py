"""Texts that were typed or sent."""


def as_utf8(text: str) -> str:
    """With question marks for what is no UTF-8 and no tokenizer, file or JSON body takes: lone surrogates,
    as which a shell hands over stray bytes, and halves of pairs."""
    return text.encode("utf-8", "replace").decode()
