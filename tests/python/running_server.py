"""A `pith serve` of a test's own, on a port of the system's choosing."""

import http.client
import json
import re
import signal
import socket
import subprocess
import time
from pathlib import Path


class RunningServer:
    """Listens once it is made. `log` is what it has written to standard error."""

    def __init__(self, command, model, folder, *options, env=None):
        self.path = Path(folder) / "server.log"
        with open(self.path, "w") as log:
            self.process = subprocess.Popen([command, "serve", *([str(model)] if model else []), "--port", "0", *map(str, options)],
                                            stdout=log, stderr=log, env=env)
        self.port = int(self.wait_for_log(r"listening on http://\S+:(\d+)\n")[1])
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        return self.path.read_text()

    def wait_for_log(self, pattern, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := re.search(pattern, self.log):
                return found
            assert self.process.poll() is None, self.log
            time.sleep(0.01)
        raise AssertionError(f"{pattern} is not in {self.log}")

    def request(self, method, path, body=None, **headers):
        """(status, headers, text); a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if body is not None else {}
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            connection.close()

    def post(self, path, body, **headers):
        """(status, document)"""
        status, _, text = self.request("POST", path, body, **headers)
        return status, json.loads(text)

    def send(self, data):
        """A connection that has sent these bytes and reads nothing yet."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(data)
        return connection

    def send_post(self, path, body):
        text = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        return self.send(head.encode() + text)

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def resident_bytes(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())[1]) * 1024

    def health(self):
        return json.loads(self.request("GET", "/health")[2])

    def wait_for_health(self, seconds=20, **wanted):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            health = self.health()
            if all(health[name] == value for name, value in wanted.items()):
                return
            time.sleep(0.02)
        raise AssertionError(f"{health}, not {wanted}")

    def stop(self, which=signal.SIGTERM, seconds=20):
        """Its exit status."""
        self.process.send_signal(which)
        return self.process.wait(timeout=seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
