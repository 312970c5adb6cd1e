"""Which failures of a task may pass by themselves, so that trying again makes sense."""

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from components.contract.errors import StorageError, TrackingError


def failed_in_passing(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StorageError | TrackingError)
