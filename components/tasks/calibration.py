"""A head's probabilities, interval and threshold, by rows that it was not fitted on."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from components.contract.ports import Vectors
from components.tasks.coding import Coding, Floats, on_scale
from components.tasks.heads import Head, most_rows

TEMPERATURES = (0.02, 20.0)
"""A nearest head's cosines are its logits: by a lower one those 0.2 apart would all be certain, whoever is
right, and no threshold could tell them apart."""
PENALTY = 10.0
"""Of half the squared class biases, beside the summed loss of all rows: those of a class have to be about ten
before they say more of its bias than the penalty does."""
STEPS = 100
"""Of the fit of temperature and biases, at most."""
LEAST_PROBABILITY = 0.5
"""An answer that is more likely wrong than right is not given. `precision` alone is a mean over all that are
given: where most questions are easy, they would make up for answers that are hardly ever right."""
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
    """The head with its probabilities and threshold, or its interval's width, by n rows that it was not
    fitted on; of a classification also by outputs and codes of rows that were left out of such fits, where n
    is small: two right answers would make every answer certain. (Where the encoder was trained on them they
    are told more surely than others.)

    Probabilities: see `_scaled`. Interval: split conformal prediction (Lei et al. 2018, "Distribution-free
    predictive inference for regression", section 2.2) of all rows and, where these are enough to judge by, of
    the rows of what was new (Vovk 2012, "Conditional validity of inductive conformal predictors", section 4),
    whichever is wider: new items are less like what was learned. It holds for rows that are drawn as the
    validation rows were, so it is measured on the test.
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
    if (codes >= 0).any():
        head = _scaled(head, outputs, codes)
    if head.task.precision is not None:
        head = replace(head, threshold=_threshold(head, outputs / head.temperature, codes))
    return head


def _scaled(head: Head, logits: Floats, codes: NDArray[np.int64]) -> Head:
    """The head with the temperature and, of a classification, the bias of each class that have the least
    negative log-likelihood. Of a row whose label is not among the head's own it is that of another label than
    the answered one: left out, such rows would leave every answer too sure.

    (n, k) logits, −inf for an impossible class; (n,) codes, -1 for an unknown label. Temperature: Guo et al.
    2017, "On calibration of modern neural networks", section 4.2. Biases: bias-corrected temperature scaling
    (Alexandari, Kundaje and Shrikumar 2020, "Maximum likelihood with bias-corrected calibration is
    hard-to-beat at label shift adaptation", section 3): a temperature alone cannot undo the weights of
    `balanced` classes. A nearest has none: most of its labels are of a row or two.
    """
    possible = np.isfinite(logits)
    used = (codes >= 0) | (possible.sum(axis=1) > 1)  # of one possible answer nothing can be learned
    logits, codes, finite = logits[used], codes[used], np.where(possible, logits, 0.0)[used]
    known, unknown = np.flatnonzero(codes >= 0), np.flatnonzero(codes < 0)
    answers = logits[unknown].argmax(axis=1)

    def loss(found: Floats) -> tuple[float, Floats]:
        """Mean over the rows, and its gradient; found: what multiplies logits, then the biases (k,)."""
        scale, bias = found[0], found[1:]
        log_shares = log_softmax(scale * logits + bias, axis=1)
        others = log_shares[unknown]
        others[np.arange(len(unknown)), answers] = -np.inf
        of_others = logsumexp(others, axis=1)
        errors = np.exp(log_shares)
        errors[known, codes[known]] -= 1
        errors[unknown] -= np.exp(others - of_others[:, None])
        likelihood = log_shares[known, codes[known]].sum() + of_others.sum()
        total = PENALTY / 2 * np.square(bias).sum() - likelihood
        slope = np.append((errors * finite).sum(), errors.sum(axis=0) + PENALTY * bias)
        return float(total) / len(codes), slope / len(codes)

    has_bias = head.task.head == "classification"
    scales, biases = (1 / TEMPERATURES[1], 1 / TEMPERATURES[0]), (None, None) if has_bias else (0.0, 0.0)
    bounds, start = [scales, *[biases] * len(head.labels)], np.append(1.0, np.zeros(len(head.labels)))
    options = {"maxiter": STEPS}
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return replace(head, temperature=float(1 / best[0]), class_bias=best[1:] if has_bias else None)


def _threshold(head: Head, outputs: Floats, codes: NDArray[np.int64]) -> float:
    """The one that the task's `precision` asks for, by (n, k) outputs and (n,) codes."""
    assert head.task.precision is not None
    probabilities = head.probabilities_of(outputs)
    answered = head.answered(probabilities)
    sure = probabilities[np.arange(len(codes)), answered]
    return max(LEAST_PROBABILITY, threshold_of(sure, answered == codes, head.task.precision))


def threshold_of(probabilities: Floats, right: NDArray[np.bool_], precision: float) -> float:
    """The lowest probability down to which at least `precision` of the most probable answers are right; NEVER
    where there is none. (n,) each."""
    order = np.argsort(-probabilities, kind="stable")
    sorted_right = right[order]
    last_of_equals = np.append(np.diff(probabilities[order]) != 0, True)  # all of them are answered, or none
    wanted = precision * np.arange(1, len(right) + 1)
    enough = np.flatnonzero(last_of_equals & (np.cumsum(sorted_right) >= wanted))
    return float(probabilities[order[enough[-1]]]) if len(enough) else NEVER


def _conformal(errors: Floats, coverage: float) -> float | None:
    """The ⌈(n + 1) · coverage⌉-th smallest of n errors; None where n is too small for that."""
    rank = int(np.ceil((len(errors) + 1) * coverage))
    return float(np.sort(errors)[rank - 1]) if 1 <= rank <= len(errors) else None
