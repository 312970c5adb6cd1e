"""The writer of queries: what it writes depends on the text and the seed alone, and survives its files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from components.contract.errors import EncoderError
from components.encoder.writer import LIKELIEST, QUERY_TOKENS, QueryWriter, _Drawn

TEXTS = ["red oak chair", "blue steel lamp for the garden", "glass mug", "red oak table"]


@pytest.fixture(scope="module")
def writer(tiny_encoder: Path) -> QueryWriter:
    return QueryWriter.begin(tiny_encoder, TEXTS, layers=1, max_length=24, seed=3)


def test_it_is_the_encoder_and_its_first_layers_with_cross_attention(
    writer: QueryWriter, tiny_encoder: Path
) -> None:
    """Only the words of the texts are written, and their embeddings begin as the encoder's."""
    decoder = writer.model.decoder
    assert decoder.config.num_hidden_layers == 1
    assert any("crossattention" in name for name, _ in decoder.named_parameters())
    known = writer.model.encoder.get_input_embeddings().weight[writer._words]
    assert torch.equal(decoder.get_input_embeddings().weight, known)
    assert decoder.get_output_embeddings().weight.shape == known.shape
    allowed = {word for text in TEXTS for word in text.split()}
    written = " ".join(query for queries in writer.write(TEXTS, 6) for query in queries)
    assert set(written.replace("[UNK]", "").split()) <= allowed | {"[CLS]", "[PAD]"}


def test_a_text_gets_the_same_queries_whatever_is_written_beside_it(writer: QueryWriter) -> None:
    together = writer.write(TEXTS, 4)
    assert writer.write([TEXTS[1]], 4) == [together[1]]
    assert writer.write(TEXTS[::-1], 4) == together[::-1]
    assert writer.write([TEXTS[1]], 4, seed=1) != [together[1]]
    for queries in together:
        assert len(set(queries)) == len(queries) <= 4


def test_it_is_loaded_as_it_was_saved_and_no_pickle(writer: QueryWriter, tmp_path: Path) -> None:
    writer.save(tmp_path)
    assert QueryWriter.load(tmp_path).write(TEXTS, 3) == writer.write(TEXTS, 3)
    suffixes = {path.suffix for path in tmp_path.iterdir()}
    assert suffixes <= {".json", ".safetensors", ".txt"}
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(EncoderError, match="no query writer that can be loaded"):
        QueryWriter.load(tmp_path)


def test_the_loss_of_a_query_that_fits_is_less(writer: QueryWriter) -> None:
    """Taught one pair by heart, it finds that query likely after that text, and padding changes nothing."""
    taught = QueryWriter(writer.model, writer.tokenizer, writer._words, 24)
    before = {name: weight.clone() for name, weight in writer.model.state_dict().items()}
    optimizer = torch.optim.AdamW(taught.model.decoder.parameters(), lr=1e-2)
    states, query = taught.encode(taught.text_tokens(["red oak chair"])), taught.query_tokens(["oak chair"])
    first = float(taught.loss(states, query).detach())
    for _ in range(30):
        optimizer.zero_grad()
        taught.loss(states, query).backward()
        optimizer.step()
    assert float(taught.loss(states, query).detach()) < 0.1 < first
    assert taught.write(["red oak chair"], 1) == [["oak chair"]]
    two = taught.query_tokens(["oak chair", "red oak chair for the garden"])
    states = taught.encode(taught.text_tokens(["red oak chair", "blue steel lamp for the garden"]))
    alone = taught.loss(taught.encode(taught.text_tokens(["red oak chair"])), two[:1])
    rest = taught.loss((states[0][1:], states[1][1:]), two[1:])
    counts = [len(query) - 1 for query in two]
    expected = np.average([float(alone.detach()), float(rest.detach())], weights=counts)
    assert float(taught.loss(states, two).detach()) == pytest.approx(expected, abs=1e-4)
    writer.model.load_state_dict(before)


def test_words_are_drawn_in_proportion_among_the_likeliest() -> None:
    """20,000 draws from four words of chances 0.4, 0.3, 0.2, 0.1, and none of the rest."""
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.gumbel(size=(20_000, QUERY_TOKENS, LIKELIEST)).astype(np.float32))
    scores = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1] + [1e-9] * 20)).repeat(20_000, 1)
    drawn = _Drawn(noise)(torch.zeros((20_000, 1), dtype=torch.long), scores).argmax(dim=-1)
    shares = np.bincount(drawn.numpy(), minlength=24) / 20_000
    assert shares[:4] == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=0.015)
    assert shares[4:].sum() == 0


def test_a_decoder_has_no_more_layers_than_the_base(tiny_encoder: Path) -> None:
    with pytest.raises(EncoderError, match=r"augment.writer.layers is 3, but .* has 2"):
        QueryWriter.begin(tiny_encoder, TEXTS, layers=3, max_length=24, seed=0)


def test_a_tokenizer_without_ends_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.sep_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(EncoderError, match="no tokens for a text's ends"):
        QueryWriter.begin(folder, TEXTS, layers=1, max_length=24, seed=0)


def test_another_kind_of_encoder_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    named = json.loads((tmp_path / "encoder/config.json").read_text()) | {"model_type": "t6"}
    (tmp_path / "encoder/config.json").write_text(json.dumps(named))
    with pytest.raises(EncoderError, match="it has to be of BERT's kind"):
        QueryWriter.begin(tmp_path / "encoder", TEXTS, layers=1, max_length=24, seed=0)
