"""The check flow: load the data and look at its quality, without training."""

from typing import Any

from prefect import flow

from flows.preparation import load_and_check
from flows.run import new_run
from flows.shop import open_shop


@flow(name="check", flow_run_name="check {config}")
def check(config: str, root: str | None = None, workspace: str | None = None) -> dict[str, Any]:
    """Rows, bad rows and reasons per table."""
    run = new_run(open_shop(config, root, workspace))
    (loaded, _), (checked, folder) = load_and_check(run)
    return {
        "rows": loaded.rows,
        "corrected": loaded.corrected,
        "outdated": loaded.outdated,
        "quarantined": checked.quarantined,
        "reasons": checked.broken,
        "control_characters": loaded.control_characters,
        "report": str(folder / "quality.html"),
    }
