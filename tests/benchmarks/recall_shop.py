"""The data that `make bench-recall` ranks: a shop's split, made by the product's own functions."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from peer_cache import PeerCache

import components
from components.contract.digests import sha256_tree
from components.contract.files import write_json
from components.contract.ports import Request
from components.contract.records import Entrance, PreparedData
from components.contract.settings import Settings
from components.data.demo_shop import generate
from components.data.sources import load
from components.encoder.texts import item_texts
from components.evaluation.judge import judge
from components.evaluation.scorecard import EntranceScores
from components.evaluation.slices import trained_items
from components.quality.checks import inspect
from components.split.judged import JUDGE, JudgedSet, read_judged
from components.split.split import split
from components.training.validation import Validation, read_validation
from flows.shop import Shop, open_shop

DATA = Path("../shared/data")
PREPARED = "prepared.json"
SECOND_FOLD = {"cutoff": "2011-07-01", "judge_window_days": 170}
"""The window is, as at the main cut-off, to the end of the log."""


@dataclass(frozen=True)
class Dataset:
    config: str
    split: dict[str, Any]
    """What differs from the example's own split."""


DATASETS = {
    "home_depot": Dataset("home_depot", {}),
    "online_retail": Dataset("online_retail", {}),
    "online_retail_2011_07": Dataset("online_retail", SECOND_FOLD),
    "best_buy": Dataset("best_buy", {}),
    "demo": Dataset("demo", {}),
}


@dataclass(frozen=True)
class BenchShop:
    name: str
    shop: Shop
    split: Path
    prepared: PreparedData

    @property
    def settings(self) -> Settings:
        return self.shop.settings

    @property
    def entrance(self) -> Entrance:
        return self.prepared.entrances[0]

    @cached_property
    def catalogue(self) -> pl.DataFrame:
        return pl.read_parquet(self.split / "items.parquet")

    @cached_property
    def item_ids(self) -> list[str]:
        ids: list[str] = self.catalogue.get_column("item_id").to_list()
        return ids

    @cached_property
    def texts(self) -> list[str]:
        return item_texts(self.catalogue, self.settings.encoder.item_fields)

    @cached_property
    def judged(self) -> dict[Entrance, JudgedSet]:
        """The primary entrance of the test part: read to rank and judge it, by nothing that is trained."""
        return {self.entrance: read_judged(self.split, "test", reader=JUDGE)[self.entrance]}

    @property
    def requests(self) -> tuple[Request, ...]:
        return self.judged[self.entrance].requests

    @cached_property
    def validation(self) -> Validation:
        """Its requests of the primary entrance among all items that were there before the cut-off."""
        everything = self.settings.training.model_copy(update={"validation_items": None})
        found = read_validation(self.split, self.settings.encoder, everything)
        return Validation(
            {self.entrance: found.judged[self.entrance]}, found.item_ids, found.texts, found.new
        )

    def purchases(self, part: str, *more: str) -> pl.DataFrame:
        """user_id, item_id and the columns `more` of first purchases; part: "train" (before the validation
        window), else all before the cut-off where the shop trains on them in the end."""
        if part == "refit" and not (self.split / "refit" / "purchases.parquet").is_file():
            part = "train"
        return pl.read_parquet(self.split / part / "purchases.parquet").select("user_id", "item_id", *more)

    def scores(self, retriever: Any) -> EntranceScores:
        """The retriever's measures per test request, by the product's judge."""
        card = judge(
            retriever,
            self.judged,
            self.catalogue,
            self.settings.judge,
            primary=self.entrance,
            digest=None,
            trained=trained_items(self.split),
            judged_until=self.prepared.judged_until,
        )
        return card.entrances[self.entrance]

    def excludes_past_purchases(self) -> bool:
        """Whether no judged list, and nothing that counts as found, holds what its user bought before the
        cut-off: then established recall is established-unseen recall."""
        relevant = self.judged[self.entrance].relevant
        return all(
            set(request.history) <= request.exclude and not relevant[request.request_id] & request.exclude
            for request in self.requests
        )


def open_bench(name: str, root: Path | None, folder: Path) -> BenchShop:
    """folder: the benchmark's own; a split of the same sources, settings and code in it is used again."""
    dataset = DATASETS[name]
    root = root or (folder / "files" if dataset.config == "demo" else DATA / dataset.config)
    if dataset.config == "demo" and not root.is_dir():
        generate(root)
    shop = open_changed(dataset, root, folder)
    settings = shop.settings.model_dump(
        mode="json", include={"sources", "tables", "quality", "split", "judge"}
    )
    package = Path(components.__path__[0])
    code = {name: sha256_tree(package / name) for name in ("contract", "data", "quality", "split")}
    key = {"sources": shop.source_digests(), "settings": settings, "code": code}

    def make(out: Path) -> None:
        loaded, checked, parts = (out / stage for stage in ("load", "check", "split"))
        for stage in (loaded, checked, parts):
            stage.mkdir()
        load(shop.settings, shop.root, shop.workspace, loaded)
        inspect(loaded, shop.settings.quality, checked)
        prepared = split(checked, shop.settings.split, parts, shop.settings.judge.primary)
        write_json(out / PREPARED, prepared.model_dump(mode="json"))

    place, _ = PeerCache(folder).made("data", key, make)
    prepared = PreparedData.model_validate_json((place / PREPARED).read_bytes())
    return BenchShop(name, shop, place / "split", prepared)


def open_changed(dataset: Dataset, root: Path, workspace: Path, **changes: Any) -> Shop:
    """The example shop with the data set's split; changes: whole sections."""
    shop = open_shop(dataset.config, str(root), str(workspace))
    if dataset.split:
        changes["split"] = shop.settings.split.model_dump() | dataset.split
    return open_shop(dataset.config, str(root), str(workspace), changes or None)
