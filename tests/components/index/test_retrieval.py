"""A candidate's retrieval path from its folder: what is opened, and what a damaged folder says."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.contract.errors import DataError, DebutError, EncoderError, StorageError
from components.contract.live import Change, LiveItem
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.encoder.onnx_encoder import OnnxEncoder
from components.encoder.transformer import TransformerEncoder
from components.index.co_purchases import CO_PURCHASES_FILE
from components.index.exact import ExactIndex
from components.index.lexical import LEXICAL_FILES, LexicalSnapshot
from components.index.retrieval import item_fields, open_candidate, open_exact, read_plan, read_snapshot
from components.index.vectors import ITEMS_FILE, VECTORS_FILE, encode_catalogue, read_vectors
from components.release.candidate import build
from components.release.fingerprint import Fingerprint

COLOURS, THINGS = ("red", "blue", "green", "steel"), ("chair", "table", "lamp", "mug", "towel")
TITLES = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
PLAN = RetrievalPlan(lexical_weight=0.2, history_scoring="top3")


@pytest.fixture(scope="module")
def index_folder(tiny_exported: Path, make_items: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogue as the tiny encoder sees it."""
    folder = tmp_path_factory.mktemp("index")
    rows = [{"item_id": f"i{n:02}", "title": title, "brand": "oak"} for n, title in enumerate(TITLES)]
    encoder = TransformerEncoder.load_saved(tiny_exported / "encoder")
    encode_catalogue(make_items(rows), encoder.encode_items, ("title", "brand"), folder)
    return folder


@pytest.fixture(scope="module")
def make_candidate(
    tiny_exported: Path, index_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """make_candidate(inference): the folder `candidates/<D>`."""
    candidates = tmp_path_factory.mktemp("candidates")

    @functools.cache
    def make(inference: str) -> Path:
        fingerprint = Fingerprint(
            data_digest="d",
            encoder_digest="e",
            base_digest="b",
            lock_digest="l",
            code_digest="c",
            cutoff=None,
            settings={},
        )
        built = build(
            candidates,
            encoder=tiny_exported / "encoder",
            index=index_folder,
            plan=PLAN.model_copy(update={"inference": inference}),
            fingerprint=fingerprint,
            graph=None if inference == "torch" else tiny_exported / f"{inference}.onnx",
        )
        return candidates / built.digest

    return make


@pytest.fixture
def copied(make_candidate: Callable[[str], Path], tmp_path: Path) -> Path:
    """A candidate in fp32 ONNX whose files may be damaged."""
    source, folder = make_candidate("onnx"), tmp_path / "candidate"
    for path in source.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("inference", "kind"),
    [("torch", TransformerEncoder), ("onnx", OnnxEncoder), ("onnx-int8", OnnxEncoder)],
)
def test_a_candidate_ranks_as_its_plan_says(
    make_candidate: Callable[[str], Path], inference: str, kind: type
) -> None:
    """The back end, the history scoring and the lexical weight of the plan; every title finds its item."""
    candidate = make_candidate(inference)
    index = open_candidate(candidate, "ours")
    assert isinstance(index.encoder, kind)
    assert (index.name, index.plan, index.fields) == ("ours", read_plan(candidate), ("title", "brand"))
    assert index.plan == PLAN.model_copy(update={"inference": inference})
    requests = [Request(title, text=title) for title in TITLES]
    ranking = index.search(requests, 5)
    assert ranking.rows[:, 0].tolist() == list(range(len(TITLES)))
    assert (ranking.scores[:, 0] > 1.0).all()  # a lexical share on top of the cosine
    index.apply(index.encode([Change(item_id="n", seq=1, item=LiveItem(item_id="n", title="small glass"))]))
    assert index.item_ids[index.search([Request("q", text="small glass")], 1).rows[0, 0]] == "n"


def test_the_exact_path_is_the_fp32_encoder_and_the_exact_index(
    make_candidate: Callable[[str], Path],
) -> None:
    """The plan's scoring and weight stay; only what makes it fast is left out."""
    candidate = make_candidate("onnx-int8")
    index = open_exact(candidate, "exact", candidate / "index")
    assert isinstance(index.encoder, TransformerEncoder)
    assert index.plan == PLAN
    item_ids, vectors = read_vectors(candidate / "index")
    reference = ExactIndex("reference", item_ids, vectors, index.encoder, "top3")
    users = [Request("u", history=("i00", "i07", "i12", "i03"))]
    ours, theirs = index.search(users, 20), reference.search(users, 20)
    assert ours.rows.tolist() == theirs.rows.tolist()
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)


def test_another_catalogue_can_be_ranked_by_the_same_path(
    make_candidate: Callable[[str], Path], make_items: Any, tmp_path: Path
) -> None:
    """An older champion on this week's items."""
    candidate = make_candidate("torch")
    encoder = TransformerEncoder.load_saved(candidate / "encoder")
    rows = [{"item_id": "x", "title": "folding chair"}, {"item_id": "y", "title": "solid oak"}]
    encode_catalogue(make_items(rows), encoder.encode_items, ("title",), tmp_path)
    index = open_candidate(candidate, "champion", tmp_path)
    assert index.item_ids == ["x", "y"]
    assert index.search([Request("q", text="solid oak")], 1).rows.tolist() == [[1]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((f"index/{name}", name) for name in LEXICAL_FILES),
        (f"index/{VECTORS_FILE}", VECTORS_FILE),
        (f"index/{ITEMS_FILE}", ITEMS_FILE),
        ("retrieval.json", "retrieval.json"),
        ("encoder/encoder.json", "encoder"),
        ("encoder/tokenizer.json", "encoder"),
        ("encoder/tokenizer_config.json", "encoder"),
        ("inference/encoder.onnx", "encoder.onnx"),
    ],
)
@pytest.mark.parametrize("damage", [None, b"", b"{", b"no such format \xff\x00 at all"])
def test_a_missing_or_damaged_file_is_one_clear_sentence(
    copied: Path, name: str, expected: str, damage: bytes | None
) -> None:
    """The message names where it is; nothing but a DebutError comes out."""
    path = copied / name
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises((StorageError, DataError, EncoderError)) as caught:
        open_candidate(copied, "x")
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert expected in sentence or (damage is not None and str(path.parent) in sentence)


