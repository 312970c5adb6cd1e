"""Paths as people write them."""

from pathlib import Path

from components.contract.errors import ConfigError


def at_home(path: str | Path) -> Path:
    """With ~ as the home folder; ConfigError where ~name is nobody's here."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{path}: this machine knows no home folder of that user; write the path out."
        ) from error
