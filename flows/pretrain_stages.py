"""The tasks of the pretrain flow: each is one or two calls into components, like the retrain flow's."""

from pathlib import Path

from prefect import task

from components.contract.files import stage_folder, write_json
from components.contract.learning import TrainingSettings
from components.contract.pretraining import PretrainingSettings
from components.contract.records import Entrance, TrainedModel
from components.encoder.transformer import TransformerEncoder
from components.pretraining.corpus import Corpus, collect, training_texts
from components.pretraining.spec import PretrainingSpec
from components.pretraining.start import save_scratch
from components.training.launch import train
from components.training.validation import read_validation, with_new_only
from flows import console


@task(name="collect text to pretrain on")
def collect_text(
    folder: Path, split_folder: Path, checked: Path, fields: tuple[str, ...], settings: PretrainingSettings
) -> Corpus:
    with stage_folder(folder) as out:
        corpus = collect(split_folder, checked, fields, settings, out)
    return corpus.model_copy(update={"path": folder.name})


@task(name="learn a vocabulary")
def begin_from_scratch(folder: Path, corpus: Path, settings: PretrainingSettings, max_length: int) -> str:
    """A model with random weights; returns its folder's name."""
    with stage_folder(folder) as out:
        save_scratch(training_texts(corpus), settings, max_length, out)
    return folder.name


@task(name="pretrain")
def pretrain_encoder(folder: Path, spec: PretrainingSpec) -> TrainedModel:
    attempts = folder.with_name(f"{folder.name}.attempts")  # continued from, where this is killed
    with console.training_progress("pretraining", "texts") as show, stage_folder(folder) as out:
        trained = train(spec, attempts, out, on_progress=show, package="components.pretraining")
        return trained.model_copy(update={"path": folder.name})


@task(name="measure validation recall", task_run_name="measure validation recall: {model}")
def measure_recall(
    folder: Path,
    encoder: Path,
    split_folder: Path,
    training: TrainingSettings,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> dict[Entrance, dict[str, float | None]]:
    """Per entrance recall@10 of the validation part's new items, of new ones among themselves and of
    established items, by vectors alone."""
    loaded = TransformerEncoder.load_saved(encoder)
    validation = read_validation(split_folder, loaded.settings, training, reader="pretraining")
    recalls = with_new_only(validation, loaded.encode_catalogue(validation.texts), loaded)
    with stage_folder(folder) as out:
        write_json(out / "recall.json", recalls)
    return recalls
