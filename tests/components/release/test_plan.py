"""The choice of a candidate's retrieval path on small splits whose best answer is known."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from components.contract.errors import DataError
from components.contract.learning import EncoderSettings
from components.contract.records import RetrievalPlan
from components.contract.retrieving import RetrievalSettings
from components.contract.settings import Settings
from components.contract.tables import TABLES
from components.encoder.transformer import TransformerEncoder
from components.index.fusion import WEIGHTS
from components.index.lexical import LexicalSnapshot
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot
from components.index.vectors import ITEMS_FILE, VECTORS_FILE
from components.release import plan as planning
from components.release.plan import OF_TEXTS, choose_plan, export_graphs, graph_of, weigh_implied
from components.training.validation import read_validation, recall_of, stopping_recall

COLOURS, THINGS = (
    ("red", "blue", "green", "steel", "oak", "glass"),
    ("chair", "table", "lamp", "mug", "towel"),
)
TITLES = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
IDS = [f"i{number:02}" for number in range(len(TITLES))]
TYPES = {"text": pl.String, "number": pl.Float64, "timestamp": pl.Datetime("us")}
REQUESTS = {
    "entrance": pl.String,
    "request_id": pl.String,
    "text": pl.String,
    "history": pl.List(pl.String),
    "exclude": pl.List(pl.String),
    "frequency": pl.Int64,
}


def write_split(
    folder: Path, queries: dict[str, str], users: dict[str, tuple[list[str], str]] | None = None
) -> Path:
    """queries: text → relevant item; users: id → (history, relevant item). The towels are new."""
    columns = {name: TYPES[kind] for name, kind in TABLES["items"].columns.items()}
    rows = [dict.fromkeys(columns) | {"item_id": i, "title": t} for i, t in zip(IDS, TITLES, strict=True)]
    items = pl.DataFrame(rows, schema=columns).with_columns(
        first_seen=pl.lit(None, pl.Datetime("us")),
        is_new=pl.lit(False),
        is_validation_new=pl.col("title").str.contains("towel"),
    )
    (folder / "validation").mkdir(parents=True)
    items.write_parquet(folder / "items.parquet")
    asked = [("search", text, text, [], [], 0) for text in queries]
    asked += [("recommendation", name, None, past, past, 0) for name, (past, _) in (users or {}).items()]
    judged = [("search", text, item, 3.0, True) for text, item in queries.items()]
    judged += [("recommendation", name, item, 3.0, True) for name, (_, item) in (users or {}).items()]
    schema = ["entrance", "request_id", "item_id", "grade", "relevant"]
    pl.DataFrame(asked, schema=REQUESTS, orient="row").write_parquet(folder / "validation/requests.parquet")
    pl.DataFrame(judged, schema=schema, orient="row").write_parquet(folder / "validation/judgements.parquet")
    return folder


def write_vectors(folder: Path, vectors: np.ndarray) -> Path:
    folder.mkdir()
    pl.DataFrame({"item_id": IDS}).write_parquet(folder / ITEMS_FILE)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    save_file({"vectors": np.ascontiguousarray(unit, dtype=np.float32)}, folder / VECTORS_FILE)
    return folder


@pytest.fixture(scope="module")
def encoder(tiny_exported: Path) -> TransformerEncoder:
    return TransformerEncoder.load_saved(tiny_exported / "encoder")


@pytest.fixture(scope="module")
def own_vectors(encoder: TransformerEncoder) -> np.ndarray:
    return encoder.encode_items(TITLES)


@pytest.fixture
def choose(tiny_exported: Path, tmp_path: Path) -> Callable[..., RetrievalPlan]:
    """choose(split, vectors, graphs=…, **retrieval settings)."""

    def make(split: Path, vectors: np.ndarray, graphs: Path | None = None, **retrieval: Any) -> RetrievalPlan:
        settings = Settings(
            shop="shop",
            tables={"items": "SELECT 1"},
            encoder=EncoderSettings(name="x", max_length=16, item_fields=("title",)),
            retrieval=RetrievalSettings(**retrieval),
        )
        folder = write_vectors(tmp_path / "vectors", vectors)
        return choose_plan(tiny_exported / "encoder", graphs or tiny_exported, folder, split, settings)

    return make


def recall(split: Path, vectors: np.ndarray, encoder: Any, entrance: str, **plan: Any) -> float:
    """Recall@10 on validation of a plan, measured here."""
    settings = Settings(shop="shop", tables={"items": "SELECT 1"})
    validation = read_validation(split, settings.encoder, settings.training)
    items = pl.read_parquet(split / "items.parquet")
    snapshot = Snapshot(items, vectors.astype(np.float32), LexicalSnapshot.build(TITLES, "english"))
    index = LiveIndex("x", snapshot, encoder, RetrievalPlan(**plan), ("title",))
    found = stopping_recall(recall_of(index, validation), entrance)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.fixture
def titles_split(tmp_path: Path) -> Path:
    """Every title, its words turned round, asks for its item."""
    queries = {" ".join(reversed(title.split())): item for title, item in zip(TITLES, IDS, strict=True)}
    return write_split(tmp_path / "split", queries)


def test_configured_values_are_taken(
    choose: Callable[..., RetrievalPlan], titles_split: Path, own_vectors: np.ndarray
) -> None:
    """However they would do on validation."""
    wanted = {"inference": "onnx", "lexical_weight": 0.37, "grams_share": 0.2, "history_scoring": "top3"}
    assert choose(titles_split, own_vectors, **wanted) == RetrievalPlan(**wanted)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf"), "some"])
def test_a_lexical_weight_is_a_number_from_0_on(weight: object) -> None:
    with pytest.raises(ValidationError):
        RetrievalSettings(lexical_weight=weight)  # type: ignore[arg-type]


def test_vectors_that_say_nothing_are_helped_by_words(
    choose: Callable[..., RetrievalPlan], titles_split: Path, encoder: TransformerEncoder
) -> None:
    """Random vectors: the first of the weights with the highest recall, as measured here, and not 0."""
    vectors = np.random.default_rng(0).standard_normal((len(TITLES), 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = choose(titles_split, vectors, inference="torch")
    recalls = [recall(titles_split, vectors, encoder, "search", lexical_weight=w) for w in WEIGHTS]
    assert chosen.lexical_weight == WEIGHTS[int(np.argmax(recalls))] > 0
    assert max(recalls) == 1.0 > recalls[0]


def test_words_that_mislead_get_no_weight(
    choose: Callable[..., RetrievalPlan], encoder: TransformerEncoder, tmp_path: Path
) -> None:
    """Each query is the title of other items, its own item has its vector: 0, the first of the weights."""
    queries = {title: IDS[(n + 12) % len(IDS)] for n, title in enumerate(TITLES)}
    asked = encoder.encode_queries(TITLES)
    vectors = np.roll(asked, 12, axis=0)
    chosen = choose(write_split(tmp_path / "split", queries), vectors, inference="torch")
    assert chosen == RetrievalPlan(inference="torch")


def users_with_two_tastes() -> tuple[dict[str, tuple[list[str], str]], np.ndarray]:
    """Users with a large and a small group of past items, and eighteen other items between the two groups.
    The relevant item is one of the small group's: the three most similar past items find it, not the mean."""
    rng = np.random.default_rng(1)
    axes = np.eye(32)[:3]
    directions = [axes[0]] * 8 + [axes[1]] * 4 + [axes[0] * 2 + axes[1]] * 18
    noise = 0.05 * rng.standard_normal((len(TITLES), 32))
    users = {f"u{n}": ([*IDS[n:8], *IDS[8:11]], IDS[11]) for n in range(2)}
    return users, np.array(directions) + noise


