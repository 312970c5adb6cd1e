"""What peers need long for, kept on disk: a folder per key, whole or absent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from components.contract.digests import sha256_file, sha256_json
from components.contract.files import stage_folder, write_json

KEY = "key.json"


@dataclass(frozen=True)
class PeerCache:
    folder: Path

    def made(self, name: str, key: dict[str, Any], make: Callable[[Path], None]) -> tuple[Path, bool]:
        """The folder that `make` filled for this key, now or in an earlier run; whether it was earlier."""
        place = self.folder / f"{name}-{sha256_json(key)[:16]}"
        if (place / KEY).is_file():
            return place, True
        place.parent.mkdir(parents=True, exist_ok=True)
        with stage_folder(place) as out:
            make(out)
            write_json(out / KEY, key)
        return place, False


def key_of(
    packages: Sequence[str], modules: Sequence[ModuleType], data: str, seed: int | None, **settings: Any
) -> dict[str, Any]:
    """What decides a peer's result; another value of any of it is another key.

    packages: distributions whose version counts; modules: whose source counts; data: a digest.
    """
    return {
        "versions": {name: version(name) for name in packages},
        "code": {module.__name__: source_digest(module) for module in modules},
        "data": data,
        "seed": seed,
        "settings": settings,
    }


@cache
def source_digest(module: ModuleType) -> str:
    """Of the source that runs: read once, because a file may be changed while a long benchmark runs."""
    return sha256_file(Path(str(module.__file__)))
