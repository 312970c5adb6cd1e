"""A head's probabilities, interval and threshold, by rows that it was not fitted on."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from components.contract.ports import Vectors
from components.tasks.coding import Coding, Floats, on_scale
from components.tasks.heads import Head, most_rows, softmax

TEMPERATURES = (0.02, 20.0)
"""A nearest head's cosines are its logits: by a lower one those 0.2 apart would all be certain, whoever is
right, and no threshold could tell them apart."""
logger = logging.getLogger(__name__)
NEVER = 2.0
"""A threshold that no probability reaches."""


def calibrated(
    head: Head,
    vectors: Vectors,
    targets: Sequence[str | float],
    texts: Sequence[str] = (),
    is_new: Sequence[bool] = (),
    left_out: tuple[Floats, NDArray[np.int64]] | None = None,
) -> Head:
    """The head with its temperature, or its interval's width, by n rows that it was not fitted on; of a
    classification also by outputs and codes of rows that were left out of such fits, where n is small: two
    right answers would make every answer certain. (Where the encoder was trained on them they are told more
    surely than others.)

    Temperature: Guo et al. 2017, "On calibration of modern neural networks", section 4.2. Interval: split
    conformal prediction (Lei et al. 2018, "Distribution-free predictive inference for regression", section
    2.2) of all rows and, where these are enough to judge by, of the rows of what was new (Vovk 2012,
    "Conditional validity of inductive conformal predictors", section 4), whichever is wider: new items are
    less like what was learned. It holds for rows that are drawn as the validation rows were, so it is
    measured on the test.
    """
    if head.task.head == "regression":
        errors = np.abs(head.outputs(vectors, texts)[:, 0] - on_scale(head.task, targets))
        new = errors[np.asarray(is_new, dtype=bool)] if len(is_new) else errors
        widths = [_conformal(errors, head.task.coverage)]
        if len(new) >= head.task.policy.min_rows:
            widths.append(_conformal(new, head.task.coverage))
        return replace(head, half_width=max((one for one in widths if one is not None), default=None))
    codes = Coding(labels=head.labels).encode(head.task, targets).astype(np.int64)
    drawn = np.sort(np.random.default_rng(0).permutation(len(codes))[: most_rows(head)])
    outputs = head.outputs(vectors[drawn], [texts[row] for row in drawn] if len(texts) else ())
    codes = codes[drawn]
    if left_out is not None:
        outputs, codes = np.concatenate([outputs, left_out[0]]), np.concatenate([codes, left_out[1]])
    if len(codes) < head.task.policy.min_rows:
        logger.warning(
            "task %s: %d labelled rows are few to calibrate by; its probabilities are rough",
            *(head.task.name, len(codes)),
        )
    known = codes >= 0
    if known.any():
        head = replace(head, temperature=_temperature(outputs[known], codes[known]))
    if head.task.precision is not None:
        threshold = threshold_of(softmax(outputs / head.temperature), codes, head.task.precision)
        head = replace(head, threshold=threshold)
    return head


def _temperature(logits: Floats, codes: NDArray[np.int64]) -> float:
    """Least negative log-likelihood of (n,) classes under (n, k) logits ÷ temperature."""

    def loss(log_temperature: float) -> float:
        chosen = log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(codes)), codes]
        return float(-chosen.mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    return float(np.exp(found.x))


def threshold_of(probabilities: Floats, codes: NDArray[np.int64], precision: float) -> float:
    """The lowest probability down to which at least `precision` of the most probable answers are right; NEVER
    where there is none. (n, k); codes: (n,), -1 for a class that is not among the k, which is always
    wrong."""
    best = probabilities.max(axis=1)
    order = np.argsort(-best, kind="stable")
    right = (probabilities.argmax(axis=1) == codes)[order]
    last_of_equals = np.append(np.diff(best[order]) != 0, True)  # all of them are answered, or none
    enough = np.flatnonzero(last_of_equals & (np.cumsum(right) >= precision * np.arange(1, len(right) + 1)))
    return float(best[order[enough[-1]]]) if len(enough) else NEVER


def _conformal(errors: Floats, coverage: float) -> float | None:
    """The ⌈(n + 1) · coverage⌉-th smallest of n errors; None where n is too small for that."""
    rank = int(np.ceil((len(errors) + 1) * coverage))
    return float(np.sort(errors)[rank - 1]) if 1 <= rank <= len(errors) else None
