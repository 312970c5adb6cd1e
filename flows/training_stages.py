"""The tasks of the retrain flow that make examples and train encoders."""

import shutil
from datetime import datetime
from pathlib import Path

from prefect import task

from components.contract.files import stage_folder
from components.contract.learning import AugmentSettings, EncoderSettings, TrainingSettings
from components.contract.records import TrainedModel
from components.contract.settings import Settings
from components.cost.usage import USAGE, Meter
from components.encoder.base import resolve_base
from components.encoder.cross_encoder import CrossEncoder
from components.encoder.transformer import TransformerEncoder
from components.encoder.variants import save_average, save_damaged
from components.index.vectors import read_vectors
from components.training.examples import DESCRIPTION, PreparedExamples
from components.training.launch import gpus_held, train
from components.training.pairs import TrainingPart
from components.training.prepare import prepare_examples
from components.training.query_side import tune_query_side
from components.training.spec import TrainingSpec
from components.training.taught import score_candidates
from components.training.teacher import train_teacher
from components.training.writer import train_writer
from components.training.written import write_for_few_clicks
from flows import console
from flows.costs import metered_beside


@task(name="prepare version 0")
def save_base_encoder(folder: Path, settings: EncoderSettings) -> str:
    """The untrained encoder under these settings; returns its digest."""
    with stage_folder(folder) as out, metered_beside(folder):
        return TransformerEncoder.load(resolve_base(settings), settings).save(out)


@task(name="prepare training examples", task_run_name="prepare training examples: {part}")
def prepare_training_examples(
    folder: Path,
    split_folder: Path,
    settings: Settings,
    base: Path | None,
    miner: Path,
    vectors: Path,
    part: TrainingPart,
    learned_until: datetime | None,
    task_rows: Path | None = None,
    written: Path | None = None,
    taught: Path | None = None,
) -> PreparedExamples:
    """base: the saved encoder that a warm start fine-tunes; None: encoder.name. written: folder of written
    queries; taught: of a teacher's scores."""
    with stage_folder(folder) as out, metered_beside(folder):
        start = (
            TransformerEncoder.load_saved(base)
            if base
            else TransformerEncoder.load(resolve_base(settings.encoder), settings.encoder)
        )
        prepared = prepare_examples(
            split_folder,
            out,
            part=part,
            base=start,
            training=settings.training,
            augment=settings.augment,
            champion=TransformerEncoder.load_saved(miner),
            item_vectors=read_vectors(vectors)[1],
            tasks=settings.tasks,
            task_rows=task_rows,
            learned_until=learned_until,
            knowledge=settings.knowledge,
            written=written,
            taught=taught,
        )
    return prepared.model_copy(update={"path": folder.name})


@task(name="train the query writer")
def train_query_writer(folder: Path, split_folder: Path, settings: Settings, part: TrainingPart) -> str:
    base, encoder = resolve_base(settings.encoder), settings.encoder
    with stage_folder(folder) as out, Meter(out / USAGE):
        train_writer(split_folder, part, base, encoder, settings.augment.writer).save(out)
    return folder.name


@task(name="write queries")
def write_queries(
    folder: Path,
    writer: Path | None,
    split_folder: Path,
    encoder: Path,
    vectors: Path,
    settings: AugmentSettings,
    part: TrainingPart,
) -> dict[str, int]:
    with stage_folder(folder) as out, Meter(out / USAGE):
        return write_for_few_clicks(split_folder, part, settings, writer, encoder, vectors, out)


@task(name="train the teacher")
def train_cross_encoder(folder: Path, split_folder: Path, settings: Settings, part: TrainingPart) -> str:
    base, encoder = resolve_base(settings.encoder), settings.encoder
    with stage_folder(folder) as out, Meter(out / USAGE, gpus=gpus_held(1)):
        train_teacher(split_folder, part, base, encoder, settings.training.distillation).save(out)
    return folder.name


@task(name="score what the teacher is asked")
def score_by_teacher(
    folder: Path,
    teacher: Path,
    split_folder: Path,
    encoder: Path,
    vectors: Path,
    settings: Settings,
    part: TrainingPart,
    learned_until: datetime | None,
    written: Path | None,
) -> dict[str, int]:
    with stage_folder(folder) as out, Meter(out / USAGE, gpus=gpus_held(1)):
        return score_candidates(
            split_folder,
            part,
            settings.training,
            settings.augment,
            CrossEncoder.load(teacher, settings.encoder.max_length),
            TransformerEncoder.load_saved(encoder),
            read_vectors(vectors)[1],
            out,
            fields=settings.encoder.item_fields,
            learned_until=learned_until,
            written=written,
        )


@task(name="fine-tune", task_run_name="fine-tune on {part} rows")
def fine_tune(folder: Path, spec: TrainingSpec, part: TrainingPart) -> TrainedModel:  # noqa: ARG001 – names the run
    # Beside the stage's folder: an attempt that was killed is continued from what it left there.
    attempts = folder.with_name(f"{folder.name}.attempts")
    with console.training_progress() as show, stage_folder(folder) as out:
        # What was trained on – pairs per kind, mined negatives per filter – stays with the model.
        shutil.copyfile(Path(spec.examples) / DESCRIPTION, out / DESCRIPTION)
        return train(spec, attempts, out, on_progress=show).model_copy(update={"path": folder.name})


@task(name="tune the query side", task_run_name="tune the query side on {part} rows")
def tune_queries(
    folder: Path,
    split_folder: Path,
    encoder: Path,
    vectors: Path,
    settings: TrainingSettings,
    part: TrainingPart,
    learned_until: datetime | None,
    epochs: int | None,
) -> TrainedModel:
    with stage_folder(folder) as out, Meter(out / USAGE):
        trained = tune_query_side(
            split_folder,
            encoder,
            read_vectors(vectors)[1],
            out,
            part=part,
            settings=settings,
            learned_until=learned_until,
            epochs=epochs,
        )
    return trained.model_copy(update={"path": folder.name})


@task(name="damage a copy of the encoder")
def damage_encoder(folder: Path, encoder: Path, noise: float, seed: int) -> str:
    with stage_folder(folder) as out:
        return save_damaged(encoder, noise, seed, out)


@task(name="average two encoders")
def average_encoders(folder: Path, first: Path, second: Path, share: float) -> str:
    with stage_folder(folder) as out:
        return save_average(first, second, share, out)
