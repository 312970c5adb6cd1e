"""Decoding of text sources, and their header."""

import codecs
import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.errors import ConfigError, DataError
from components.data import decoding
from components.data.decoding import Compression, Text, decode, header


def read(path: Path, encoding: str = "utf-8", compression: Compression = "none") -> Text:
    return decode(path, "clicks", compression, encoding, path.parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clicks.csv"


def test_utf8_is_read_in_place(path: Path) -> None:
    """No copy, compression left as it is, the start without a byte order mark."""
    path.write_bytes(codecs.BOM_UTF8 + "id,näme\n".encode())
    assert read(path) == Text(path, "none", 0, "id,näme\n")


def test_other_encodings_become_a_utf8_copy(path: Path) -> None:
    """Line ends inside the text stay as they are."""
    path.write_bytes("id,näme\r\n1,é\n".encode("latin-1"))
    text = read(path, "latin-1")
    assert text.path != path
    assert text.path.read_bytes() == "id,näme\r\n1,é\n".encode()


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "shift_jis", "utf-8-sig"])
def test_encodings_of_python_work(path: Path, encoding: str) -> None:
    """By Python's names, with and without a mark."""
    path.write_bytes("id,name\n1,abc\n".encode(encoding))
    assert read(path, encoding).start == "id,name\n1,abc\n"


def test_control_characters_are_counted(path: Path) -> None:
    """C0 without tab and line ends, and C1: 0x90 of latin-1 is the sign of a wrong encoding."""
    path.write_bytes(b"a\tb\r\n\x00\x1f\x7f\x80\x9f\xa0\n")
    assert read(path, "latin-1").control_characters == 4


@given(st.text(max_size=60), st.integers(1, 7))
def test_decoding_in_chunks_is_decoding_at_once(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk: int
) -> None:
    """Characters that lie across a chunk's end come out whole, and are counted once."""
    path = tmp_path_factory.mktemp("chunks") / "text.csv"
    data = text.encode("utf-16-le")
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "CHUNK_BYTES", chunk)
        result = read(path, "utf-16-le")
    assert result.path.read_bytes() == text.encode()
    expected = sum(1 for char in text if (ord(char) < 32 and char not in "\t\n\r") or 127 < ord(char) < 160)
    assert result.control_characters == expected


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
def test_an_undecodable_byte_is_named_by_its_offset(
    path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, byte, offset and encoding, whatever the size of the chunks."""
    monkeypatch.setattr(decoding, "CHUNK_BYTES", chunk)
    path.write_bytes("id,näme\n".encode() + b"1,caf\xe9\n")
    with pytest.raises(DataError, match=r"clicks\.csv: the byte 0xe9 at offset 14 is not utf-8.*latin-1"):
        read(path)


def test_a_character_that_is_cut_at_the_end_is_named(path: Path) -> None:
    """The file ends inside a character."""
    path.write_bytes("abcé".encode()[:-1])
    with pytest.raises(DataError, match="the byte 0xc3 at offset 3"):
        read(path)


def test_cp1252_fails_where_latin1_does_not(path: Path) -> None:
    """The byte of home_depot's file that cp1252 has no character for."""
    path.write_bytes(b"a\x90")
    assert read(path, "latin-1").control_characters == 1
    with pytest.raises(DataError, match="0x90 at offset 1 is not cp1252"):
        read(path, "cp1252")


@pytest.mark.parametrize("encoding", ["klingon", "base64", "hex", "undefined"])
def test_an_unknown_encoding_is_a_configuration_error(path: Path, encoding: str) -> None:
    """Names that Python does not know, or that give no text."""
    path.write_bytes(b"a")
    with pytest.raises(ConfigError, match=r"sources\.clicks\.encoding"):
        read(path, encoding)


def test_archives_are_looked_through(path: Path) -> None:
    """gzip and zstandard, decoded and in place."""
    data = "id,näme\n".encode("latin-1") * 1000
    for compression, packed in (
        ("gzip", gzip.compress(data)),
        ("zstd", pa.compress(data, "zstd", asbytes=True)),
    ):
        path.write_bytes(packed)
        assert read(path, "latin-1", compression).path.read_text("utf-8") == data.decode("latin-1")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "junk", "flipped"])
def test_a_damaged_archive_is_one_sentence(path: Path, compression: Compression, damage: str) -> None:
    """Truncated, not an archive at all, or with a wrong byte; DuckDB takes a cut .zst for a short one."""
    rows = b"".join(b"%d,%d\n" % (number, number * 7919 % 10007) for number in range(20_000))
    packed = gzip.compress(rows) if compression == "gzip" else pa.compress(rows, "zstd", asbytes=True)
    middle = len(packed) // 2
    broken = {"cut": packed[:middle], "junk": b"not an archive", "flipped": packed[:middle] + b"\xff" * 50}
    path.write_bytes(broken[damage])
    with pytest.raises(DataError, match=r"clicks\.csv"):
        read(path, "utf-8", compression)


def test_a_header_gives_names_and_delimiter() -> None:
    """The delimiter is the most frequent one outside quotes."""
    cases = {
        "id,title\n1,a;b;c;d\n": (["id", "title"], ","),
        "id;price;title\n": (["id", "price", "title"], ";"),
        "id\ttitle\r\n": (["id", "title"], "\t"),
        '"a,b,c"|d|e\n': (["a,b,c", "d", "e"], "|"),
        "id\n": (["id"], ","),
        '"two\nlines",b\n': (["two\nlines", "b"], ","),
    }
    for start, expected in cases.items():
        assert header(Text(Path(), "none", 0, start), "clicks") == expected


def test_nameless_and_repeated_columns_get_names() -> None:
    """As SQL sees names: capitals make no difference."""
    names, _ = header(Text(Path(), "none", 0, ",a,A,a,a_1\n"), "clicks")
    assert names == ["column1", "a", "A_1", "a_2", "a_1_1"]


@pytest.mark.parametrize("start", ["", "\n", "  \nid,title\n", '"' + "x" * 200_000])
def test_a_csv_without_a_header_is_an_error(start: str) -> None:
    """Empty file, empty first line, a quote that never closes."""
    with pytest.raises(DataError, match="source clicks"):
        header(Text(Path(), "none", 0, start), "clicks")
