"""A trial trains as a retrain does, and is judged by what training left, on the validation part."""

import json
import shutil

import polars as pl
import pytest

from components.contract.errors import JudgeError
from components.contract.learning import TrainingSettings
from components.contract.retrieving import RetrievalSettings
from components.encoder.transformer import TransformerEncoder
from components.training import validation
from components.tuning.trial import Watch, check_validation, run_trial, validated

AUTO = RetrievalSettings()


def never(*_: object) -> bool:
    return False


@pytest.mark.slow
def test_an_interrupted_trial_goes_on_and_is_judged_by_the_encoder_that_it_leaves(
    make_spec, shop, tmp_path, monkeypatch
):
    """Ended after its first checkpoint, it continues there. With fine_tuned_share 0 the finished encoder is
    the one that training began with, so that one's recall is the trial's, whatever an epoch's weights had;
    only the validation part is read, by the name of tuning."""
    readers = []
    original = validation.read_judged
    monkeypatch.setattr(
        validation,
        "read_judged",
        lambda split, part, reader: readers.append((part, reader)) or original(split, part, reader),
    )
    spec = make_spec(epochs=4, validation=True, patience=4, checkpoint_every_steps=2, fine_tuned_share=0.0)
    spec = spec.model_copy(update={"interim": 2})
    folder, lines, places = tmp_path / "trial", [], []

    def checkpointed() -> bool:
        return any(folder.glob("attempts/0001/checkpoints/*.ckpt"))

    def kept(file) -> None:
        lines.extend(json.loads(line) for line in file.read_text().splitlines())

    first = run_trial(spec, folder, Watch(never, checkpointed, kept), AUTO)
    assert (first.state, first.recall, lines) == ("interrupted", None, [])
    watch = Watch(lambda place, recall: places.append(place), never, kept)
    second = run_trial(spec, folder, watch, AUTO)
    assert list(folder.parent.glob("trial*")) == []
    assert (second.state, places) == ("done", [1, 2])
    assert lines[-1]["step"] == 36
    shop.load().save(tmp_path / "start")
    assert second.recall == validated(tmp_path / "start", shop.split, spec.training, "search", AUTO)
    assert second.recall != max(line["recall"] for line in lines if line["kind"] == "epoch")
    assert readers == [("validation", "tuning")] * 2


def test_a_trial_that_was_trained_but_not_judged_is_not_trained_again(make_spec, shop, tmp_path):
    """Killed between the two: the next call judges what is there."""
    spec = make_spec(epochs=1, validation=True)
    out = tmp_path / "trial" / "out"
    TransformerEncoder.load(shop.base, shop.encoder).save(out / "encoder")
    (out / "metrics.jsonl").write_text('{"kind": "step", "step": 9}\n')
    (out / "usage.json").write_text(
        '{"seconds": 7.5, "cpu_seconds": 9.0, "gpu_seconds": 0.0, "peak_memory_mb": 1.0, "cpu_joules": null,'
        '"gpu_joules": null, "ended": "2026-01-01T00:00:00Z"}'
    )
    read = []
    outcome = run_trial(
        spec, tmp_path / "trial", Watch(never, never, lambda file: read.append(file.name)), AUTO
    )
    assert (outcome.state, outcome.seconds, read) == ("done", 7.5, ["metrics.jsonl"])


def test_a_poor_trial_ends_at_its_first_place_and_leaves_nothing(make_spec, tmp_path):
    """A third of its steps: the ranks are ended, the folder is gone."""
    spec = make_spec(epochs=3, validation=True).model_copy(update={"interim": 2})
    places = []
    watch = Watch(lambda place, recall: places.append((place, recall)) or True, never, lambda file: None)
    outcome = run_trial(spec, tmp_path / "trial", watch, AUTO)
    assert (outcome.state, outcome.recall) == ("stopped early", None)
    assert [place for place, _ in places] == [1]
    assert not (tmp_path / "trial").exists()


def test_words_count_in_a_trial_as_they_will_in_the_release(shop, tmp_path):
    """At the weight that suits its encoder; as many found as by vectors alone where the shop wants those."""
    encoder = shop.load()
    encoder.save(tmp_path / "encoder")
    training = TrainingSettings(validation_items=100)
    alone = validation.read_validation(shop.split, shop.encoder, training)
    by_vectors = validation.validation_recall(alone, encoder.encode_items(alone.texts), encoder)
    none, fixed, best = (
        validated(tmp_path / "encoder", shop.split, training, "search", RetrievalSettings(**wanted))
        for wanted in ({"lexical_weight": 0.0}, {"lexical_weight": 1.0, "grams_share": 0.0}, {})
    )
    assert none == validation.stopping_recall(by_vectors, "search")
    assert none < fixed <= best


def test_without_validation_requests_nothing_is_trained(shop, tmp_path):
    """One sentence, and which setting gives more."""
    split = tmp_path / "split"
    shutil.copytree(shop.split, split)
    path = split / "validation" / "requests.parquet"
    requests = pl.read_parquet(path)
    encoder, training = shop.encoder, TrainingSettings(validation_items=100)
    assert check_validation(split, encoder, training, "search") == len(requests)
    requests.head(0).write_parquet(path)
    with pytest.raises(JudgeError, match=r"no judged search request.*split\.validation_window_days"):
        check_validation(split, encoder, training, "search")
