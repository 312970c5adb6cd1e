"""Which file and row each row of a SELECT comes from, where its SQL does not hand them on itself."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from components.data.row_keys import SOURCE_FILE, SOURCE_ROW

_OF_SEVERAL_ROWS = {"SUBQUERY", "WINDOW"}
"""Classes of expressions that read more than the row they stand in."""
_MANY_ROWS_OF_ONE = {"unnest", "generate_subscripts"}


def with_file_rows(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """The SELECT's result, with source_file and source_row where each of its rows is one row of one source.

    So it is where the SELECT reads one source without join, aggregate, DISTINCT, GROUP BY, UNION, window,
    subquery, unnest, sample or LIMIT; elsewhere, and where the SQL names a key column, the result is as it
    was. Raises what DuckDB raises for `sql`.
    """
    relation = connection.sql(sql)
    if {SOURCE_FILE, SOURCE_ROW} & {name.lower() for name in relation.columns}:
        return relation
    try:
        extended = _extended(connection, sql)
        if extended is None:
            return relation
        keyed = connection.sql(extended)
    except duckdb.Error:  # an aggregate, or what DuckDB's parser cannot write down again
        return relation
    same = (keyed.columns[:-2], keyed.types[:-2]) == (relation.columns, relation.types)
    return keyed if same else relation


def tables_named(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """Names in lower case of all tables that the SELECT reads, also in its subqueries and WITH clauses.

    (DuckDB 2.0's get_table_names fails on JOIN … USING and overlooks tables after a comma.)
    """
    return {part["table_name"].lower() for part in _parts(_parsed(connection, sql)) if "table_name" in part}


def _parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    [(tree,)] = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    parsed: dict[str, Any] = json.loads(tree)
    return parsed


def _extended(connection: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """The SQL, by way of DuckDB's own parser, with the key columns behind its others; None where its rows
    are no source's rows."""
    parsed = _parsed(connection, sql)
    if parsed["error"] or not _is_plain(parsed["statements"][0]["node"]):
        return None
    parsed["statements"][0]["node"]["select_list"] += [_column(SOURCE_FILE), _column(SOURCE_ROW)]
    [(text,)] = connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(parsed)]).fetchall()
    return str(text)


def _is_plain(node: dict[str, Any]) -> bool:
    """Aggregates are left to the binder, which refuses the key columns beside them."""
    if node["type"] != "SELECT_NODE" or node["cte_map"]["map"]:
        return False
    table, modifiers = node["from_table"], {each["type"] for each in node["modifiers"]}
    if table["type"] != "BASE_TABLE" or table["column_name_alias"] or not modifiers <= {"ORDER_MODIFIER"}:
        return False
    grouped = node["group_expressions"] or node["aggregate_handling"] != "STANDARD_HANDLING"
    return not (grouped or node["sample"] or table["sample"] or any(map(_reads_several_rows, _parts(node))))


def _reads_several_rows(part: dict[str, Any]) -> bool:
    return part.get("class") in _OF_SEVERAL_ROWS or part.get("function_name") in _MANY_ROWS_OF_ONE


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON tree, from the top."""
    if isinstance(tree, dict):
        yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _parts(part)


def _column(name: str) -> dict[str, Any]:
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "column_names": [name]}
