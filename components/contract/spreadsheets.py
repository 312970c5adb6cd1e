"""Cells that a spreadsheet leaves alone."""

import polars as pl

_STARTS = "=+-@\t\r\n＝＋－＠"
"""A spreadsheet runs a cell that starts with one of these as a formula (OWASP, "CSV injection")."""


def guarded(texts: pl.Expr) -> pl.Expr:
    """Texts with an apostrophe before what would be run."""
    runs = pl.any_horizontal(texts.str.starts_with(start) for start in _STARTS)
    return pl.when(runs).then(pl.lit("'") + texts).otherwise(texts)


def unguarded(texts: pl.Expr) -> pl.Expr:
    """The texts that `guarded` was given."""
    marked = pl.any_horizontal(texts.str.starts_with(f"'{start}") for start in _STARTS)
    return pl.when(marked).then(texts.str.slice(1)).otherwise(texts)
