"""What every section of debut.yaml is made of."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""What numpy, torch and LightGBM all take."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of debut.yaml: unknown keys are errors, numbers finite, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class EndpointSettings(Section):
    """A service with OpenAI's interface; both None: there is none."""

    endpoint: str | None = None
    """What stands before /chat/completions ("http://127.0.0.1:8000/v1")."""
    model: str | None = None
    """The service's name of its model."""

    # Of the whole section, because an error of one value repeats it, and it may hold a password.
    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.endpoint is not None:
            _check_address(self.endpoint)
        if (self.endpoint is None) != (self.model is None):
            raise ValueError("endpoint and model belong together: give both or neither")
        return self


def _check_address(endpoint: str) -> None:
    """Raises ValueError, whose text never holds the address."""
    if not endpoint.startswith(("http://", "https://")):
        raise ValueError("endpoint: give an address that begins with http:// or https://")
    try:
        authority = urlsplit(endpoint).netloc
    except ValueError:
        raise ValueError("endpoint: give an address whose host can be read") from None
    if "@" in authority:
        raise ValueError(
            "endpoint: leave name and password out of the address, which logs and releases hold; a key goes "
            "into the environment (DEBUT_ANSWERS_KEY, DEBUT_WRITER_KEY)"
        )