def test_the_history_scoring_that_finds_most_is_chosen(
    choose: Callable[..., RetrievalPlan], encoder: TransformerEncoder, tmp_path: Path
) -> None:
    """The first of the scorings with the highest recall, as measured here, and not the mean."""
    users, vectors = users_with_two_tastes()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    split = write_split(tmp_path / "split", {}, users)
    scorings = OF_TEXTS
    recalls = [recall(split, unit, encoder, "recommendation", history_scoring=s) for s in scorings]
    chosen = choose(split, vectors, inference="torch")
    assert chosen.history_scoring == scorings[int(np.argmax(recalls))] != "mean"
    assert max(recalls) == 1.0 > recalls[0]
    assert chosen.lexical_weight == 0.0


def bought_together() -> tuple[dict[str, tuple[list[str], str]], pl.DataFrame]:
    """Users whose next item has a vector like any other, and earlier users who bought both."""
    users = {f"u{n}": ([IDS[n]], IDS[n + 12]) for n in range(6)}
    pairs = [(f"e{n}{m}", item) for n in range(6) for m in range(9) for item in (IDS[n], IDS[n + 12])]
    rows = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    return users, rows.with_columns(at=pl.datetime(2026, 1, 1))


@pytest.mark.parametrize("known", [True, False])
def test_co_purchases_are_weighed_where_they_find_more(
    choose: Callable[..., RetrievalPlan], tmp_path: Path, known: bool
) -> None:
    """By what was bought before the validation window: what the statistics before the cut-off know besides
    is not looked at. Without it there is nothing to weigh, whatever the settings say."""
    users, purchases = bought_together()
    split = write_split(tmp_path / "split", {}, users)
    (split / "statistics").mkdir()
    purchases.write_parquet(split / "statistics" / "purchases.parquet")
    vectors = np.random.default_rng(0).standard_normal((len(TITLES), 32))
    if known:
        (split / "train").mkdir()
        purchases.write_parquet(split / "train" / "purchases.parquet")
    weight = choose(split, vectors, inference="torch").co_purchase_weight
    assert (weight > 0) is known
    shutil.rmtree(tmp_path / "vectors")
    given = choose(split, vectors, inference="torch", co_purchase_weight=0.7, history_scoring="top3")
    assert given == RetrievalPlan(history_scoring="top3", co_purchase_weight=0.7)
    (split / "statistics" / "purchases.parquet").unlink()
    shutil.rmtree(tmp_path / "vectors")
    given = choose(split, vectors, inference="torch", co_purchase_weight=0.7, history_scoring="top3")
    assert given.co_purchase_weight == 0.0


