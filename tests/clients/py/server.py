"""Starts the built binary on a copy of the shared project, and mints tokens with its secret.

The suites end what they start; nothing here outlives a test run.
"""

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

# A debug build that makes its database on a busy machine; a start takes a second otherwise.
READY_SECONDS_MAX = 120
STOP_SECONDS_MAX = 30

PROJECT = Path(__file__).parent.parent / "project"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def sign(payload: dict, secret: str) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = part(b'{"alg":"HS256","typ":"JWT"}') + "." + part(json.dumps(payload).encode())
    return head + "." + part(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())


class Server:
    """`ferrobase dev` in a temporary project; `ready` is what it printed when it was."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ferrobase-py-"))
        # PostgreSQL runs as another user when we are root, and has to get through this folder.
        self.folder.chmod(0o755)
        shutil.copytree(PROJECT, self.folder, dirs_exist_ok=True)
        self.ports = ["--port", str(free_port()), "--db-port", str(free_port())]
        self.ready: dict = {}
        try:
            self.start()
        except BaseException:
            self.remove()
            raise

    def start(self) -> None:
        self.lines: list[str] = []
        self.became_ready = threading.Event()
        self.process = subprocess.Popen(
            [os.environ["FERROBASE_BIN"], "dev", *self.ports, "--json"],
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self.readers:
            reader.start()
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.became_ready.wait(0.05):
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                what = "was not ready in time" if ended is None else f"ended ({ended})"
                self.process.kill()
                raise RuntimeError(f"the server {what}; it said:\n{self.output}")

    def _read(self, stream) -> None:
        for line in stream:
            self.lines.append(line)
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and "api_url" in value:
                self.ready = value
                self.became_ready.set()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def kill(self) -> None:
        """As the kernel would on a crash: no handler runs."""
        self.process.kill()
        self._wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self._wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self._wait()

    def _wait(self, timeout: float | None = None) -> int:
        code = self.process.wait(timeout)
        for reader in self.readers:
            reader.join(5)
        return code

    def remove(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def token(self, user: dict, **claims) -> str:
        """A user's token, as the sign-in that comes later will mint it."""
        now = int(time.time())
        payload = {
            "sub": user["id"],
            "email": user["email"],
            "role": "authenticated",
            "aud": "authenticated",
            "iat": now,
            "exp": now + 3600,
            **claims,
        }
        return sign(payload, self.ready["jwt_secret"])
