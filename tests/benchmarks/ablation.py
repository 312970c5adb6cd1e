"""What each part of the training brings: one change at a time, judged on the validation part.

    python tests/benchmarks/ablation.py [--dataset home_depot] [--pairs 6000] [--seeds 1] [--only a,b]
        [--pretrained FOLDER]

Every variant is trained by the product's own call on the same pairs, and ranks the validation requests among
the validation's items (`training.validation_items` of them) by vectors alone, and with the lexical side at
the weight that is best on those same requests. The test part is not read. Differences to "as set" are paired
by request, with 95 % intervals. A variant of texts that a shop has not, or has set, is left out, and said so.
Finished variants are kept in --cache. The last line is the JSON.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from commit import commit
from variants import AS_SET, MINED_AGAIN, PRETRAINED, UNTRAINED, VARIANTS, changed, named, why_not

from components.contract.digests import sha256_json
from components.contract.errors import DataError
from components.contract.learning import DistillationSettings
from components.encoder.base import base_digest
from flows.embedded import prepare_environment
from flows.fingerprint import code_digest

MEASURES = ("new/recall@10", "new_only/recall@10", "established/recall@10")
SIZES = (192, 96)
WAYS = {"vectors": "vectors alone", "fused": "with the lexical side"}
CUT = {f"{size} dimensions": f"{size} dimensions, vectors alone" for size in SIZES}
"""Ways of ranking with what they are called; the second by the first so many numbers of each vector."""


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    from recall_shop import DATASETS, open_bench

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=list(DATASETS), default="home_depot")
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument("--pairs", type=int, default=6_000, help="at most so many training pairs")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pretrained", type=Path, help="what `debut pretrain` left: one more variant")
    parser.add_argument("--only", help=f"these variants besides {AS_SET!r}, by comma")
    parser.add_argument("--cache", type=Path, default=Path(".debut/bench"), help="the benchmark's own folder")
    chosen = parser.parse_args()
    variants = dict(VARIANTS)
    if chosen.pretrained:
        variants[PRETRAINED] = {"name": str(chosen.pretrained.resolve())}
    names = [AS_SET, *(name for name in named(parser, chosen.only, variants) if name != AS_SET)]
    bench = open_bench(chosen.dataset, chosen.root, chosen.cache / chosen.dataset)
    folder = chosen.cache / "ablation" / f"{chosen.dataset}-{chosen.pairs}"
    ours = _Ablation(bench, folder, chosen.pairs, variants)
    found = {UNTRAINED: [ours.untrained()]}
    for name in names:
        reason = why_not(variants[name], bench.settings, bench.catalogue)
        if reason:
            sys.stderr.write(f"{name}: left out, {reason}\n")
            continue
        try:
            found[name] = [ours.variant(name, seed) for seed in range(chosen.seeds)]
        except DataError as error:  # a shop without searches has nobody to learn writing from, for instance
            sys.stderr.write(f"{name}: left out, {error}\n")
    rows = {name: _row(of_seeds, found[AS_SET]) for name, of_seeds in found.items()}
    sys.stdout.write(f"{markdown(rows)}\n\n{markdown(rows, CUT)}\n\n")
    figures = {
        "dataset": chosen.dataset,
        "pairs": chosen.pairs,
        "seeds": chosen.seeds,
        "commit": commit(),
        "variants": rows,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


class _Ablation:
    """Judges encoders on the validation part; values per request of both ways of ranking."""

    def __init__(
        self, bench: Any, folder: Path, pairs: int, variants: Mapping[str, Mapping[str, Any]]
    ) -> None:
        import polars as pl

        from components.training.validation import read_validation

        self._bench, self._folder, self._pairs, self._variants = bench, folder, pairs, variants
        found = read_validation(bench.split, bench.settings.encoder, bench.settings.training)
        known = frozenset(found.item_ids)
        judged = {entrance: _within(one, known) for entrance, one in found.judged.items()}
        self._validation = replace(found, judged=judged)
        of_validation = pl.col("item_id").is_in(list(known))
        self._items = bench.catalogue.filter(of_validation).with_columns(is_new=pl.col("is_validation_new"))

    def untrained(self) -> dict[str, Any]:
        from trainings import base_encoder

        return self._judged(base_encoder(self._bench)) | {"seconds": 0.0}

    def variant(self, name: str, seed: int) -> dict[str, Any]:
        change, place = self._variants[name], self._place(name, seed)
        kept = place / "judged.json"
        if not kept.is_file():
            encoder, seconds = self._trained(name, seed)
            kept.write_text(json.dumps(self._judged(encoder) | {"seconds": seconds}))
        judged: dict[str, Any] = json.loads(kept.read_text())
        if "distillation" in change:
            self._compare_teacher(change["distillation"], place / "out" / "encoder")
        sys.stderr.write(f"{name}, seed {seed}: {_means(judged)}\n")
        return judged

    def _trained(self, name: str, seed: int) -> tuple[Any, float]:
        """The encoder and its training's seconds; negatives are mined by the untrained encoder."""
        from trainings import base_encoder, fine_tune, written_by

        from components.encoder.transformer import TransformerEncoder

        settings = self._bench.settings
        training, augment, used = (
            changed(one, self._variants[name])
            for one in (settings.training, settings.augment, settings.encoder)
        )
        training = training.model_copy(update={"max_pairs": self._pairs, "seed": seed})
        miner = base_encoder(self._bench, used if name != PRETRAINED else None)
        if name == MINED_AGAIN:
            miner = TransformerEncoder.load_saved(self._place(AS_SET, seed) / "out" / "encoder")
        written = None
        if augment.written_queries:
            written, counts = written_by(self._bench, self._folder, augment)
            sys.stderr.write(f"{name}: {counts}\n")
        place = self._place(name, seed)
        encoder, trained = fine_tune(self._bench, place, training, augment, miner, used, written)
        return encoder, trained.seconds

    def _place(self, name: str, seed: int) -> Path:
        """Of a variant; other settings, base weights, data or code are another folder."""
        base = base_digest(changed(self._bench.settings.encoder, self._variants[name]))
        key = sha256_json([repr(self._variants[name]), base, self._bench.prepared.digest, code_digest()])[:12]
        return self._folder / f"{name.replace(' ', '-').replace('%', 'percent')}-{seed}-{key}"

    def _compare_teacher(self, settings: DistillationSettings, pupil: Path) -> None:
        """How often teacher, pupil and the untrained encoder order two judged items of a validation query as
        their grades are. On stderr."""
        from trainings import base_encoder, teacher_of

        from components.encoder.texts import item_texts
        from components.encoder.transformer import TransformerEncoder

        bench = self._bench
        texts = dict(
            zip(bench.item_ids, item_texts(bench.catalogue, bench.settings.encoder.item_fields), strict=True)
        )
        judged, of = self._validation.judged["search"], []
        for request in judged.requests:
            of += [
                (request.text, texts[item], grade)
                for item, grade in judged.judged[request.request_id].items()
            ]
        queries, items, grades = zip(*of, strict=True)

        def cosines(encoder: Any) -> Any:
            return (encoder.encode_queries(queries) * encoder.encode_items(items)).sum(axis=1)

        scores = {
            "teacher": teacher_of(bench, self._folder, settings).score(queries, items),
            "pupil": cosines(TransformerEncoder.load_saved(pupil)),
            UNTRAINED: cosines(base_encoder(bench)),
        }
        for name, own in scores.items():
            sys.stderr.write(f"{name}: {_ordered(queries, np.asarray(grades), own):.4f} ordered as judged\n")

    def _judged(self, encoder: Any) -> dict[str, Any]:
        from components.contract.records import RetrievalPlan
        from components.contract.retrieving import RetrievalSettings
        from components.encoder.texts import item_texts
        from components.index.fusion import best_fusion, fusions, scored_queries
        from components.index.lexical import LexicalSnapshot
        from components.index.live import LiveIndex
        from components.index.live_rows import Snapshot

        fields, language = encoder.settings.item_fields, encoder.settings.language
        texts = item_texts(self._items, fields)
        vectors = encoder.encode_items(texts)
        lexical = LexicalSnapshot.build(texts, language)
        snapshot = Snapshot(self._items, vectors, lexical)
        plan = RetrievalPlan()
        found = {"vectors": self._measures(LiveIndex("vectors", snapshot, encoder, plan, fields, exact=True))}
        for size in (size for size in SIZES if size <= vectors.shape[1]):
            cut = Snapshot(self._items, _first(vectors, size), lexical)
            index = LiveIndex("cut", cut, _Cut(encoder, size), plan, fields, exact=True)
            found[f"{size} dimensions"] = self._measures(index)
        if "search" in self._validation.judged:
            judged, new = self._validation.judged["search"], self._validation.new
            best = best_fusion(scored_queries(judged, new, snapshot, encoder), fusions(RetrievalSettings()))
            plan = RetrievalPlan(lexical_weight=best.weight, grams_share=best.share)
            found["fused"] = self._measures(LiveIndex("fused", snapshot, encoder, plan, fields, exact=True))
        return found

    def _measures(self, index: Any) -> dict[str, list[float]]:
        from components.evaluation.judge import judge

        bench = self._bench
        judged = {bench.entrance: self._validation.judged[bench.entrance]}
        card = judge(
            index, judged, self._items, bench.settings.judge, primary=bench.entrance, digest=None, trained=()
        )
        measures = card.entrances[bench.entrance].measures
        return {name: measures[name].tolist() for name in MEASURES}


