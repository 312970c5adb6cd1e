"""One training by the product's own call on a benchmark's split, with other settings than its shop's."""

import json
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
from components.encoder.base import base_digest, resolve_base
from components.encoder.cross_encoder import CrossEncoder
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.index.vectors import encode_catalogue
from components.training.launch import train
from components.training.pairs import trainable
from components.training.prepare import encode_eligible, prepare_examples
from components.training.spec import TrainingSpec
from components.training.taught import score_candidates
from components.training.teacher import train_teacher
from components.training.writer import train_writer
from components.training.written import write_for_few_clicks
from flows.fingerprint import code_digest

_VECTORS: dict[str, Any] = {}
"""Of the items that may be trained on, by the encoders that negatives were mined with in this process."""


def base_encoder(bench: BenchShop, settings: EncoderSettings | None = None) -> TransformerEncoder:
    """The shop's encoder as it was downloaded."""
    settings = settings or bench.settings.encoder
    return TransformerEncoder.load(resolve_base(settings), settings)


def train_from_base(
    bench: BenchShop,
    folder: Path,
    training: TrainingSettings,
    augment: AugmentSettings | None = None,
    miner: Any = None,
    encoder_settings: EncoderSettings | None = None,
    written: Path | None = None,
) -> tuple[TransformerEncoder, TrainedModel]:
    """The epoch is chosen on validation. miner: the encoder that mines hard negatives; None: the base.
    folder: of this training alone; one that was killed goes on from there. written: see `written_by`."""
    augment, used = augment or bench.settings.augment, encoder_settings or bench.settings.encoder
    encoder = base_encoder(bench, used)
    champion = miner or encoder
    if champion.digest not in _VECTORS:
        eligible = trainable(bench.catalogue, "train").to_numpy()
        texts = item_texts(bench.catalogue, champion.settings.item_fields)
        _VECTORS[champion.digest] = encode_eligible(champion, texts, eligible)
    vectors = _VECTORS[champion.digest]
    prepared = prepare_examples(
        bench.split,
        folder / "examples",
        base=encoder,
        training=training,
        augment=augment,
        champion=champion,
        item_vectors=vectors,
        written=written,
        taught=_taught(bench, folder, training, augment, champion, vectors),
    )
    spec = TrainingSpec(
        base=str(resolve_base(used)),
        base_digest=base_digest(used),
        encoder=used,
        training=training,
        augment=augment,
        examples=str(folder / "examples"),
        examples_digest=prepared.digest,
        validation=str(bench.split),
        primary=bench.entrance,
        epochs=training.max_epochs,
    )
    trained = train(spec, folder / "work", folder / "out")
    return TransformerEncoder.load_saved(folder / "out" / "encoder"), trained


def teacher_of(bench: BenchShop, folder: Path, settings: DistillationSettings) -> CrossEncoder:
    """Trained once per settings of its own, and kept in `folder`."""
    own = settings.model_dump(mode="json", exclude={"weight", "candidates"})
    key = [own, bench.prepared.digest, base_digest(bench.settings.encoder), code_digest()]
    place = folder / f"teacher-{sha256_json(key)[:12]}"
    if not (place / "config.json").is_file():
        encoder = bench.settings.encoder
        with stage_folder(place) as out:
            train_teacher(bench.split, "train", resolve_base(encoder), encoder, settings).save(out)
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
) -> Path | None:
    if not training.distillation.weight:
        return None
    teacher = teacher_of(bench, folder.parent, training.distillation)
    (folder / "taught").mkdir(parents=True, exist_ok=True)
    score_candidates(
        bench.split,
        "train",
        training,
        augment,
        teacher,
        champion,
        vectors,
        folder / "taught",
        fields=bench.settings.encoder.item_fields,
    )
    return folder / "taught"
