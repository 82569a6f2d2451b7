"""An application: counts its visitors, together with all others that use the same database."""

import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(sys.argv[1])
DATABASE, ACCOUNT, PASSWORD = (HERE / "settings").read_text().split()


def count_visit() -> int:
    host, port = DATABASE.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(json.dumps([ACCOUNT, PASSWORD, "visits", 1]).encode() + b"\n")
        return int(json.loads(connection.makefile().readline()))


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = f"{ACCOUNT}: you are visitor {count_visit()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Answer) as server:
    (HERE / "address").write_text(f"127.0.0.1:{server.server_address[1]}")
    server.serve_forever()
