"""The pretrain flow: an encoder that knows the shop's own words, for later fine-tunes to begin with.

It changes no file of the shop's and promotes nothing: the encoder goes into debut.yaml by hand, and the gate
of the next retrain judges what is fine-tuned from it.
"""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow

from components.contract.files import stage_folder
from components.contract.records import TrainedModel
from components.encoder.base import folder_digest, resolve_base
from components.pretraining.spec import Measured, Pretrained, PretrainingSpec, read_pretrained
from components.tracking.pretrained import register_pretrained
from components.tracking.run import Tracker, start
from flows import building, console, console_pretrain, pretrain_stages
from flows.lease import retrain_lease
from flows.preparation import prepare
from flows.run import Data, Run, new_run
from flows.shop import open_shop
from flows.training_spec import current_miner, fine_tuned

Recall = dict[str, float | None]


@flow(name="pretrain", flow_run_name="pretrain {config}")
def pretrain(
    config: str, root: str | None = None, workspace: str | None = None, downstream: bool = True
) -> dict[str, Any]:
    """Pretrains, measures before and after, registers; returns figures and the encoder's folder.

    downstream: also fine-tunes from both, as a retrain would, and compares those on the validation part.
    """
    run = new_run(open_shop(config, root, workspace))
    with retrain_lease(run.shop, run.run_id, "pretraining"):
        return _pretrain(run, downstream)


def _pretrain(run: Run, downstream: bool) -> dict[str, Any]:
    began = time.monotonic()
    settings, workspace = run.shop.settings, run.shop.workspace
    console.chapter("Data")
    data = prepare(run)
    console.data(data)
    tags = {"kind": "pretrain", "run_id": run.run_id}
    with start(settings, workspace, name=f"pretrain {run.run_id}", tags=tags) as tracker:
        tracker.parameters({"pretraining": settings.pretraining.model_dump(mode="json")})
        console.chapter("Pretrain")
        trained, folder = _trained(run, data)
        told = read_pretrained(folder / "encoder")
        if told is None:
            raise AssertionError("pretraining writes what it was made of")
        kept = _keep(run, folder / "encoder", trained.encoder_digest)
        recall = _recalls(run, data, kept, trained.encoder_digest, downstream)
        version = _record(tracker, run, folder, kept, trained, told, recall)
    return {
        "encoder": str(kept),
        "digest": trained.encoder_digest,
        "version": version,
        "perplexity": {"before": told.before.perplexity, "after": told.after.perplexity},
        "matching_accuracy": {
            "before": told.before.matching_accuracy,
            "after": told.after.matching_accuracy,
        },
        "head_steps": told.head_steps,
        "start": told.start,
        "recall": recall,
        "entrance": data.prepared.entrances[0],
        "texts": trained.pairs,
        "steps": trained.steps,
        "training_seconds": round(trained.seconds, 1),
        "seconds": round(time.monotonic() - began, 1),
        "run_id": run.run_id,
        "shop": settings.shop,
        "yaml": console_pretrain.yaml_lines(kept),
    }


def _trained(run: Run, data: Data) -> tuple[TrainedModel, Path]:
    settings = run.shop.settings
    own, fields = settings.pretraining, settings.encoder.item_fields
    corpus, texts = run.cached(
        pretrain_stages.collect_text,
        "corpus",
        [data.prepared.digest, data.checked.digest, fields, own.seed, own.held_out_share],
        split_folder=data.split,
        checked=data.checked_folder,
        fields=fields,
        settings=own,
    )
    console_pretrain.corpus(corpus)
    base, digest = _start(run, texts, corpus.digest)
    spec = PretrainingSpec(
        start=str(base),
        start_digest=digest,
        encoder=settings.encoder,
        pretraining=own,
        training=settings.training,
        corpus=str(texts),
        corpus_digest=corpus.digest,
    )
    ranks = settings.training.model_dump(include={"ranks", "cpu_ranks", "precision"})
    inputs = [corpus.digest, digest, settings.encoder, own, ranks]
    return run.cached(pretrain_stages.pretrain_encoder, "pretrain", inputs, spec=spec)


