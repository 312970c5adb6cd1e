"""Models that are loaded by several threads at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from transformers import PreTrainedModel

from components.contract.learning import EncoderSettings
from components.encoder.transformer import TransformerEncoder
from components.encoder.writer import QueryWriter


def test_threads_that_load_encoders_leave_weights_tied_in_what_is_loaded_later(tiny_encoder: Path) -> None:
    settings = EncoderSettings(name=str(tiny_encoder), max_length=16, item_fields=("title",))
    tying = PreTrainedModel.tie_weights
    try:
        with ThreadPoolExecutor(8) as pool:
            loaded = [pool.submit(TransformerEncoder.load, tiny_encoder, settings).result for _ in range(200)]
        assert len({result().digest for result in loaded}) == 1
        assert PreTrainedModel.tie_weights is tying
    finally:
        PreTrainedModel.tie_weights = tying  # a failure here is not to be one of the tests that follow
    writer = QueryWriter.begin(tiny_encoder, ["oak shelf"], layers=1, max_length=16, seed=0)
    states = writer.encode(writer.text_tokens(["oak shelf"]))
    assert torch.isfinite(writer.loss(states, writer.query_tokens(["oak shelf"])))
