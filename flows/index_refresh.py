"""The index-refresh flow: compacts the table of the live items; replicas take the change as any other."""

from typing import Any

from prefect import flow

from components.index.items_table import ItemsTable
from flows.shop import open_shop


@flow(name="index-refresh", flow_run_name="index-refresh {config}")
def refresh_index(config: str, root: str | None = None, workspace: str | None = None) -> dict[str, Any]:
    """Small files of many PUTs become few, older versions go."""
    table = ItemsTable.open(open_shop(config, root, workspace).live_items)
    table.maintain()
    return {"items": table.count()}
