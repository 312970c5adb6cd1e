"""Trains a learned encoder of users' pasts: what a user will buy next is to be near the user's vector.

Legend of shapes: b users, l past items (padded), d dimensions of the items' space, w width, c candidates.

A user's past is cut at a random moment between two baskets; the items before are read, and those after it
are the targets of one softmax over the items that somebody bought in training (at most CANDIDATES of them,
drawn per step: sampled softmax). The items' vectors are fixed, so an item that is listed tomorrow is ranked
by its text. Items that nobody bought are no candidates: as wrong answers they would teach that new is bad.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch.nn import functional

from components.contract.ports import Rows, Vectors
from components.contract.retrieving import HistoryEncoderKind
from components.index.histories import Wide
from components.index.history_encoder import HEADS, LENGTH, HistoryEncoder

WIDTH, DROPOUT = 128, 0.2
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 3e-3, 0.01
TARGETS = 20
"""Later items per user and step."""
CANDIDATES = 4_096
MOST_USERS = 20_000
"""Per epoch, drawn by seed."""
MAX_EPOCHS, PATIENCE = 15, 3
LOWEST = -1e9


@dataclass(frozen=True, eq=False)
class Past:
    """One user's first purchases in their order; items of one basket have no order."""

    rows: Rows
    baskets: Rows
    """Of each item, ascending from 0."""


def pasts(purchases: pl.DataFrame, item_ids: Sequence[str]) -> list[Past]:
    """Of users with two baskets or more, in user_id order. purchases: user_id, item_id, at; those of other
    items are left out."""
    items = pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String}).with_row_index("row")
    known = purchases.join(items, on="item_id").sort("user_id", "at", "row")
    baskets = pl.col("at").rank("dense").cast(pl.Int64) - 1
    by_user = known.group_by("user_id", maintain_order=True).agg(pl.col("row").cast(pl.Int64), baskets)
    found = [Past(np.asarray(rows), np.asarray(of)) for _, rows, of in by_user.iter_rows()]
    return [past for past in found if past.baskets[-1] > 0]


