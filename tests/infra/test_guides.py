"""The documents of mlflow/, infra/ and docker/: what they link to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    path.relative_to(ROOT)
    for folder in ("mlflow", "infra", "docker")
    for path in sorted((ROOT / folder).rglob("*.md"))
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_what_a_document_links_to_exists(document: Path) -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text())
    assert [name for name in linked if not (ROOT / document.parent / name).exists()] == []


def test_the_reviewers_guide_has_pictures_that_are_small_and_told_in_words() -> None:
    """Who cannot see them, or reads the file as text, is told what they show."""
    shown = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", (ROOT / "mlflow" / "REVIEWING.md").read_text())
    assert len(shown) >= 3
    assert all(len(words) > 30 for words, _ in shown)
    pictures = {ROOT / "mlflow" / name for _, name in shown}
    assert pictures == set((ROOT / "mlflow" / "pictures").iterdir())
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in pictures)
    assert all(path.stat().st_size < 150_000 for path in pictures)
