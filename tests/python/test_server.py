"""`pith serve`, spoken to by OpenAI's own package, and by sockets that it would not open.

Needs the pith command (PITH_COMMAND), the library (PITH_LIBRARY) and, for conversations, the model that tools/ci/fetch_models
fetches. Answers are judged by those of `pith run`, and log-probabilities by the C ABI's logits.
"""

import base64
import concurrent.futures
import json
import os
import signal
import struct
import subprocess
import time

import numpy as np
import pytest

import libpith
from running_server import RunningServer

openai = pytest.importorskip("openai")
COMMAND = os.environ.get("PITH_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="PITH_COMMAND does not name the pith command")

CONTEXT = 1024
CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
HELLO = [{"role": "user", "content": "Hello"}]
ENDLESS = {"grammar": "root ::= [a-z ]{3000,}", "temperature": 1, "seed": 1}  # longer than a context
STORY = {"prompt": "Once upon a time", "temperature": 0, "max_tokens": 24}


def done(*arguments):
    result = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def packed(smollm2, tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "smollm2.gguf"
    done("quantize", smollm2, path)
    return path


@pytest.fixture(scope="module")
def chat_server(packed, tmp_path_factory):
    with RunningServer(COMMAND, packed, tmp_path_factory.mktemp("log"), "--context", CONTEXT, "--sessions", 3) as server:
        yield server


@pytest.fixture(scope="module")
def story_server(tmp_path_factory):
    """Of the built-in model, which tells tales and has no template."""
    with RunningServer(COMMAND, None, tmp_path_factory.mktemp("log"), "--sessions", 2, "--queue", 2, "--max-body", "64K",
                       "--timeout", 2, "--attention", "materialise") as server:
        yield server


def client_of(server, **options):
    return openai.OpenAI(base_url=server.url + "/v1", **{"api_key": "none", "max_retries": 0, **options})


def ask(server, messages, **options):
    return client_of(server).chat.completions.create(model="any", messages=messages, **{"temperature": 0, "max_tokens": 24, **options})


def said(server, messages, **options):
    return ask(server, messages, **options).choices[0].message.content


# ---- answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question, system", [("What is the capital of France?", None), ("Name three colours.", "You are terse.")])
def test_answers_are_those_of_the_command(chat_server, packed, question, system):
    messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": question}]
    text = done("run", packed, "--chat", "-p", question, "--temp", 0, "-n", 24, *(["--system", system] if system else []))
    answer = ask(chat_server, messages)
    assert answer.choices[0].message.content == text[:-1] and len(text) > 10
    assert answer.object == "chat.completion" and answer.model == "smollm2" and answer.choices[0].finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens and 0 < usage.completion_tokens <= 24
    parts = [{"role": m["role"], "content": [{"type": "text", "text": m["content"][:4]}, {"type": "text", "text": m["content"][4:]}]}
             for m in messages]
    assert said(chat_server, parts) == text[:-1]


def test_texts_are_those_of_the_command(story_server):
    text = done("run", "-p", STORY["prompt"], "--temp", 0, "-n", 24, "--attention", "materialise")
    answer = client_of(story_server).completions.create(model="any", **STORY)
    assert STORY["prompt"] + answer.choices[0].text == text[:-1]
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 24
    assert len(client_of(story_server).completions.create(model="any", prompt="Once").choices[0].text) > 0  # 16 tokens


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.5, "seed": 7, "top_p": 0.9}, {"temperature": 0, "stop": ["ris"]}])
def test_a_stream_says_what_a_whole_answer_says(chat_server, options):
    question = [{"role": "user", "content": "What is the capital of France? Answer in a sentence."}]
    whole = ask(chat_server, question, logprobs=True, top_logprobs=2, **options)
    with ask(chat_server, question, logprobs=True, top_logprobs=2, stream=True, stream_options={"include_usage": True},
             **options) as stream:
        chunks = list(stream)
    first, *middle, last, usage = chunks
    assert first.choices[0].delta.role == "assistant" and len(middle) > 2
    assert "".join(c.choices[0].delta.content for c in middle) == whole.choices[0].message.content
    assert last.choices[0].finish_reason == whole.choices[0].finish_reason and not usage.choices
    assert usage.usage.completion_tokens == whole.usage.completion_tokens and usage.usage.prompt_tokens == whole.usage.prompt_tokens
    tokens = [t for c in middle if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert tokens == whole.choices[0].logprobs.content and len({c.id for c in chunks}) == 1


def test_a_text_streams(story_server):
    chunks = list(client_of(story_server).completions.create(model="any", stream=True, **STORY))
    text = client_of(story_server).completions.create(model="any", **STORY).choices[0].text
    assert "".join(c.choices[0].text for c in chunks) == text and chunks[-1].choices[0].finish_reason == "length"
    raw = story_server.request("POST", TEXT, {**STORY, "stream": True})
    assert raw[1]["Content-Type"] == "text/event-stream" and raw[2].endswith("\n\ndata: [DONE]\n\n")


def test_stop_strings(story_server):
    create = client_of(story_server).completions.create
    text = create(model="any", **STORY).choices[0].text
    stop = text[9:13]
    answer = create(model="any", stop=stop, **STORY)
    assert answer.choices[0].text == text[:text.index(stop)] and answer.choices[0].finish_reason == "stop"
    assert create(model="any", stop=["never said", stop], **STORY).choices[0].text == answer.choices[0].text
    assert create(model="any", stop="never said", **STORY).choices[0].text == text


def test_seeds(story_server):
    def text(**options):
        return client_of(story_server).completions.create(model="any", prompt="The", max_tokens=24, temperature=1, **options).choices[0].text
    assert text(seed=5) == text(seed=5) != text(seed=6)
    assert text(seed=-5) == text(seed=-5)
    assert len({text() for _ in range(4)}) > 1
    assert text(seed=5, extra_body={"top_k": 1}) == text(extra_body={"top_k": 1})
    assert text(seed=5, extra_body={"min_p": 0.999}) == text(extra_body={"top_k": 1})
    plain, penal = text(extra_body={"top_k": 1}), text(extra_body={"top_k": 1, "repeat_penalty": 1.8})
    assert plain != penal


def test_log_probabilities_are_those_of_the_logits(chat_server, packed):
    data = packed.read_bytes()
    tokenizer = libpith.Tokenizer(data)
    prompt = tokenizer.encode("The capital of France is")
    answer = client_of(chat_server).completions.create(model="any", prompt=prompt, temperature=0, max_tokens=6, logprobs=5)
    scores = answer.choices[0].logprobs
    drawn = tokenizer.encode(answer.choices[0].text)
    assert answer.usage.prompt_tokens == len(prompt) and [tokenizer.decode([t]).decode() for t in drawn] == scores.tokens
    logits = tokenizer.model.logits(prompt + drawn[:-1], 49152, capacity=CONTEXT)[len(prompt) - 1:].astype(np.float64)
    expected = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True)) - logits.max(1, keepdims=True)
    for row, token, score, others, offset in zip(expected, drawn, scores.token_logprobs, scores.top_logprobs, scores.text_offset):
        assert abs(row[token] - score) < 1e-5
        top = np.argsort(-row)[:5]
        assert np.allclose(sorted(others.values(), reverse=True), row[top], atol=1e-5)
        assert answer.choices[0].text.encode()[offset:].startswith(tokenizer.decode([token]))


