"""Downloading a script: bounded in size, time and redirects, and silent about what stands in its URL."""

from __future__ import annotations

import base64
import http.client
import posixpath
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from aria_core import TaskAbortException, shown_url

SIZE_LIMIT = 16 * 1024 * 1024
SECONDS = 60.0
MOST_REDIRECTS = 5

_IDLE_SECONDS = 15.0
_PIECE = 64 * 1024
_PASSING = frozenset({408, 425, 429})  # besides 5xx: another attempt may meet something better


class DownloadError(RuntimeError):
    """A script could not be downloaded now; another attempt may succeed."""


def download(url: str, directory: Path, seconds: float = SECONDS) -> Path:
    """Get a script by http or https into `directory`, under the last part of its path.

    Raises ``TaskAbortException`` for what another attempt would meet again, else ``DownloadError``.
    """
    place = _split(url, url)
    script = directory / (posixpath.basename(unquote(place.path)) or "script")
    deadline = _Deadline(seconds)
    try:
        with deadline, _opener(deadline, url).open(_request(place), timeout=_IDLE_SECONDS) as response:
            body = _body(response, shown_url(url))
        if deadline.has_passed:  # a body of unknown length that was broken off looks like a whole one
            raise TimeoutError
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(shown_url(url), error.code, error.reason) from None  # the cause names the whole URL
    except (OSError, http.client.HTTPException) as error:
        raise _failed(shown_url(url), error, deadline) from None
    script.write_bytes(body)
    return script


def _split(url: str, asked: str) -> SplitResult:
    """The parts of the URL that `asked` has led to; a refusal tells nothing that may be secret."""
    try:
        place = urlsplit(url)
        if place.hostname and place.port != 0 and url.isascii() and url.isprintable() and " " not in url:
            return place
    except ValueError:
        raise _no_url(asked) from None  # its text may hold a password
    raise _no_url(asked)


def _no_url(asked: str) -> TaskAbortException:
    return TaskAbortException(
        f"{shown_url(asked)} cannot be downloaded: this is no URL, or leads to none")


def _request(place: SplitResult) -> urllib.request.Request:
    host = place.netloc.rpartition("@")[2]
    request = urllib.request.Request(  # noqa: S310 - its scheme is http or https
        place._replace(netloc=host, fragment="").geturl(), headers={"User-Agent": "aria"})
    if place.username is not None:
        login = f"{unquote(place.username)}:{unquote(place.password or '')}"
        # Unredirected: whoever it is redirected to is not told.
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    return request


def _body(response: Any, name: str) -> bytes:
    body = bytearray()
    while piece := response.read(_PIECE):
        body += piece
        if len(body) > SIZE_LIMIT:
            most = SIZE_LIMIT // 1024 // 1024
            raise TaskAbortException(f"{name} cannot be downloaded: a script has at most {most} MiB")
    if response.length:  # how much the server still owes
        raise http.client.IncompleteRead(b"", response.length)
    return bytes(body)


def _refused(name: str, code: int, reason: str) -> Exception:
    if code < 400:
        return TaskAbortException(f"{name} cannot be downloaded: it is redirected too often, or to no URL")
    told = f"{name} cannot be downloaded: the server answers {code} {reason}"
    return DownloadError(told) if code >= 500 or code in _PASSING else TaskAbortException(told)


def _failed(name: str, error: Exception, deadline: _Deadline) -> Exception:
    if deadline.has_passed:
        return DownloadError(f"{name} cannot be downloaded: it took more than {deadline.seconds:g} seconds")
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TaskAbortException(f"{name} cannot be downloaded: its certificate is not trusted "
                                  f"({cause.verify_message}); SSL_CERT_FILE may name others that are")
    told = "" if isinstance(cause, http.client.InvalidURL) else str(cause)
    return DownloadError(f"{name} cannot be downloaded: {told or type(cause).__name__}")


def _opener(deadline: _Deadline, asked: str) -> urllib.request.OpenerDirector:
    """Opens http and https, and nothing else."""
    opener = urllib.request.OpenerDirector()
    for each in (urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _Http(deadline),
                 _Https(deadline), urllib.request.HTTPDefaultErrorHandler(), _Redirects(asked),
                 urllib.request.HTTPErrorProcessor()):
        opener.add_handler(each)
    return opener


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_HttpConnection, self._deadline), request)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_HttpsConnection, self._deadline), request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MOST_REDIRECTS
    max_repeats = 2

    def __init__(self, asked: str) -> None:
        self._asked = asked

    def redirect_request(  # noqa: PLR0917 - its signature is given
            self, request: urllib.request.Request, response: Any, code: int, message: str, headers: Any,
            url: str) -> urllib.request.Request | None:
        if _split(url, self._asked).username is not None:
            raise _no_url(self._asked)
        if request.type == "https" and not url.lower().startswith("https://"):
            raise TaskAbortException(
                f"{shown_url(self._asked)} cannot be downloaded: https is redirected to http")
        return super().redirect_request(request, response, code, message, headers, url)


class _HttpConnection(http.client.HTTPConnection):
    def __init__(self, deadline: _Deadline, host: str, **settings: Any) -> None:
        super().__init__(host, **settings)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.watch(self.sock)


class _HttpsConnection(_HttpConnection, http.client.HTTPSConnection):
    """The same over TLS."""


class _Deadline:
    """Breaks every connection once the time is over: a server may say little for a very long time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._break)
        self._timer.daemon = True

    @property
    def has_passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    def watch(self, connection: socket.socket) -> None:
        """Break this one, too."""
        self._sockets.append(connection)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _break(self) -> None:
        for each in self._sockets:
            try:
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # that of TLS forgets what others still use
            except OSError:
                continue  # it has ended by itself
