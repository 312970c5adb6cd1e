"""A reviewer's answer is the tag `review` of the version, and names the release it is about."""

import pytest

from components.tracking.registry import mirror_aliases, register
from components.tracking.review_tag import TAG, delete_review_tag, read_review_tag
from components.tracking.run import start

D = "d" * 64


@pytest.fixture
def registered(make_settings, workspace, candidate_folder, make_card):
    with start(make_settings(), workspace) as tracker:
        register(tracker, candidate_folder, make_card())
    mirror_aliases(tracker.connection, "demo", {"challenger": D})
    return tracker.connection


def set_tag(connection, value):
    connection.client.set_model_version_tag("demo", "1", TAG, value)


@pytest.mark.parametrize(
    ("value", "approved", "reason"),
    [
        (f"approved:{D[:12]}", True, "approved in MLflow"),
        (f" approved: {D} ", True, "approved in MLflow"),
        (f"rejected:{D[:12]} too many chairs", False, "too many chairs"),
        (f"rejected:{D[:12]}", False, "rejected in MLflow"),
    ],
)
def test_an_answer_about_this_release_is_read(registered, value, approved, reason):
    """Approval or rejection, with twelve or more characters of D and perhaps a reason."""
    set_tag(registered, value)
    tag = read_review_tag(registered, "demo", D)
    assert (tag.approved, tag.reason) == (approved, reason)


@pytest.mark.parametrize(
    "value",
    [
        "approved",
        "approved:",
        "approved:yes",
        f"approved:{D[:11]}",
        f"approved:{'e' * 12}",
        f"Approved:{D[:12]}",
        f"maybe:{D[:12]}",
        f"approved:{D[:12]} but only after the sale",
        f"approved:{D[:12]}, not this one",
        f"approved:{D[:12]}\nrejected:{D[:12]}",
    ],
)
def test_anything_else_is_no_answer(registered, value):
    """A tag without D, with too little of it, with another release's, or with conditions approves nothing."""
    set_tag(registered, value)
    assert read_review_tag(registered, "demo", D) is None


def test_no_tag_and_no_version_are_no_answer(registered):
    assert read_review_tag(registered, "demo", D) is None
    assert read_review_tag(registered, "demo", "f" * 64) is None


def test_an_answer_that_was_taken_off_answers_nothing(registered):
    """Every version of the release loses it; where there is none, and on an unknown release, nothing
    happens."""
    registered.client.create_model_version("demo", source="elsewhere", tags={"digest": D})
    for version in ("1", "2"):
        registered.client.set_model_version_tag("demo", version, TAG, f"approved:{D[:12]}")
    for digest in (D, D, "f" * 64):
        delete_review_tag(registered, "demo", digest)
    assert all(TAG not in registered.client.get_model_version("demo", n).tags for n in ("1", "2"))
    assert read_review_tag(registered, "demo", D) is None
