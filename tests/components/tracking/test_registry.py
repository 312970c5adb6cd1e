import json
import shutil

import mlflow
import numpy as np
import polars as pl
import pytest

from components.contract.errors import TrackingError
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.encoder.transformer import TransformerEncoder
from components.index.exact import ExactIndex
from components.index.vectors import read_vectors
from components.tracking.client import MlflowException, connect
from components.tracking.registry import (
    LOG_HEAD,
    find_version,
    mirror_aliases,
    read_log_head,
    register,
    write_log_head,
)
from components.tracking.run import start

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def registered(make_settings, workspace, candidate_folder, make_card):
    """The connection to a store that holds the candidate as version 1, aliased champion."""
    with start(make_settings(), workspace) as tracker:
        register(tracker, candidate_folder, make_card())
    mirror_aliases(tracker.connection, "demo", {"champion": "d" * 64})
    return tracker.connection


def test_loaded_model_ranks_as_the_exact_index_does(registered, candidate_folder):
    """`models:/demo@champion` answers queries with the items, order and scores of the exact index."""
    mlflow.set_tracking_uri(registered.uri)
    queries = ["red chair", "lamp of glass", ""]
    model = mlflow.pyfunc.load_model("models:/demo@champion", model_config={"k": 3})
    answers = model.predict(queries)
    item_ids, vectors = read_vectors(candidate_folder / "index")
    encoder = TransformerEncoder.load_saved(candidate_folder / "encoder")
    index = ExactIndex("exact", item_ids, vectors, encoder)
    expected = index.search([Request(str(n), text=q) for n, q in enumerate(queries)], 3)
    for answer, rows, scores in zip(answers, expected.rows, expected.scores, strict=True):
        assert [hit.item_id for hit in answer] == [item_ids[row] for row in rows if row >= 0]
        np.testing.assert_array_equal([hit.score for hit in answer], scores[rows >= 0])
    assert answers[2] == []
    titles = pl.read_parquet(candidate_folder / "index" / "items.parquet").get_column("title").to_list()
    assert [hit.title for hit in answers[0]] == [titles[row] for row in expected.rows[0]]
    assert len(mlflow.pyfunc.load_model("models:/demo@champion").predict(["lamp"])[0]) == 5


def test_model_holds_no_pickle_and_states_its_signature(registered, workspace):
    """The version's files are code, JSON, Parquet and safetensors; its input is a list of texts."""
    [folder] = (workspace / "mlartifacts" / "models").iterdir()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {
        "",
        ".py",
        ".txt",
        ".yaml",
        ".json",
        ".parquet",
        ".safetensors",
    }
    assert not any("pickle" in path.name for path in files)
    info = mlflow.models.get_model_info(f"models:/demo/{find_version(registered, 'demo', 'd' * 64)}")
    assert json.loads(info.signature.to_dict()["inputs"]) == [{"type": "string", "required": True}]
    requirements = next(path for path in files if path.name == "requirements.txt").read_text()
    assert "debut==" in requirements
    assert "torch==" in requirements
    assert "lightgbm" not in requirements


def test_a_second_stage_asks_for_lightgbm(make_settings, workspace, candidate_folder, make_card):
    """Which `debut` alone would not bring to whoever loads the version."""
    with start(make_settings(), workspace) as tracker:
        register(tracker, candidate_folder, make_card(plan=RetrievalPlan(rankers=("search",))))
    [requirements] = (workspace / "mlartifacts" / "models").rglob("requirements.txt")
    assert "lightgbm==" in requirements.read_text()


def test_bad_input_is_refused(registered):
    """A text instead of a list of texts is refused by the signature."""
    mlflow.set_tracking_uri(registered.uri)
    model = mlflow.pyfunc.load_model("models:/demo@champion")
    with pytest.raises(MlflowException, match="Expected list"):
        model.predict("red chair")


def test_registering_again_renews_the_version(
    registered, make_settings, workspace, candidate_folder, make_card
):
    """The same D keeps its version; description and tags follow, as after a crash before they were set."""
    with start(make_settings(), workspace) as tracker:
        assert register(tracker, candidate_folder, make_card(verdict="REJECT")) == "1"
    version = registered.client.get_model_version("demo", "1")
    assert version.tags["verdict"] == "REJECT"
    assert version.description.startswith("**REJECT**")
    assert 'models:/demo/1"' in version.description
    assert len(registered.client.search_model_versions("name='demo'")) == 1
    assert registered.client.search_model_versions("name='demo' and tags.verdict='REJECT'")


@pytest.fixture
def three_versions(make_settings, workspace):
    """A store with versions 1, 2 and 3 of digests A, B and C, without files."""
    connection = connect(make_settings(), workspace)
    connection.client.create_registered_model("demo")
    for digest in (A, B, C):
        connection.client.create_model_version("demo", source=str(workspace), tags={"digest": digest})
    return connection


def described(settings, workspace, candidate, card):
    """The description of version 1, which holds A, after registering it again."""
    with start(settings, workspace) as tracker:
        assert register(tracker, candidate, card) == "1"
    return tracker.connection.client.get_model_version("demo", "1").description


