"""A fine-tuning: what mines its negatives, its examples, what its ranks are told, and its result, each from
the cache where nothing changed."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from components.contract.digests import sha256_file
from components.contract.errors import ConfigError
from components.contract.learning import EncoderSettings
from components.contract.records import Candidate, TrainedModel
from components.contract.settings import Settings
from components.encoder.base import base_of_adapter, has_prefix, resolve_base, saved_settings
from components.release import candidate as candidates
from components.split.split import learned_until
from components.training.examples import PreparedExamples
from components.training.pairs import DRAWN_BY, TrainingPart
from components.training.spec import TrainingSpec
from components.training.taught import SCORES
from components.training.written import SEARCHES
from flows import building, console, training_stages
from flows.run import Data, Run

WRITTEN_BY = {"written_queries", "written_below", "written_items", "round_trip", "writer"}
"""Of the section augment: what written queries depend on."""


@dataclass(frozen=True)
class Miner:
    """The encoder that hard negatives are mined with, and a warm start begins with: the champion's."""

    digest: str
    encoder: Path
    vectors: Path
    """Folder of its catalogue."""
    learned_until: datetime | None = None
    """Until when the rows were that what a warm start goes on with was trained on – the encoder, or of a
    query-side update the encoder with its map –; None: no warm start, the untrained one, or undated rows."""
    base: str | None = None
    """base_digest of what a warm start's encoder was once trained from."""


def miner_of(run: Run, data: Data, champion: Candidate) -> Miner:
    folder = run.shop.candidates / champion.digest
    vectors = building.encoded_by(run, data, champion, "champion")
    miner = Miner(champion.encoder_digest, folder / "encoder", vectors)
    training = run.shop.settings.training
    if training.start != "champion":
        return miner
    fingerprint = candidates.load_fingerprint(folder)
    of_queries = training.method == "query_side"
    until = fingerprint.learned_until if of_queries else fingerprint.encoder_learned_until
    require_unseen_validation(until, learned_until(data.split))
    return replace(miner, learned_until=until, base=fingerprint.base_digest)


def require_unseen_validation(learned: datetime | None, validation: datetime | None) -> None:
    """learned: until when the rows were that a warm start's encoder knows; validation: where the window
    begins on which its epochs and the retrieval plan are chosen. Raises ConfigError where it knows rows of
    that."""
    if learned is not None and validation is not None and learned > validation:
        raise ConfigError(
            f"training.start is champion, but the champion was trained on rows up to {learned:%Y-%m-%d}, "
            f"past {validation:%Y-%m-%d}, where the validation window begins, on which epochs and retrieval "
            f"plan are chosen. Set training.start: base, or for warm starts retrain once from the base with "
            f"split.refit_on_validation: false and leave it so."
        )


def current_miner(run: Run, data: Data) -> Miner:
    """The champion's encoder, else – before the first retrain – the untrained one, which will be it."""
    if run.champion is not None:
        return miner_of(run, data, candidates.read(run.shop.candidates, run.champion))
    base = building.version_0(run)
    vectors = building.encoded(run, data, base.encoder, base.name)
    return Miner(base.digest, base.encoder, vectors, base=run.fingerprint["base_weights"])


def start_of(run: Run, settings: Settings, miner: Miner) -> tuple[Path, str, EncoderSettings]:
    """What is fine-tuned – folder, digest, settings: the base or, for a warm start, the champion's encoder.

    Raises ConfigError where the section `encoder` is not what the champion was made with, and EncoderError
    where an adapter alone would not find its base again.
    """
    if settings.training.adapter_only:
        base_of_adapter(settings.encoder)
    if settings.training.start == "base":
        return resolve_base(settings.encoder), run.fingerprint["base_weights"], settings.encoder
    if has_prefix(miner.encoder) and settings.training.method != "query_side":
        raise ConfigError(
            "training.start is champion, but the champion has a prefix, behind which nothing is trained: "
            "retrain once with training.start: base."
        )
    own = saved_settings(miner.encoder)
    prompted = own.query_prefix.startswith("[PROMPT0]")
    ignored = {"query_prefix", "item_prefix", "max_length"} if prompted else set()  # a prompt stands in them
    compared = settings.encoder.model_dump(exclude={"name", "revision"} | ignored)
    differing = [name for name, value in compared.items() if getattr(own, name) != value]
    if miner.base != run.fingerprint["base_weights"]:  # what a base holds counts, not what it is called
        differing.append("name or max_length" if prompted else "name")
    if differing:
        raise ConfigError(
            f"training.start is champion, but the champion was made with another encoder.{differing[0]}: "
            f"retrain once with training.start: base."
        )
    return miner.encoder, miner.digest, own


def fine_tuned(
    run: Run, data: Data, miner: Miner, *, part: TrainingPart = "train", epochs: int | None = None
) -> tuple[TrainedModel, Path]:
    """Trains on one part: with validation where `epochs` is open, else exactly so many epochs."""
    settings = run.shop.settings
    if settings.training.method == "query_side":
        return _query_side(run, data, miner, part, epochs)
    examples = prepared_examples(run, data, settings, miner, part)
    console.mined(examples[0].pairs, examples[0].mined)
    spec = training_spec(run, data, settings, miner, examples, epochs=epochs)
    options = [settings.encoder, settings.training, settings.augment, settings.tasks]
    inputs = [data.prepared.digest, spec.examples_digest, spec.base_digest, options, epochs]
    return run.cached(training_stages.fine_tune, "train", inputs, spec=spec, part=part)


