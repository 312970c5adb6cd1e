"""Fixtures that several packages' tests share."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from components.cost.summary import Cost

os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

REAL_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"

_WORDS = [
    "red",
    "blue",
    "green",
    "small",
    "large",
    "steel",
    "oak",
    "glass",
    "cotton",
    "chair",
    "table",
    "lamp",
    "mug",
    "towel",
    "hammer",
    "drill",
    "bracket",
    "angle",
    "garden",
    "kitchen",
    "outdoor",
    "folding",
    "solid",
    "soft",
    "for",
    "the",
    "with",
    "and",
    "of",
    "to",
    "in",
    "a",
]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; a test that asks for it is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("../shared/data is absent")
    return REAL_DATA.resolve()


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """An S3 server on a loopback port that answers one request at a time.

    moto looks whether a key is absent and writes it in two steps: of two conditional writes at once both
    could win, which S3 excludes ("Conditional writes" in its user guide).
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    moto, one_request = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with one_request:
            return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def cost() -> "Cost":
    """Half an hour of training that came from the cache, and its judging, for 4 points of new-item recall."""
    from components.cost.summary import Cost, Part, PerPoint

    figures = {"gpu_hours": 0.0, "energy": "estimated from CPU-hours × 12 W per core", "estimated": True}
    ended = datetime(2026, 2, 27, 12, tzinfo=UTC)
    training = Part(seconds=1_800.0, cpu_hours=2.0, peak_memory_mb=900.0, energy_wh=24.0,
                    measured="earlier", ended=ended, **figures)  # fmt: skip
    judging = training.model_copy(update={"seconds": 60.0, "cpu_hours": 0.02, "measured": "this run"})
    return Cost(
        training=training,
        judging=judging,
        total=training.model_copy(update={"measured": "partly earlier"}),
        gain_points=4.0,
        gain_low=3.0,
        gain_high=5.0,
        per_point=PerPoint(seconds=450.0, cpu_hours=0.5, gpu_hours=0.0, energy_wh=6.0),
    )


def _vocabulary() -> dict[str, int]:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [*letters, *(f"##{letter}" for letter in letters), *map(str, range(10)), *_WORDS]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return {piece: number for number, piece in enumerate(dict.fromkeys([*special, *pieces]))}


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a randomly initialised BERT (2 layers, 32 wide) with a small WordPiece vocabulary."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny") / "encoder"
    vocabulary = _vocabulary()
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_exported(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny encoder as a release has it: encoder/, onnx.onnx and onnx-int8.onnx. No two of its
    weights are equal, as in a trained model: a graph of a fine-tuned copy can be made from its graph."""
    import torch

    from components.contract.learning import EncoderSettings
    from components.encoder.transformer import TransformerEncoder
    from components.release.plan import export_graphs

    folder = tmp_path_factory.mktemp("exported")
    settings = EncoderSettings(name=str(tiny_encoder), max_length=16, item_fields=("title", "brand"))
    encoder = TransformerEncoder.load(tiny_encoder, settings)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in encoder.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    encoder.save(folder / "encoder")
    export_graphs(folder / "encoder", folder)
    return folder
