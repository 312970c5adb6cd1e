"""`python -m components.training --attempt-folder …`: one rank of a fine-tuning run."""

from collections.abc import Callable

from components.training.rank import be_a_rank


def _run_rank() -> Callable[..., None]:
    from components.training.fit import run_rank

    return run_rank


if __name__ == "__main__":
    be_a_rank(_run_rank)