def test_the_page_of_an_adapter_alone_names_its_base(
    three_versions, make_settings, workspace, candidate_folder, make_card, tmp_path
):
    """As the candidate's own files do; a whole encoder needs none."""
    adapter = tmp_path / "adapter"
    shutil.copytree(candidate_folder, adapter)
    (adapter / "encoder" / "model.safetensors").unlink()
    (adapter / "encoder" / "adapter_base.json").write_text(json.dumps({"weights": "9" * 64, "local": True}))
    text = described(make_settings(), workspace, adapter, make_card(digest=A))
    assert "`tiny`, as the folder of that name in DEBUT_BASES, weights of SHA-256 `999999999999`" in text
    assert "DEBUT_BASES" not in described(make_settings(), workspace, candidate_folder, make_card(digest=A))


def test_the_page_tells_that_the_base_was_pretrained(
    three_versions, make_settings, workspace, candidate_folder, make_card
):
    """Where its folder is called as `debut pretrain` called it; of equal encoders the latest version."""
    three_versions.client.create_registered_model("demo-pretrained")
    for digest in (C, B, B):
        tags = {"digest": digest}
        three_versions.client.create_model_version("demo-pretrained", source=str(workspace), tags=tags)
    for encoder, told in ((B[:12], True), (f"pretrained/{B[:12]}", True), ("tiny", False), (B[:11], False)):
        card = make_card(digest=A, encoder=encoder)
        text = described(make_settings(), workspace, candidate_folder, card)
        assert ("pretrained: version 3 of demo-pretrained" in text) == told


def aliases_of(connection):
    return {k: str(v) for k, v in connection.client.get_registered_model("demo").aliases.items()}


def test_aliases_mirror_the_log(three_versions):
    """Aliases move, appear and disappear as the log says; a hand-moved one is put back."""
    wanted = {"champion": B, "previous": A, "challenger": C}
    assert mirror_aliases(three_versions, "demo", wanted) == {
        "champion": "2",
        "previous": "1",
        "challenger": "3",
    }
    assert aliases_of(three_versions) == {"champion": "2", "previous": "1", "challenger": "3"}
    three_versions.client.set_registered_model_alias("demo", "champion", "3")
    mirror_aliases(three_versions, "demo", {"champion": B, "previous": A, "challenger": None})
    assert aliases_of(three_versions) == {"champion": "2", "previous": "1"}


def test_mirroring_what_is_so_writes_nothing(three_versions, monkeypatch):
    """Running again changes nothing, so webhooks on aliases do not fire."""
    mirror_aliases(three_versions, "demo", {"champion": B, "previous": None})

    def refuse(*_):
        raise AssertionError("an alias was written")

    monkeypatch.setattr(three_versions.client, "set_registered_model_alias", refuse)
    monkeypatch.setattr(three_versions.client, "delete_registered_model_alias", refuse)
    mirror_aliases(three_versions, "demo", {"champion": B, "previous": None})


def test_release_unknown_to_the_store_loses_its_alias(three_versions, caplog):
    """An alias never stays at a release that the log no longer names, even where the new one is not here."""
    assert mirror_aliases(three_versions, "demo", {"champion": "9" * 64}) == {"champion": None}
    assert aliases_of(three_versions) == {}
    assert "999999999999 is not registered" in caplog.text


def test_store_without_the_model_is_left_alone(make_settings, workspace):
    """Before the first registration there is nothing to mirror."""
    connection = connect(make_settings(), workspace)
    assert mirror_aliases(connection, "demo", {"champion": None, "previous": A}) == {
        "champion": None,
        "previous": None,
    }


def test_the_noted_head_of_the_log_is_read_back(three_versions):
    """The newest note stands; one that was edited into something else is none."""
    assert read_log_head(three_versions, "demo") is None
    write_log_head(three_versions, "demo", 7, A)
    write_log_head(three_versions, "demo", 12, B)
    assert read_log_head(three_versions, "demo") == (12, B)
    for edited in ("", "12", f"x {A}", f"0 {A}"):
        three_versions.client.set_registered_model_tag("demo", LOG_HEAD, edited)
        assert read_log_head(three_versions, "demo") is None


def test_before_the_first_registration_no_head_is_noted(make_settings, workspace):
    connection = connect(make_settings(), workspace)
    write_log_head(connection, "demo", 1, A)
    assert read_log_head(connection, "demo") is None


def test_refusals_of_the_registry_are_one_sentence(
    registered, make_settings, workspace, candidate_folder, make_card, monkeypatch
):
    """Any other refusal of MLflow's, while registering or mirroring, is a TrackingError."""

    def refuse(*_):
        raise MlflowException("permission denied")

    monkeypatch.setattr(registered.client, "get_registered_model", refuse)
    with pytest.raises(TrackingError, match="permission denied"):
        mirror_aliases(registered, "demo", {"champion": None})
    with start(make_settings(), workspace) as tracker:
        monkeypatch.setattr(tracker.connection.client, "create_registered_model", refuse)
        with pytest.raises(TrackingError, match="permission denied"):
            register(tracker, candidate_folder, make_card())
