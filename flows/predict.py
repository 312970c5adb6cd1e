"""`debut predict`: what a task of the champion answers about a text, without a running service."""

from components.contract.errors import ConfigError
from components.contract.texts import as_utf8
from components.index.retrieval import ENCODER, HEADS, INFERENCE, ONNX_FILE, open_encoder, read_plan
from components.tasks.heads import Answer, encoded, open_heads, prompted
from flows.acts import verify_by_hand
from flows.shop import Shop


def predict(shop: Shop, task: str, text: str) -> Answer:
    """By the release that serves, its files and signature verified. Raises ConfigError for a task that it
    does not answer."""
    folder = verify_by_hand(shop, None)
    heads = open_heads(folder / HEADS)
    if task not in heads:
        known = ", ".join(heads) or "none"
        raise ConfigError(
            f"The champion {folder.name[:12]} answers no task {task!r}; its tasks: {known}. Tasks are named "
            f"under `tasks:` in debut.yaml and come with the next promoted retrain."
        )
    if not text.strip():
        raise ConfigError("The text is empty: give at least one character.")
    text = as_utf8(text)
    encoder = open_encoder(folder / ENCODER, folder / INFERENCE / ONNX_FILE, read_plan(folder))
    asked = heads[task].task
    texts = [prompted(asked, text)]
    [answer] = heads[task].answers(encoded(asked, encoder, texts), texts)
    return answer
