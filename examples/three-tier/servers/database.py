"""A database: numbers by name, added to over TCP by those who have an account.

A request is a line of JSON, ``[account, password, name, number]``; the answer is the new number, or null.
"""

import json
import sys
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Lock

HERE = Path(sys.argv[1])
DATA = HERE / "data.json"
WRITING = Lock()


def is_allowed(account: str, password: str) -> bool:
    known = {each.name: each.read_text().strip() for each in HERE.glob("accounts/*")}
    return known.get(account) == password


def add(name: str, number: int) -> int:
    with WRITING:
        values = json.loads(DATA.read_text()) if DATA.exists() else {}
        values[name] = values.get(name, 0) + number
        DATA.write_text(json.dumps(values))
        return int(values[name])


class Answer(StreamRequestHandler):
    def handle(self) -> None:
        account, password, name, number = json.loads(self.rfile.readline())
        value = add(name, number) if is_allowed(account, password) else None
        self.wfile.write(json.dumps(value).encode() + b"\n")


with ThreadingTCPServer(("127.0.0.1", int(sys.argv[2])), Answer) as server:
    (HERE / "address").write_text(f"127.0.0.1:{server.server_address[1]}")
    server.serve_forever()
