"""The demo flow: the whole loop on a generated shop, told in the terminal.

Nothing in it is staged: every verdict comes from the default policy and from judged requests. The three
challengers are a fine-tuned encoder, a damaged copy of it, and its average with version 0 on few requests.
"""

import time
from dataclasses import replace
from typing import Any

from prefect import flow

from components.contract.records import Candidate
from components.data.demo_shop import generate
from components.index.retrieval import read_plan
from components.release import candidate as candidates
from components.tracking.run import browse_command
from flows import acts, console, releases, stages
from flows.preparation import prepare
from flows.results import verdict_of
from flows.retrain import run_loop
from flows.run import Data, Run, new_run
from flows.server import PrefectServer
from flows.shop import Shop, actor, open_shop

NOISE, NOISE_SEED = 0.5, 7
"""Damage: share of each weight matrix's standard deviation."""
AVERAGE_SHARE = 0.8
FEW_REQUESTS = 40


def run_demo(shop: Shop, server: PrefectServer) -> dict[str, Any]:
    """Generates the shop's files into the workspace and tells the story; returns the demo's JSON."""
    console.chapter("A shop with new items every week")
    root = shop.workspace / "shop"
    generate(root)
    console.fact("files", str(root))
    with server.ready():
        result: dict[str, Any] = tell(str(root), str(shop.workspace.parent))
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
    """Retrain → a damaged copy → an under-powered judged set → rollback."""
    started = time.monotonic()
    shop = open_shop("demo", root, workspace)
    run = new_run(shop)
    result = run_loop(run)
    console.summary(result)
    champion = candidates.read(shop.candidates, shop.decision_log().champion() or "")

    console.chapter("A damaged copy of the champion asks to be promoted")
    damaged = _judge_variant(run, champion, "damaged")

    console.chapter(f"A small change, judged on {FEW_REQUESTS} requests an entrance")
    split = shop.settings.split.model_copy(update={"max_test_requests": FEW_REQUESTS})
    few = new_run(open_shop("demo", root, workspace, {"split": split.model_dump()}))
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
    run = replace(run, run_id=f"{run.run_id}-{kind}")  # its report beside the first run's, not in its place
    data = prepare(run)
    variant = _variant(run, data, champion, kind)
    scorecards = releases.judge_all(run, data, variant, champion)
    report = releases.decide_gate(run, data, scorecards, champion)
    releases.act_on_verdict(run, variant, report)
    result = verdict_of(scorecards, report)
    console.verdict(result["verdict"], result["sentence"])
    return result


def _variant(run: Run, data: Data, champion: Candidate, kind: str) -> Candidate:
    encoder = run.shop.candidates / champion.digest / "encoder"
    base, base_folder = releases.version_0(run)
    inputs: list[Any] = [kind, champion.encoder_digest, base]
    if kind == "damaged":
        digest, folder = run.cached(
            stages.damage_encoder,
            "variant",
            [*inputs, NOISE, NOISE_SEED],
            encoder=encoder,
            noise=NOISE,
            seed=NOISE_SEED,
        )
    else:
        digest, folder = run.cached(
            stages.average_encoders,
            "variant",
            [*inputs, AVERAGE_SHARE],
            first=encoder,
            second=base_folder,
            share=AVERAGE_SHARE,
        )
    return releases.build(run, data, folder, digest, plan=read_plan(run.shop.candidates / champion.digest))
