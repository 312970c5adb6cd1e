"""All systems of `make bench-recall`, ours and the peers, ranked, judged and compared."""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import peers_purchases
import peers_search
import sentence_trainer
from commit import commit
from peer import FusedPeer, Peer, Run
from peer_cache import PeerCache, key_of
from rankings import Fused, Recorded
from recall_shop import BenchShop
from recall_table import OURS, compared, seed_means
from retrained import retrained

from components.encoder.base import base_digest
from flows.fingerprint import code_digest

OPTIONAL = {"als": "implicit", "sentence_transformers": "datasets", "sentence_transformers_best": "datasets"}
"""Peers that need a package of the extra `bench`."""


def peers_of(bench: BenchShop) -> dict[str, Peer | FusedPeer]:
    of_entrance = peers_search.PEERS if bench.entrance == "search" else peers_purchases.PEERS
    return {peer.name: peer for peer in of_entrance}


def needed(names: list[str], peers: dict[str, Peer | FusedPeer]) -> list[str]:
    """Packages that are not installed."""
    parts = {part for name in names for part in getattr(peers[name], "parts", (name,))}
    packages = {OPTIONAL[part] for part in parts if part in OPTIONAL}
    return sorted(package for package in packages if importlib.util.find_spec(package) is None)


class Benchmark:
    def __init__(
        self,
        bench: BenchShop,
        peers: dict[str, Peer | FusedPeer],
        folder: Path,
        chosen: argparse.Namespace,
    ) -> None:
        self.bench, self.peers, self.folder, self.chosen = bench, peers, folder, chosen
        self.cache = PeerCache(folder / "peers")
        self.recorded: dict[tuple[str, int], tuple[Recorded, bool]] = {}
        self.new = bench.catalogue.get_column("is_new").to_numpy()
        self.cached: list[str] = []

    def measured(self, names: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """The figures, and in words how each system was run."""
        systems: dict[str, Any] = {}
        for name in names:
            if name != "debut":
                systems[name] = seed_means([self._scores(name, seed) for seed in range(self._seeds(name))])
        if "debut" in names:
            systems |= self._ours()
        requests = self.bench.requests
        if not systems:
            raise SystemExit("--systems names none.")
        value = next(iter(systems.values()))["new_recall@10"]
        figures: dict[str, Any] = {
            "dataset": self.bench.name,
            **compared(systems),
            "seeds": self.chosen.seeds,
            "pairs": self.chosen.pairs,
            "cached": self.cached,
            "requests": len(requests),
            "requests_with_new": int((~np.isnan(value)).sum()),
            "data": self.bench.prepared.digest,
            "commit": commit(),
            "command": " ".join(["make bench-recall", *self._variables()]),
            "notes": self._notes(),
        }
        return figures, {name: self._what(name) for name in systems}

    def _ours(self) -> dict[str, Any]:
        cards, cached = retrained(self.bench, self.folder, self.chosen.seeds, self.chosen.pairs)
        self.cached += [f"debut, seed {seed}" for seed, was in enumerate(cached) if was]
        expected = tuple(request.request_id for request in self.bench.requests)
        systems = {}
        for name, of_seeds in cards.items():
            scores = [card.entrances[self.bench.entrance] for card in of_seeds]
            assert all(one.request_ids == expected for one in scores), "other requests than the peers'"
            systems[name] = seed_means([one.measures for one in scores])
        return systems

    def _seeds(self, name: str) -> int:
        peer = self.peers[name]
        parts = peer.parts if isinstance(peer, FusedPeer) else (name,)
        seeded = any(getattr(self.peers[part], "seeded", False) for part in parts)
        return int(self.chosen.seeds) if seeded else 1

    def _scores(self, name: str, seed: int) -> Any:
        peer = self.peers[name]
        if isinstance(peer, FusedPeer):
            parts = [self._ranked(part, seed) for part in peer.parts]
            retriever: Any = Fused(name, *(recorded for recorded, _ in parts))
            cached = all(was for _, was in parts)
        else:
            retriever, cached = self._ranked(name, seed)
        if cached:
            self.cached.append(name if self._seeds(name) == 1 else f"{name}, seed {seed}")
        measures = self.bench.scores(retriever).measures
        peers_search.say(f"{name}, seed {seed}: new {np.nanmean(measures['new/recall@10']):.4f}")
        return measures

    def _ranked(self, name: str, seed: int) -> tuple[Recorded, bool]:
        """A peer's rankings of the test requests, and whether they were there."""
        peer, bench = self.peers[name], self.bench
        assert isinstance(peer, Peer)
        seed = seed if peer.seeded else 0
        if (name, seed) not in self.recorded:
            run = Run(bench, seed, self.chosen.pairs, self.cache, self.chosen.recipe)
            data = bench.prepared.digest
            fields = list(bench.settings.encoder.item_fields)
            used = seed if peer.seeded else None
            # What encodes, ranks and tunes peers is the product's: of another commit it is run anew.
            product: dict[str, Any] = {"code": code_digest(), "base": base_digest(bench.settings.encoder)}
            if sentence_trainer in peer.modules:
                product["recipe"] = self.chosen.recipe
            pairs = self.chosen.pairs
            packages = ("numpy", "scipy", *peer.packages)
            key = key_of(packages, peer.modules, data, used, pairs=pairs, fields=fields, **product)

            def make(out: Path) -> None:
                Recorded.of(peer.build(run), bench.requests, self.new).save(out)

            place, cached = self.cache.made(name, key, make)
            self.recorded[name, seed] = Recorded.load(place, name, bench.item_ids, bench.requests), cached
        return self.recorded[name, seed]

    def _what(self, name: str) -> str:
        if name in OURS:
            return OURS[name]
        peer = self.peers[name]
        if isinstance(peer, FusedPeer):
            return f"reciprocal rank fusion (k = 60, the first 100 of each) of {' and '.join(peer.parts)}"
        return peer.what

    def _variables(self) -> list[str]:
        given = {"DATASET": self.chosen.dataset, "SEEDS": self.chosen.seeds}
        given |= {"SYSTEMS": self.chosen.systems} if self.chosen.systems else {}
        given |= {"PAIRS": self.chosen.pairs} if self.chosen.pairs else {}
        given |= {"RECIPE": "{}:{}".format(*self.chosen.recipe)} if self.chosen.recipe else {}
        return [f"{name}={value}" for name, value in given.items()]

    def _notes(self) -> list[str]:
        notes = []
        if self.chosen.pairs:
            notes.append(f"A short run: at most {self.chosen.pairs} training pairs. No figure of it counts.")
        if self.chosen.recipe:
            rate, count = self.chosen.recipe
            notes.append(
                f"The settings of sentence_transformers_best are of an earlier search: learning rate {rate}, "
                f"{count} mined negatives a pair."
            )
        if self.bench.entrance == "recommendation":
            if not self.bench.excludes_past_purchases():
                raise SystemExit(
                    "A past purchase is among what is ranked or judged: established is not unseen."
                )
            notes.append(
                "Established here is established-unseen: past purchases are taken out of every list and are "
                "never what is to be found (checked in this run)."
            )
        return notes
