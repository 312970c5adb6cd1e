"""Classification from few labels on womens_clothing: which department a review is about, from 8, 16 and 64
labelled reviews per department. One table, one JSON object.

    python tests/benchmarks/few_labels.py [--labels 8,16,64] [--seeds 0,1,2] [--part test]

    tfidf         word and word-pair TF-IDF with logistic regression
    frozen        the head on the encoder as it was downloaded
    prompt        the same, with the task described before each text
    self_training the same as frozen, and reviews without a label (`self_training: 0.7`)
    contrastive   the encoder trained on the labels alone by the task's `loss: contrastive`, then the head
    cross_entropy the same by `loss: cross_entropy`

Nothing but the labels is learned from: a head's penalty is chosen on parts of them, and there is no
validation to stop on. The encoder is trained by the product's own module, whose steps hold rows of the task
and no pairs, because this shop has nothing to search by. New items are held out by chance: ids go by
department here. Figures are macro-F1 of ROWS held-out reviews, the same for all systems, of all and of new
items: means over draws of the labels, with their standard deviation. `--part validation` is what settings
were chosen on. The last line is the JSON. Two cores: twelve minutes.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from commit import commit

from flows.embedded import prepare_environment

MAX_LENGTH = 48
ROWS, UNLABELLED = 600, 1_000
STEPS, TASK_ROWS = 30, 32
SURE = 0.7
PROMPT = "Department of a clothing shop that this review is about:"
SYSTEMS = ("tfidf", "frozen", "prompt", "self_training", "cross_entropy", "contrastive")


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", default="8,16,64", help="per department, by comma")
    parser.add_argument("--seeds", default="0,1,2", help="of the draws, by comma")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="by comma")
    parser.add_argument("--part", choices=("validation", "test"), default="test", help="whose rows judge")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/womens_clothing"))
    parser.add_argument("--out", type=Path, default=Path(".debut/bench-few-labels"), help="its folder")
    chosen = parser.parse_args()
    began = time.monotonic()
    few = _FewLabels(chosen.data, chosen.out, chosen.part)
    systems, seeds = chosen.systems.split(","), [int(seed) for seed in chosen.seeds.split(",")]
    figures: dict[str, Any] = {"part": chosen.part, "seeds": seeds, "rows": few.rows, "labels": {}}
    for count in map(int, chosen.labels.split(",")):
        drawn = [few.draw(count, seed, systems) for seed in seeds]
        figures["labels"][str(count)] = {name: _spread([one[name] for one in drawn]) for name in systems}
    figures["seconds"] = round(time.monotonic() - began, 1)
    sys.stderr.write(markdown(figures, systems))
    sys.stdout.write(json.dumps(figures | {"commit": commit()}) + "\n")


class _FewLabels:
    def __init__(self, data: Path, out: Path, part: str) -> None:
        from tasks_frozen import SHOPS, Kept, untrained, write_task_rows

        from components.tasks.rows import read_rows

        [self._task] = [task for task in SHOPS["womens_clothing"].tasks if task.name == "department"]
        settings = write_task_rows("womens_clothing", (self._task,), data, out)
        self._train = read_rows(out / "rows", self._task, "train", "judge")
        held = read_rows(out / "rows", self._task, "test" if part == "test" else "validation", "judge")
        self._held = held.sample(min(ROWS, len(held)), seed=0)
        self.rows = {"all": len(self._held), "new": int(self._held.get_column("is_new").sum())}
        self._settings = settings.encoder.model_copy(update={"max_length": MAX_LENGTH})
        self._encoder = Kept(untrained(self._settings))

    def draw(self, count: int, seed: int, systems: Sequence[str]) -> dict[str, dict[str, float]]:
        """{system: {population: macro-F1}} for one draw of `count` labels per department."""
        mixed = self._train.sample(fraction=1.0, shuffle=True, seed=seed)
        labelled = mixed.group_by("target", maintain_order=True).head(count)
        others = mixed.join(labelled, on="text", how="anti").head(UNLABELLED).get_column("text").to_list()
        texts, targets = (labelled.get_column(name).to_list() for name in ("text", "target"))
        task = self._task
        trained = task.model_copy(update={"self_training": SURE})
        frozen = self._encoder.encode_items

        def by(loss: str) -> Callable[[Sequence[str]], np.ndarray]:
            return self._trained_on(texts, targets, loss, seed).encode_items

        by_name: dict[str, Callable[[], dict[str, float]]] = {
            "tfidf": lambda: self._by_words(labelled),
            "frozen": lambda: self._by_head(task, frozen, texts, targets),
            "prompt": lambda: self._by_head(
                task.model_copy(update={"prompt": PROMPT}), frozen, texts, targets
            ),
            "self_training": lambda: self._by_head(trained, frozen, texts, targets, others),
            "cross_entropy": lambda: self._by_head(task, by("cross_entropy"), texts, targets),
            "contrastive": lambda: self._by_head(task, by("contrastive"), texts, targets),
        }
        found = {name: by_name[name]() for name in systems}
        sys.stderr.write(f"{count} labels, draw {seed}: {json.dumps(found)}\n")
        return found

    def _by_words(self, labelled: Any) -> dict[str, float]:
        from components.tasks.baselines import baseline_answers

        return self._judged(baseline_answers(self._task, labelled, self._held["text"].to_list())[:, 0])

    def _by_head(
        self,
        task: Any,
        encode: Callable[[Sequence[str]], np.ndarray],
        texts: Sequence[str],
        targets: Sequence[str],
        others: Sequence[str] = (),
    ) -> dict[str, float]:
        from components.tasks.fit import fit_head
        from components.tasks.heads import prompted

        own, held = ([prompted(task, text) for text in of] for of in (texts, self._held["text"]))
        head = fit_head(task, encode(own), targets, unlabelled=encode(others) if others else None)
        best = head.probabilities(encode(held)).argmax(axis=1)
        return self._judged(np.asarray(head.labels, dtype=object)[best])

    def _judged(self, answers: np.ndarray) -> dict[str, float]:
        import polars as pl

        from components.evaluation.task_measures import POPULATIONS, rows_of, value_of

        rows = self._held.with_columns(answer=pl.Series(answers.tolist(), dtype=pl.String))
        found = {name: value_of(self._task, "macro_f1", rows_of(name, rows)) for name in POPULATIONS}
        return {name: float(value) for name, value in found.items() if value is not None}

    def _trained_on(self, texts: Sequence[str], targets: Sequence[str], loss: str, seed: int) -> Any:
        """The encoder after STEPS steps on rows of the task alone."""
        from labels_alone import trained_on_labels

        task = self._task.model_copy(update={"loss": loss, "weight": 1.0})
        labelled = [(task, texts, targets)]
        return trained_on_labels(self._settings, labelled, steps=STEPS, rows=TASK_ROWS, seed=seed)


def _spread(draws: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """{population: {"mean": …, "sd": …}}"""
    found = {}
    for population in draws[0]:
        values = [draw[population] for draw in draws]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        found[population] = {"mean": round(float(np.mean(values)), 4), "sd": round(sd, 4)}
    return found


def markdown(figures: dict[str, Any], systems: Sequence[str]) -> str:
    lines = [f"| labels per class | items | {' | '.join(systems)} |", "|---" * (2 + len(systems)) + "|"]
    for count, found in figures["labels"].items():
        for population in ("all", "new"):
            if population not in found[systems[0]]:
                continue
            cells = [f"{of[population]['mean']:.3f} ± {of[population]['sd']:.3f}" for of in found.values()]
            lines.append(f"| {count} | {population} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
