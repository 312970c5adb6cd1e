"""A linear map of the query vector, beside an encoder whose items' vectors are already in an index.

What `training.method: query_side` learns (components.training.query_side). Without torch: it also serves.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from components.contract.errors import EncoderError
from components.contract.files import disk_errors
from components.contract.ports import Vectors
from components.encoder.base import QUERY_MAP_FILE, has_query_map

QueryMap = NDArray[np.float32]
"""(d, d): a query's vector v becomes map · v, at unit length."""


def read_query_map(encoder: Path, dimensions: int) -> QueryMap | None:
    """Of a saved encoder; None where it has none. Raises EncoderError for one that is damaged or of another
    encoder."""
    path = encoder / QUERY_MAP_FILE
    if not has_query_map(encoder):
        return None
    try:
        found: QueryMap = load_file(path)["map"]
    except (SafetensorError, KeyError) as error:
        raise EncoderError(f"{path} cannot be read ({error}): it is damaged; build it again.") from error
    if found.shape != (dimensions, dimensions):
        raise EncoderError(f"{path}: a map of {found.shape}, but the vectors have {dimensions} dimensions.")
    return found


def write_query_map(query_map: QueryMap, encoder: Path) -> None:
    with disk_errors(encoder / QUERY_MAP_FILE):
        save_file({"map": np.ascontiguousarray(query_map, dtype=np.float32)}, encoder / QUERY_MAP_FILE)


def mapped(vectors: Vectors, query_map: QueryMap | None) -> Vectors:
    """(n, d) unit vectors."""
    if query_map is None or not len(vectors):
        return vectors
    # Row by row: the bits of a query's vector must not depend on how many others are asked with it.
    turned = np.stack([query_map @ vector for vector in vectors])
    unit: Vectors = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
    return unit