def _within(judged: Any, known: frozenset[str]) -> Any:
    """Without the judgements of other items; all relevant ones are among the validation's."""
    return replace(
        judged,
        judged={
            request: {item: grade for item, grade in grades.items() if item in known}
            for request, grades in judged.judged.items()
        },
    )


def _ordered(queries: Sequence[str], grades: Any, scores: Any) -> float:
    """Share of the pairs of one query's items with different grades whose higher one has the higher score."""
    same = np.asarray(queries)[:, None] == np.asarray(queries)
    higher = same & (grades[:, None] > grades)
    return float((scores[:, None] > scores)[higher].mean())


class _Cut:
    """An encoder as `encoder.dimensions` makes it; items have their vectors."""

    def __init__(self, encoder: Any, size: int) -> None:
        self._encoder, self._size = encoder, size
        self.digest, self.settings = f"{encoder.digest}-{size}", encoder.settings

    def encode_queries(self, texts: Any) -> Any:
        return _first(self._encoder.encode_queries(texts), self._size)


def _first(vectors: Any, size: int) -> Any:
    cut = vectors[:, :size]
    return np.ascontiguousarray(cut / np.linalg.norm(cut, axis=1, keepdims=True))


def _means(judged: Mapping[str, Any]) -> dict[str, list[float]]:
    ways = [way for way in (*WAYS, *CUT) if way in judged]
    return {way: [round(float(np.nanmean(judged[way][name])), 4) for name in MEASURES] for way in ways}


