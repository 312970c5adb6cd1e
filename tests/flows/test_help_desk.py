"""The platform on texts that are no shop, by configuration alone: a help desk from its files to a verdict."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from components.data.help_desk import generate
from flows.shop import open_shop


def test_a_help_desk_reaches_a_verdict_with_a_small_encoder(
    connected: Any, tiny_encoder: Path, tmp_path: Path
) -> None:
    """The example's own YAML but for encoder and effort; every population is judged, on tickets alone."""
    generate(tmp_path)
    example = resources.files("components.data") / "examples" / "help_desk.yaml"
    settings = yaml.safe_load(example.read_text())
    settings["encoder"]["name"] = str(tiny_encoder)
    settings["training"] |= {"max_epochs": 1, "max_pairs": 128, "validation_items": 100, "precision": "fp32"}
    settings |= {"gate": {"resamples": 500}, "tracking": {"system_metrics": False}}
    settings["split"]["max_test_requests"] = 150
    config = tmp_path / "debut.yaml"
    config.write_text(yaml.safe_dump(settings))
    outcome = connected("retrain", "--config", config, "--workspace", tmp_path / "work", "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.json
    assert (result["shop"], result["entrance"]) == ("help_desk", "search")
    assert result["verdict"] in ("PROMOTE", "REJECT", "INCONCLUSIVE")
    assert result["quarantined"] == {"items": 0, "events": 0}
    for system in ("challenger", "champion", "bm25"):
        assert all(result[system][name]["requests"] > 0 for name in ("new", "new_only", "established", "all"))


def test_the_example_generates_its_files_by_name(tmp_path: Path) -> None:
    """`debut retrain --config help_desk` needs no root."""
    shop = open_shop("help_desk", None, str(tmp_path))
    assert shop.generated and set(shop.source_digests()) == {"knowledge", "desk"}
    assert (tmp_path / "help_desk" / "shop" / "articles.jsonl").is_file()
