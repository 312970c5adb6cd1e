"""An encoder that is saved as its adapter alone: what peft trained, and which base's weights it belongs to.

    adapter_model.safetensors, adapter_config.json    as peft writes and reads them
    base.json                                         SHA-256 of the base's model.safetensors

The base is found by the encoder's own name (`base.adapted_base`), and the adapter merged with it when the
encoder is loaded. The merged weights are the same to the last bit on every machine, so that a release ranks
on all of them as it was judged: LoRA's factors are saved in bf16, whose products and sums of some dozens of
them float64 holds exactly, whatever the order of summation; IA³'s are multiplied one by one.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from components.contract.digests import sha256_file
from components.contract.errors import EncoderError
from components.contract.files import disk_errors, write_json
from components.encoder.base import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE_FILE, WEIGHTS, has_adapter

_SUMMED = "lora"
"""In the names of tensors that are multiplied with each other, whose products are summed."""


def write_adapter(model: Any, folder: Path, base: Path, name: str) -> None:
    """Writes the adapter of peft's `model`, which was added to the encoder in the folder `base`, called
    `name`. Raises StorageError (disk)."""
    from peft import get_peft_model_state_dict

    # True or "auto" would ask the hub whether the base has other words.
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    saved = {key: _rounded(key, tensors[key]).detach().cpu().contiguous() for key in sorted(tensors)}
    [config] = model.peft_config.values()
    described = config.to_dict() | {"base_model_name_or_path": name, "inference_mode": True}
    # Which layers are adapted is a set, in another order in every process.
    described = {key: sorted(of) if isinstance(of, set | list) else of for key, of in described.items()}
    with disk_errors(folder):
        save_file(saved, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    write_json(folder / ADAPTER_CONFIG, described)
    write_json(folder / BASE_FILE, {"weights": sha256_file(base / WEIGHTS)})


def with_adapter(model: Any, folder: Path) -> Any:
    """The base model with the adapter that the folder holds merged into its weights; the model as it is where
    the folder holds none. Raises EncoderError for an adapter that is damaged or of another model."""
    if not has_adapter(folder):
        return model
    from peft import PeftModel

    try:
        adapted = PeftModel.from_pretrained(model, str(folder))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EncoderError(f"{folder / ADAPTER_WEIGHTS}: no adapter of its base ({reason}).") from error
    return adapted.double().merge_and_unload().float()


def _rounded(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.bfloat16) if _SUMMED in name else tensor.float()