# ---- what is kept, and who comes when --------------------------------------------------------------------------------------


def test_what_a_session_holds_is_not_read_again(packed, tmp_path):
    talk = [{"role": "system", "content": "You are a helpful guide to the cities of Europe, and answer in one sentence."},
            {"role": "user", "content": "Where is Vienna?"}]
    with RunningServer(COMMAND, packed, tmp_path, "--context", CONTEXT, "--sessions", 2) as server:
        first = ask(server, talk)
        assert first.usage.prompt_tokens_details.cached_tokens == 0
        longer = talk + [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "And Rome?"}]
        second = ask(server, longer)
        assert second.usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens
        other = ask(server, [talk[0], {"role": "user", "content": "Where is Oslo?"}])  # copies what both begin with
        assert 20 < other.usage.prompt_tokens_details.cached_tokens < first.usage.prompt_tokens
        again = ask(server, longer)
        assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1
        third = longer + [{"role": "assistant", "content": again.choices[0].message.content}, {"role": "user", "content": "Thanks."}]
        assert ask(server, third).usage.prompt_tokens_details.cached_tokens >= again.usage.prompt_tokens
        server.stop()
    with RunningServer(COMMAND, packed, tmp_path, "--context", CONTEXT, "--sessions", 1) as server:  # which has not read it
        assert said(server, longer) == second.choices[0].message.content == again.choices[0].message.content


