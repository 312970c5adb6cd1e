"""An encoder that is saved as its adapter alone: what peft trained, and which base's weights it belongs to.

    adapter_model.safetensors, adapter_config.json    as peft writes and reads them
    adapter_base.json                                 the base: `base.AdapterBase`

The adapter is merged with its base when the encoder is loaded. The merged weights are the same to the last
bit on every machine, so that a release ranks on all of them as it was judged: LoRA's factors are saved in
bf16, whose products and sums of some dozens of them float64 holds exactly, whatever the order of summation;
IA³'s are multiplied one by one. A prefix is merged with nothing: it stands before every text in every layer.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from components.contract.errors import EncoderError
from components.contract.files import disk_errors, write_json
from components.encoder.base import ADAPTER_CONFIG, ADAPTER_WEIGHTS, has_adapter

_SUMMED = "lora"
"""In the names of tensors that are multiplied with each other, whose products are summed."""


def write_adapter(model: Any, folder: Path, name: str) -> None:
    """Writes the adapter of peft's `model`, which was added to the encoder called `name`. Raises StorageError
    (disk)."""
    tensors = _tensors(model)
    saved = {key: _rounded(key, tensors[key]).detach().cpu().contiguous() for key in sorted(tensors)}
    [config] = model.peft_config.values()
    described = config.to_dict() | {"base_model_name_or_path": name, "inference_mode": True}
    # Which layers are adapted is a set, in another order in every process.
    described = {key: sorted(of) if isinstance(of, set | list) else of for key, of in described.items()}
    with disk_errors(folder):
        save_file(saved, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    write_json(folder / ADAPTER_CONFIG, described)


def with_adapter(model: Any, folder: Path) -> Any:
    """The base model with the adapter that the folder holds, merged into its weights where it can be; the
    model as it is where the folder holds none.

    Raises EncoderError for an adapter that is damaged or of another model.
    """
    if not has_adapter(folder):
        return model
    from peft import PeftConfig, PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    try:
        config = PeftConfig.from_pretrained(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{folder / ADAPTER_CONFIG} describes no adapter: it is damaged.") from error
    path = folder / ADAPTER_WEIGHTS
    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
        with warnings.catch_warnings():  # peft warns of names it misses, which are compared below
            warnings.simplefilter("ignore")
            adapted = PeftModel.from_pretrained(model, str(folder), config=config)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EncoderError(f"{path}: no adapter of its base ({reason}).") from error
    if names != set(_tensors(adapted)):  # peft leaves what it does not find as it began: the base
        raise EncoderError(f"{path}: no adapter of its base (it holds other tensors than that one has).")
    if not hasattr(adapted, "merge_and_unload"):
        return adapted
    for layer in adapted.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.double().merge()
            layer.float()
    return adapted.unload().requires_grad_(True)


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    # True or "auto" would ask the hub whether the base has other words.
    found: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return found


def _rounded(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.bfloat16) if _SUMMED in name else tensor.float()
