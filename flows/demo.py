"""The demo flow: the whole loop on a generated shop, told in the terminal.

Nothing in it is staged: every verdict comes from the default policy and from judged requests. The three
challengers are a fine-tuned encoder, a damaged copy of it, and its average with version 0 on few requests.
"""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect import flow

from components.contract.acting import actor
from components.contract.records import Candidate
from components.data.demo_shop import generate
from components.index.retrieval import RANKER, read_plan
from components.release import candidate as candidates
from components.tracking.run import browse_command
from flows import acts, building, console, releases, training_stages
from flows.preparation import prepare
from flows.results import verdict_of
from flows.retrain import run_loop
from flows.run import Data, Run, new_run
from flows.server import PrefectServer
from flows.shop import Shop, open_shop

NOISE, NOISE_SEED = 0.5, 7
"""Damage: share of each weight matrix's standard deviation."""
AVERAGE_SHARE = 0.7
"""The champion's share of its average with version 0 (from 0.5 to 0.9 so few requests settle nothing)."""
FEW_REQUESTS = 300
"""Of each entrance; some 60 have a relevant new item, more than the `min_queries` that a plan takes."""


def run_demo(shop: Shop, server: PrefectServer) -> dict[str, Any]:
    """Generates the shop's files into the workspace and tells the story; returns the demo's JSON."""
    console.chapter("A shop with new items every week")
    generate(shop.root)  # again where the files are there: an older version may have made them
    console.fact("files", str(shop.root))
    with server.ready():
        result: dict[str, Any] = tell(str(shop.root), str(shop.workspace.parent))
    console.next_steps(
        {
            "gate report": str(shop.runs / result["run_id"] / "gate_report.html"),
            "bad rows": str(shop.newest_check() / "quality.html"),
            "MLflow": browse_command(shop.settings, shop.workspace),
            "your own shop": "debut retrain --config debut.yaml",
        }
    )
    return result


@flow(name="demo", flow_run_name="demo")
def tell(root: str, workspace: str) -> dict[str, Any]:
    """Retrain → a damaged copy → an average with version 0, judged on few requests → rollback."""
    started = time.monotonic()
    shop = open_shop("demo", root, workspace)
    run = new_run(shop)
    result = run_loop(run, monitored=False)  # it has no traffic to watch
    console.summary(result)
    champion = candidates.read(shop.candidates, shop.decision_log().champion() or "")

    console.chapter("A damaged copy of the champion asks to be promoted")
    damaged = _judge_variant(run, champion, "damaged")

    console.chapter(f"Averaged with version 0, judged by {FEW_REQUESTS} recommendations and as many searches")
    few = new_run(open_shop("demo", root, workspace, _few_requests(shop)))
    unsure = _judge_variant(few, champion, "averaged")

    console.chapter("Rollback")
    rollback_started = time.monotonic()
    record = acts.roll_back(shop, actor(), to=None, reason="demo: a release can be undone")
    console.decision(record)
    verified = shop.decision_log().verify()
    console.fact("took", f"{time.monotonic() - rollback_started:.1f} s; {verified} decisions verified")
    return result | {
        "verdicts": [result["verdict"], damaged["verdict"], unsure["verdict"]],
        "damaged": damaged,
        "under_powered": unsure,
        "rolled_back_to": record.release,
        "seconds": round(time.monotonic() - started, 1),
    }


def _judge_variant(run: Run, champion: Candidate, kind: str) -> dict[str, Any]:
    """Builds a variant of the champion, judges it against the champion and records the refusal."""
    # Its report beside the first run's, not in its place; and what that one cost is not paid again.
    run = replace(run, run_id=f"{run.run_id}-{kind}", began=datetime.now(UTC), used={})
    data = prepare(run)
    variant = _variant(run, data, champion, kind)
    scorecards = releases.judge_all(run, data, variant, champion)
    report = releases.decide_gate(run, data, scorecards, champion)
    releases.act_on_verdict(run, variant, report)
    result = verdict_of(scorecards, report)
    console.verdict(result["verdict"], result["sentence"])
    return result


def _few_requests(shop: Shop) -> dict[str, Any]:
    """Settings of the under-powered act. By searches it would be rejected: the champion finds nearly all new
    items among the new ones, so a small change cannot gain there."""
    split = shop.settings.split.model_copy(update={"max_test_requests": FEW_REQUESTS})
    judge = shop.settings.judge.model_copy(update={"primary": "recommendation"})
    return {"split": split.model_dump(), "judge": judge.model_dump()}


def _variant(run: Run, data: Data, champion: Candidate, kind: str) -> Candidate:
    served = run.shop.candidates / champion.digest
    encoder = served / "encoder"
    if kind == "damaged":
        inputs: list[Any] = [kind, champion.encoder_digest, NOISE, NOISE_SEED]
        digest, folder = run.cached(
            training_stages.damage_encoder, "variant", inputs, encoder=encoder, noise=NOISE, seed=NOISE_SEED
        )
    else:
        start = building.version_0(run)
        inputs = [kind, champion.encoder_digest, start.digest, AVERAGE_SHARE]
        digest, folder = run.cached(
            training_stages.average_encoders,
            "variant",
            inputs,
            first=encoder,
            second=start.encoder,
            share=AVERAGE_SHARE,
        )
    model = building.Model(folder, digest)
    return building.build(run, data, model, retrieval=(read_plan(served), served / RANKER))
