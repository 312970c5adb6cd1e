"""A service's key, which only the environment holds."""

import os

from components.contract.errors import ConfigError


def key_of(variable: str) -> str | None:
    """The environment's value, without space around it; None where there is none. Raises ConfigError for one
    that no header can hold: the HTTP library's own message would show it."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{variable} holds characters that no key has: set it again, without line breaks.")
    return key or None
