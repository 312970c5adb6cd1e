"""What makes a run new, and a cached stage stale."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import components
from components.contract.files import write_json
from components.release.decision_log import DecisionLog
from flows import fingerprint
from flows.shop import open_shop


@pytest.fixture
def own_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the components' source, which the fingerprint takes for the installed one."""
    folder = tmp_path / "components"
    shutil.copytree(components.__path__[0], folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(components, "__path__", [str(folder)])
    return folder


@pytest.mark.parametrize(
    "name", ["split/by_time.py", "quality/templates/quality.html", "data/examples/demo.yaml"]
)
def test_a_changed_line_in_components_changes_the_code_digest(own_components: Path, name: str) -> None:
    """Code, templates and examples count; a compiled file does not."""
    before = fingerprint.code_digest()
    (own_components / "__pycache__").mkdir()
    (own_components / "__pycache__" / "x.py").write_text("compiled")
    assert fingerprint.code_digest() == before
    path = own_components / name
    path.write_text(path.read_text() + "\n")
    assert fingerprint.code_digest() != before


def test_every_stage_key_holds_the_code_digest(
    own_components: Path, tiny_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a changed line in components the same stage, with the same inputs, gets another folder."""
    from prefect import task

    from flows.run import new_run

    shop = open_shop(str(tiny_shop.config), None, str(tiny_shop.workspace.parent))

    def folder_of_stage() -> Path:
        asked = task(name="load")(lambda folder: None)
        monkeypatch.setattr(asked, "with_options", lambda **_: lambda **given: given["folder"])
        result, folder = new_run(shop).cached(asked, "load", ["the same"])
        assert result == folder
        return folder

    first = folder_of_stage()
    assert folder_of_stage() == first
    changed = own_components / "contract" / "tables.py"
    changed.write_text(changed.read_text() + "# a comment\n")
    assert folder_of_stage() != first


def test_data_configuration_and_weights_are_told_apart(tiny_shop: Any, tmp_path: Path) -> None:
    """Each part of the fingerprint changes by its own cause alone."""

    def parts() -> dict[str, Any]:
        return fingerprint.run_fingerprint(open_shop(str(tiny_shop.config), None, str(tmp_path)))

    before = parts()
    items = tiny_shop.folder / "items.csv"
    items.write_text(items.read_text().replace("red", "blue", 1))
    after_data = parts()
    assert _changed(before, after_data) == {"data"}
    tiny_shop.configure(judge={"k": 5})
    after_settings = parts()
    assert _changed(after_data, after_settings) == {"configuration"}


def test_an_encoder_in_another_place_is_no_other_configuration(tiny_shop: Any, tmp_path: Path) -> None:
    """What its folder holds is in the fingerprint already."""

    def parts() -> dict[str, Any]:
        return fingerprint.run_fingerprint(open_shop(str(tiny_shop.config), None, str(tmp_path)))

    before = parts()
    encoder = open_shop(str(tiny_shop.config), None, str(tmp_path)).settings.encoder
    shutil.copytree(encoder.name, tiny_shop.folder / "mini")
    tiny_shop.configure(encoder=encoder.model_dump(mode="json") | {"name": "mini"})
    assert _changed(before, parts()) == set()


def _changed(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    return {part for part in old if old[part] != new[part]}


@pytest.mark.parametrize(("start", "again"), [("champion", True), ("base", False)])
def test_another_champion_is_new_to_a_warm_start_alone(
    tiny_shop: Any, monkeypatch: pytest.MonkeyPatch, start: str, again: bool
) -> None:
    """It trains from the champion; what the run was judged against, or has promoted, is no other one."""
    tiny_shop.configure(training={"start": start})
    shop = open_shop(str(tiny_shop.config), None, str(tiny_shop.workspace.parent))
    result = {"champion_digest": "old", "challenger_digest": "new"}
    write_json(shop.runs / fingerprint.LATEST, {"fingerprint": {}, "result": result})
    for champion, known in (("old", True), ("new", True), ("third", not again)):
        monkeypatch.setattr(DecisionLog, "champion", lambda _, digest=champion: digest)
        assert fingerprint.last_result(shop, {}) == (result if known else None)
