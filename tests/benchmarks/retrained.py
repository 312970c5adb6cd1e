"""Our own system of `make bench-recall`: a first retrain per seed, by the retrain flow's own functions.

Each seed's challenger is judged through its own retrieval path beside the same champion, version 0. No
verdict is acted on, so the seeds do not learn from each other. Stages come from the workspace's cache where
nothing they depend on changed, and a training that was killed goes on from its checkpoint, as in any retrain.
"""

from pathlib import Path
from typing import Any

from recall_shop import DATASETS, BenchShop, open_changed

from components.contract.digests import sha256_json
from components.evaluation.scorecard import Scorecard
from flows.embedded import keep_prefect_in
from flows.shop import Shop

NOT_SEEDED = {"split", "gate"}
"""Their seeds draw the requests that are judged, and the resamples."""


def retrained(
    bench: BenchShop, folder: Path, seeds: int, pairs: int | None
) -> tuple[dict[str, list[Scorecard]], list[bool]]:
    """Scorecards of "debut" per seed and of "debut_version_0"; per seed whether every stage was cached."""
    keep_prefect_in(folder)
    from flows.fingerprint import run_fingerprint

    root = bench.shop.root
    settings = [_settings(bench, seed, pairs) for seed in range(seeds)]
    first = open_changed(DATASETS[bench.name], root, folder, **settings[0])
    # A champion of other code or settings is another version 0: each has a workspace of its own.
    workspace = folder / f"debut-{sha256_json(run_fingerprint(first))[:12]}"
    from flows.server import PrefectServer

    cards: dict[str, list[Scorecard]] = {"debut": [], "debut_version_0": []}
    cached = []
    with PrefectServer().ready():
        for changes in settings:
            shop = open_changed(DATASETS[bench.name], root, workspace, **changes)
            card, version_0, was_cached = _first_retrain(shop, bench.prepared.digest)
            cards["debut"].append(card)
            cards["debut_version_0"] = [version_0]
            cached.append(was_cached)
    return cards, cached


def _settings(bench: BenchShop, seed: int, pairs: int | None) -> dict[str, Any]:
    """Per section that has one another seed, and at most so many training pairs."""
    settings = bench.settings
    sections = {
        name: getattr(settings, name).model_dump() | {"seed": seed}
        for name in type(settings).model_fields
        if name not in NOT_SEEDED and "seed" in getattr(type(getattr(settings, name)), "model_fields", {})
    }
    if pairs is not None:
        sections["training"]["max_pairs"] = pairs
    return sections


def _first_retrain(shop: Shop, data_digest: str) -> tuple[Scorecard, Scorecard, bool]:
    from prefect import flow

    from components.tracking.run import start
    from flows import building, console, releases
    from flows.lease import retrain_lease
    from flows.preparation import prepare
    from flows.retrain import fine_tune
    from flows.run import new_run

    console.open_terminal(as_json=True)

    @flow(name="bench-recall", persist_result=False)
    def first_retrain() -> tuple[Scorecard, Scorecard, bool]:
        stages = shop.workspace / "stages"
        before = set(stages.iterdir()) if stages.is_dir() else set()
        run = new_run(shop)
        with (
            retrain_lease(shop, run.run_id),
            start(shop.settings, shop.workspace, name=run.run_id, tags={"run_id": run.run_id}) as tracker,
        ):
            data = prepare(run)
            if data.prepared.digest != data_digest:
                raise SystemExit("our split is not the peers': the sources changed while the benchmark ran.")
            champion = releases.serving_release(run, data, tracker)
            (model, folder), retrieval = fine_tune(run, data, champion)
            fine_tuned = building.Model(folder / "encoder", model.encoder_digest)
            challenger = building.build(run, data, fine_tuned, retrieval=retrieval)
            card = releases.judged(run, data, challenger, "challenger")
            version_0 = releases.judged(run, data, champion, "champion")
        return card, version_0, set(run.used) <= before

    return first_retrain()