def test_without_judged_users_histories_are_scored_by_their_mean(
    choose: Callable[..., RetrievalPlan], titles_split: Path, own_vectors: np.ndarray
) -> None:
    assert choose(titles_split, own_vectors, inference="torch").history_scoring == "mean"


def test_what_is_known_of_queries_is_weighed_where_it_helps(
    tiny_exported: Path, tmp_path: Path, own_vectors: np.ndarray
) -> None:
    """Each query names a colour in a word that no title has; vectors that say nothing cannot tell. The rule,
    or the synonym, does, and the plan weighs what there is; a number in the settings stays; without any
    knowledge the plan is as it was."""
    words = dict(zip(COLOURS, ("crimson", "azure", "jade", "alloy", "timber", "pane"), strict=True))
    said = [" ".join([words[colour], thing]) for colour, thing in map(str.split, TITLES)]
    split = write_split(tmp_path / "split", dict(zip(said, IDS, strict=True)))
    colour = pl.col("title").str.split(" ").list.first()
    items = pl.read_parquet(split / "items.parquet").with_columns(brand=colour)
    items.write_parquet(split / "items.parquet")
    vectors = write_vectors(tmp_path / "vectors", np.random.default_rng(0).normal(size=own_vectors.shape))

    def weighed(knowledge: dict[str, Any] | None, **retrieval: Any) -> RetrievalPlan:
        settings = Settings.model_validate(
            {
                "shop": "shop",
                "tables": {"items": "SELECT 1"},
                "encoder": {"name": "x", "max_length": 16, "item_fields": ["title"]},
                "retrieval": retrieval,
                "knowledge": knowledge,
            }
        )
        plan = RetrievalPlan(lexical_weight=0.5)
        encoder = tiny_exported / "encoder"
        return weigh_implied(plan, encoder, None, vectors, split, None, settings)

    rules = [{"words": [word], "brand": colour} for colour, word in words.items()]
    assert weighed(None) == RetrievalPlan(lexical_weight=0.5)
    by_rules = weighed({"rules": rules})
    assert set(by_rules.implied_weights) == {"brand"} and by_rules.synonym_share == 0
    by_words = weighed({"synonyms": [list(pair) for pair in words.items()]})
    assert by_words.synonym_share > 0 and by_words.implied_weights == {}
    # Without synonyms their share says nothing: the weights are those of any other share.
    assert weighed({"rules": rules}, synonym_share=0.3).implied_weights == by_rules.implied_weights
    given = weighed({"rules": rules}, implied_weights={"brand": 0.25, "price": 0.0}, synonym_share=0.3)
    assert (given.implied_weights, given.synonym_share) == ({"brand": 0.25}, 0.3)


def test_without_judged_queries_the_encoder_runs_in_fp32(
    choose: Callable[..., RetrievalPlan], tmp_path: Path
) -> None:
    """There is nothing to measure 8 bits with."""
    users, vectors = users_with_two_tastes()
    split = write_split(tmp_path / "split", {}, users)
    assert choose(split, vectors, history_scoring="mean") == RetrievalPlan(inference="onnx")