def _query_side(
    run: Run, data: Data, champion: Miner, part: TrainingPart, epochs: int | None
) -> tuple[TrainedModel, Path]:
    """The champion's encoder with a new map of its query vectors."""
    settings = run.shop.settings
    folder, base, _ = start_of(run, settings, champion)
    trained, out = run.cached(
        training_stages.tune_queries,
        "train",
        [data.prepared.digest, base, settings.training, part, str(champion.learned_until), epochs],
        split_folder=data.split,
        encoder=folder,
        vectors=champion.vectors,
        settings=settings.training,
        part=part,
        learned_until=champion.learned_until,
        epochs=epochs,
    )
    console.mined({"search": trained.pairs}, {})
    return trained, out


def prepared_examples(
    run: Run, data: Data, settings: Settings, miner: Miner, part: TrainingPart
) -> tuple[PreparedExamples, Path]:
    warm = settings.training.start == "champion"
    folder, base, _ = start_of(run, settings, miner)
    learned_until = miner.learned_until if warm else None
    written = _written(run, data, settings, miner, part)
    taught = _taught(run, data, settings, miner, part, learned_until, written)
    options = [settings.encoder, settings.training, settings.augment, settings.knowledge]
    return run.cached(
        training_stages.prepare_training_examples,
        "examples",
        [
            *(data.prepared.digest, miner.digest, base, options, part, str(learned_until)),
            *(settings.tasks, data.task_digest, _content(written, SEARCHES), _content(taught, SCORES)),
        ],
        split_folder=data.split,
        settings=settings,
        base=folder if warm else None,
        miner=miner.encoder,
        vectors=miner.vectors,
        part=part,
        learned_until=learned_until,
        task_rows=data.task_rows,
        written=written,
        taught=taught,
    )


def _content(folder: Path | None, file: str) -> str | None:
    """A service does not write the same again, so a stage's key does not tell what it holds."""
    return None if folder is None else sha256_file(folder / file)


def _taught(
    run: Run,
    data: Data,
    settings: Settings,
    champion: Miner,
    part: TrainingPart,
    learned_until: datetime | None,
    written: Path | None,
) -> Path | None:
    """Folder of a teacher's scores; None where the settings want no teacher."""
    distillation = settings.training.distillation
    if not distillation.weight:
        return None
    wanted = distillation.model_copy(update={"weight": 1.0, "candidates": 1})  # what the teacher depends on
    of = [data.prepared.digest, run.fingerprint["base_weights"], settings.encoder, wanted, part]
    _, teacher = run.cached(
        training_stages.train_cross_encoder,
        "teacher",
        of,
        split_folder=data.split,
        settings=settings,
        part=part,
    )
    drawn = settings.training.model_dump(include=set(DRAWN_BY))
    counts, folder = run.cached(
        training_stages.score_by_teacher,
        "taught",
        [
            *(*of, champion.digest, drawn, settings.augment.mining_depth, distillation.candidates),
            *(str(learned_until), _content(written, SEARCHES)),
        ],
        teacher=teacher,
        split_folder=data.split,
        encoder=champion.encoder,
        vectors=champion.vectors,
        settings=settings,
        part=part,
        learned_until=learned_until,
        written=written,
    )
    console.fact("teacher", ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return folder


def _written(run: Run, data: Data, settings: Settings, champion: Miner, part: TrainingPart) -> Path | None:
    """Folder of queries written for items that few asked for; None where the settings want none."""
    augment = settings.augment
    if not augment.written_queries:
        return None
    of = [data.prepared.digest, run.fingerprint["base_weights"], settings.encoder, augment.writer, part]
    writer = None
    if augment.writer.endpoint is None:
        _, writer = run.cached(
            training_stages.train_query_writer,
            "writer",
            of,
            split_folder=data.split,
            settings=settings,
            part=part,
        )
    counts, folder = run.cached(
        training_stages.write_queries,
        "written",
        [*of, champion.digest, augment.model_dump(mode="json", include=WRITTEN_BY)],
        writer=writer,
        split_folder=data.split,
        encoder=champion.encoder,
        vectors=champion.vectors,
        settings=augment,
        part=part,
    )
    shown = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
    console.fact("written queries", shown)
    return folder


def training_spec(
    run: Run,
    data: Data,
    settings: Settings,
    miner: Miner,
    examples: tuple[PreparedExamples, Path],
    *,
    epochs: int | None = None,
    interim: int = 0,
) -> TrainingSpec:
    """With validation where `epochs` is open, else exactly so many epochs."""
    base, digest, encoder = start_of(run, settings, miner)
    return TrainingSpec(
        base=str(base),
        base_digest=digest,
        encoder=encoder,
        training=settings.training,
        augment=settings.augment,
        examples=str(examples[1]),
        examples_digest=examples[0].digest,
        validation=None if epochs else str(data.split),
        primary=data.prepared.entrances[0],
        epochs=epochs or settings.training.max_epochs,
        interim=interim,
        tasks=settings.tasks,
    )
