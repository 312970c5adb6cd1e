"""One rank's pretraining run, in this process, and as a process of its own that is killed."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file

from components.contract.errors import LeakageError, TrainingError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.contract.pretraining import PretrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.pretraining.corpus import collect
from components.pretraining.fit import run_rank
from components.pretraining.spec import PROVENANCE, PretrainingSpec, check_base, read_pretrained
from components.training.attempts import Attempt, begin_attempt, newest_checkpoint, read_result
from components.training.launch import train

FIELDS = ("title", "brand")


class EndAfter(Callback):
    """Raises after a step: all that a killed process would leave is on disk, nothing else."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise InterruptedError


@pytest.fixture
def spec(text: Any, settings: PretrainingSettings, tiny_encoder: Path, tmp_path: Path) -> PretrainingSpec:
    corpus = collect(text.split, text.checked, FIELDS, settings, tmp_path / "corpus")
    return PretrainingSpec(
        start=str(tiny_encoder),
        start_digest="tiny",
        encoder=EncoderSettings(name="tiny", max_length=16, item_fields=FIELDS),
        pretraining=settings,
        training=TrainingSettings(precision="fp32"),
        corpus=str(tmp_path / "corpus"),
        corpus_digest=corpus.digest,
    )


def _run(spec: PretrainingSpec, work: Path, *extra: Callback) -> Attempt:
    attempt = begin_attempt(work, spec)
    run_rank(attempt.folder, extra)
    return attempt


def test_it_learns_the_words_and_which_description_belongs_to_a_title(
    spec: PretrainingSpec, text: Any, tmp_path: Path
) -> None:
    """On items it has not read. The saved folder is an encoder that fine-tuning can begin with, knows what
    it was made of, and is refused where one of its items is held out."""
    attempt = _run(spec, tmp_path / "work")
    pretrained = read_pretrained(attempt.model)
    assert pretrained is not None
    before, after = pretrained.before, pretrained.after
    assert pretrained.head_steps > 0  # the tiny encoder has no head
    assert after.perplexity < 0.6 * before.perplexity
    assert after.matching_accuracy is not None and before.matching_accuracy is not None
    assert after.matching_accuracy > before.matching_accuracy + 0.2
    lines = [json.loads(line) for line in attempt.metrics.read_text().splitlines()]
    epochs = [line["perplexity"] for line in lines if line["kind"] == "epoch"]
    assert len(epochs) == spec.pretraining.epochs and epochs[-1] == after.perplexity
    encoder = TransformerEncoder.load_saved(attempt.model)
    assert encoder.digest == read_result(attempt).encoder_digest
    assert encoder.settings == spec.encoder
    check_base(attempt.model, text.split)
    held_out = pretrained.model_copy(update={"items": ("1234", *pretrained.items)})
    assert held_out.items  # the split's own held-out items are not among them; another split's are:
    _hold_out("i00", text.split, tmp_path / "other")
    with pytest.raises(LeakageError, match=r"1 texts of items that are held out now, first 'i00'"):
        check_base(attempt.model, tmp_path / "other")


def test_a_base_is_refused_that_read_a_duplicate_of_a_held_out_item_or_a_held_out_query(
    spec: PretrainingSpec, text: Any, tmp_path: Path
) -> None:
    """The item's twin was there before it; and another seed of an undated split may hold out a query."""
    once = spec.model_copy(update={"pretraining": spec.pretraining.model_copy(update={"epochs": 1})})
    base = _run(once, tmp_path / "work").model
    twin = shutil.copytree(text.split, tmp_path / "twin")
    items = pl.read_parquet(twin / "items.parquet")
    new = items.filter("is_new").get_column("item_id")[0]
    group = pl.when(pl.col("item_id") == "i01").then(pl.lit(new)).otherwise("group")
    items.with_columns(group=group).write_parquet(twin / "items.parquet")
    seed = shutil.copytree(text.split, tmp_path / "seed")
    query = pl.read_parquet(seed / "train" / "search.parquet").get_column("query")[0]
    asked = pl.DataFrame({"entrance": ["search"], "request_id": [query], "text": [query]})
    asked.write_parquet(seed / "test" / "requests.parquet")
    undated = json.dumps({"validation_cutoff": None, "cutoff": None})
    for split, told in ((twin, "1 texts of items .* first 'i01'"), (seed, f"1 queries .* first '{query}'")):
        check_base(base, split)  # dated: an old item's variant is new, a query was asked before
        (split / "split.json").write_text(undated)
        with pytest.raises(LeakageError, match=told):
            check_base(base, split)
    noted = json.loads((base / PROVENANCE).read_text())
    del noted["queries"]
    (base / PROVENANCE).write_text(json.dumps(noted))
    with pytest.raises(LeakageError, match="an earlier version made it"):
        check_base(base, seed)


