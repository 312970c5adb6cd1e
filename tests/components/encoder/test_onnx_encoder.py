"""The ONNX Runtime adapter against the transformers one: tokens, vectors, damaged files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings
from components.encoder.base import DEFAULT_NAME, WEIGHTS_PACKAGE, resolve_base
from components.encoder.onnx_encoder import OnnxEncoder
from components.encoder.onnx_export import reweight
from components.encoder.transformer import TransformerEncoder
from components.release.plan import export_graphs

HARD = [
    "",
    " ",
    "\t\n",
    "red oak chair",
    "👩‍🔧 🪑🪑 lamp",
    "מברגה נטענת, كرسي خشب",
    "x" * 10_000,
    "oak chair " * 1_000,
    "a\x00b\x07\x1b[31m c\u200b\u200d\u00ad",
    "[CLS] [SEP] [MASK] [PAD] </s>",
    "Größe İstanbul ﬁx ½-inch 12\u00a0mm",
    "e\u0301 \u0301",
    "椅子 เก้าอี้ stol",
    "\ufffd\ufeff",
    "50% off!!! (new) <b>&amp;</b>",
]
QUERIES = [
    *("red oak chair", "oak chair red", "cordless drill", "screwdriver", "led ceiling lamp", "lamp"),
    *("garden hose 50 ft", "hose", "white interior paint", "paint roller", "steel door hinge", "door"),
    *("kitchen faucet pull down sprayer brushed nickel", "1/2 in. pvc pipe", "toilet seat", "angle bracket"),
]


@pytest.fixture(scope="module", params=["torch", "onnx", "onnx-int8"])
def tiny(request: pytest.FixtureRequest, tiny_exported: Path) -> TransformerEncoder | OnnxEncoder:
    if request.param == "torch":
        return TransformerEncoder.load_saved(tiny_exported / "encoder")
    return OnnxEncoder.load(tiny_exported / f"{request.param}.onnx", tiny_exported / "encoder")


@pytest.fixture(scope="module")
def pair(tiny_exported: Path) -> tuple[TransformerEncoder, OnnxEncoder]:
    saved = tiny_exported / "encoder"
    return TransformerEncoder.load_saved(saved), OnnxEncoder.load(tiny_exported / "onnx.onnx", saved)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default encoder with prefixes, exported; skipped without its weights."""
    pytest.importorskip(WEIGHTS_PACKAGE)
    folder = tmp_path_factory.mktemp("minilm")
    settings = EncoderSettings(name=DEFAULT_NAME, query_prefix="query: ")
    TransformerEncoder.load(resolve_base(settings), settings).save(folder / "encoder")
    export_graphs(folder / "encoder", folder)
    return folder


def test_tokens_are_the_same_for_hard_texts(pair: tuple[TransformerEncoder, OnnxEncoder]) -> None:
    for kind in ("query", "item"):
        assert pair[1].tokenize(HARD, kind) == pair[0].tokenize(HARD, kind)  # type: ignore[arg-type]
    assert max(map(len, pair[1].tokenize(HARD, "item"))) == pair[0].settings.max_length


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=5))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tokens_are_the_same_for_any_text(
    pair: tuple[TransformerEncoder, OnnxEncoder], texts: list[str]
) -> None:
    assert pair[1].tokenize(texts, "item") == pair[0].tokenize(texts, "item")


def test_a_text_without_a_token_gets_the_padding_token(tiny_exported: Path, tmp_path: Path) -> None:
    """A tokenizer that adds no special tokens, with and without a padding token; texts cut at the left."""
    for pad, eos in (("[PAD]", None), (None, "[SEP]"), (None, None)):
        folder = tmp_path / f"{pad}{eos}"
        shutil.copytree(tiny_exported / "encoder", folder)
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["post_processor"] = None
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        named = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "eos_token": eos}
        named |= {"truncation_side": "left"}
        (folder / "tokenizer_config.json").write_text(json.dumps(named))
        ours = OnnxEncoder.load(tiny_exported / "onnx.onnx", folder)
        theirs = TransformerEncoder.load_saved(folder)
        for text in ("", "\x00", " ".join(f"{n}" for n in range(40))):
            assert ours.tokenize([text], "item") == theirs.tokenize([text], "item")


def test_fp32_vectors_are_torchs(pair: tuple[TransformerEncoder, OnnxEncoder]) -> None:
    theirs, ours = pair
    np.testing.assert_allclose(ours.encode_items(HARD), theirs.encode_items(HARD), atol=1e-4)
    np.testing.assert_allclose(ours.encode_queries(HARD), theirs.encode_queries(HARD), atol=1e-4)


