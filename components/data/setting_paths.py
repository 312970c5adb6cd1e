"""Relative paths in debut.yaml: taken from its folder, as a deployed run has a current folder of its own."""

from pathlib import Path

from components.contract.errors import ConfigError
from components.contract.paths import at_home
from components.contract.settings import Settings

_SECTIONS = {
    "serving": ("live", "key_file", "traffic", "log_secret"),
    "signing": ("private_key", "public_key"),
}
_MOST_SLASHES_OF_A_HUB_NAME = 1


def with_whole_paths(settings: Settings, folder: Path) -> Settings:
    """The settings with every relative path below `folder`. Addresses, absolute paths and those that begin
    with ~ stay as they are, and so does `encoder.name` where it is a hub's.

    Raises ConfigError where something is in the current folder alone, where earlier versions looked for it.
    """
    changes: dict[str, object] = {"encoder": _with_whole_name(settings, folder)}
    if settings.decisions:
        changes["decisions"] = _whole("decisions", settings.decisions, folder)
    for section, keys in _SECTIONS.items():
        values = getattr(settings, section)
        given = {key: getattr(values, key) for key in keys if getattr(values, key)}
        whole = {key: _whole(f"{section}.{key}", path, folder) for key, path in given.items()}
        changes[section] = values.model_copy(update=whole)
    return settings.model_copy(update=changes)


def _with_whole_name(settings: Settings, folder: Path) -> object:
    """The section `encoder`. A name such as pretrained/x is a folder where there is one, else the hub's."""
    name = settings.encoder.name
    local = at_home(name)
    is_path = name.startswith(".") or name.count("/") > _MOST_SLASHES_OF_A_HUB_NAME
    if is_path or any((place / local).is_dir() for place in (folder, Path.cwd())):
        name = _whole("encoder.name", name, folder)
    return settings.encoder.model_copy(update={"name": name})


def _whole(key: str, path: str, folder: Path) -> str:
    local = at_home(path)
    if "://" in path or local.is_absolute():
        return path
    place, earlier = folder / local, Path.cwd() / local
    if earlier.exists() and not place.exists():
        raise ConfigError(
            f"{key}: {path} is taken from the folder of the configuration, and there is no {place}; but "
            f"there is {earlier}, where earlier versions looked. Write out the path of the one that is meant."
        )
    return str(place)