class HistoryModule(torch.nn.Module):
    """What index.history_encoder.HistoryEncoder runs, with the same names."""

    def __init__(self, kind: HistoryEncoderKind, dimensions: int) -> None:
        super().__init__()
        self.kind = kind
        self.narrow = torch.nn.Linear(dimensions, WIDTH)
        self.core = (
            torch.nn.GRU(WIDTH, WIDTH, batch_first=True)
            if kind == "gru"
            else torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        )
        self.query = torch.nn.Parameter(torch.randn(WIDTH) * 0.1)
        self.widen = torch.nn.Linear(WIDTH, dimensions)
        torch.nn.init.normal_(self.widen.weight, std=0.02)  # the start is the mean of the past, nearly
        torch.nn.init.zeros_(self.widen.bias)
        self.residual = torch.nn.Parameter(torch.ones(1))
        self.log_scale = torch.nn.Parameter(torch.full((1,), float(np.log(15.0))))
        self.dropout = torch.nn.Dropout(DROPOUT)

    def forward(self, past: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(b, l, d) unit vectors, oldest first, 0 beyond the lengths (b,) → (b, d) of unit length."""
        inside = torch.arange(past.shape[1]) < lengths[:, None]
        narrow = self.dropout(self.narrow(past))
        if self.kind == "gru":
            states, _ = self.core(narrow)
            pooled = states[torch.arange(len(past)), lengths - 1]
        else:
            query = self.query.expand(len(past), 1, -1)
            pooled = self.core(query, narrow, narrow, key_padding_mask=~inside, need_weights=False)[0][:, 0]
        mean = functional.normalize(past.sum(dim=1), dim=1)
        return functional.normalize(self.residual * mean + self.widen(pooled), dim=1)

    def encoder(self) -> HistoryEncoder:
        weights = {name: value.detach().numpy().copy() for name, value in self.state_dict().items()}
        return HistoryEncoder(self.kind, weights)


@dataclass(frozen=True, eq=False)
class Held:
    """Users who are not learned from, and what recall vectors (users, d) of them reach."""

    pasts: Sequence[Rows]
    """Oldest first, none empty."""
    recall: Callable[[Vectors], float]


@dataclass(frozen=True)
class Fitted:
    encoder: HistoryEncoder
    epochs: int
    recalls: tuple[float, ...]
    """On validation after each epoch; none without validation."""


def fit(
    kind: HistoryEncoderKind,
    vectors: Wide,
    users: Sequence[Past],
    *,
    seed: int,
    epochs: int = MAX_EPOCHS,
    held: Held | None = None,
) -> Fitted:
    """vectors: (n, d) centred, of unit length; held: validation, by which the best epoch is kept and training
    stops after PATIENCE no better ones; without it exactly so many epochs are trained."""
    torch.manual_seed(seed)
    rng, items = np.random.default_rng(seed), torch.from_numpy(vectors.astype(np.float32))
    module = HistoryModule(kind, vectors.shape[1])
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    bought = np.unique(np.concatenate([past.rows for past in users]))
    best, recalls = module.encoder(), list[float]()
    for _ in range(epochs):
        module.train()
        order = rng.permutation(len(users))[:MOST_USERS]
        for start in range(0, len(order), BATCH):
            chosen = [users[number] for number in order[start : start + BATCH]]
            loss = _loss(module, items, chosen, bought, rng)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            optimizer.step()
        module.eval()
        if held is None:
            best = module.encoder()
            continue
        recalls.append(held.recall(_encoded(module, items, held.pasts)))
        if recalls[-1] == max(recalls) and recalls.count(recalls[-1]) == 1:
            best = module.encoder()
        if len(recalls) - recalls.index(max(recalls)) > PATIENCE:
            break
    return Fitted(best, recalls.index(max(recalls)) + 1 if recalls else epochs, tuple(recalls))


def _encoded(module: HistoryModule, items: torch.Tensor, pasts: Sequence[Rows]) -> Vectors:
    """(users, d) of all pasts."""
    found = []
    for start in range(0, len(pasts), BATCH):
        with torch.no_grad():
            found.append(module(*_padded(items, [past[-LENGTH:] for past in pasts[start : start + BATCH]])))
    encoded: Vectors = torch.cat(found).numpy()
    return encoded


def _padded(items: torch.Tensor, pasts: Sequence[Rows]) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, l, d) and the lengths (b,)"""
    past = torch.zeros(len(pasts), max(map(len, pasts)), items.shape[1])
    for line, rows in enumerate(pasts):
        past[line, : len(rows)] = items[torch.from_numpy(rows)]
    return past, torch.tensor([len(rows) for rows in pasts])


def _loss(
    module: HistoryModule, items: torch.Tensor, users: Sequence[Past], bought: Rows, rng: np.random.Generator
) -> torch.Tensor:
    """Mean over the users of their targets' mean cross-entropy; what the user has is no wrong answer."""
    cut = [_cut(past, rng) for past in users]
    drawn = bought if len(bought) <= CANDIDATES else rng.choice(bought, CANDIDATES, replace=False)
    candidates = np.unique(np.concatenate([drawn, *(later for _, later in cut)]))
    barred, wanted = np.zeros((2, len(cut), len(candidates)), dtype=np.float32)
    for line, (_, later) in enumerate(cut):
        barred[line, np.isin(candidates, users[line].rows)] = LOWEST
        places = np.searchsorted(candidates, later)
        barred[line, places], wanted[line, places] = 0.0, 1 / len(later)
    users_vectors = module(*_padded(items, [before for before, _ in cut]))
    logits = users_vectors @ items[torch.from_numpy(candidates)].T * module.log_scale.exp()
    shares = functional.log_softmax(logits + torch.from_numpy(barred), dim=1)
    return -(shares * torch.from_numpy(wanted)).sum(dim=1).mean()


def _cut(past: Past, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """The last LENGTH items before a random basket, items of one basket shuffled, and some from it on."""
    basket = rng.integers(1, past.baskets[-1] + 1)
    before = np.flatnonzero(past.baskets < basket)
    before = before[np.lexsort((rng.random(len(before)), past.baskets[before]))][-LENGTH:]
    later = rng.permutation(np.flatnonzero(past.baskets >= basket))[:TARGETS]
    return past.rows[before], past.rows[later]
