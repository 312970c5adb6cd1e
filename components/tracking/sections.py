"""Sections of a page: lines under a title. Where there is no room for all of them the least needed are left
out, and their section says how many, of which outcome, and where they stand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

_CUT = "… (the gate report in the run has the rest)"


@dataclass(frozen=True)
class Line:
    text: str
    need: int
    """Lines of the lowest need are left out first."""
    outcome: str = ""
    """Counted where the line is left out."""


@dataclass(frozen=True)
class Section:
    title: str
    lines: tuple[Line, ...]
    whole: str
    """Where all of them are: "the gate report"."""
    left_out: tuple[Line, ...] = ()

    @property
    def least(self) -> int:
        """The lowest need of its lines, of which there is at least one."""
        return min(line.need for line in self.lines)

    def shorter(self) -> "Section":
        """Without the last of its least needed lines."""
        number = max(number for number, line in enumerate(self.lines) if line.need == self.least)
        kept = (*self.lines[:number], *self.lines[number + 1 :])
        return replace(self, lines=kept, left_out=(*self.left_out, self.lines[number]))

    def at_most(self, lines: int) -> "Section":
        section = self
        while len(section.lines) > lines:
            section = section.shorter()
        return section

    def __str__(self) -> str:
        told = [f"- {line.text}" for line in self.lines]
        if self.left_out:
            told.append(f"- {self._rest()}")
        return "\n".join([self.title, *(told or ["- none"])])

    def _rest(self) -> str:
        count = f"and {len(self.left_out)} more" if self.lines else f"{len(self.left_out)}"
        outcomes = Counter(line.outcome for line in self.left_out if line.outcome)
        told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
        return f"{count} in {self.whole}{': ' if told else ''}{told}"


def page(parts: Sequence[Section | str], most: int) -> str:
    """Markdown of at most `most` characters. Only lines of sections are left out; where that is not enough
    the end is cut."""
    parts = [part for part in parts if part]
    while len(text := "\n\n".join(map(str, parts))) > most:
        sections = {
            number: part for number, part in enumerate(parts) if isinstance(part, Section) and part.lines
        }
        if not sections:
            return text[: most - len(_CUT)] + _CUT
        number = min(sections, key=lambda one: (sections[one].least, -one))
        parts[number] = sections[number].shorter()
    return text
