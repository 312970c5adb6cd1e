"""The two losses, and how a step's texts are chosen."""

from pathlib import Path

import torch

from components.contract.learning import EncoderSettings
from components.contract.pretraining import PretrainingSettings
from components.pretraining import module as of_module
from components.pretraining.batches import Masking, TextLoader
from components.pretraining.module import PretrainingModule
from components.pretraining.start import load_start

TEXTS = ["red oak chair for the garden", "a small lamp", "soft cotton towel", "steel drill with a hammer"]


def _module(folder: Path) -> PretrainingModule:
    start, settings = load_start(folder), PretrainingSettings()
    encoder = start.encoder(EncoderSettings(name="tiny", max_length=24), folder)
    module = PretrainingModule(start.model, encoder, settings, steps=1, head_steps=0)
    module.model.eval()
    return module


def test_asking_the_head_about_hidden_tokens_alone_gives_the_librarys_loss(tiny_encoder: Path) -> None:
    module = _module(tiny_encoder)
    tokens = module.encoder.tokenize(TEXTS, "item")
    masked = Masking(module.encoder.tokenizer, 0.3)(tokens, seed=1)
    ours = module.hidden_loss(masked)
    assert of_module._single_head(module.model) is not None
    theirs = module.model(**masked).loss
    torch.testing.assert_close(ours, theirs)


def test_a_batch_with_nothing_hidden_asks_nothing(tiny_encoder: Path) -> None:
    module = _module(tiny_encoder)
    masked = Masking(module.encoder.tokenizer, 0.3)(module.encoder.tokenize(TEXTS, "item"), seed=1)
    nothing = masked | {"labels": torch.full_like(masked["labels"], -100)}
    assert module.hidden_loss(nothing).item() == 0.0


def test_a_pass_reads_every_text_once_and_ranks_share_it(tiny_encoder: Path) -> None:
    """37 texts in batches of 8: four steps a pass, by two ranks; a rest of five waits for another order.
    Titles come with every other step, because there are half as many."""
    masking = Masking(load_start(tiny_encoder).tokenizer, 0.15)
    texts = [[2, *range(5, 6 + number), 3] for number in range(37)]
    lengths: dict[int, list[int]] = {}
    for rank in (0, 1):
        loader = TextLoader(
            texts, (texts[:18], texts[:18]), masking, batch_size=8, epochs=2, seed=0, rank=rank, ranks=2
        )
        for step, batch in enumerate(loader):
            lengths.setdefault(step, []).extend(batch.masked["attention_mask"].sum(dim=1).tolist())
            assert len(batch.titles) == len(batch.descriptions) == (0 if step % 2 else 4)
        assert len(loader) == 8
    for steps in (range(4), range(4, 8)):
        read = [length for step in steps for length in lengths[step]]
        assert len(read) == len(set(read)) == 32
        # Sorted within the pool: a batch of eight holds neighbours, not texts from end to end.
        assert all(max(lengths[step]) - min(lengths[step]) < 16 for step in steps)
    assert [lengths[step] for step in range(4)] != [lengths[step] for step in range(4, 8)]
