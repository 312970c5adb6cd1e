"""What the judge's results are kept by."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.contract.digests import sha256_json
from components.contract.settings import Settings
from components.evaluation.scorecard import Scorecard
from flows import building, releases
from flows.run import Run, _plain
from flows.shop import Shop


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each stage was asked for with, by its name."""
    asked: dict[str, str] = {}

    def cached(_: Run, _task: Any, stage: str, inputs: Any, **_more: Any) -> tuple[Any, Path]:
        asked[stage] = sha256_json(_plain(inputs))
        return None, Path()

    monkeypatch.setattr(Run, "cached", cached)
    monkeypatch.setattr(building, "encoded_by", lambda *_: Path())
    monkeypatch.setattr(Scorecard, "read", lambda _: None)
    return asked


def _judge(grade: float, labels: str | None, folder: Path) -> None:
    settings = Settings(shop="tiny", tables={"items": "SELECT 1"})
    split = settings.split.model_copy(update={"relevant_grade": grade})
    shop = Shop(settings.model_copy(update={"split": split}), folder, folder)
    data: Any = SimpleNamespace(
        prepared=SimpleNamespace(digest="p", model_dump=dict), split=folder, task_rows=None, task_digest=None
    )
    candidate: Any = SimpleNamespace(digest="d")
    releases.judge_all(Run(shop, "run", {"labels": labels}), data, candidate, candidate)


def test_the_grade_by_which_labels_are_read_is_part_of_the_key(keys: dict[str, str], tmp_path: Path) -> None:
    """A split of events is the same for each grade, its labels are not; without labels nothing changes."""
    found = {}
    for labels in ("some", None):
        for grade in (1.0, 0.5):
            _judge(grade, labels, tmp_path)
            found[labels, grade] = dict(keys)
    assert set(found["some", 1.0]) == {"judged", "bm25"}
    for stage in ("judged", "bm25"):
        assert found["some", 1.0][stage] != found["some", 0.5][stage]
        assert found[None, 1.0][stage] == found[None, 0.5][stage]
