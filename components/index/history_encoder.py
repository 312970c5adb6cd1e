"""A learned encoder of a user's past items as a release holds it, run by numpy; training.histories fits it.

Legend of shapes: h past items (the last LENGTH, oldest first), d dimensions of the items' space, w width.

The items' vectors come without the catalogue's mean, as in histories.py. The user's vector is of unit length:

    u = (mean of the past items, to unit length) · residual + widen(core(narrow(past items)))

core: "gru" the last state of a gated recurrent unit (Cho et al., EMNLP 2014, as torch.nn.GRU has it);
"attention" one learned query over the past items by multi-head scaled dot-product attention (Vaswani et al.,
NeurIPS 2017, section 3.2, as torch.nn.MultiheadAttention has it), which does not read their order.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.special import expit, softmax

from components.contract.errors import DataError
from components.contract.files import disk_errors
from components.contract.retrieving import HistoryEncoderKind

LENGTH = 64
"""Past items that are read, the last ones."""
HEADS = 4
Floats = NDArray[np.float64]
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class HistoryEncoder:
    kind: HistoryEncoderKind
    weights: Weights
    """By the names that training.histories.HistoryModule gives them."""

    def encode(self, past: Floats) -> Floats:
        """(h, d) centred unit vectors, h ≥ 1, oldest first → (d,) of unit length."""
        past = past[-LENGTH:]
        core = self._gru if self.kind == "gru" else self._attention
        moved = self._linear("widen", core(self._linear("narrow", past)))
        return _unit(float(self.weights["residual"][0]) * _unit(past.mean(axis=0)) + moved)

    def save(self, folder: Path) -> None:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.weights, folder / file_name(self.kind))

    @classmethod
    def load(cls, folder: Path, kind: HistoryEncoderKind) -> Self:
        """Raises DataError for a damaged file, StorageError for an absent one."""
        path = folder / file_name(kind)
        with disk_errors(path):
            try:
                return cls(kind, load_file(path))
            except SafetensorError as error:
                raise DataError(f"{path} cannot be read ({error}): build the release again.") from error

    def _linear(self, name: str, values: Floats) -> Floats:
        return (
            np.asarray(values @ self.weights[f"{name}.weight"].T.astype(np.float64))
            + self.weights[f"{name}.bias"]
        )

    def _gru(self, inputs: Floats) -> Floats:
        """(h, w) → (w,)"""
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        of_input, of_state, input_bias, state_bias = (
            self.weights[f"core.{name}"].astype(np.float64) for name in names
        )
        given = inputs @ of_input.T + input_bias
        state = np.zeros(given.shape[1] // 3)
        for step in given:
            (reset, update, new), kept = np.split(step, 3), np.split(of_state @ state + state_bias, 3)
            gate = expit(update + kept[1])
            state = (1 - gate) * np.tanh(new + expit(reset + kept[0]) * kept[2]) + gate * state
        return state

    def _attention(self, inputs: Floats) -> Floats:
        """(h, w) → (w,)"""
        weight = self.weights["core.in_proj_weight"].astype(np.float64)
        bias = self.weights["core.in_proj_bias"].astype(np.float64)
        (of_query, of_key, of_value), biases = np.split(weight, 3), np.split(bias, 3)
        query = (of_query @ self.weights["query"].astype(np.float64) + biases[0]).reshape(HEADS, -1)
        keys = (inputs @ of_key.T + biases[1]).reshape(len(inputs), HEADS, -1)
        values = (inputs @ of_value.T + biases[2]).reshape(len(inputs), HEADS, -1)
        logits = np.einsum("kc,hkc->kh", query, keys) / np.sqrt(query.shape[1])
        pooled = np.einsum("kh,hkc->kc", softmax(logits, axis=1), values).ravel()
        return self._linear("core.out_proj", pooled)


def file_name(kind: HistoryEncoderKind) -> str:
    return f"{kind}.safetensors"


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))