def test_parts_that_are_cut_short_are_refused(copied: Path) -> None:
    """A download that stopped: the first half of each binary file."""
    for name in ("words.safetensors", "grams.safetensors", VECTORS_FILE, ITEMS_FILE):
        path = copied / "index" / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DebutError, match="build it again"):
            read_snapshot(copied / "index")
        path.write_bytes(whole)
    read_snapshot(copied / "index")


def test_parts_of_different_sizes_are_refused(copied: Path) -> None:
    """Postings, or vectors, of another catalogue: the numbers of both are named."""
    index = copied / "index"
    LexicalSnapshot.build(["oak"] * 7, "english").save(index)
    with pytest.raises(DataError, match=r"20 items but postings of 7; build it again"):
        open_candidate(copied, "x")
    pl.read_parquet(index / ITEMS_FILE).head(7).write_parquet(index / ITEMS_FILE)
    with pytest.raises(DataError, match=r"7 items but 20 vectors"):
        open_candidate(copied, "x")


def test_a_plan_with_unknown_values_is_refused(copied: Path) -> None:
    """A candidate of a later version, or one that was edited by hand."""
    plan = json.loads((copied / "retrieval.json").read_text())
    (copied / "retrieval.json").write_text(json.dumps(plan | {"inference": "abacus"}))
    with pytest.raises(DataError, match=r"retrieval\.json cannot be read"):
        read_plan(copied)


def test_the_fields_of_an_items_text_are_the_encoders(make_candidate: Callable[[str], Path]) -> None:
    assert item_fields(make_candidate("torch") / "encoder") == ("title", "brand")


@pytest.fixture
def with_purchases(tiny_exported: Path, make_items: Any, tmp_path: Path) -> Callable[[RetrievalPlan], Path]:
    """with_purchases(plan): of a shop that knows its users; its index is tmp_path / "index"."""
    rows = [{"item_id": f"i{n:02}", "title": title} for n, title in enumerate(TITLES)]
    pairs = [(f"u{user}", f"i{(user * 3 + n) % 18:02}") for user in range(12) for n in (0, 4, 9)]
    bought = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    purchases = bought.with_columns(at=pl.datetime(2026, 1, 1))
    encoder, index = TransformerEncoder.load_saved(tiny_exported / "encoder"), tmp_path / "index"
    index.mkdir()
    encode_catalogue(make_items(rows), encoder.encode_items, ("title",), index, purchases=purchases)
    known = {"data_digest": "d", "encoder_digest": "e", "base_digest": "b", "lock_digest": "l"}
    fingerprint = Fingerprint(**known, code_digest="c", cutoff=None, settings={})

    def make(plan: RetrievalPlan) -> Path:
        folder, encoder = tmp_path / "candidates", tiny_exported / "encoder"
        built = build(folder, encoder=encoder, index=index, plan=plan, fingerprint=fingerprint)
        return folder / built.digest

    return make


def test_co_purchases_are_served_as_they_are_judged(
    with_purchases: Callable[[RetrievalPlan], Path], tmp_path: Path
) -> None:
    """From the candidate's own index, from the split's, and by the exact path: the same places and scores; a
    plan without them ranks otherwise, and its release carries none."""
    weighed, plain = with_purchases(RetrievalPlan(co_purchase_weight=1.0)), with_purchases(RetrievalPlan())
    user = [Request("u", history=("i00", "i05"), exclude=frozenset({"i00", "i05"}))]
    served = open_candidate(weighed, "served").search(user, 10)
    for judged in (
        open_candidate(weighed, "judged", tmp_path / "index"),
        open_exact(weighed, "exact", tmp_path / "index"),
    ):
        np.testing.assert_array_equal(judged.search(user, 10).rows, served.rows)
        np.testing.assert_allclose(judged.search(user, 10).scores, served.scores, atol=1e-6)
    assert open_candidate(plain, "plain").search(user, 10).rows.tolist() != served.rows.tolist()
    assert (weighed / "index" / CO_PURCHASES_FILE).is_file()
    assert not (plain / "index" / CO_PURCHASES_FILE).exists()


def test_a_release_that_lost_its_co_purchases_is_refused(
    with_purchases: Callable[[RetrievalPlan], Path],
) -> None:
    folder = with_purchases(RetrievalPlan(co_purchase_weight=1.0))
    (folder / "index" / CO_PURCHASES_FILE).unlink()
    with pytest.raises(DataError, match="is missing, but the plan weighs co-purchases"):
        open_candidate(folder, "x")


def test_a_plan_whose_weight_was_chosen_for_other_scores_is_refused(tmp_path: Path) -> None:
    (tmp_path / "retrieval.json").write_text('{"history_scoring": "top3", "co_purchase_weight": 2.0}')
    with pytest.raises(DataError, match=r"counted as before decision 0023.*another workspace"):
        read_plan(tmp_path)


def test_a_plan_from_before_there_were_co_purchases_weighs_none(tmp_path: Path) -> None:
    (tmp_path / "retrieval.json").write_text('{"history_scoring": "top3", "inference": "onnx"}')
    assert read_plan(tmp_path).co_purchase_weight == 0.0
