"""A service with OpenAI's interface as the writer of queries: chat completions, one per text."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from components.contract.errors import DataError
from components.contract.keys import key_of

KEY = "DEBUT_WRITER_KEY"
AT_ONCE, SECONDS = 8, 60.0
_PROMPT = (
    "A shop sells this product:\n{text}\n\nWrite {count} different queries that shoppers would type into its "
    "search box to find products like it. One query a line, in the product's language, nothing else."
)
_MARK = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+")  # of a list: a model numbers its lines all the same


class EndpointWriter:
    def __init__(self, endpoint: str, model: str, seed: int = 0) -> None:
        """endpoint: what stands before /chat/completions, such as https://host/v1. The key, if the service
        wants one, is in the environment's DEBUT_WRITER_KEY."""
        self._url, self._model, self._seed = f"{endpoint.rstrip('/')}/chat/completions", model, seed

    def write(self, texts: Sequence[str], count: int) -> list[list[str]]:
        """Raises DataError at the first text that the service does not answer: nothing is left out;
        ConfigError for a key that no header can hold."""
        key = key_of(KEY)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with (
            httpx.Client(headers=headers, timeout=SECONDS) as client,
            ThreadPoolExecutor(AT_ONCE, "writer") as pool,
        ):
            written: list[list[str]] = []
            for first in range(0, len(texts), AT_ONCE):  # so that the first failure is the last question
                part = texts[first : first + AT_ONCE]
                written += pool.map(lambda text: self._queries(client, text, count), part)
            return written

    def _queries(self, client: httpx.Client, text: str, count: int) -> list[str]:
        asked = {"role": "user", "content": _PROMPT.format(text=text, count=count)}
        body = {"model": self._model, "messages": [asked], "seed": self._seed}
        try:
            answer = client.post(self._url, json=body)
            answer.raise_for_status()
            told: str = answer.json()["choices"][0]["message"]["content"]
            lines = [_MARK.sub("", line).strip(" \t\"'") for line in told.splitlines()]
        except httpx.HTTPStatusError as error:
            raise DataError(self._sentence(f"answered {error.response.status_code}")) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Not `from error`: a refused header's text is in it, and tracebacks are logged.
            raise DataError(self._sentence(f"did not answer ({type(error).__name__})")) from None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise DataError(self._sentence("answered something that is no chat completion")) from error
        return list(dict.fromkeys(line for line in lines if line))[:count]

    def _sentence(self, what: str) -> str:
        return (
            f"augment.writer.endpoint: {self._url} {what}. Check address, model {self._model!r} and {KEY}; "
            "or leave the endpoint out, and a writer is trained on the shop's own pairs."
        )
