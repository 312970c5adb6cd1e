"""BM25's postings: bm25s' own scores, texts that come later, and the files."""

import os
import subprocess
import sys
from pathlib import Path

import bm25s
import numpy as np
import pytest

from components.contract.errors import DataError, StorageError
from components.index.postings import Postings, arrays_file, terms_file, tokens

WORDS = [f"word{n}" for n in range(60)]
ROOT = Path(__file__).parents[3]
ARRAYS_FILE, WORDS_FILE = arrays_file("words"), terms_file("words")


def cut(texts: list[str]) -> list[list[str]]:
    return [tokens(text) for text in texts]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """200 texts of 0 to 30 words, frequent and rare ones, some of them several times; the first has none."""
    rng = np.random.default_rng(0)
    odds = 1 / np.arange(1, 61)
    lengths = [0, *rng.integers(0, 31, 199)]
    return [" ".join(rng.choice(WORDS, length, p=odds / odds.sum())) for length in lengths]


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4)])
def test_scores_are_those_of_bm25s(texts, k1, b):
    """Known words, unknown ones and repeated ones."""
    peer = bm25s.BM25(k1=k1, b=b, method="lucene")
    peer.index([tokens(text) for text in texts], show_progress=False)
    postings = Postings.build(cut(texts), k1, b)
    rng = np.random.default_rng(1)
    for _ in range(30):
        query = [*rng.choice([*WORDS, "unheard"], rng.integers(1, 5)).tolist(), "word0", "word0"]
        known = [word for word in query if word in postings.words]
        np.testing.assert_allclose(postings.scores(query), peer.get_scores(known), rtol=1e-5, atol=1e-6)


def test_without_a_known_word_there_are_no_scores(texts):
    postings = Postings.build(cut(texts))
    assert postings.scores(["unheard"]) is None
    assert postings.scores([]) is None


def test_a_later_text_weighs_what_it_would_in_the_index(texts):
    """The weights of every indexed text, computed anew: the stored ones."""
    postings = Postings.build(cut(texts))
    stored: list[dict[str, float]] = [{} for _ in texts]
    for word, number in postings.words.items():
        for place in range(postings.starts[number], postings.starts[number + 1]):
            stored[postings.rows[place]][word] = float(postings.weights[place])
    for text, weights in zip(texts, stored, strict=True):
        assert postings.weights_of(tokens(text)) == pytest.approx(weights, rel=1e-6)


def test_a_word_that_no_item_has_weighs_as_one_that_one_item_has():
    postings = Postings.build(cut(["oak chair", "oak table", "oak lamp"]))
    assert postings.idf("unheard") == postings.idf("lamp") > postings.idf("oak") > 0


def test_what_is_loaded_is_what_was_saved(texts, tmp_path):
    postings = Postings.build(cut(texts), k1=1.2, b=0.5)
    postings.save(tmp_path, "words")
    again = Postings.load(tmp_path, "words")
    assert (again.words, again.items, again.average_words) == (
        postings.words,
        postings.items,
        postings.average_words,
    )
    assert (again.k1, again.b) == (1.2, 0.5)
    for name in ("starts", "rows", "weights"):
        ours, theirs = getattr(postings, name), getattr(again, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_equal_texts_give_equal_files_in_any_process(tmp_path):
    """A candidate's digest covers them; Python orders a set of words anew in every process."""
    program = (
        "import sys; from pathlib import Path; from components.index.postings import Postings;"
        "texts = [['red', 'oak', 'chair'], ['blue', 'table'], ['steel', 'oak'], []];"
        "Postings.build(texts).save(Path(sys.argv[1]), 'words')"
    )
    files = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", program, str(folder)], check=True, env=environment, cwd=ROOT)
        files.append([(folder / name).read_bytes() for name in (ARRAYS_FILE, WORDS_FILE)])
    assert files[0] == files[1]


def test_tokens_are_words_of_two_letters_without_stop_words():
    assert tokens("The 3-inch PVC pipe, a 1/2in. Größe – 椅子 x") == [
        "inch",
        "pvc",
        "pipe",
        "2in",
        "größe",
        "椅子",
    ]


def test_texts_without_words_are_no_index():
    with pytest.raises(DataError, match="check the titles"):
        Postings.build(cut(["", "the of a"]))
    with pytest.raises(DataError, match="check the titles"):
        Postings.build([])


@pytest.mark.parametrize("name", [ARRAYS_FILE, WORDS_FILE])
def test_a_missing_file_is_named(texts, tmp_path, name):
    Postings.build(cut(texts)).save(tmp_path, "words")
    (tmp_path / name).unlink()
    with pytest.raises(StorageError, match=name):
        Postings.load(tmp_path, "words")


def test_files_of_two_indexes_are_refused(tmp_path):
    """A half-copied folder: the words of one, the numbers of another."""
    for name, some in (("a", ["oak chair"]), ("b", ["oak chair", "blue table"])):
        (tmp_path / name).mkdir()
        Postings.build(cut(some)).save(tmp_path / name, "words")
    (tmp_path / "a" / WORDS_FILE).write_bytes((tmp_path / "b" / WORDS_FILE).read_bytes())
    with pytest.raises(DataError, match="two indexes; build it again"):
        Postings.load(tmp_path / "a", "words")
