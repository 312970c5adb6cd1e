"""The undiscoverable items of a release, on the command line."""

from pathlib import Path

from components.contract.digests import sha256_tree
from components.contract.errors import DataError, PromotionError
from components.contract.files import stage_folder
from components.contract.live import Change
from components.evaluation.undiscoverable_report import UndiscoverableReport
from components.index.items_table import ItemsTable
from components.index.retrieval import INDEX
from components.release import candidate as candidates
from components.release.discoverability import check_release
from flows.shop import Shop


def undiscoverable_items(shop: Shop, digest: str | None = None) -> tuple[UndiscoverableReport, Path]:
    """A release's (None: the champion's) report on the new items of the data it was built on and on those
    that were PUT since; and the folder with its files.

    Raises PromotionError before the first champion, DataError where that data's split is gone.
    """
    digest = digest or shop.decision_log().champion()
    if digest is None:
        raise PromotionError("There is no champion yet: run `debut retrain` first.")
    folder = shop.candidates / digest
    candidates.verify(folder)
    split = split_of(shop, candidates.load_fingerprint(folder).data_digest)
    with stage_folder(shop.undiscoverable / digest) as out:
        report = check_release(folder, folder / INDEX, split, shop.settings.judge.k, out, live_changes(shop))
    return report, shop.undiscoverable / digest


def live_changes(shop: Shop) -> list[Change]:
    """What was PUT or deleted; nothing where the service never ran."""
    place = shop.live_items
    if not place.startswith("s3://") and not Path(place).exists():
        return []
    return ItemsTable.open(place).changes_since(0)


def split_of(shop: Shop, digest: str) -> Path:
    """The split's folder by its digest. Raises DataError where it is gone."""
    for folder in sorted((shop.workspace / "stages").glob("split-*")):
        if sha256_tree(folder) == digest:
            return folder
    raise DataError(
        f"{shop.workspace / 'stages'}: the split that this is about is gone; `debut retrain --force` makes "
        f"it again where data and settings are as they were."
    )