def test_what_an_earlier_pretraining_read_is_not_forgotten(spec: PretrainingSpec, tmp_path: Path) -> None:
    """A base that is pretrained again knows both texts."""
    once = spec.model_copy(update={"pretraining": spec.pretraining.model_copy(update={"epochs": 1})})
    first = _run(once, tmp_path / "first").model
    told = json.loads((first / PROVENANCE).read_text())
    (first / PROVENANCE).write_text(json.dumps(told | {"items": ["elsewhere"]}))
    again = read_pretrained(_run(once.model_copy(update={"start": str(first)}), tmp_path / "again").model)
    assert again is not None and set(again.items) == {"elsewhere", *told["items"]}


def _hold_out(item: str, split: Path, other: Path) -> None:
    shutil.copytree(split, other)
    items = pl.read_parquet(split / "items.parquet")
    items.with_columns(is_new=pl.col("is_new") | (pl.col("item_id") == item)).write_parquet(
        other / "items.parquet"
    )


def test_the_encoder_waits_while_a_new_head_learns(spec: PretrainingSpec, tmp_path: Path) -> None:
    """After the head's steps the encoder's weights are still the base's, and the head's are not."""
    head_steps = round(0.5 * 12 * 6)
    slow = spec.model_copy(update={"pretraining": spec.pretraining.model_copy(update={"head_share": 0.5})})
    attempt = begin_attempt(tmp_path / "work", slow)
    with pytest.raises(InterruptedError):
        run_rank(attempt.folder, [EndAfter(head_steps)])
    base = load_file(Path(spec.start) / "model.safetensors")
    checkpoint = newest_checkpoint(attempt)
    assert checkpoint is not None
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name, value in base.items():
        assert torch.equal(state[f"model.bert.{name}"], value), name
    assert float(state["model.cls.predictions.bias"].abs().max()) > 0


def test_a_resumed_run_ends_as_an_uninterrupted_one(spec: PretrainingSpec, tmp_path: Path) -> None:
    whole = _run(spec, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        _run(spec, tmp_path / "cut", EndAfter(40))
    resumed = _run(spec, tmp_path / "cut")
    left, right = (load_file(one.model / "model.safetensors") for one in (whole, resumed))
    assert max(float((left[name] - right[name]).abs().max()) for name in left) == 0.0
    assert read_pretrained(whole.model) == read_pretrained(resumed.model)


def test_ranks_are_started_as_trainings_are(spec: PretrainingSpec, tmp_path: Path) -> None:
    """By torchrun on two processes: one result, whose head and encoder both learned."""
    two = spec.model_copy(update={"training": TrainingSettings(precision="fp32", ranks=2)})
    found: list[dict[str, Any]] = []
    trained = train(two, tmp_path / "work", tmp_path / "out", found.append, package="components.pretraining")
    pretrained = read_pretrained(tmp_path / "out" / "encoder")
    assert pretrained is not None and trained.steps == 72
    assert pretrained.after.perplexity < 0.7 * pretrained.before.perplexity
    assert [line for line in found if line["kind"] == "step"][-1]["step"] == 72
    assert all("texts_per_second" in line for line in found if line["kind"] == "step")


@pytest.mark.parametrize(("size", "least"), [(2, 4), (3, 4)])
def test_a_batch_that_leaves_a_rank_a_single_title_is_refused(
    spec: PretrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, least: int
) -> None:
    """It would learn nothing of which description belongs to which, without a word."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    small = spec.pretraining.model_copy(update={"batch_size": size})
    with pytest.raises(TrainingError, match=f"too few for 2 ranks.*set at least {least}"):
        _run(spec.model_copy(update={"pretraining": small}), tmp_path / "work")


def test_a_run_that_went_astray_says_so(spec: PretrainingSpec, tmp_path: Path) -> None:
    """Not that its checkpoint is there to go on from."""
    wild = spec.pretraining.model_copy(update={"learning_rate": 1e6, "epochs": 1, "head_share": 0.0})
    with pytest.raises(TrainingError, match=r"went astray.*pretraining\.learning_rate"):
        _run(spec.model_copy(update={"pretraining": wild}), tmp_path / "work")
