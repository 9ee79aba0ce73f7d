"""pith chat on a terminal of the test's own: prompts, Ctrl-C, Ctrl-D, history. Needs the pith command (PITH_COMMAND)."""

import os
import pty
import select
import signal
import termios
import time

import pytest

COMMAND = os.environ.get("PITH_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="PITH_COMMAND does not name the pith command")

CTRL_C, CTRL_D, UP = b"\x03", b"\x04", b"\x1b[A"
PATIENCE = 60  # seconds, on a busy machine


class Terminal:
    def __init__(self, state, *options):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(XDG_STATE_HOME=str(state), TERM="xterm", LC_ALL="C.UTF-8", OMP_WAIT_POLICY="passive")
            os.execv(COMMAND, [COMMAND, "chat", "--template", "chatml", "--temp", "0", *options])
        self.seen, self.position = b"", 0

    def read(self):
        """What has come, or False at the end."""
        if select.select([self.fd], [], [], 0.1)[0]:
            try:
                chunk = os.read(self.fd, 4096)
            except OSError:
                return False
            self.seen += chunk
            return bool(chunk)
        return True

    def wait_for(self, what):
        """The text up to `what`, from where the last wait ended."""
        end = time.monotonic() + PATIENCE
        while what not in self.seen[self.position:]:
            assert time.monotonic() < end and self.read(), (what, self.seen[self.position:])
        start, self.position = self.position, self.seen.index(what, self.position) + len(what)
        return self.seen[start:self.position]

    def wait_for_prompt(self, prompt=b"> "):
        """Until a line is edited: the prompt shows a moment before keys come as characters."""
        text, end = self.wait_for(prompt), time.monotonic() + PATIENCE
        while termios.tcgetattr(self.fd)[3] & termios.ICANON:
            assert time.monotonic() < end
            time.sleep(0.01)
        return text

    def send(self, keys):
        os.write(self.fd, keys)

    def status(self):
        """The exit status, once it has ended."""
        end = time.monotonic() + PATIENCE
        while self.read() and time.monotonic() < end:
            pass
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            time.sleep(1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise AssertionError(f"it did not end: {self.seen[-300:]}")
        return os.waitstatus_to_exitcode(status)


def test_a_talk(tmp_path):
    terminal = Terminal(tmp_path, "-n", "5")
    terminal.wait_for(b"template chatml")
    terminal.wait_for_prompt()
    terminal.send("Héllo \\\r".encode())
    terminal.wait_for_prompt(b"... ")
    terminal.send(b"fox\r")
    terminal.wait_for(b"fox")
    terminal.wait_for_prompt()
    terminal.send(b"dropped" + CTRL_C)
    terminal.wait_for(b"^C")
    terminal.wait_for_prompt()
    terminal.send(b"also \\\r")
    terminal.wait_for_prompt(b"... ")
    terminal.send(CTRL_C)  # the whole message
    terminal.wait_for(b"^C")
    terminal.wait_for_prompt()
    terminal.send(b"/nonsense\r")
    terminal.wait_for(b"is no command")
    terminal.wait_for_prompt()
    terminal.send(UP)
    terminal.wait_for(b"/nonsense")
    terminal.send(CTRL_C)
    terminal.wait_for(b"^C")
    terminal.wait_for_prompt()
    for command, told in (("/save", b" tokens written"), ("/reset", b"a new conversation"), ("/load", b" tokens read")):
        terminal.send(f"{command}{'' if command == '/reset' else f' {tmp_path}/talk'}\r".encode())
        terminal.wait_for(told)
        terminal.wait_for_prompt()
    terminal.send(CTRL_D)
    assert terminal.status() == 0
    history = tmp_path / "pith" / "chat_history"
    assert history.stat().st_mode & 0o077 == 0
    text = history.read_text()
    assert "nonsense" in text and "dropped" not in text
    again = Terminal(tmp_path, "-n", "5")
    again.wait_for_prompt()
    again.send(UP)
    again.wait_for(b"/load")
    again.send(CTRL_C)
    again.wait_for(b"^C")
    again.wait_for_prompt()
    again.send(CTRL_D)
    assert again.status() == 0


def test_ctrl_c_stops_an_answer_alone(tmp_path):
    terminal = Terminal(tmp_path, "-n", "0")
    terminal.wait_for_prompt()
    terminal.send(b"The fox went\r")
    terminal.wait_for(b"went")
    terminal.wait_for(b" the ")  # an answer without end
    terminal.send(CTRL_C)
    terminal.wait_for_prompt()
    terminal.send(b"/help\r")
    terminal.wait_for(b"/reset")
    terminal.wait_for_prompt()
    terminal.send(CTRL_D)
    assert terminal.status() == 0
