"""A peer of `make bench-recall`: how it is called, what its ranking depends on, and what builds it."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from peer_cache import PeerCache, source_digest
from recall_shop import BenchShop

from components.contract.ports import Retriever

Recipe = tuple[float, int]
"""Learning rate, mined negatives a pair."""


@dataclass(frozen=True)
class Run:
    """What a peer is built from."""

    bench: BenchShop
    seed: int
    pairs: int | None
    """At most so many training pairs."""
    cache: PeerCache
    recipe: Recipe | None = None
    """Of sentence-transformers' best recipe, as an earlier search chose it; None: it is searched."""


@dataclass(frozen=True)
class Peer:
    name: str
    what: str
    """For the table: how it was run."""
    build: Callable[[Run], Retriever]
    seeded: bool = False
    """Whether its ranking depends on the seed."""
    packages: tuple[str, ...] = ()
    modules: tuple[ModuleType, ...] = ()

    def __post_init__(self) -> None:
        for module in self.modules:
            source_digest(module)


@dataclass(frozen=True)
class FusedPeer:
    """Reciprocal rank fusion of two peers' rankings."""

    name: str
    parts: tuple[str, str]
