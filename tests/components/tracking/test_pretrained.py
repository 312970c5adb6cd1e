import pytest

from components.contract.pretraining import PretrainingSettings
from components.pretraining.spec import PROVENANCE, Measured, Pretrained
from components.tracking.description import DESCRIPTION_CHARACTERS
from components.tracking.pretrained import describe_pretrained, register_pretrained
from components.tracking.run import start

DIGEST = "ab" * 32
FIGURES = {
    "perplexity/before": 3097.04,
    "perplexity/after": 108.2,
    "recall/before/new": 0.67,
    "recall/after/new": 0.272,
    "recall/before/established": 0.57,
    "recall/after/established": 0.249,
    "recall/fine_tuned_before/new": 0.737,
    "recall/fine_tuned_after/new": 0.743,
}


@pytest.fixture
def kept(tmp_path):
    """A function that makes the folder that `debut pretrain` keeps, without weights."""

    def make(**changed):
        folder = tmp_path / DIGEST[:12]
        folder.mkdir(exist_ok=True)
        told = Pretrained(
            start="owner/model",
            start_digest="c" * 64,
            corpus_digest="d" * 64,
            items=tuple(map(str, range(1_200))),
            queries=("q", "r"),
            settings=PretrainingSettings(epochs=2),
            head_steps=40,
            before=Measured(perplexity=3097.04, matching_accuracy=None),
            after=Measured(perplexity=108.2, matching_accuracy=None),
        ).model_copy(update=changed)
        (folder / PROVENANCE).write_text(told.model_dump_json())
        return folder

    return make


def test_the_page_of_a_version_is_its_model_card(make_settings, workspace, kept):
    """What it gained and lost, what it read, how to begin with it, and that no gate has judged it; a digest
    that is registered keeps its version and learns what was measured since."""
    folder = kept()
    with start(make_settings(), workspace) as tracker:
        first = {name: value for name, value in FIGURES.items() if "fine_tuned" not in name}
        number = register_pretrained(tracker, folder, "demo", DIGEST, first)
    with start(make_settings(), workspace) as later:
        since = {name: value for name, value in FIGURES.items() if name not in first}
        assert register_pretrained(later, folder, "demo", DIGEST, since) == number
    version = tracker.connection.client.get_model_version("demo-pretrained", number)
    assert version.tags["digest"] == DIGEST and version.tags["perplexity/after"] == "108.2"
    for part in (
        "on demo's text, to begin fine-tuning with. No gate judged it.",
        "- perplexity of held-out text: 3,097.0 → 108.2 (less is better; before: its new prediction head "
        "trained alone for 40 steps)",
        "by vectors alone: new items 0.670 → 0.272, established 0.570 → 0.249\n",
        "fine-tuned on the same pairs: new items 0.737 → 0.743\n",
        "of 1,200 items, and 2 queries, all of the training side",
        "- epochs: 2, beginning with owner/model `cccccccccccc`",
        f"```yaml\nencoder:\n  name: {folder}\n```",
        f"download `runs:/{tracker.run_id}/pretrained` into a folder `abababababab`",
        "**Known limits**",
    ):
        assert part in version.description


def test_what_was_not_measured_has_no_line(kept):
    """No pairs, no fine-tuning, no head of its own; from scratch there is no encoder that it began with."""
    folder = kept(start="scratch", head_steps=0, queries=None)
    text = describe_pretrained(folder, "demo", {"perplexity/before": 30.0, "perplexity/after": 20.0}, "r")
    assert "30.0 → 20.0 (less is better)\n" in text and "beginning with random weights" in text
    assert "an unknown number of queries" in text
    assert not [word for word in ("recall@10", "title finds", "fine-tuned on the same") if word in text]
    matched = {"matching_accuracy/before": 0.125, "matching_accuracy/after": 0.8}
    assert "in a batch: 12.5% → 80.0%" in describe_pretrained(folder, "demo", matched, "r")


def test_a_long_name_of_the_start_is_cut(kept):
    text = describe_pretrained(kept(start="long/" * 2_000), "demo", FIGURES, "r")
    assert len(text) == DESCRIPTION_CHARACTERS
