"""Resource storage in an object store that speaks S3."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from aria_core import (
    ConfigurationError,
    NotFoundError,
    ResourceStorage,
    Secret,
    StorageError,
    StorageUnavailableError,
    hookimpl,
)

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_EXECUTABLE = "executable"
"""The metadata that says so."""
_LONGEST_KEY = 1024
_LONGEST_REQUEST = timedelta(hours=1)
"""However long an object is; what stands still is noticed much earlier."""
_PAGE = 1000
_PIECES = 4
"""Sent at once, of 5 MiB each: the more there are, the longer one of them takes."""
_NO_LIMIT = 1_000_000
"""Of tries: how long is tried is what counts."""
_TOLD = re.compile(r"<Code>(?P<code>\w+)</Code>(?:.*?<Message>(?P<message>[^<]*)</Message>)?", re.DOTALL)
_STATUS = re.compile(r"status code: (?P<status>\d{3}[ \w]*)")
_NO_CREDENTIALS = "169.254."
"""Where obstore asks for credentials if it was given none."""


class ObjectStorage(ResourceStorage):
    """Keeps each key as an object below ``s3://bucket/prefix``.

    The bucket must be there. Without `endpoint` it is Amazon's; others have a URL. What is not given of
    `region`, `access_key`, `secret_key` and `session_token` is taken from ``AWS_REGION``,
    ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN`` or the host's role. `timeout`
    is how many seconds the store may be silent, or away, before that is told.
    """

    reach: Literal["process", "host", "network"] = "network"

    def __init__(self, url: str, *, endpoint: str | None = None, region: str | None = None,
                 access_key: Secret | str | None = None, secret_key: Secret | str | None = None,
                 session_token: Secret | str | None = None, timeout: float = 30.0) -> None:
        self._bucket, self._prefix = _parts_of(url)
        self._endpoint = _checked_endpoint(endpoint)
        self._region = region
        given = {"access_key": access_key, "secret_key": secret_key, "session_token": session_token}
        self._credentials = {name: Secret(each) if isinstance(each, str) else each
                             for name, each in given.items() if each is not None}
        if ("access_key" in self._credentials) != ("secret_key" in self._credentials):
            raise ConfigurationError("access_key and secret_key of an object store are given together")
        if not timeout > 0:
            raise ConfigurationError(f"a timeout of {timeout} s is none; take more than 0")
        self._timeout = timeout
        self._opened: S3Store | None = None
        self._opener = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place!r})"

    def open(self) -> None:
        """Ask for the bucket."""
        if self._opened is None:
            self._opened, self._opener = self._made(), os.getpid()
        with self._explained("open", ""):
            next(iter(self._opened.list(chunk_size=1)), None)

    def close(self) -> None:
        """Let go of connections."""
        self._opened = None

    def spec(self) -> tuple[str, Mapping[str, Any]]:
        """Its class and keywords, credentials included where they were given as such."""
        return f"{type(self).__module__}:{type(self).__qualname__}", {
            "url": "/".join(each for each in (f"s3://{self._bucket}", self._prefix) if each),
            "endpoint": self._endpoint, "region": self._region, "timeout": self._timeout,
            **{name: secret.reveal() for name, secret in self._credentials.items()}}

    def read(self, key: str) -> bytes:
        """The bytes under `key`."""
        with self._explained("read", key):
            return bytes(self._store.get(_checked(key)).bytes())

    def is_executable(self, key: str) -> bool:
        """Whether the object's metadata says so."""
        with self._explained("read", key):
            found = self._store.get(_checked(key), options={"head": True})
            return found.attributes.get(_EXECUTABLE) == "true"

    def put(self, key: str, data: bytes, *, executable: bool = False) -> None:
        """Send it, large ones in pieces; it appears when the store has all of it."""
        with self._explained("write", key):
            self._store.put(_checked(key, self._prefix), data, max_concurrency=_PIECES,
                            attributes={_EXECUTABLE: "true"} if executable else {})

    def list(self, prefix: str) -> Iterator[str]:
        """The keys of the objects below `prefix`, of all pages."""
        with self._explained("list", prefix):
            return iter(sorted(self._keys(prefix)))

    def delete(self, prefix: str) -> bool:
        """Remove `prefix` and all below it, thousands at a time."""
        with self._explained("delete", prefix):
            keys = [*self._keys(prefix)]
            if keys:
                self._store.delete(keys)
            return bool(keys)

    @property
    def _store(self) -> S3Store:
        if self._opened is None:
            raise StorageUnavailableError(f"the object store {self._place} is not open")
        if self._opener != os.getpid():  # obstore's threads are not there any more: it would wait without end
            raise StorageError(f"the object store {self._place} was opened by the process that this one was "
                               "forked from; open storages in the process that uses them")
        return self._opened

    @property
    def _place(self) -> str:
        where = f" at {self._endpoint}" if self._endpoint else ""
        return "/".join(each for each in (f"s3://{self._bucket}", self._prefix) if each) + where

    def _made(self) -> S3Store:
        names = {"access_key": "access_key_id", "secret_key": "secret_access_key",
                 "session_token": "session_token"}
        config: dict[str, Any] = {
            names[name]: secret.reveal() for name, secret in self._credentials.items()}
        config |= {name: value for name, value in (("endpoint", self._endpoint), ("region", self._region))
                   if value is not None}
        patience = timedelta(seconds=self._timeout)
        client: ClientConfig = {
            "allow_http": (self._endpoint or "").startswith("http://"), "timeout": _LONGEST_REQUEST,
            "read_timeout": patience, "connect_timeout": patience}
        retry: RetryConfig = {"retry_timeout": patience, "max_retries": _NO_LIMIT,
                              "backoff": {"max_backoff": timedelta(seconds=2)}}
        with self._explained("open", ""):
            return S3Store(self._bucket, prefix=self._prefix or None, client_options=client,
                           retry_config=retry, **config)

    def _keys(self, prefix: str) -> Iterator[str]:
        if prefix:
            try:
                self._store.head(_checked(prefix))
                yield prefix
            except FileNotFoundError:
                pass
        for page in self._store.list(prefix or None, chunk_size=_PAGE):
            yield from (each["path"] for each in page if each["path"] not in ("", prefix))

    @contextmanager
    def _explained(self, what: str, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._unavailable(what, key, error) from error
            raise NotFoundError(f"there is no {key!r} in the object store {self._place}") from error
        except (BaseError, OSError) as error:
            raise self._unavailable(what, key, error) from error
        except ValueError as error:
            raise StorageError(f"the object store {self._place} takes no key {key!r}") from error

    def _unavailable(self, what: str, key: str, error: Exception) -> StorageUnavailableError:
        doing = f"cannot {what} {key!r} in" if key else f"cannot {what}"
        return StorageUnavailableError(f"{doing} the object store {self._place}: {_reason(error)}")


def _parts_of(url: str) -> tuple[str, str]:
    """The bucket and the prefix of a URL."""
    found = urlsplit(url)
    if found.username is not None or found.password is not None:
        raise ConfigurationError(
            "the URL of an object store holds no credentials: give access_key and secret_key")
    if found.scheme != "s3" or not found.netloc or found.query or found.fragment:
        raise ConfigurationError(f"{url!r} names no object store; that is s3://bucket/prefix")
    prefix = found.path.strip("/")
    if prefix:
        _checked(prefix)
    return found.netloc, prefix


def _checked_endpoint(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    found = urlsplit(endpoint)
    if found.scheme not in ("http", "https") or not found.hostname or found.username is not None:
        raise ConfigurationError(
            "the endpoint of an object store is the URL of its server, as https://host:9000, and holds no "
            "credentials")
    return endpoint.rstrip("/")


def _checked(key: str, prefix: str = "") -> str:
    """`key` as it is, if nothing in it could lead out of the prefix."""
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise StorageError(f"the resource path {key!r} is not one that this storage keeps")
    if len(f"{prefix}/{key}".encode(errors="replace")) > _LONGEST_KEY:
        raise StorageError(f"the resource path {key[:50]!r}... is too long: with its prefix it may have "
                           f"{_LONGEST_KEY} bytes")
    return key


def _reason(error: Exception) -> str:
    """What went wrong, in a few words: what obstore tells has many lines."""
    text = str(error)
    if _NO_CREDENTIALS in text:
        return ("there are no credentials; give access_key and secret_key, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY")
    if told := _TOLD.search(text):
        return f"{told['code']}: {told['message']}" if told["message"] else told["code"]
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return "it refuses the credentials, or they do not suffice"
    if status := _STATUS.search(text):
        return f"it answers {status['status'].strip()}"
    silent = "error sending request" in text or "timed out" in text
    return "it does not answer" if silent else text.splitlines()[0]


@hookimpl
def aria_resource_storage() -> type[ResourceStorage]:
    """Objects in a bucket."""
    return ObjectStorage
