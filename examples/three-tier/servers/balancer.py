"""A balancer: hands requests to the applications in turn."""

import itertools
import json
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(sys.argv[1])
KNOWN: dict[str, str] = json.loads((HERE / "backends.json").read_text())
BACKENDS = itertools.cycle([address for _, address in sorted(KNOWN.items())])


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        backend = next(BACKENDS)
        try:
            with urllib.request.urlopen(f"http://{backend}{self.path}", timeout=10) as answer:
                status, page = answer.status, answer.read()
        except OSError as error:
            status, page = 502, f"{backend} does not answer: {error}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Answer) as server:
    (HERE / "address").write_text(f"127.0.0.1:{server.server_address[1]}")
    server.serve_forever()