def test_clients_at_once_get_their_own_answers(chat_server):
    questions = [[{"role": "user", "content": f"Write about the {word}, and the number {n}." + " Be brief." * n}]
                 for n, word in enumerate(["sea", "moon", "river", "forest", "desert", "city", "wind", "road"])]
    alone = [said(chat_server, q, max_tokens=8) for q in questions]
    assert len(set(alone)) == len(alone)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda q: said(chat_server, q, max_tokens=8), questions[::-1])) == alone[::-1]
    assert chat_server.health() == {"status": "ok", "sessions": 3, "running": 0, "waiting": 0}


def test_a_short_answer_does_not_wait_for_a_long_one(chat_server):
    long = chat_server.send_post(CHAT, {"messages": HELLO, "stream": True, **ENDLESS})
    chat_server.wait_for_health(running=1)
    said(chat_server, [{"role": "user", "content": "Say hi."}], max_tokens=4)
    assert chat_server.health()["running"] == 1  # the long one goes on
    long.close()
    chat_server.wait_for_health(running=0, seconds=5)


@pytest.mark.parametrize("body", [
    {"messages": [{"role": "user", "content": "a b c d e f g h " * 100}], "max_tokens": 1},        # gone within its prompt
    {"messages": HELLO, "stream": True, **ENDLESS},
    {"messages": HELLO, **ENDLESS},
])
def test_a_client_that_goes_away_ends_its_answer(chat_server, body):
    connection = chat_server.send_post(CHAT, body)
    chat_server.wait_for_health(running=1)
    connection.close()
    chat_server.wait_for_health(running=0, seconds=5)
    time.sleep(0.3)
    before = chat_server.cpu_seconds()
    time.sleep(0.5)
    assert chat_server.cpu_seconds() - before < 0.2
    assert "cancelled" in chat_server.log.splitlines()[-1] or "GET /health" in chat_server.log.splitlines()[-1]
    assert " cancelled " in chat_server.log


# ---- embeddings ------------------------------------------------------------------------------------------------------------


def test_embeddings(chat_server):
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "The stock market fell by five percent."]
    answer = client_of(chat_server).embeddings.create(model="any", input=texts)  # which asks for base64
    vectors = np.array([d.embedding for d in answer.data])
    assert vectors.shape == (3, 576) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    status, one = chat_server.post(EMBED, {"input": texts[1]})
    assert status == 200 and np.allclose(one["data"][0]["embedding"], vectors[1], atol=1e-7)
    status, coded = chat_server.post(EMBED, {"input": texts[1], "encoding_format": "base64"})
    assert struct.unpack("<576f", base64.b64decode(coded["data"][0]["embedding"])) == tuple(np.float32(one["data"][0]["embedding"]))
    assert coded["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"] > 3


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_embeddings_are_those_of_the_hidden_states(pooling, packed, tmp_path):
    text = "Once upon a time there was a fox who had lost his lantern, and the night was long."
    with RunningServer(COMMAND, packed, tmp_path, "--pooling", pooling, "--chunk", 8, "--context", 64) as server:
        status, document = server.post(EMBED, {"input": text})
    assert status == 200
    tokenizer = libpith.Tokenizer(packed.read_bytes())
    ids = tokenizer.encode(text)
    assert document["usage"]["prompt_tokens"] == len(ids) > 16
    hidden = tokenizer.model.hidden(ids, 576, capacity=64).astype(np.float64)
    expected = hidden.mean(0) if pooling == "mean" else hidden[-1]
    assert np.allclose(document["data"][0]["embedding"], expected / np.linalg.norm(expected), atol=1e-6)


# ---- answers that have a form ----------------------------------------------------------------------------------------------

PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
          "required": ["name", "age"], "additionalProperties": False}


@pytest.mark.parametrize("seed", range(3))
def test_answers_fit_a_schema(chat_server, seed):
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    person = json.loads(said(chat_server, [{"role": "user", "content": "Invent a person."}], response_format=form, max_tokens=80, temperature=1.5, seed=seed))
    assert list(person) == ["name", "age"] and len(person["name"]) <= 12 and 0 <= person["age"] <= 99


def test_answers_are_objects(chat_server):
    answer = ask(chat_server, [{"role": "user", "content": "Say yes."}], response_format={"type": "json_object"}, max_tokens=120)
    assert answer.choices[0].finish_reason == "length" or isinstance(json.loads(answer.choices[0].message.content), dict)
    assert answer.choices[0].message.content.lstrip().startswith("{")


