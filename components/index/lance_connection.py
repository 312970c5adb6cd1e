"""The way to LanceDB: addresses, S3 options from the environment, and its errors in our words.

LanceDB 0.40 raises no class of its own for a failure of storage: ValueError (bad input, a table that is
there or is not, an S3 address that cannot be opened), RuntimeError (everything Lance says, conflicts of
commits among it) and OSError (local files).
"""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import lancedb

from components.contract.errors import ConfigError, StorageError

S3_SCHEME = "s3://"
S3_LIMITS = {
    "connect_timeout": "3s",
    "timeout": "60s",
    "client_max_retries": "5",
    "client_retry_timeout": "8",
}
"""Of one request; Lance begins up to six times. An endpoint that refuses connections is reported after some
ten seconds, one that never answers after a minute."""
BOTO3_READS = {
    *("endpoint", "endpoint_url", "endpoint_url_s3", "region", "default_region"),
    *("access_key_id", "secret_access_key", "session_token", "token"),
}
CONFLICTS = ("Too many concurrent writers", "ommit conflict", "preempted by concurrent", "with concurrent")

# Patterns in Lance's messages, and what they mean to a user; the first that fits is told.
_REASONS = {
    "NoSuchBucket": "there is no such bucket.",
    "CredentialsNotLoaded": "no S3 credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|status: 40[13]|Forbidden|Unauthorized": (
        "access denied. Check the credentials and the bucket's policy."
    ),
    "kind: Connect|kind: Timeout|timed out|ConnectionRefused": (
        "the S3 endpoint does not answer. Check AWS_ENDPOINT_URL and the network."
    ),
    "status: 404": "there is no such bucket or object.",
    r"No space left|\(os error 28\)": "the disk is full. Free space there, then run again.",
    r"Permission denied|Read-only file system|\(os error (13|30)\)": (
        "it may not be written. Correct the folder's permissions, then run again."
    ),
}
_SOURCE_LOCATION = re.compile(r",?\s*(location: Location \{.*|/\S+\.rs:\d+:\d+.*)", re.DOTALL)
SHOWN_CHARACTERS = 300


class CommitConflictError(StorageError):
    """Other writers' commits came first, again and again; the same act may succeed later."""


def connect(uri: str, storage_options: Mapping[str, str] | None = None) -> lancedb.DBConnection:
    """A connection to a local folder or s3://bucket/prefix.

    Endpoint, credentials and region are the environment's alone: boto3 must reach the same bucket.
    Raises ConfigError for any other address, for http to another machine without leave, and for such
    an option; StorageError where nothing answers.
    """
    options = None
    if uri.startswith(S3_SCHEME):
        _check_bucket(uri)
        options = _s3_options(uri, storage_options or {})
    elif "://" in uri:
        raise ConfigError(f"{uri}: live items are kept in a local folder or under s3://bucket/prefix.")
    with lance_errors(uri):
        return lancedb.connect(uri, storage_options=options)


@contextmanager
def lance_errors(uri: str) -> Iterator[None]:
    """Turns what LanceDB raises into a StorageError that names `uri`; wrap only calls of LanceDB in it."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        text = str(error)
        if any(piece in text for piece in CONFLICTS):
            raise CommitConflictError(
                f"{uri}: other writers' changes came first too many times; run again."
            ) from error
        raise StorageError(f"{uri}: {_explained(text)}") from error


def _explained(text: str) -> str:
    for pattern, sentence in _REASONS.items():
        if re.search(pattern, text):
            return sentence
    shown = _SOURCE_LOCATION.sub("", text).strip().rstrip(".")
    return (
        f"LanceDB could not read or write the items: {shown[:SHOWN_CHARACTERS]}. Where the table is damaged, "
        f"move it away, start again, and PUT again what changed since the release was made."
    )


def _check_bucket(uri: str) -> None:
    if not uri.removeprefix(S3_SCHEME).partition("/")[0]:
        raise ConfigError(f"{uri}: expected s3://bucket/prefix.")


def _s3_options(uri: str, given: Mapping[str, str]) -> dict[str, str]:
    """Lance's options. What is neither given nor set here, Lance looks for as every AWS SDK does
    (profiles, web identity, the machine's role)."""
    given = {name.lower(): value for name, value in given.items()}
    for name in given:
        if name.removeprefix("aws_") in BOTO3_READS:
            raise ConfigError(f"{uri}: {name} is no option here. Set it in the environment, as for boto3.")
    options = S3_LIMITS | _from_environment() | given
    if "aws_endpoint" in options:
        options.setdefault("aws_region", "us-east-1")  # Amazon is asked otherwise, whatever the endpoint
        options["aws_endpoint_url_s3"] = options["aws_endpoint"]
        _allow_http(uri, options)
    return options


def _allow_http(uri: str, options: dict[str, str]) -> None:
    endpoint = urlsplit(options["aws_endpoint"])
    if endpoint.scheme != "http" or "allow_http" in options:
        return
    if not _is_loopback(endpoint.hostname or ""):
        raise ConfigError(
            f"{uri}: the endpoint http://{endpoint.netloc.rpartition('@')[2]} is not encrypted. "
            f"Use https, or set AWS_ALLOW_HTTP=true."
        )
    options["allow_http"] = "true"


def _from_environment() -> dict[str, str]:
    """The variables that boto3 reads; AWS_REGION and AWS_ALLOW_HTTP are Lance's own. Of Lance's several
    names for an option these go before the environment; with the others chance decides."""
    variables = {
        "aws_endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "aws_access_key_id": ("AWS_ACCESS_KEY_ID",),
        "aws_secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
        "aws_session_token": ("AWS_SESSION_TOKEN",),
        "aws_region": ("AWS_DEFAULT_REGION", "AWS_REGION"),
        "allow_http": ("AWS_ALLOW_HTTP",),
    }
    found = {name: next(filter(None, map(os.environ.get, names)), None) for name, names in variables.items()}
    return {name: value for name, value in found.items() if value}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
