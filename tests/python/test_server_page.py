"""The page of `pith serve` in a headless Chromium, where one is installed. Needs the pith command (PITH_COMMAND) and the model that
tools/ci/fetch_models fetches. PITH_SCREENSHOT=FILE keeps a picture.
"""

import os
import shutil
import subprocess

import pytest

from headless_browser import HeadlessBrowser
from running_server import RunningServer

COMMAND, BROWSER = os.environ.get("PITH_COMMAND"), shutil.which("chromium")
pytestmark = [pytest.mark.skipif(not COMMAND, reason="PITH_COMMAND does not name the pith command"),
              pytest.mark.skipif(not BROWSER, reason="chromium is not installed")]

IS_IDLE = "document.getElementById('stop').hidden"
ANSWERS = "[...document.querySelectorAll('article.assistant p')].map(p => p.textContent)"
QUESTION = "What is the capital of France? Answer in one sentence."


@pytest.fixture(scope="module")
def server(smollm2, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    subprocess.run([COMMAND, "quantize", smollm2, folder / "smollm2.gguf"], check=True, capture_output=True)
    with RunningServer(COMMAND, folder / "smollm2.gguf", folder, "--context", 2048, "--sessions", 2) as server:
        yield server


@pytest.fixture
def page(server, tmp_path):
    browser = HeadlessBrowser(BROWSER, tmp_path)
    browser.open(server.url + "/")
    yield browser
    browser.close()


def set_value(page, element, value):
    page.evaluate(f"document.getElementById('{element}').value = {value!r}")


def test_a_conversation(server, page):
    page.wait_for("document.getElementById('model').textContent === 'smollm2'")
    set_value(page, "system", "You are a friendly guide.")
    set_value(page, "temperature", "0")
    set_value(page, "most", "40")
    page.evaluate("document.getElementById('text').focus()")
    page.type(QUESTION)
    page.wait_for(f"{IS_IDLE} && {ANSWERS}.length === 1 && {ANSWERS}[0] !== ''")
    messages = [{"role": "system", "content": "You are a friendly guide."}, {"role": "user", "content": QUESTION}]
    whole = server.post("/v1/chat/completions", {"messages": messages, "temperature": 0, "max_tokens": 40})[1]
    first = whole["choices"][0]["message"]["content"]
    assert page.evaluate(ANSWERS) == [first] and len(first) > 10
    page.type("And of Italy?")  # the focus is back in the field
    page.wait_for(f"{IS_IDLE} && {ANSWERS}.length === 2 && {ANSWERS}[1] !== ''")
    messages += [{"role": "assistant", "content": first}, {"role": "user", "content": "And of Italy?"}]
    whole = server.post("/v1/chat/completions", {"messages": messages, "temperature": 0, "max_tokens": 40})[1]
    assert page.evaluate(ANSWERS)[1] == whole["choices"][0]["message"]["content"]
    assert "from the cache" in page.evaluate("[...document.querySelectorAll('small')].pop().textContent")
    if path := os.environ.get("PITH_SCREENSHOT"):
        with open(path, "wb") as file:
            file.write(page.screenshot())
    page.evaluate("document.getElementById('clear').click()")
    assert page.evaluate("document.querySelectorAll('article').length") == 0
    assert page.complaints() == [] and page.hosts() == {f"127.0.0.1:{server.port}"}


def test_text_is_text(page):
    mark = "<img src=x onerror='document.title=1'><script>document.title=2</script><b>bold</b>"
    set_value(page, "most", "3")
    page.evaluate("document.getElementById('text').focus()")
    page.type(mark)
    page.wait_for(f"{IS_IDLE} && {ANSWERS}.length === 1")
    assert page.evaluate("document.querySelector('article.user p').textContent") == mark
    assert page.evaluate("document.querySelectorAll('article img, article script, article b').length") == 0
    assert page.evaluate("document.title") == "pith" and page.complaints() == []
    # The policy holds: a script that is put in does not run, and is complained of.
    page.evaluate("const s = document.createElement('script'); s.textContent = 'document.title = 3'; document.body.append(s)")
    assert page.evaluate("document.title") == "pith" and page.complaints() != []


def test_stop(server, page):
    set_value(page, "temperature", "2")
    page.evaluate("document.getElementById('text').focus()")
    page.type("Write a long story about a lighthouse, its keeper and the sea, with ten chapters.")
    page.wait_for(f"!{IS_IDLE} && {ANSWERS}[0].length > 20")
    assert page.evaluate("document.getElementById('send').disabled")
    page.evaluate("document.getElementById('stop').click()")
    page.wait_for(IS_IDLE)
    server.wait_for_health(running=0, seconds=5)
    assert page.evaluate("document.querySelector('article.assistant small').textContent") == "stopped"


def test_errors_are_shown(page):
    set_value(page, "temperature", "9")
    page.evaluate("document.getElementById('text').focus()")
    page.type("Hello")
    page.wait_for("document.querySelector('[role=alert]') !== null")
    assert "temperature" in page.evaluate("document.querySelector('[role=alert]').textContent")


def test_names_and_colours(page):
    page.call("Accessibility.enable")
    page.evaluate("document.querySelector('details').open = true")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    seen = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in ("button", "textbox", "spinbutton", "main") and not node.get("ignored"):
            seen.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert set(seen) >= {"button", "textbox", "spinbutton"} and all(name.strip() for names in seen.values() for name in names), seen
    colours = set()
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        colours.add(page.evaluate("getComputedStyle(document.getElementById('text')).backgroundColor"))
    assert len(colours) == 2
