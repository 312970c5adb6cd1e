"""What the shop's people know of queries, from its file to an answer of the service."""

import json
from typing import Any

from starlette.testclient import TestClient

from flows.serving import shop_app
from flows.shop import open_shop


def test_knowledge_is_released_and_shown(retrained: Any) -> None:
    """Under both candidates' digests; the search says what the file, and the category tree, imply."""
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    manifests = [json.loads(path.read_bytes())["files"] for path in shop.candidates.glob("*/manifest.json")]
    assert len(manifests) == 2 and all("knowledge.json" in files for files in manifests)
    assert len(list(shop.workspace.glob("stages/implied-*"))) == 2  # weighed for each encoder
    with TestClient(shop_app(shop, anonymous_read=True)) as client:
        debug = client.get("/search", params={"q": "rocky beakers", "debug": True}).json()["debug"]
    told = {(one["facet"], one["value"], one["source"]) for one in debug["implied"]}
    assert told == {("brand", "stone", "rule"), ("category", "home > mug", "synonym")}
    assert debug["synonyms"] == ["rocky mug"]


def test_a_rule_about_nothing_stops_the_run_before_training(tiny_shop: Any, connected: Any) -> None:
    """One sentence; nothing is built."""
    tiny_shop.configure(knowledge={"rules": [{"words": ["rocky"], "brand": "Stome"}]})
    outcome = connected("retrain", *tiny_shop.arguments)
    assert outcome.code == 1
    told = "rule 1 ('rocky') implies the brand 'stome', which no item has; did you mean 'stone'?"
    assert outcome.err.splitlines()[-1] == f"error: knowledge: {told}"
    assert not list(tiny_shop.workspace.glob("candidates/*"))


def test_a_broken_knowledge_file_is_named_with_its_line(tiny_shop: Any, debut: Any) -> None:
    """As debut.yaml's own mistakes are."""
    file = tiny_shop.folder / "knowledge.yaml"
    tiny_shop.configure(knowledge="knowledge.yaml")
    for text, told in {
        "rules:\n  - {words: [rocky]}\n": f"{file}, line 2: `rules.0`: a rule implies something",
        "rules:\n  - {word: [rocky], brand: a}\n": f"{file}, line 2: `rules.0.words` is missing",
        "synonyms:\n  - [mug]\n": f"{file}, line 2: `synonyms.0`",
        "- mug\n": f"{file}: expected keys such as `synonyms:` and `rules:`",
    }.items():
        file.write_text(text)
        outcome = debut("check", *tiny_shop.arguments)
        assert outcome.code == 1 and told in outcome.sentence, outcome.err
    file.unlink()
    assert f"knowledge: there is no file {file}." in debut("check", *tiny_shop.arguments).sentence
