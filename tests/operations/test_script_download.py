"""Scripts at a URL, from real servers that behave well, badly, or not at all."""

from __future__ import annotations

import base64
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aria_core import Actor, Failed, Succeeded, TaskAbortException, run_call
from aria_plugins.operations.script import download

LOGIN = f"Basic {base64.b64encode(b'user:s3cret@word').decode()}"


class Site(ThreadingHTTPServer):
    """Serves scripts; `elsewhere` is where it redirects to."""

    daemon_threads = True
    scheme = "http"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.elsewhere = ""
        self.seen: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever is refused hangs up; that is no news."""


class Pages(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Authorization"]))
        place = self.path.partition("?")[0]
        with suppress(OSError):
            getattr(self, place.strip("/").partition("/")[0].partition(".")[0], self.missing)()

    def run(self) -> None:
        self.answer(b"echo downloaded; ctx node name; echo $0 | sed 's,.*/,,'\n")

    def python(self) -> None:
        self.answer(b"ctx.logger.info('evaluated %s', inputs['a'])\n")

    def guarded(self) -> None:
        if self.headers["Authorization"] == LOGIN:
            self.run()
        else:
            self.send_error(401)

    def missing(self) -> None:
        self.send_error(404)

    def busy(self) -> None:
        self.send_error(503)

    def away(self) -> None:
        self.redirect(f"{self.server.elsewhere}/run.sh")

    def around(self) -> None:
        self.redirect(f"/around/{len(self.server.seen)}")

    def strange(self) -> None:
        self.redirect("file:///etc/passwd")

    def tempting(self) -> None:
        self.redirect(self.server.url.replace("//", "//user:s3cret@") + "/run.sh")

    def large(self) -> None:
        self.answer(b"#" * (download.SIZE_LIMIT + 1))

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"#" * 65536)

    def cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"echo half")

    def slow(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.drip(b"#")

    def mumbling(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        self.drip(b"x")

    def drip(self, piece: bytes) -> None:
        for _ in range(1000):
            self.wfile.write(piece)
            time.sleep(0.05)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, place: str) -> None:
        self.send_response(302)
        self.send_header("Location", place)
        self.end_headers()


@pytest.fixture
def open_site() -> Iterator[Callable[[], Site]]:
    sites: list[Site] = []

    def make() -> Site:
        sites.append(Site())
        return sites[-1]

    yield make
    for each in sites:
        each.shutdown()
        each.server_close()


@pytest.fixture
def site(open_site: Callable[[], Site]) -> Site:
    return open_site()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate that its owner has signed, and its key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem"), "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return tmp_path / "cert.pem"


@pytest.fixture
def safe_site(site: Site, certificate: Path) -> Site:
    """The site behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    site.socket = context.wrap_socket(site.socket, server_side=True)
    site.scheme = "https"
    return site


def run(host: Any, url: str, **inputs: Any) -> Succeeded | Failed:
    return run_call(host.call(url, None, Actor("node", 1, "web"), inputs), host.channel)


def refused(host: Any, url: str) -> Failed:
    report = run(host, url)
    assert isinstance(report, Failed)
    assert not host.left_behind
    assert "s3cret" not in repr(report)
    assert "s3cret" not in repr(host.channel.logs)
    return report


def test_a_script_at_a_url_is_downloaded_and_runs(host: Any, site: Site) -> None:
    assert isinstance(run(host, f"{site.url}/run/run.sh?token=s3cret#top"), Succeeded)
    assert [text for _, text in host.channel.messages] == ["downloaded", "web", "run.sh"]
    assert not host.left_behind


def test_downloaded_python_is_evaluated(host: Any, site: Site) -> None:
    assert isinstance(run(host, f"{site.url}/python.py", a="it"), Succeeded)
    assert host.channel.messages == [("INFO", "evaluated it")]