def _row(of_seeds: list[Any], reference: list[Any]) -> dict[str, Any]:
    """Per way of ranking the means over seeds, and the differences to the reference with their intervals."""
    from recall_table import interval

    row: dict[str, Any] = {"seconds": float(np.mean([one["seconds"] for one in of_seeds]))}
    for way in (*WAYS, *CUT):
        if all(way in one for one in (*of_seeds, *reference)):
            means = {name: _mean_of(of_seeds, way, name) for name in MEASURES}
            less = {name: _mean_of(reference, way, name) for name in MEASURES}
            row[way] = {name: interval(values) for name, values in means.items()}
            row[f"{way}_difference"] = {name: interval(values, less[name]) for name, values in means.items()}
    return row


def _mean_of(of_seeds: list[Any], way: str, name: str) -> Any:
    return np.mean([np.asarray(one[way][name], dtype=np.float64) for one in of_seeds], axis=0)


def markdown(rows: Mapping[str, Any], ways: Mapping[str, str] = WAYS) -> str:
    """Per way new / new only / established, and the difference of the new items' recall to "as set" when
    ranked in that way."""
    heads = [f"{way} | new: difference" for way in ways.values()]
    lines = [f"| variant | {' | '.join(heads)} | seconds |", f"|---{'|---|---' * len(ways)}|--:|"]
    for name, row in rows.items():
        cells = []
        for way in ways:
            if way not in row:
                cells += ["–", "–"]
                continue
            cells.append(" / ".join(f"{row[way][measure]['value']:.3f}" for measure in MEASURES))
            found = row[f"{way}_difference"][MEASURES[0]]
            low, high = found["ci95"]
            cells.append(f"{found['value']:+.3f} [{low:+.3f}, {high:+.3f}]")
        lines.append(f"| {name} | {' | '.join(cells)} | {row['seconds']:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
