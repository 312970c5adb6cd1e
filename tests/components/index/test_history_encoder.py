"""The learned encoder of histories as a release runs it, against torch's own modules."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from components.contract.errors import DataError, StorageError
from components.contract.retrieving import HistoryEncoderKind
from components.index.history_encoder import LENGTH, HistoryEncoder, file_name
from components.training.histories import HistoryModule

KINDS = get_args(HistoryEncoderKind)


def module(kind: HistoryEncoderKind) -> HistoryModule:
    torch.manual_seed(3)
    made = HistoryModule(kind, 24).eval()
    for parameter in made.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)  # biases too, which begin with 0
    return made


def past_of(items: int) -> np.ndarray:
    vectors = np.random.default_rng(items).standard_normal((items, 24))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("items", [1, 7, LENGTH])
@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_what_torchs_modules_give(kind: Any, items: int) -> None:
    """Beside a longer history in the batch, whose padding must not be read."""
    of_torch, past = module(kind), past_of(items)
    batch = torch.zeros(2, LENGTH, 24)
    batch[0, :items] = torch.from_numpy(past)
    batch[1] = torch.from_numpy(past_of(LENGTH))
    with torch.no_grad():
        expected = of_torch(batch, torch.tensor([items, LENGTH]))[0].numpy()
    found = of_torch.encoder().encode(past)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.linalg.norm(found) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_last_items_are_read(kind: Any) -> None:
    """And the recurrent encoder alone reads their order."""
    encoder, past = module(kind).encoder(), past_of(LENGTH + 5)
    np.testing.assert_array_equal(encoder.encode(past), encoder.encode(past[5:]))
    turned = encoder.encode(past[5:][::-1])
    assert bool(np.abs(turned - encoder.encode(past)).max() > 1e-3) is (kind == "gru")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_what_is_loaded(kind: Any, tmp_path: Path) -> None:
    """As safetensors; a damaged file and an absent one are told."""
    encoder = module(kind).encoder()
    encoder.save(tmp_path / "histories")
    again = HistoryEncoder.load(tmp_path / "histories", kind)
    np.testing.assert_array_equal(again.encode(past_of(3)), encoder.encode(past_of(3)))
    with pytest.raises(StorageError):
        HistoryEncoder.load(tmp_path, kind)
    (tmp_path / file_name(kind)).write_bytes(b"no tensors")
    with pytest.raises(DataError, match="build the release again"):
        HistoryEncoder.load(tmp_path, kind)