def test_vectors_have_unit_length_and_keep_the_texts_order(tiny: TransformerEncoder | OnnxEncoder) -> None:
    """Repeated texts included; no text at all is an empty answer."""
    vectors = tiny.encode_items([*QUERIES, *reversed(QUERIES)])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors, vectors[::-1])
    assert tiny.encode_queries([]).shape == (0, 32)


@pytest.mark.parametrize("inference", ["onnx", "onnx-int8"])
def test_a_vector_does_not_depend_on_the_texts_beside_it(tiny_exported: Path, inference: str) -> None:
    """The judge encodes many queries at once, the service one: to the last bit the same vectors. Activations
    in 8 bits share one scale per call."""
    encoder = OnnxEncoder.load(tiny_exported / f"{inference}.onnx", tiny_exported / "encoder")
    together = encoder.encode_queries(QUERIES)
    alone = np.concatenate([encoder.encode_queries([query]) for query in QUERIES])
    np.testing.assert_array_equal(together, alone)


def test_the_digest_is_of_graph_and_settings(tiny_exported: Path, tmp_path: Path) -> None:
    """fp32 and 8 bits are two encoders; loading twice is one."""
    saved = tiny_exported / "encoder"
    fp32, again, int8 = (
        OnnxEncoder.load(tiny_exported / f"{name}.onnx", saved) for name in ("onnx", "onnx", "onnx-int8")
    )
    assert fp32.digest == again.digest != int8.digest
    shutil.copytree(saved, tmp_path / "encoder")
    changed = fp32.settings.model_copy(update={"query_prefix": "query: "})
    (tmp_path / "encoder" / "encoder.json").write_text(changed.model_dump_json())
    assert OnnxEncoder.load(tiny_exported / "onnx.onnx", tmp_path / "encoder").digest != fp32.digest


@pytest.mark.parametrize("damage", [b"", b"no graph", None, "half"])
def test_a_damaged_graph_is_refused(tiny_exported: Path, tmp_path: Path, damage: bytes | str | None) -> None:
    """Empty, another file, missing, cut in half: one sentence that names it."""
    graph, whole = tmp_path / "graph.onnx", (tiny_exported / "onnx.onnx").read_bytes()
    if damage is not None:
        graph.write_bytes(whole[: len(whole) // 2] if isinstance(damage, str) else damage)
    with pytest.raises(EncoderError, match=r"graph\.onnx: no encoder that ONNX Runtime can load") as caught:
        OnnxEncoder.load(graph, tiny_exported / "encoder")
    assert "\n" not in str(caught.value)


def test_minilm_tokens_are_the_same_for_hard_texts(minilm: Path) -> None:
    theirs, ours = (
        TransformerEncoder.load_saved(minilm / "encoder"),
        OnnxEncoder.load(minilm / "onnx.onnx", minilm / "encoder"),
    )
    for kind in ("query", "item"):
        assert ours.tokenize(HARD, kind) == theirs.tokenize(HARD, kind)  # type: ignore[arg-type]


def test_minilm_vectors_are_torchs_and_in_eight_bits_near_them(minilm: Path) -> None:
    """fp32 to 1e-4; 8 bits: a mean cosine above 0.97, and no query below 0.93."""
    saved = minilm / "encoder"
    theirs = TransformerEncoder.load_saved(saved).encode_queries([*QUERIES, *HARD])
    fp32 = OnnxEncoder.load(minilm / "onnx.onnx", saved).encode_queries([*QUERIES, *HARD])
    np.testing.assert_allclose(fp32, theirs, atol=1e-4)
    int8 = OnnxEncoder.load(minilm / "onnx-int8.onnx", saved).encode_queries([*QUERIES, *HARD])
    cosines = (int8 * theirs).sum(axis=1)[: len(QUERIES)]
    assert cosines.mean() > 0.97
    assert cosines.min() > 0.93


def test_a_fine_tuned_minilm_takes_the_starts_graph(minilm: Path, tmp_path: Path) -> None:
    """A trained model's weights are all distinct: its copy needs no export of nine seconds."""
    import torch

    start, tuned = (TransformerEncoder.load_saved(minilm / "encoder") for _ in range(2))
    with torch.no_grad():
        for weight in tuned.model.parameters():
            weight += (
                0.01 * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
            )
    assert reweight(minilm / "onnx.onnx", start, tuned, tmp_path / "tuned.onnx")
    vectors = OnnxEncoder.load(tmp_path / "tuned.onnx", minilm / "encoder").encode_queries(QUERIES)
    np.testing.assert_allclose(vectors, tuned.encode_queries(QUERIES), atol=1e-4)
    assert np.abs(vectors - start.encode_queries(QUERIES)).max() > 1e-3
