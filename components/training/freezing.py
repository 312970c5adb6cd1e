"""Frozen lower layers: what is learned of language stays, and their backward pass is saved."""

from itertools import takewhile

from torch.nn import Module, ModuleList

from components.contract.learning import TrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.training.base_size import check_frozen_layers


def freeze_lowest(encoder: TransformerEncoder, settings: TrainingSettings) -> None:
    """Freezes the embeddings and the `frozen_layers` lowest layers, in place; 0: nothing.

    Raises ConfigError where no layer would be left to train.
    """
    count = settings.frozen_layers
    if count == 0:
        return
    layers = layers_of(encoder.model)
    check_frozen_layers(settings, len(layers))
    first_trained = {id(weight) for weight in layers[count].parameters()}
    # A model defines its parts in the order in which it uses them.
    for weight in takewhile(lambda weight: id(weight) not in first_trained, encoder.model.parameters()):
        weight.requires_grad_(False)


def layers_of(model: Module) -> ModuleList:
    """The longest list of modules: what transformers' models of all types stack."""
    return max((part for part in model.modules() if isinstance(part, ModuleList)), key=len)
