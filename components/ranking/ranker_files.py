"""A release's rankers on disk: `<entrance>.txt` (LightGBM's own text) and ranker.json, what validation
said."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.contract.errors import DataError
from components.contract.files import disk_errors
from components.contract.records import Entrance
from components.ranking.model import Ranker

REPORT_FILE = "ranker.json"


@dataclass(frozen=True, eq=False)
class Rankers:
    """The second stage of a release."""

    candidates: int
    """Proposals of the first stage that are scored again, at least k."""
    by_entrance: Mapping[Entrance, Ranker] = field(default_factory=dict)


def model_file(entrance: Entrance) -> str:
    return f"{entrance}.txt"


def carried(folder: Path) -> list[str]:
    """Names of the files that a release carries of a folder of rankers: none where no entrance has one."""
    models = sorted(path.name for path in folder.glob("*.txt"))
    return [*models, REPORT_FILE] if models else []


def open_rankers(folder: Path) -> Rankers | None:
    """None where the folder is absent: the release has no second stage. Raises DataError for damaged
    files."""
    if not folder.is_dir():
        return None
    path = folder / REPORT_FILE
    with disk_errors(path):
        try:
            candidates = int(json.loads(path.read_bytes())["candidates"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} cannot be read ({error}): it is damaged; build it again.") from error
        entrances: tuple[Entrance, ...] = ("search", "recommendation")
        models = {
            entrance: Ranker((folder / model_file(entrance)).read_text())
            for entrance in entrances
            if (folder / model_file(entrance)).is_file()
        }
    return Rankers(candidates, models)