def test_a_downloaded_script_that_fails_is_named_without_its_secrets(host: Any, site: Site) -> None:
    report = refused(host, f"{site.url.replace('//', '//me:s3cret@')}/python?token=s3cret#s3cret")
    assert report.error.startswith(f"ProcessException: {site.url}/python ended with 2")


def test_user_and_password_of_a_url_log_in_there_and_nowhere_else(
        host: Any, open_site: Callable[[], Site]) -> None:
    site, other = open_site(), open_site()
    site.elsewhere = other.url
    login = site.url.replace("//", "//user:s3cret%40word@")
    assert isinstance(run(host, f"{login}/guarded.sh"), Succeeded)
    assert isinstance(run(host, f"{login}/away.sh"), Succeeded)
    assert site.seen == [("/guarded.sh", LOGIN), ("/away.sh", LOGIN)]
    assert other.seen == [("/run.sh", None)]
    assert "the server answers 401" in refused(host, f"{site.url}/guarded.sh").error


@pytest.mark.parametrize(("page", "message", "retry"), [
    ("missing.sh", "the server answers 404 Not Found", False),
    ("guarded.sh", "the server answers 401 Unauthorized", False),
    ("busy.sh", "the server answers 503 Service Unavailable", None),
    ("around.sh", "it is redirected too often, or to no URL", False),
    ("strange.sh", "it is redirected too often, or to no URL", False),
    ("tempting.sh", "this is no URL, or leads to none", False),
    ("large.sh", "a script has at most 16 MiB", False),
    ("endless.sh", "a script has at most 16 MiB", False),
    ("cut.sh", "IncompleteRead", None),
])
def test_what_cannot_be_downloaded_is_told_in_one_sentence(
        host: Any, site: Site, page: str, message: str, retry: bool | None) -> None:
    report = refused(host, f"{site.url}/{page}?token=s3cret")
    kind = "TaskAbortException" if retry is False else "DownloadError"
    assert report.error.startswith(f"{kind}: {site.url}/{page} cannot be downloaded: ")
    assert message in report.error
    assert "\n" not in report.error
    assert report.retry is retry
    assert len(site.seen) <= download.MOST_REDIRECTS + 1


@pytest.mark.parametrize("page", ["slow", "mumbling"])
def test_a_server_that_says_little_for_a_long_time_is_left(site: Site, page: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(download.DownloadError, match=rf"/{page} cannot be downloaded: it took more than 0"):
        download.download(f"{site.url}/{page}", tmp_path, seconds=0.5)
    assert time.monotonic() - began < 15
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_may_be_later(host: Any, site: Site) -> None:
    site.shutdown()
    site.server_close()
    report = refused(host, f"{site.url}/run.sh")
    assert "cannot be downloaded: [Errno 111] Connection refused" in report.error
    assert report.retry is None


@pytest.mark.parametrize("url", [
    "http://", "http://user:s3cret@", "http://h:99999999/", "http://user:s3cret@h:port/x", "http://h/a b",
    "http://h/\r\nX: y", "http://[::1/x", "HTTP://h:0/x", "http://h/ä"])
def test_what_is_no_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(TaskAbortException, match="cannot be downloaded: this is no URL, or leads") as caught:
        download.download(url, tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(
        host: Any, safe_site: Site, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = refused(host, f"{safe_site.url}/run.sh")
    assert report.error == (
        f"TaskAbortException: {safe_site.url}/run.sh cannot be downloaded: its certificate is not trusted "
        "(self-signed certificate); SSL_CERT_FILE may name others that are")
    assert not safe_site.seen
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert isinstance(run(host, f"{safe_site.url}/run.sh"), Succeeded)


def test_https_does_not_lead_to_http(host: Any, safe_site: Site, certificate: Path,
                                     open_site: Callable[[], Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    other = open_site()
    safe_site.elsewhere = other.url
    assert "https is redirected to http" in refused(host, f"{safe_site.url}/away.sh").error
    assert not other.seen
