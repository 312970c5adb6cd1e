"""Runs a Great Expectations suite over a polars frame: the only place where a row meets pandas."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import great_expectations as gx
import pandas as pd
import polars as pl
from great_expectations.data_context.types.base import ProgressBarsConfig

from components.quality.facts import ROW

BROKEN_SCHEMA = {ROW: pl.UInt32, "column": pl.String, "expectation": pl.String}

EVERY_ORDINAL = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": [ROW],
    # Values, a sample and a pandas query come with them otherwise, at twice the time (144,025 bad rows:
    # 11.4 s of CPU against 6.0); the values are read off our own rows.
    "exclude_unexpected_values": True,
    "partial_unexpected_count": 0,
    "return_unexpected_index_query": False,
}
"""Every bad row comes back by its ordinal, without a cap."""


def broken_expectations(rows: pl.DataFrame, suite: Any) -> pl.DataFrame:
    """One line per row × broken expectation: row ordinal, contract column, sentence; in the suite's order.

    `rows` needs the ordinal column facts.ROW and the columns that the suite names.
    Raises RuntimeError where an expectation itself fails to run: a defect of ours, never a bad row.
    """
    if rows.is_empty():
        return pl.DataFrame(schema=BROKEN_SCHEMA)
    columns = list(dict.fromkeys([ROW, *(each.column for each in suite.expectations)]))
    with _python_strings(), _silence():
        batch = _batch_definition().get_batch({"dataframe": rows.select(columns).to_pandas()})
        result = batch.validate(suite, result_format=EVERY_ORDINAL)
    return pl.concat([pl.DataFrame(schema=BROKEN_SCHEMA), *(_lines(each) for each in result.results)])


def _lines(result: Any) -> pl.DataFrame:
    meta = result.expectation_config.meta
    if "unexpected_index_list" not in result.result:
        # The shape of exception_info differs by where the expectation failed; whole, it always says why.
        raise RuntimeError(f"expectation {meta['sentence']!r} did not run: {result.exception_info}")
    ordinals = [number for each in result.result["unexpected_index_list"] for number in each[ROW]]
    return pl.DataFrame({ROW: ordinals}, schema={ROW: pl.UInt32}).with_columns(
        pl.lit(meta["column"]).alias("column"), pl.lit(meta["sentence"]).alias("expectation")
    )


def _batch_definition() -> Any:
    context = gx.get_context(mode="ephemeral")
    # A shop's data is nobody else's business. 1.24.1 has no sender any more; the setting keeps it so.
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")


@contextmanager
def _python_strings() -> Iterator[None]:
    # pandas' default strings are Arrow's, whose regular expressions (RE2) take only ASCII for
    # letters: 日本語 would be "without a letter". Python's strings use `re`.
    with pd.option_context("mode.string_storage", "python"):
        yield


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        # A pattern with (groups) makes pandas ask whether one meant to extract them: we do not.
        warnings.filterwarnings("ignore", message=".*has match groups.*", category=UserWarning)
        yield
