"""A figure as PNG and as one self-contained HTML page: inline SVG, the figures as a table, no network."""

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from components.contract.files import write_bytes

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""
PNG_DPI = 150


def save(
    figure: Figure,
    folder: Path,
    stem: str,
    *,
    title: str,
    sentence: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str | float | None]],
) -> tuple[Path, Path]:
    """Writes <stem>.png and <stem>.html; the same input gives the same bytes. Raises StorageError."""
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    table = _table(header, rows)
    html = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1><p>{escape(sentence)}</p>\n"
        f"<figure>{_svg(figure, stem)}</figure>\n{table}</body></html>\n"
    )
    return (
        write_bytes(folder / f"{stem}.png", png.getvalue()),
        write_bytes(folder / f"{stem}.html", html.encode()),
    )


def _svg(figure: Figure, stem: str) -> str:
    buffer = io.StringIO()
    # The salt fixes the ids inside the SVG, which are random otherwise.
    with rc_context({"svg.hashsalt": stem}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _table(header: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _cell(value: str | float | None) -> str:
    if value is None:
        return '<td class="number">–</td>'
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{value if isinstance(value, int) else format(value, ".4f")}</td>'