def test_answers_fit_a_grammar(story_server):
    rules = 'root ::= " yes" | " no"'
    texts = {client_of(story_server).completions.create(model="any", prompt="Is it?", seed=seed, temperature=2,
                                                        extra_body={"grammar": rules, "min_p": 0, "top_k": 0}).choices[0].text for seed in range(6)}
    assert texts <= {" yes", " no"} and texts


# ---- refusals --------------------------------------------------------------------------------------------------------------

DEEP = b'{"messages":' + b"[" * 30000 + b"]" * 30000 + b"}"
BAD = [
    (CHAT, {}, "messages"), (CHAT, {"messages": []}, "messages"), (CHAT, {"messages": "hi"}, "messages"),
    (CHAT, {"messages": ["hi"]}, "messages[0]"), (CHAT, {"messages": [{"content": "hi"}]}, "messages[0].role"),
    (CHAT, {"messages": [{"role": "tool", "content": "hi"}]}, "messages[0].role"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    (CHAT, {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]}, "messages[0].tool_calls"),
    (CHAT, {"messages": [{"role": "user", "content": "a " * 3000}]}, "messages"),
    (CHAT, {"messages": HELLO, "top_logprobs": 2}, "top_logprobs"), (CHAT, {"messages": HELLO, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    (CHAT, {"messages": HELLO, "logprobs": 1}, "logprobs"), (CHAT, {"messages": HELLO, "tools": [{"type": "function"}]}, "tools"),
    (CHAT, {"messages": HELLO, "functions": [{}]}, "functions"), (CHAT, {"messages": HELLO, "audio": {"voice": "x"}}, "audio"),
    (CHAT, {"messages": HELLO, "modalities": ["text", "audio"]}, "modalities"),
    (CHAT, {"messages": HELLO, "chat_template_kwargs": {"enable_thinking": 1}}, "chat_template_kwargs.enable_thinking"),
    (TEXT, {}, "prompt"), (TEXT, {"prompt": ["a", "b"]}, "prompt"), (TEXT, {"prompt": {}}, "prompt"), (TEXT, {"prompt": [1, 49152]}, "prompt"),
    (TEXT, {"prompt": [-1]}, "prompt"), (TEXT, {"prompt": "a", "logprobs": 21}, "logprobs"), (TEXT, {"prompt": "a", "echo": True}, "echo"),
    (TEXT, {"prompt": "a", "suffix": "b"}, "suffix"), (TEXT, {"prompt": "a", "best_of": 2}, "best_of"),
    (TEXT, {"prompt": "a", "n": 2}, "n"), (TEXT, {"prompt": "a", "n": 0}, "n"), (TEXT, {"prompt": "a", "model": 3}, "model"),
    (TEXT, {"prompt": "a", "temperature": 2.5}, "temperature"), (TEXT, {"prompt": "a", "temperature": "0"}, "temperature"),
    (TEXT, {"prompt": "a", "top_p": 0}, "top_p"), (TEXT, {"prompt": "a", "top_p": 1.5}, "top_p"), (TEXT, {"prompt": "a", "min_p": -1}, "min_p"),
    (TEXT, {"prompt": "a", "top_k": -1}, "top_k"), (TEXT, {"prompt": "a", "repeat_penalty": 0}, "repeat_penalty"),
    (TEXT, {"prompt": "a", "frequency_penalty": 0.5}, "frequency_penalty"), (TEXT, {"prompt": "a", "logit_bias": {"5": 1}}, "logit_bias"),
    (TEXT, {"prompt": "a", "seed": 1.5}, "seed"), (TEXT, {"prompt": "a", "max_tokens": 0}, "max_tokens"),
    (TEXT, {"prompt": "a", "max_tokens": 1.5}, "max_tokens"), (TEXT, {"prompt": "a", "stop": 1}, "stop"), (TEXT, {"prompt": "a", "stop": [""]}, "stop"),
    (TEXT, {"prompt": "a", "stop": ["x" * 65]}, "stop"), (TEXT, {"prompt": "a", "stop": ["\0"]}, "stop"),
    (TEXT, {"prompt": "a", "stop": list("abcdefghi")}, "stop"), (TEXT, {"prompt": "a", "stream": 1}, "stream"),
    (TEXT, {"prompt": "a", "stream_options": {}}, "stream_options"), (TEXT, {"prompt": "a", "response_format": {"type": "xml"}}, "response_format.type"),
    (TEXT, {"prompt": "a", "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (TEXT, {"prompt": "a", "response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
    (TEXT, {"prompt": "a", "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}}, "response_format"),
    (TEXT, {"prompt": "a", "grammar": "nonsense"}, "grammar"), (TEXT, {"prompt": "a", "grammar": "", "response_format": {"type": "json_object"}}, "grammar"),
    (EMBED, {}, "input"), (EMBED, {"input": []}, "input"), (EMBED, {"input": "a", "encoding_format": "x"}, "encoding_format"),
    (EMBED, {"input": "a", "dimensions": 5}, "dimensions"), (EMBED, {"input": ["a"] * 2049}, "input"), (EMBED, {"input": "a " * 3000}, "input"),
]


@pytest.mark.parametrize("path, body, field", BAD, ids=lambda v: None if isinstance(v, dict) else str(v).strip("/"))
def test_what_is_wrong_is_named(chat_server, path, body, field):
    status, document = chat_server.post(path, body)
    error = document["error"]
    assert status == 400 and error["param"] == field and field in error["message"] and error["type"] == "invalid_request_error"


def test_what_nobody_knows_is_ignored(chat_server):
    extras = {"user": "me", "metadata": {"a": "b"}, "store": False, "frequency_penalty": 0, "tools": [], "n": 1, "logit_bias": {},
              "parallel_tool_calls": True, "response_format": {"type": "text"}, "seed": None, "stop": None}
    assert said(chat_server, HELLO) == said(chat_server, HELLO, extra_body=extras)


@pytest.mark.parametrize("body, text", [(b"", "the body"), (b"{", "the body"), (b"[]", "object"), (DEEP, "levels"),
                                        (b'{"prompt":"a","prompt":"b"}', "twice"), (b'{"prompt":"\xff"}', "the body")])
def test_what_is_no_request(story_server, body, text):
    status, document = story_server.post(TEXT, body)
    assert status == 400 and text in document["error"]["message"]


def test_a_model_without_a_template_completes_texts(story_server):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(story_server, HELLO)
    assert caught.value.code == "no_chat_template" and "--template" in str(caught.value)


def test_paths_and_methods(story_server):
    assert [m.id for m in client_of(story_server).models.list()] == ["built-in"]
    assert client_of(story_server).models.retrieve("built-in").owned_by == "pith"
    assert story_server.request("GET", "/v1/models/other")[0] == 404 and story_server.request("GET", "/nowhere")[0] == 404
    status, headers, _ = story_server.request("GET", TEXT)
    assert status == 405 and headers["Allow"] == "POST"
    assert story_server.request("DELETE", "/health")[0] == 405 and story_server.request("HEAD", "/health")[2] == ""
    status, headers, page = story_server.request("GET", "/")
    assert status == 200 and "<title>pith</title>" in page and "default-src 'none'" in headers["Content-Security-Policy"]
    assert "innerHTML" not in page and "http://" not in page and "https://" not in page
    assert story_server.request("POST", TEXT, json.dumps(STORY).encode(), Content_Type="text/plain")[0] == 415
    assert story_server.request("POST", TEXT, STORY, Content_Encoding="gzip")[0] == 415


# ---- access and limits -----------------------------------------------------------------------------------------------------


def test_names_of_other_machines_are_refused(story_server):
    for host, status in [("evil.example", 403), ("evil.example:80", 403), ("localhost.evil.example", 403), ("127.0.0.1.evil.example", 403),
                         ("", 403), ("localhost", 200), (f"LOCALHOST:{story_server.port}", 200), ("[::1]:80", 200), ("127.0.0.2", 200)]:
        assert story_server.request("GET", "/health", Host=host)[0] == status, host


def test_the_key_is_asked_for(tmp_path):
    with RunningServer(COMMAND, None, tmp_path, "--cors", "https://a.example", env={**os.environ, "PITH_API_KEY": "secret"}) as server:
        assert len(list(client_of(server, api_key="secret").models.list())) == 1
        for key in ("secre", "secrets", "secretsecret", "Secret", "x"):
            with pytest.raises(openai.AuthenticationError):
                client_of(server, api_key=key).models.list()
        assert server.request("GET", "/v1/models")[0] == 401 and server.request("GET", "/v1/models", Authorization="Basic secret")[0] == 401
        assert server.request("GET", "/health")[0] == 200 and server.request("GET", "/")[0] == 200
        status, headers, _ = server.request("OPTIONS", CHAT)
        assert status == 204 and headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert "Authorization" in headers["Access-Control-Allow-Headers"] and headers["Access-Control-Allow-Methods"].startswith("POST")
        assert "secret" not in server.log


def test_without_cors_no_page_is_let_in(story_server):
    status, headers, _ = story_server.request("OPTIONS", CHAT, Origin="https://a.example")
    assert status == 405 and "Access-Control-Allow-Origin" not in headers


def test_long_bodies_are_refused(story_server):
    limit = 64 * 1024
    long = {"prompt": "x" * limit}
    assert story_server.post(TEXT, long)[0] == 413
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for body in (b"Content-Length: 99999999999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n" + 80 * (b"400\r\n" + b"x" * 1024 + b"\r\n")):
        with story_server.send(head + body) as connection:
            assert b" 413 " in connection.recv(4096)
    assert story_server.post(TEXT, {**STORY, "padding": "x" * (limit - 200)})[0] == 200


@pytest.mark.parametrize("data, status", [
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 414 "),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(100)) + b"\r\n", b" 431 "),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70000, b" 431 "),
    (b"nonsense\r\n\r\n", b" 400 "),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + b"0-1," * 2000 + b"0-1\r\n\r\n", b" "),
    (b"GET /health HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\n\r\n", b" 200 "),
    (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{", b" 408 "),
    (b"GET / HT", b""),
])
def test_requests_that_are_none(story_server, data, status):
    with story_server.send(data) as connection:
        assert status in connection.recv(4096)
    assert story_server.health()["status"] == "ok"


def test_a_full_queue_says_so(story_server):
    held = [story_server.send_post(TEXT, {"prompt": "Once", "max_tokens": 480, **ENDLESS}) for _ in range(4)]
    try:
        story_server.wait_for_health(running=2, waiting=2)
        status, headers, text = story_server.request("POST", TEXT, STORY)
        assert status == 503 and int(headers["Retry-After"]) >= 1 and json.loads(text)["error"]["type"] == "server_error"
    finally:
        for connection in held:
            connection.close()
    story_server.wait_for_health(running=0, waiting=0)
    assert story_server.post(TEXT, STORY)[0] == 200


def test_more_connections_than_threads(story_server):
    before = story_server.resident_bytes()
    idle = [story_server.send(b"") for _ in range(60)]
    answers = []
    for connection in idle:
        connection.settimeout(10)
        try:
            answers.append(connection.recv(100))
        except ConnectionResetError:
            answers.append(b" 503 ")
        connection.close()
    assert sum(b" 503 " in a for a in answers) >= 30  # the others were waited for until --timeout
    assert story_server.resident_bytes() - before < 20e6
    story_server.wait_for_health(running=0)


# ---- the end ---------------------------------------------------------------------------------------------------------------


def test_the_first_signal_lets_answers_end(packed, tmp_path):
    with RunningServer(COMMAND, packed, tmp_path, "--context", CONTEXT) as server:
        alone = said(server, HELLO, max_tokens=40)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(said, server, HELLO, max_tokens=40)
            server.wait_for_health(running=1)
            status = server.stop()
            assert status == 0 and answer.result() == alone
        with pytest.raises(openai.APIConnectionError):
            said(server, HELLO)


def test_the_second_signal_ends_them(packed, tmp_path):
    with RunningServer(COMMAND, packed, tmp_path, "--context", CONTEXT) as server:
        connection = server.send_post(CHAT, {"messages": HELLO, "stream": True, **ENDLESS})
        server.wait_for_health(running=1)
        server.process.send_signal(signal.SIGINT)
        server.wait_for_log("once more ends them")
        assert server.stop(signal.SIGINT, seconds=5) == 0
        connection.close()


@pytest.mark.parametrize("options, text", [
    (["--port", "1", "--host", "203.0.113.7"], "option --port"), (["--host", "no such host"], "option --host"),
    (["--template", "nonsense"], "--template"), (["--temp", "-1"], "temperature")])
def test_what_it_can_not_begin_with(options, text):
    result = subprocess.run([COMMAND, "serve", *options], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and text in result.stderr


def test_a_port_that_is_taken(story_server):
    result = subprocess.run([COMMAND, "serve", "--port", str(story_server.port)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "option --port" in result.stderr and "in use" in result.stderr


def test_no_text_is_logged(story_server):
    story_server.post(TEXT, {"prompt": "a secret thing", "max_tokens": 2})
    story_server.wait_for_log(r"POST /v1/completions 200 prompt \d+ \(\d+ cached\) drawn 2 length \d\.\d+ s\n")
    assert "secret" not in story_server.log
    story_server.request("GET", "/%1b%5b2J%0aforged")
    assert "\x1b" not in story_server.log and "\nforged" not in story_server.log
