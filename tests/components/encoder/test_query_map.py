"""A map of the query vector: the same in torch and ONNX, no change to items, part of the digest."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from components.contract.errors import EncoderError
from components.encoder.attribution import explain_match
from components.encoder.base import QUERY_MAP_FILE, folder_digest, items_digest, saved_settings
from components.encoder.onnx_encoder import OnnxEncoder
from components.encoder.query_map import mapped, write_query_map
from components.encoder.transformer import TransformerEncoder

QUERIES = ["red oak chair", "steel lamp", "hammer"]


@pytest.fixture
def with_map(tiny_exported: Path, tmp_path: Path) -> Path:
    """A copy of the tiny encoder, whose queries a random matrix turns."""
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_exported / "encoder", folder)
    write_query_map(np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32), folder)
    return folder


def test_queries_are_mapped_alike_in_torch_and_onnx_and_items_are_not(
    tiny_exported: Path, with_map: Path
) -> None:
    plain = TransformerEncoder.load_saved(tiny_exported / "encoder")
    torch_encoder = TransformerEncoder.load_saved(with_map)
    onnx = OnnxEncoder.load(tiny_exported / "onnx.onnx", with_map)
    before, after = plain.encode_queries(QUERIES), torch_encoder.encode_queries(QUERIES)
    assert torch_encoder.query_map is not None
    expected = before @ torch_encoder.query_map.T
    assert after == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-6)
    assert np.abs(after - before).max() > 0.05
    assert onnx.encode_queries(QUERIES) == pytest.approx(after, abs=1e-5)
    for encoder in (torch_encoder, onnx):
        assert encoder.encode_items(QUERIES) == pytest.approx(plain.encode_items(QUERIES), abs=1e-5)


def test_a_querys_bits_do_not_depend_on_what_is_asked_with_it(with_map: Path) -> None:
    rng = np.random.default_rng(1)
    vectors, query_map = rng.normal(size=(2, 40, 32)).astype(np.float32)[0], np.eye(32, dtype=np.float32)
    query_map += 0.1 * rng.normal(size=(32, 32)).astype(np.float32)
    assert np.array_equal(mapped(vectors, query_map)[7:8], mapped(vectors[7:8], query_map))
    assert mapped(vectors[:0], query_map).shape == (0, 32)


def test_the_map_is_in_the_digest_but_not_in_that_of_items(tiny_exported: Path, with_map: Path) -> None:
    plain = tiny_exported / "encoder"
    assert items_digest(with_map) == items_digest(plain) == folder_digest(plain, saved_settings(plain))
    assert folder_digest(with_map, saved_settings(with_map)) != items_digest(with_map)
    encoders = [OnnxEncoder.load(tiny_exported / "onnx.onnx", folder) for folder in (plain, with_map)]
    assert encoders[0].digest != encoders[1].digest


def test_it_is_kept_when_the_encoder_is_saved_and_left_out_where_training_begins(
    with_map: Path, tmp_path: Path
) -> None:
    loaded = TransformerEncoder.load_saved(with_map)
    loaded.save(tmp_path / "again")
    again = TransformerEncoder.load_saved(tmp_path / "again")
    assert again.query_map == pytest.approx(loaded.query_map)
    assert TransformerEncoder.load(with_map, saved_settings(with_map)).query_map is None


def test_an_explanation_is_of_the_cosine_that_ranks(with_map: Path) -> None:
    encoder = TransformerEncoder.load_saved(with_map)
    found = explain_match(encoder, "red chair", "oak chair", steps=40)
    cosine = float(encoder.encode_queries(["red chair"])[0] @ encoder.encode_items(["oak chair"])[0])
    assert found.score == pytest.approx(cosine, abs=1e-5)
    assert found.completeness < 0.05


@pytest.mark.parametrize(("content", "said"), [(b"torn", "is damaged"), (None, "have 32 dimensions")])
def test_a_damaged_map_and_another_encoders_are_refused(
    with_map: Path, content: bytes | None, said: str
) -> None:
    if content is None:
        write_query_map(np.eye(8, dtype=np.float32), with_map)
    else:
        (with_map / QUERY_MAP_FILE).write_bytes(content)
    with pytest.raises(EncoderError, match=said):
        TransformerEncoder.load_saved(with_map)
