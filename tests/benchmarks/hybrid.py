"""LightFM's model (Kula, CBRecSys 2015) in a few lines, because its package does not build here: a stand-in.

A user is a vector and an item the sum of its features' vectors and biases: its own id and the words of its
text. The loss is WARP (Weston, Bengio and Usunier, IJCAI 2011) as LightFM has it: negatives are drawn until
one violates the margin, and the later it comes the less it counts. Here MOST_DRAWS are drawn at once and the
first violating one is taken. Negatives are items that somebody bought, as LightFM knows no others when
it is fitted: so a new item has no trained id, and its words alone place it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from components.index.postings import tokens

MOST_DRAWS = 10
BATCH = 512
RATE = 0.05


def scores(
    matrix: csr_array, texts: list[str], *, dimensions: int, epochs: int, seed: int
) -> NDArray[np.float32]:
    """(u, n) scores from the purchases `matrix` (u, n) and a text per item."""
    torch.manual_seed(seed)
    features, offsets = _features(texts)
    count = int(features.max()) + 1
    users = torch.nn.Embedding(matrix.shape[0], dimensions, sparse=False)
    items = torch.nn.EmbeddingBag(count, dimensions + 1, mode="sum")  # the last column is the bias
    for table in (users, items):
        torch.nn.init.normal_(table.weight, std=0.5 / dimensions)
    with torch.no_grad():
        items.weight[: len(texts)] = 0  # an id that is never trained says nothing
    optimizer = torch.optim.Adagrad([*users.parameters(), *items.parameters()], lr=RATE)
    who, what = (torch.from_numpy(part.astype(np.int64)) for part in matrix.nonzero())
    bought = torch.from_numpy(np.asarray(matrix.todense()) > 0)
    known = bought.any(dim=0).nonzero()[:, 0]
    for _ in range(epochs):
        for part in torch.randperm(len(who)).split(BATCH):
            loss = _warp(users(who[part]), items(features, offsets), who[part], what[part], bought, known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        table = items(features, offsets)
        found: NDArray[np.float32] = (users.weight @ table[:, :-1].T + table[:, -1]).numpy()
    return found


def _warp(
    users: torch.Tensor,
    items: torch.Tensor,
    who: torch.Tensor,
    what: torch.Tensor,
    bought: torch.Tensor,
    known: torch.Tensor,
) -> torch.Tensor:
    """users (b, d), items (n, d + 1), who and what (b,), bought (u, n), known: numbers of the items that
    somebody bought."""
    drawn = known[torch.randint(len(known), (len(who), MOST_DRAWS))]
    asked = torch.cat([what[:, None], drawn], dim=1)
    vectors = items[asked]  # (b, 1 + draws, d + 1)
    found = (vectors[..., :-1] @ users[..., None])[..., 0] + vectors[..., -1]
    margins = 1 - found[:, :1] + found[:, 1:]  # (b, draws)
    violating = (margins > 0) & ~bought[who[:, None], drawn]
    first = violating.int().argmax(dim=1)
    rank = torch.clamp((len(known) - 1) // (first + 1), min=1)
    chosen = margins.gather(1, first[:, None])[:, 0]
    return (torch.log(rank.float()) * chosen * violating.any(dim=1)).mean()


def _features(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of all items' features, one item's after another's, and where each begins."""
    cut = [sorted(set(tokens(text))) for text in texts]
    word_of = {word: len(texts) + i for i, word in enumerate(sorted(set().union(*cut)))}
    lists = [[row, *(word_of[word] for word in words)] for row, words in enumerate(cut)]
    starts = np.cumsum([0, *(len(one) for one in lists[:-1])])
    return torch.tensor([number for one in lists for number in one]), torch.from_numpy(starts)