def _start(run: Run, corpus: Path, corpus_digest: str) -> tuple[Path, str]:
    """Folder and digest of the model to begin with."""
    settings = run.shop.settings
    if settings.pretraining.start == "encoder":
        return resolve_base(settings.encoder), run.fingerprint["base_weights"]
    _, folder = run.cached(
        pretrain_stages.begin_from_scratch,
        "scratch",
        [corpus_digest, settings.pretraining, settings.encoder.max_length],
        corpus=corpus,
        settings=settings.pretraining,
        max_length=settings.encoder.max_length,
    )
    return folder, folder_digest(folder, settings.encoder)


def _keep(run: Run, encoder: Path, digest: str) -> Path:
    """Copies the encoder out of the stages, whose folders may be deleted at any time."""
    kept = run.shop.workspace / "pretrained" / digest[:12]
    # Equal weights may be made of other items and queries, which are noted beside them.
    if not kept.is_dir() or read_pretrained(kept) != read_pretrained(encoder):
        with stage_folder(kept) as out:
            shutil.copytree(encoder, out, dirs_exist_ok=True)
    return kept


def _recalls(run: Run, data: Data, kept: Path, digest: str, downstream: bool) -> dict[str, Recall]:
    """Of the primary entrance, by vectors alone: as they are and – downstream – fine-tuned on the same pairs,
    with negatives mined by the same encoder; not by a warm start, which would begin with neither of them."""
    base = building.version_0(run)
    recalls = {
        "before": _recall(run, data, base.encoder, base.digest, "before"),
        "after": _recall(run, data, kept, digest, "after"),
    }
    if downstream:
        settings = run.shop.settings
        method = settings.training.method
        method = "full" if method in ("query_side", "prefix") else method  # those need a champion, a base
        training = settings.training.model_copy(
            update={"start": "base", "method": method, "adapter_only": False}
        )
        encoder = settings.encoder.model_copy(update={"name": str(kept)})
        settings = settings.model_copy(update={"training": training})
        before = replace(run, shop=replace(run.shop, settings=settings))
        miner = current_miner(before, data)
        after = replace(
            run,
            shop=replace(run.shop, settings=settings.model_copy(update={"encoder": encoder})),
            fingerprint=run.fingerprint | {"base_weights": folder_digest(kept, encoder)},
        )
        for name, of in (("fine-tuned before", before), ("fine-tuned after", after)):
            model, folder = fine_tuned(of, data, miner)
            recalls[name.replace("-", "_").replace(" ", "_")] = _recall(
                run, data, folder / "encoder", model.encoder_digest, name
            )
    return recalls


def _recall(run: Run, data: Data, encoder: Path, digest: str, model: str) -> Recall:
    training = run.shop.settings.training
    recalls, _ = run.cached(
        pretrain_stages.measure_recall,
        "recall",
        [data.prepared.digest, digest, training.validation_items, training.seed],
        encoder=encoder,
        split_folder=data.split,
        training=training,
        model=model,
    )
    found: Recall = recalls[data.prepared.entrances[0]]
    return found


def _record(
    tracker: Tracker,
    run: Run,
    folder: Path,
    kept: Path,
    trained: TrainedModel,
    told: Pretrained,
    recall: dict[str, Recall],
) -> str:
    """Metrics and weights into MLflow; the number of the version."""
    tracker.epochs(folder / "metrics.jsonl")
    figures = {
        f"{name}/{when}": getattr(measured, name)
        for when, measured in (("before", told.before), ("after", told.after))
        for name in Measured.model_fields
    } | {f"recall/{when}/{which}": value for when, of in recall.items() for which, value in of.items()}
    tracker.metrics(figures | {"training/seconds": trained.seconds, "training/steps": trained.steps})
    known = {name: value for name, value in figures.items() if value is not None}
    return register_pretrained(tracker, kept, run.shop.settings.shop, trained.encoder_digest, known)
