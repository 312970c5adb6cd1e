"""An encoder as a graph: fp32, 8 bits, and with the weights of a fine-tuned copy."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings
from components.encoder.onnx_encoder import OnnxEncoder
from components.encoder.onnx_export import export_onnx, quantise, reweight
from components.encoder.transformer import TransformerEncoder

TEXTS = ["red oak chair", "small steel bracket for the garden table", "", "lamp", "a b c d e f g h i j k l"]


def load(folder: Path, **changes: object) -> TransformerEncoder:
    settings = EncoderSettings(name=str(folder), **{"max_length": 16} | changes)  # type: ignore[arg-type]
    return TransformerEncoder.load(folder, settings)


def moved(encoder: TransformerEncoder, seed: int = 2) -> TransformerEncoder:
    """The encoder itself, after a step of training: every weight is another."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in encoder.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return encoder


@pytest.fixture(scope="module")
def start(tiny_exported: Path) -> Callable[[], TransformerEncoder]:
    """Loads the encoder whose graph is in tiny_exported."""
    return lambda: TransformerEncoder.load_saved(tiny_exported / "encoder")


@pytest.fixture(scope="module")
def reweighted(tiny_exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned copy: encoder/, its own export full.onnx, and again.onnx, made of the start's graph."""
    folder = tmp_path_factory.mktemp("reweighted")
    saved = tiny_exported / "encoder"
    tuned = moved(TransformerEncoder.load_saved(saved))
    tuned.save(folder / "encoder")
    export_onnx(tuned, folder / "full.onnx")
    assert reweight(
        tiny_exported / "onnx.onnx", TransformerEncoder.load_saved(saved), tuned, folder / "again.onnx"
    )
    return folder


def with_weights(
    encoder: TransformerEncoder, graph: Path, changed: dict[str, torch.Tensor], out: Path
) -> TransformerEncoder:
    """The encoder with some weights replaced; `out` gets its graph."""
    model = onnx.load(graph)
    weights = encoder.model.state_dict()
    for name, values in changed.items():
        old, new = weights[name].numpy(), values.numpy().copy()
        for tensor in model.graph.initializer:
            held = onnx.numpy_helper.to_array(tensor)
            turned = not np.array_equal(held, old)
            if not turned or np.array_equal(held, old.T):
                new = np.ascontiguousarray(new.T if turned else new)
                tensor.CopyFrom(onnx.numpy_helper.from_array(new, tensor.name))
    encoder.model.load_state_dict(weights | changed)
    onnx.save(model, out)
    return encoder


def test_new_weights_in_the_starts_graph_are_a_full_export(reweighted: Path) -> None:
    """The same file, to the last byte, and the vectors that torch gives."""
    assert (reweighted / "again.onnx").read_bytes() == (reweighted / "full.onnx").read_bytes()
    vectors = OnnxEncoder.load(reweighted / "again.onnx", reweighted / "encoder").encode_items(TEXTS)
    theirs = TransformerEncoder.load_saved(reweighted / "encoder").encode_items(TEXTS)
    np.testing.assert_allclose(vectors, theirs, atol=1e-4)


def test_the_starts_graph_stays_as_it_was(
    tiny_exported: Path, reweighted: Path, start: Callable[[], TransformerEncoder]
) -> None:
    vectors = OnnxEncoder.load(tiny_exported / "onnx.onnx", tiny_exported / "encoder").encode_items(TEXTS)
    np.testing.assert_allclose(vectors, start().encode_items(TEXTS), atol=1e-4)
    tuned = TransformerEncoder.load_saved(reweighted / "encoder").encode_items(TEXTS)
    assert np.abs(vectors - tuned).max() > 0.01


def test_unchanged_weights_give_an_equal_graph(
    tiny_exported: Path, start: Callable[[], TransformerEncoder], tmp_path: Path
) -> None:
    assert reweight(tiny_exported / "onnx.onnx", start(), start(), tmp_path / "same.onnx")
    assert (tmp_path / "same.onnx").read_bytes() == (tiny_exported / "onnx.onnx").read_bytes()


def test_weights_that_cannot_be_told_apart_are_left_to_a_full_export(
    tiny_exported: Path, start: Callable[[], TransformerEncoder], tmp_path: Path
) -> None:
    """Two biases of zeros, as an untrained encoder has, of which one was trained: no file is left. Where they
    are equal afterwards too, it does not matter which is which."""
    names = [f"encoder.layer.{layer}.attention.self.query.bias" for layer in (0, 1)]
    graph, out = tmp_path / "graph.onnx", tmp_path / "out.onnx"
    same = {name: torch.zeros(32) for name in names}
    encoder = with_weights(start(), tiny_exported / "onnx.onnx", same, graph)
    for values, possible in ((torch.ones(32), True), (torch.arange(32.0), False)):
        out.unlink(missing_ok=True)
        tuned = start()
        trained = {names[0]: torch.ones(32), names[1]: values}
        tuned.model.load_state_dict(encoder.model.state_dict() | trained)
        assert reweight(graph, encoder, tuned, out) is possible
        assert out.exists() is possible


def test_a_symmetric_matrix_is_not_placed_by_chance(
    tiny_exported: Path, start: Callable[[], TransformerEncoder], tmp_path: Path
) -> None:
    """As it is or turned, it is the same: which of the two the graph holds cannot be seen."""
    name = "encoder.layer.0.attention.self.query.weight"
    weight = start().model.state_dict()[name]
    graph, out = tmp_path / "graph.onnx", tmp_path / "out.onnx"
    encoder = with_weights(start(), tiny_exported / "onnx.onnx", {name: (weight + weight.T) / 2}, graph)
    tuned = start()
    tuned.model.load_state_dict(encoder.model.state_dict())
    assert not reweight(graph, encoder, moved(tuned), out)
    assert not out.exists()


def test_a_graph_of_another_encoder_is_not_taken(
    tiny_exported: Path, start: Callable[[], TransformerEncoder], tmp_path: Path
) -> None:
    """None of the start's weights is in it."""
    out = tmp_path / "out.onnx"
    assert not reweight(tiny_exported / "onnx.onnx", moved(start()), moved(start(), 3), out)
    assert not out.exists()


def test_no_path_of_this_machine_is_in_a_graph(tiny_exported: Path) -> None:
    """Equal encoders have equal files wherever they were exported."""
    for name in ("onnx.onnx", "onnx-int8.onnx"):
        data = (tiny_exported / name).read_bytes()
        assert str(Path(__file__).parents[3]).encode() not in data
        assert b".py" not in data


def test_eight_bit_weights_are_the_same_each_time_and_take_less_room(
    tiny_exported: Path, tmp_path: Path
) -> None:
    quantise(tiny_exported / "onnx.onnx", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tiny_exported / "onnx-int8.onnx").read_bytes()
    saved = [(tiny_exported / name).stat().st_size for name in ("onnx.onnx", "onnx-int8.onnx")]
    model = TransformerEncoder.load_saved(tiny_exported / "encoder").model
    assert saved[0] - saved[1] > sum(weight.numel() for weight in model.parameters())


def test_a_decoder_pooled_by_its_last_token_is_exported(tiny_decoder: Path, tmp_path: Path) -> None:
    """For any number of texts, of one token up to the longest."""
    encoder = load(tiny_decoder, pooling="last_token", item_prefix="for ")
    encoder.save(tmp_path / "encoder")
    export_onnx(encoder, tmp_path / "graph.onnx")
    exported = OnnxEncoder.load(tmp_path / "graph.onnx", tmp_path / "encoder")
    np.testing.assert_allclose(exported.encode_items(TEXTS), encoder.encode_items(TEXTS), atol=1e-4)
    np.testing.assert_allclose(exported.encode_queries(TEXTS), encoder.encode_queries(TEXTS), atol=1e-4)


def test_an_encoder_of_fewer_dimensions_is_exported(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = load(tiny_encoder, dimensions=12)
    encoder.save(tmp_path / "encoder")
    export_onnx(encoder, tmp_path / "graph.onnx")
    exported = OnnxEncoder.load(tmp_path / "graph.onnx", tmp_path / "encoder")
    found = exported.encode_items(TEXTS)
    assert found.shape == (len(TEXTS), 12)
    np.testing.assert_allclose(found, encoder.encode_items(TEXTS), atol=1e-4)


class Words(torch.nn.Module):
    """A model of word vectors alone, with one thing that a graph cannot hold."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=8)
        self.embedding = torch.nn.Embedding(200, 8)
        self.fault = fault

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        if self.fault == "branch" and input_ids.sum() > 3:
            input_ids = input_ids + 1
        states = self.embedding(input_ids)
        if self.fault == "length":
            states = states[torch.arange(len(states))]
        return SimpleNamespace(last_hidden_state=states)


@pytest.mark.parametrize("fault", ["branch", "length"])
def test_a_model_that_cannot_be_exported_says_what_to_set(
    tiny_encoder: Path, tmp_path: Path, fault: str
) -> None:
    """It branches on values; or it takes the example's number of texts for a constant, which the exporter
    does not mention. One sentence names the encoder and the setting."""
    encoder = load(tiny_encoder)
    encoder.model = Words(fault)
    with pytest.raises(EncoderError, match=r"cannot be exported.*retrieval\.inference to torch") as caught:
        export_onnx(encoder, tmp_path / "graph.onnx")
    assert "\n" not in str(caught.value)


def test_a_model_without_such_a_thing_is_exported(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = load(tiny_encoder)
    encoder.model = Words("none")
    export_onnx(encoder, tmp_path / "graph.onnx")
    onnx.checker.check_model(tmp_path / "graph.onnx")
