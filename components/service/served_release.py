"""A release in memory: everything that answers come from, loaded from a candidate's folder."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from components.contract.errors import DataError, DebutError
from components.encoder.word_pieces import Pieces, word_pieces
from components.index.live import LiveIndex
from components.index.retrieval import ENCODER, HEADS, open_candidate
from components.release.candidate import load_fingerprint
from components.service.query_cache import QueryCache
from components.tasks.heads import Head, open_heads

if TYPE_CHECKING:
    from components.encoder.transformer import TransformerEncoder

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Release:
    digest: str
    folder: Path
    index: LiveIndex
    cache: QueryCache
    pieces: Pieces
    cutoff: datetime | None
    """T: items listed at or after it are new to this release."""
    fp32_encoder: Callable[[], "TransformerEncoder"]
    """Loads the encoder in torch, once; explanations need its gradients."""
    heads: dict[str, Head]
    """By task."""


def load_release(digest: str, folder: Path, query_cache: int) -> Release:
    """query_cache: queries whose vectors are kept. Raises DebutError for a folder that cannot be read;
    nothing here verifies it."""
    try:
        return _opened(digest, folder, query_cache)
    except DebutError:
        raise
    except Exception as error:  # the libraries that read its files have errors of many kinds
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise DataError(f"{folder} cannot be loaded ({reason}): it is damaged; build it again.") from error


def _opened(digest: str, folder: Path, query_cache: int) -> Release:
    index = open_candidate(folder, digest[:12])
    heads = open_heads(folder / HEADS)
    for head in heads.values():  # before it serves, not when a customer asks
        head.require_dimensions(len(index.vector(0)))
    cache = QueryCache(index.encoder, query_cache)
    index.encoder = cache
    return Release(
        digest=digest,
        folder=folder,
        index=index,
        cache=cache,
        pieces=word_pieces(folder / ENCODER),
        cutoff=load_fingerprint(folder).cutoff,
        fp32_encoder=_once(partial(_fp32_encoder, folder / ENCODER)),
        heads=heads,
    )


def _once(load: Callable[[], T]) -> Callable[[], T]:
    """`load`, whose result is kept; threads that ask while it runs wait for it."""
    lock, kept = threading.Lock(), lru_cache(maxsize=1)(load)

    def loaded() -> T:
        with lock:
            return kept()

    return loaded


def _fp32_encoder(folder: Path) -> "TransformerEncoder":
    from components.encoder.transformer import TransformerEncoder  # torch takes seconds and 300 MB

    return TransformerEncoder.load_saved(folder)
