"""Token states behind the frozen layers, kept by text: one that comes again costs the upper layers alone.

Frozen layers give a text the same states at every step, but for dropout, which they are computed without.
Only for an encoder that `packs`. Legend as in packing.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import ModuleList

from components.encoder.transformer import TransformerEncoder
from components.training.freezing import layers_of
from components.training.packing import Packing, packed_states, pooled

MOST_BYTES = 10**9
"""Of a rank's states; beyond, a text's are computed whenever it comes."""


class _ReachedError(Exception):
    """The last frozen layer has answered; those above need not."""


class FrozenStates:
    def __init__(self, encoder: TransformerEncoder, layers: int, most_bytes: int = MOST_BYTES) -> None:
        """layers: so many of the lowest are frozen."""
        self._encoder, self._count, self._left = encoder, layers, most_bytes
        self._kept: dict[tuple[int, ...], Tensor] = {}

    def vectors(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Token ids of n texts → (n, d) unit vectors; gradients flow into the upper layers."""
        packing, known = Packing.of(texts), self._known(texts)
        states = torch.cat([known[tuple(texts[text])] for text in packing.order])
        with self._upper_layers(states):
            states = packed_states(self._encoder, texts, packing)
        return pooled(self._encoder, states, packing)

    def _known(self, texts: Sequence[Sequence[int]]) -> dict[tuple[int, ...], Tensor]:
        """Per distinct text its (l, d) states behind the frozen layers."""
        distinct = list(dict.fromkeys(map(tuple, texts)))
        missing = [text for text in distinct if text not in self._kept]
        known = {text: self._kept[text] for text in distinct if text in self._kept}
        if not missing:
            return known
        packing = Packing.of(missing)
        parts = torch.split(self._lower(missing, packing), [len(missing[text]) for text in packing.order])
        for text, states in zip(packing.order, parts, strict=True):
            known[missing[text]] = states
            size = states.numel() * states.element_size()
            if size <= self._left:
                self._left -= size
                self._kept[missing[text]] = states.clone()  # not a view of all texts' of this step
        return known

    def _lower(self, texts: Sequence[Sequence[int]], packing: Packing) -> Tensor:
        """(t, d) behind the last frozen layer."""
        model, found = self._encoder.model, list[Tensor]()

        def reached(_module: Any, _inputs: Any, output: Any) -> None:
            found.append((output[0] if isinstance(output, tuple) else output)[0])
            raise _ReachedError

        hook = layers_of(model)[self._count - 1].register_forward_hook(reached)
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                packed_states(self._encoder, texts, packing)
        except _ReachedError:
            pass
        finally:
            hook.remove()
            model.train(training)
        return found[0]

    @contextmanager
    def _upper_layers(self, states: Tensor) -> Iterator[None]:
        """The model without its frozen layers; the first of the others reads `states`."""
        model = self._encoder.model
        layers = layers_of(model)
        name = next(name for name, module in model.named_modules() if module is layers)
        place, _, last = name.rpartition(".")
        parent = model.get_submodule(place)

        def read(_module: Any, inputs: tuple[Any, ...], more: dict[str, Any]) -> Any:
            if inputs:
                return (states[None], *inputs[1:]), more
            return inputs, more | {"hidden_states": states[None]}

        hook = layers[self._count].register_forward_pre_hook(read, with_kwargs=True)
        setattr(parent, last, ModuleList(layers[self._count :]))
        try:
            yield
        finally:
            setattr(parent, last, layers)
            hook.remove()
