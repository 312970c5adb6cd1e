"""Two real ranks (torchrun, gloo) compute what one rank computes on the whole batch."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components.contract.learning import AugmentSettings, DistillationSettings
from components.training.attempts import begin_attempt
from components.training.batches import Step, epoch_noise, epoch_plan, rank_batch
from components.training.examples import Examples, read_examples
from components.training.fit import run_rank
from components.training.launch import _environment
from components.training.watch import launcher_lock

SCRIPT = Path(__file__).with_name("gradient_rank.py")
BATCH = 16


def _whole_steps(folder: Path) -> Examples:
    """The prepared examples cut to whole steps, so that one and two ranks make the same steps; the pairs get
    different weights and, as if there were a teacher, scored candidates."""
    examples = read_examples(folder)
    kept = np.concatenate(
        [(own := np.flatnonzero(examples.kinds == kind))[: len(own) // BATCH * BATCH] for kind in (0, 1)]
    )
    fields = ("kinds", "anchors", "positives", "negatives")
    cut = replace(examples, **{name: getattr(examples, name)[kept] for name in fields})
    rng = np.random.default_rng(0)
    cut = replace(
        cut,
        weights=rng.random(len(kept)).astype(np.float32),
        candidates=rng.integers(0, len(cut.groups), (len(kept), 2)),
        taught=rng.standard_normal((len(kept), 3)).astype(np.float32),
    )
    cut.write(folder)
    return cut


def _gradients_here(spec: Any, work: Path) -> dict[str, torch.Tensor]:
    """One rank, in this process."""
    attempt = begin_attempt(work, spec)
    module = importlib.util.spec_from_file_location("gradient_rank", SCRIPT)
    assert module is not None
    assert module.loader is not None
    gradient_rank = importlib.util.module_from_spec(module)
    module.loader.exec_module(gradient_rank)
    path = attempt.folder / "gradients.safetensors"
    run_rank(attempt.folder, extra=[gradient_rank.Gradients(path)])
    return load_file(path)


def _gradients_of_two_ranks(spec: Any, work: Path) -> list[dict[str, torch.Tensor]]:
    attempt = begin_attempt(work, spec)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--nproc-per-node=2"]
    with launcher_lock(attempt.folder):
        done = subprocess.run(
            [sys.executable, *torchrun, str(SCRIPT), str(attempt.folder)],
            env=_environment(2),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return [load_file(attempt.folder / f"gradients-{rank}.safetensors") for rank in range(2)]


def _assert_steps_are_worth_comparing(examples: Examples, training: Any) -> None:
    """Each kind has steps, with hard negatives, absent ones, and masked known positives or duplicates."""
    noise = epoch_noise(examples, AugmentSettings(), 0, 0)
    masked = {0: 0, 1: 0}
    for number, pairs in enumerate(epoch_plan(examples, training, 0, 2)):
        assert len(pairs) == BATCH
        batch = rank_batch(
            examples,
            Step(number, 0, pairs),
            noise,
            None,
            lambda texts: [[1] for _ in texts],
            seed=0,
            rank=1,
            ranks=2,
        )
        present = np.concatenate([np.ones(BATCH, dtype=bool), (examples.negatives[pairs] >= 0).ravel()])
        masked[int(examples.kinds[pairs[0]])] += int((batch.not_negatives & present).sum())
        assert (examples.negatives[pairs] >= 0).any()
    assert min(masked.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 5])
def test_two_ranks_give_the_gradients_of_one(make_spec: Any, tmp_path: Path, chunk: int | None) -> None:
    """Dropout 0, fp32, equal shards, hard negatives, logQ, masked duplicates, both loss directions, queries
    and histories, weighted pairs, whole and cut vectors, a teacher: every gradient of every step agrees to
    1e-5, on both ranks; with gradient caching, whose chunks the ranks have different numbers of, too."""
    frozen: dict[str, Any] = {
        "learning_rate": 1e-12,
        "weight_decay": 0.0,
    }  # all steps start from the same weights
    frozen |= {"matryoshka_dimensions": (8,), "distillation": DistillationSettings(weight=2.0)}
    spec = make_spec(dropout=0.0, temperature=0.1, batch_size=BATCH, hard_negatives=2, **frozen)
    examples = _whole_steps(Path(spec.examples))
    _assert_steps_are_worth_comparing(examples, spec.training)
    whole = _gradients_here(spec, tmp_path / "one")
    chunked = spec.model_copy(
        update={"training": spec.training.model_copy(update={"encode_chunk": chunk})},
    )
    halves = _gradients_of_two_ranks(chunked, tmp_path / "two")
    assert len({name.split(".")[0] for name in whole}) == len(examples) // BATCH == 8
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-2
    for half in halves:
        assert half.keys() == whole.keys()
        worst = max(float((half[name] - whole[name]).abs().max()) for name in whole)
        assert worst < 1e-5


@pytest.mark.slow
def test_pairs_that_do_not_divide_by_the_ranks_do_not_hang(make_spec: Any, tmp_path: Path) -> None:
    """An odd number of pairs of each kind: both ranks make the same steps, one pair of each kind waits for
    another epoch, and the ranks' own texts and chunks differ in number. A rank that waited for the other
    would run into gloo's half hour, this test into its minutes."""
    spec = make_spec(batch_size=10, encode_chunk=3, epochs=2)
    examples = read_examples(Path(spec.examples))
    kept = [
        own[: len(own) - 1 + len(own) % 2]
        for own in map(np.flatnonzero, (examples.kinds == k for k in (0, 1)))
    ]
    fields = ("kinds", "anchors", "positives", "negatives")
    cut = replace(examples, **{name: getattr(examples, name)[np.concatenate(kept)] for name in fields})
    assert all(int((cut.kinds == kind).sum()) % 2 == 1 for kind in (0, 1))
    cut.write(Path(spec.examples))
    steps = epoch_plan(cut, spec.training, 0, 2)
    assert sum(len(pairs) for pairs in steps) == len(cut) - 2
    assert len(steps) * 10 > len(cut)  # some steps are shorter than others
    assert _texts_of_ranks(cut, steps[0])[0] != _texts_of_ranks(cut, steps[0])[1]
    found = _gradients_of_two_ranks(spec, tmp_path / "two")
    assert found[0].keys() == found[1].keys()
    assert len({name.split(".")[0] for name in found[0]}) == 2 * len(steps)


def _texts_of_ranks(examples: Examples, pairs: Any) -> list[int]:
    """Distinct texts that each of two ranks encodes of the first step."""
    noise = epoch_noise(examples, AugmentSettings(), 0, 0)
    return [
        len(
            rank_batch(
                examples,
                Step(0, 0, pairs),
                noise,
                None,
                lambda t: [[1] for _ in t],
                seed=0,
                rank=rank,
                ranks=2,
            ).texts
        )
        for rank in range(2)
    ]
