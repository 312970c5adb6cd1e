"""An encoder as an ONNX graph: token ids and mask in, unit vectors out; in fp32 or with 8-bit weights."""

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.contract.errors import EncoderError
from components.encoder.transformer import TransformerEncoder

MOST_TEXTS = 4_096
"""In one batch."""

_Content = tuple[tuple[int, ...], str]
"""Shape and SHA-256."""


class _UnitVectors(torch.nn.Module):
    def __init__(self, encoder: TransformerEncoder) -> None:
        super().__init__()
        self.model = encoder.model
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.encoder.vectors_of(input_ids, attention_mask)


def export_onnx(encoder: TransformerEncoder, path: Path) -> None:
    """Writes the fp32 graph; 9 s for MiniLM. Raises EncoderError for a model that cannot be exported."""
    module = _UnitVectors(encoder).eval()
    ids = torch.ones(2, 7, dtype=torch.int64)
    texts = torch.export.Dim("texts", min=1, max=MOST_TEXTS)
    tokens = torch.export.Dim("tokens", min=1, max=encoder.settings.max_length)
    shapes = {0: texts, 1: tokens}
    try:
        with _quiet(), torch.inference_mode():
            torch.onnx.export(
                module,
                (ids, torch.ones_like(ids)),
                str(path),
                dynamo=True,
                verbose=False,
                input_names=["input_ids", "attention_mask"],
                output_names=["vectors"],
                dynamic_shapes={"input_ids": shapes, "attention_mask": shapes},
                external_data=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).splitlines()[0]
        raise EncoderError(
            f"{encoder.settings.name} cannot be exported to ONNX ({reason}): "
            "set retrieval.inference to torch."
        ) from error
    model = onnx.load(path)
    _check_axes(model, encoder.settings.name)
    _remove_source_lines(model)
    onnx.save(model, path)


def _check_axes(model: onnx.ModelProto, name: str) -> None:
    """The exporter takes a length that it cannot follow for a constant, and says nothing."""
    for argument in model.graph.input:
        if not all(axis.dim_param for axis in argument.type.tensor_type.shape.dim):
            raise EncoderError(
                f"{name} cannot be exported to ONNX (the graph takes one number of texts or tokens only): "
                "set retrieval.inference to torch."
            )


def _remove_source_lines(model: onnx.ModelProto) -> None:
    """The exporter notes beside every node the lines of code it came from, with this machine's paths: equal
    encoders would have other files elsewhere."""
    model.graph.ClearField("metadata_props")
    for parts in (model.graph.node, model.graph.initializer, model.graph.value_info):
        for part in parts:
            part.ClearField("metadata_props")
            part.ClearField("doc_string")


def reweight(graph: Path, start: TransformerEncoder, encoder: TransformerEncoder, out: Path) -> bool:
    """Writes the graph of `start` with the weights of `encoder`, a copy of it that was trained on: a second
    instead of nine. False, and nothing written, where a weight is not found in the graph or not unique there,
    or has another shape (a prompt adds words).
    """
    old, new = _weights(start), _weights(encoder)
    if any(old[name].shape != new[name].shape for name in old):
        return False
    model = onnx.load(graph)
    names = _by_content(old)
    placed: set[str] = set()
    for tensor in model.graph.initializer:
        found = names.get(_content(onnx.numpy_helper.to_array(tensor)), [])
        values = [np.ascontiguousarray(new[name].T if turned else new[name]) for name, turned in found]
        if len({value.tobytes() for value in values}) > 1:
            return False
        for value in values[:1]:
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
        placed.update(name for name, _ in found)
    if any(name not in placed and not np.array_equal(old[name], new[name]) for name in old):
        return False
    onnx.save(model, out)
    return True


def _weights(encoder: TransformerEncoder) -> dict[str, NDArray[Any]]:
    return {name: tensor.cpu().numpy() for name, tensor in encoder.model.state_dict().items()}


def _by_content(weights: dict[str, NDArray[Any]]) -> dict[_Content, list[tuple[str, bool]]]:
    """Per content the weights that have it, and whether transposed, as the exporter folds matrices."""
    names: dict[_Content, list[tuple[str, bool]]] = {}
    for name, values in weights.items():
        names.setdefault(_content(values), []).append((name, False))
        if values.ndim == 2:
            names.setdefault(_content(values.T), []).append((name, True))
    return names


def _content(values: NDArray[Any]) -> _Content:
    return values.shape, hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def quantise(fp32: Path, out: Path) -> None:
    """Writes the graph with 8-bit weights, a scale per output channel, activations quantised as they come.

    Seven bits are used (reduce_range): without 8-bit dot product instructions the sums of two products would
    overflow 16 bits, and on a CPU that has them it was as fast and nearer to fp32.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(fp32, out, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Both libraries advise about graphs that are not ours to change, on stdout and as warnings."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
