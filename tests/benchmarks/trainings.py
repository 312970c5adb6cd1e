"""One training by the product's own call on a benchmark's split, with other settings than its shop's."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recall_shop import BenchShop

from components.contract.digests import sha256_json
from components.contract.files import stage_folder, write_json
from components.contract.learning import (
    AugmentSettings,
    DistillationSettings,
    EncoderSettings,
    TrainingSettings,
)
from components.contract.records import TrainedModel
from components.encoder.base import base_digest, resolve_base, saved_settings
from components.encoder.cross_encoder import CrossEncoder
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.index.vectors import encode_catalogue
from components.training.launch import train
from components.training.pairs import TrainingPart, trainable
from components.training.prepare import encode_eligible, prepare_examples
from components.training.spec import TrainingSpec
from components.training.taught import score_candidates
from components.training.teacher import train_teacher
from components.training.writer import train_writer
from components.training.written import write_for_few_clicks
from flows.fingerprint import code_digest

_VECTORS: dict[tuple[str, str, TrainingPart], Any] = {}
"""Of the items that may be trained on: by encoder that negatives were mined with, split and part."""


@dataclass(frozen=True)
class WarmStart:
    """Folder of the encoder that is trained further, and until when it was trained."""

    encoder: Path
    learned_until: datetime


def base_encoder(bench: BenchShop, settings: EncoderSettings | None = None) -> TransformerEncoder:
    """The shop's encoder as it was downloaded."""
    settings = settings or bench.settings.encoder
    return TransformerEncoder.load(resolve_base(settings), settings)


def fine_tune(
    bench: BenchShop,
    folder: Path,
    training: TrainingSettings,
    augment: AugmentSettings | None = None,
    miner: Any = None,
    encoder_settings: EncoderSettings | None = None,
    written: Path | None = None,
    part: TrainingPart = "train",
    warm: WarmStart | None = None,
) -> tuple[TransformerEncoder, TrainedModel]:
    """The epoch is chosen on validation, unless its rows are trained on (part "refit").

    folder: of this training alone; one that was killed goes on from there, a finished one is used again.
    miner: the encoder that mines hard negatives; None: what is fine-tuned. written: see `written_by`.
    """
    done = folder / "trained.json"
    if not done.is_file():
        augment = augment or bench.settings.augment
        used = saved_settings(warm.encoder) if warm else encoder_settings or bench.settings.encoder
        base = warm.encoder if warm else resolve_base(used)
        encoder = TransformerEncoder.load(base, used)
        champion = miner or encoder
        vectors = _eligible_vectors(bench, champion, part)
        prepared = prepare_examples(
            bench.split,
            folder / "examples",
            part=part,
            base=encoder,
            training=training,
            augment=augment,
            champion=champion,
            item_vectors=vectors,
            learned_until=warm.learned_until if warm else None,
            written=written,
            taught=_taught(bench, folder, training, augment, champion, vectors, part),
        )
        spec = TrainingSpec(
            base=str(base),
            base_digest=encoder.digest,
            encoder=used,
            training=training,
            augment=augment,
            examples=str(folder / "examples"),
            examples_digest=prepared.digest,
            validation=str(bench.split) if part == "train" else None,
            primary=bench.entrance,
            epochs=training.max_epochs,
        )
        done.write_text(train(spec, folder / "work", folder / "out").model_dump_json())
    trained = TrainedModel.model_validate_json(done.read_text())
    return TransformerEncoder.load_saved(folder / "out" / "encoder"), trained


def _eligible_vectors(bench: BenchShop, champion: Any, part: TrainingPart) -> Any:
    key = (champion.digest, bench.prepared.digest, part)
    if key not in _VECTORS:
        eligible = trainable(bench.catalogue, part).to_numpy()
        texts = item_texts(bench.catalogue, champion.settings.item_fields)
        _VECTORS[key] = encode_eligible(champion, texts, eligible)
    return _VECTORS[key]


def teacher_of(
    bench: BenchShop, folder: Path, settings: DistillationSettings, part: TrainingPart = "train"
) -> CrossEncoder:
    """Trained once per settings of its own, and kept in `folder`."""
    own = settings.model_dump(mode="json", exclude={"weight", "candidates"})
    key = [own, part, bench.prepared.digest, base_digest(bench.settings.encoder), code_digest()]
    place = folder / f"teacher-{sha256_json(key)[:12]}"
    if not (place / "config.json").is_file():
        encoder = bench.settings.encoder
        with stage_folder(place) as out:
            train_teacher(bench.split, part, resolve_base(encoder), encoder, settings).save(out)
    return CrossEncoder.load(place, bench.settings.encoder.max_length)


def written_by(bench: BenchShop, folder: Path, augment: AugmentSettings) -> tuple[Path, dict[str, int]]:
    """Folder of written queries, and their counts; the shop's untrained encoder searches the way back."""
    encoder = bench.settings.encoder
    key = [augment.model_dump(mode="json"), bench.prepared.digest, base_digest(encoder), code_digest()]
    place = folder / f"written-{sha256_json(key)[:12]}"
    if not place.is_dir():
        base = base_encoder(bench)
        with stage_folder(place) as out:
            for name in ("encoder", "vectors"):
                (out / name).mkdir()
            base.save(out / "encoder")
            encode_catalogue(
                bench.catalogue, base.encode_catalogue, encoder.item_fields, out / "vectors", encoder.language
            )
            train_writer(bench.split, "train", resolve_base(encoder), encoder, augment.writer).save(
                out / "writer"
            )
            counts = write_for_few_clicks(
                bench.split, "train", augment, out / "writer", out / "encoder", out / "vectors", out
            )
            write_json(out / "counts.json", counts)
    return place, json.loads((place / "counts.json").read_text())


def _taught(
    bench: BenchShop,
    folder: Path,
    training: TrainingSettings,
    augment: AugmentSettings,
    champion: Any,
    vectors: Any,
    part: TrainingPart,
) -> Path | None:
    if not training.distillation.weight:
        return None
    teacher = teacher_of(bench, folder.parent, training.distillation, part)
    (folder / "taught").mkdir(parents=True, exist_ok=True)
    score_candidates(
        bench.split,
        part,
        training,
        augment,
        teacher,
        champion,
        vectors,
        folder / "taught",
        fields=bench.settings.encoder.item_fields,
    )
    return folder / "taught"