def damaged(graph: Path, out: Path) -> None:
    """The graph of another encoder: every matrix is another."""
    rng = np.random.default_rng(0)
    model = onnx.load(graph)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1_000:
            other = rng.permutation(values.reshape(-1)).reshape(values.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(other, tensor.name))
    onnx.save(model, out)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch is slower than ONNX Runtime, also where this machine's other work says otherwise."""
    monkeypatch.setattr(
        planning,
        "_milliseconds",
        lambda encoder, queries: 2.0 if isinstance(encoder, TransformerEncoder) else 1.0,
    )


@pytest.mark.usefixtures("timed")
@pytest.mark.parametrize(
    ("broken", "max_loss", "expected"),
    [
        ((), 0.02, "onnx-int8"),
        (("onnx-int8",), 0.02, "onnx"),
        (("onnx-int8", "onnx"), 0.02, "torch"),
        (("onnx-int8",), 1.0, "onnx-int8"),
    ],
)
def test_the_fastest_that_loses_little_enough_encodes(
    choose: Callable[..., RetrievalPlan],
    tiny_exported: Path,
    titles_split: Path,
    own_vectors: np.ndarray,
    tmp_path: Path,
    broken: tuple[str, ...],
    max_loss: float,
    expected: str,
) -> None:
    """A graph of another encoder is refused for what it loses – unless any loss is allowed."""
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    for name in ("onnx", "onnx-int8"):
        if name in broken:
            damaged(tiny_exported / "onnx.onnx", graphs / f"{name}.onnx")
        else:
            (graphs / f"{name}.onnx").write_bytes((tiny_exported / f"{name}.onnx").read_bytes())
    chosen = choose(titles_split, own_vectors, graphs, lexical_weight=0.0, max_loss=max_loss)
    assert chosen.inference == expected


def test_a_back_end_that_is_no_faster_is_not_taken(
    choose: Callable[..., RetrievalPlan],
    titles_split: Path,
    own_vectors: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However little it loses."""
    monkeypatch.setattr(planning, "_milliseconds", lambda _encoder, _queries: 1.0)
    assert choose(titles_split, own_vectors, lexical_weight=0.0).inference == "torch"


def test_vectors_of_another_catalogue_are_refused(
    tiny_exported: Path, titles_split: Path, own_vectors: np.ndarray, tmp_path: Path
) -> None:
    """An older split's: rows would be taken for other items."""
    folder = write_vectors(tmp_path / "vectors", own_vectors)
    pl.DataFrame({"item_id": [f"x{item}" for item in IDS]}).write_parquet(folder / ITEMS_FILE)
    settings = Settings(shop="shop", tables={"items": "SELECT 1"})
    with pytest.raises(DataError, match="holds other items than"):
        choose_plan(tiny_exported / "encoder", tiny_exported, folder, titles_split, settings)


def test_a_query_is_timed(encoder: TransformerEncoder, titles_split: Path) -> None:
    """In milliseconds: more than none, less than a second for two layers."""
    settings = Settings(shop="shop", tables={"items": "SELECT 1"})
    queries = read_validation(titles_split, settings.encoder, settings.training)
    assert 0 < planning._milliseconds(encoder, queries) < 1_000


def test_graphs_are_named_after_the_inference_that_runs_them(tiny_exported: Path) -> None:
    for inference in ("onnx", "onnx-int8"):
        path = graph_of(tiny_exported, inference)  # type: ignore[arg-type]
        assert path is not None and path.is_file()
    assert graph_of(tiny_exported, "torch") is None


def test_a_fine_tuned_encoder_takes_the_starts_graph(
    tiny_exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its two graphs come without another export, and are those of its own weights."""
    tuned = TransformerEncoder.load_saved(tiny_exported / "encoder")
    for weight in tuned.model.parameters():
        weight.data *= 1.01
    tuned.save(tmp_path / "encoder")
    monkeypatch.setattr(planning, "export_onnx", None)
    export_graphs(tmp_path / "encoder", tmp_path, (tiny_exported / "encoder", tiny_exported))
    queries = TITLES[:5]
    for inference in ("onnx", "onnx-int8"):
        plan = RetrievalPlan(inference=inference)
        ours = planning.open_encoder(tmp_path / "encoder", tmp_path / f"{inference}.onnx", plan)
        cosines = (ours.encode_queries(queries) * tuned.encode_queries(queries)).sum(axis=1)
        assert cosines.min() > 0.99
