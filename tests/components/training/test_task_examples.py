"""Tasks beside the pairs: which rows a step draws, and what their loss adds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.functional import cross_entropy

from components.contract.learning import AugmentSettings, TrainingSettings
from components.contract.task import Task
from components.tasks.modules import TaskHead
from components.training.attempts import begin_attempt
from components.training.data import PairLoader
from components.training.examples import read_examples
from components.training.fit import run_rank
from components.training.module import ContrastiveModule
from components.training.prepare import prepare_examples
from components.training.task_examples import read_task_examples

THING = Task(name="thing", says="Thing", rows="SELECT 1", text=("title",), head="classification", weight=0.5)
PRICE = Task(name="price", says="Price", rows="SELECT 2", text=("title",), head="regression", log_scale=True)
ALONE = THING.model_copy(update={"name": "alone", "weight": 0.0})
TASKS = (THING, PRICE, ALONE)


@pytest.fixture
def examples(shop: Any, tmp_path: Path) -> Path:
    items = pl.read_parquet(shop.split / "items.parquet").filter("trainable")
    targets = {
        "thing": items["title"].str.split(" ").list.last(),
        "price": pl.Series(range(1, len(items) + 1)),
    }
    for task in (THING, PRICE, ALONE):
        folder = tmp_path / "rows" / task.name
        folder.mkdir(parents=True)
        target = targets.get(task.name, targets["thing"])
        frame = items.select("item_id", text="title", is_new=pl.lit(False)).with_columns(target=target)
        frame.write_parquet(folder / "train.parquet")
    out = tmp_path / "examples"
    prepare_examples(
        shop.split,
        out,
        base=shop.load(),
        training=TrainingSettings(batch_size=16),
        augment=AugmentSettings(),
        tasks=TASKS,
        task_rows=tmp_path / "rows",
    )
    return out


def loader(shop: Any, examples: Path, rank: int = 0, ranks: int = 1) -> PairLoader:
    settings = TrainingSettings(batch_size=16, task_rows=6)
    tokenize = shop.load().tokenize
    return PairLoader(
        read_examples(examples), settings, AugmentSettings(typo_share=0.0),
        lambda texts: tokenize(texts, "query"), epochs=1, rank=rank, ranks=ranks,
        tasks=read_task_examples(TASKS, examples),
    )  # fmt: skip


def test_each_step_draws_rows_of_the_tasks_that_train_the_encoder(shop: Any, examples: Path) -> None:
    """Not of a task of weight 0; the drawn texts stand behind the pairs', with their targets."""
    batches = list(loader(shop, examples))
    known = read_task_examples(TASKS, examples)
    assert [one.task.name for one in known] == ["thing", "price"]
    for batch in batches:
        for rows, one in zip(batch.tasks, known, strict=True):
            assert len(rows.places) == 6
            by_text = {tuple(one.tokens[row]): one.targets[row] for row in range(len(one.tokens))}
            for place, target in zip(rows.places, rows.targets, strict=True):
                assert by_text[tuple(batch.texts[place])] == target
    assert batches[0].tasks[0].targets.tolist() != batches[1].tasks[0].targets.tolist()


def test_ranks_share_a_steps_rows_and_a_resumed_run_draws_the_same(shop: Any, examples: Path) -> None:
    """Two ranks' rows together are the one rank's; a loader set to a position goes on from there."""
    whole = list(loader(shop, examples))
    first, second = (list(loader(shop, examples, rank, 2)) for rank in (0, 1))
    joined = np.concatenate([first[0].tasks[1].targets, second[0].tasks[1].targets])
    assert joined.tolist() == whole[0].tasks[1].targets.tolist()
    resumed = loader(shop, examples)
    resumed.load_state_dict({"position": 2})
    assert next(iter(resumed)).tasks[0].targets.tolist() == whole[2].tasks[0].targets.tolist()


def test_a_contrastive_task_draws_rows_of_a_label_together(shop: Any, examples: Path) -> None:
    """Two by two, of one label, another row where there is one; each rank has whole pairs."""
    [thing, _] = read_task_examples(TASKS, examples)
    contrastive = replace(thing, task=THING.model_copy(update={"loss": "contrastive"}))
    for step in range(20):
        for rank in range(2):
            first, second = contrastive.draw(8, seed=0, step=step, rank=rank, ranks=2).reshape(-1, 2).T
            assert (thing.targets[first] == thing.targets[second]).all()
            alone = np.bincount(thing.targets.astype(int))[thing.targets[first].astype(int)] == 1
            assert ((first == second) == alone).all()


def test_no_row_of_a_contrastive_task_is_alone_on_its_rank(shop: Any, examples: Path) -> None:
    """Of five rows a rank the fifth would stand without its other one."""
    [thing, _] = read_task_examples(TASKS, examples)
    contrastive = replace(thing, task=THING.model_copy(update={"loss": "contrastive"}))
    rows = contrastive.draw(10, seed=0, step=0, rank=1, ranks=2)
    assert len(rows) == 4
    assert (thing.targets[rows[0::2]] == thing.targets[rows[1::2]]).all()


def test_the_loss_is_the_contrastive_one_and_the_weighted_tasks(shop: Any, examples: Path) -> None:
    """By hand: the head's cross-entropy on the vectors of its rows, times the weight; its gradient reaches
    the encoder once the head is not zero any more."""
    batch = next(iter(loader(shop, examples)))
    known = read_task_examples(TASKS, examples)
    encoder = shop.load()
    heads = [TaskHead(one.task, encoder.dimensions, one.class_weights) for one in known]
    torch.manual_seed(0)
    torch.nn.init.normal_(heads[0].linear.weight)
    module = ContrastiveModule(encoder, TrainingSettings(dropout=0.0, batch_size=16), 10, heads)
    module.all_gather = lambda tensor, sync_grads: tensor[None]
    both = module.training_step(batch, 0)
    parts = [module._task_losses(module._encode(batch.texts), batch)]
    heads[0].task = THING.model_copy(update={"weight": 0.0})
    parts.append(module._task_losses(module._encode(batch.texts), batch))
    rows = batch.tasks[0]
    vectors = module._encode(batch.texts)[torch.from_numpy(rows.places)]
    outputs = heads[0].linear(vectors * encoder.dimensions**0.5)
    expected = 0.5 * cross_entropy(outputs, torch.from_numpy(rows.targets))
    assert (parts[0] - parts[1]).item() == pytest.approx(expected.item(), rel=1e-4)
    assert both.item() > parts[0].item()
    expected.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.model.parameters())


def test_a_run_with_tasks_ends_in_an_encoder_and_trains_the_heads(
    shop: Any, examples: Path, make_spec: Any, tmp_path: Path
) -> None:
    """Through Lightning: the saved encoder is another with tasks than without, and with another loss."""
    digests = []
    contrastive = THING.model_copy(update={"loss": "contrastive"})
    for name, tasks in (("with", TASKS), ("contrastive", (contrastive, PRICE)), ("without", ())):
        spec = make_spec(epochs=1).model_copy(update={"examples": str(examples), "tasks": tasks})
        attempt = begin_attempt(tmp_path / name, spec, 1)
        run_rank(attempt.folder)
        digests.append(attempt.result.read_text())
    assert len(set(digests)) == 3
