"""Conversations on SentencePiece's vocabularies: Jinja's rendering, parted at the special tokens, each part encoded by the
`sentencepiece` package as a text of its own.

Needs the pith command (PITH_COMMAND), the library (PITH_LIBRARY), and the templates and the vocabulary that tools/ci/fetch_models
fetches. The vocabularies: that of Llama 2, which has no marks but <s> and </s>, and ones that the package trains here, with marks as
control tokens and without.
"""

import random
import re

import pytest

import libpith
from conftest import model_folder
from libpith import AFTER_ANSWER, ANSWER
from test_chat_template import BOS, EOS, TEMPLATES, ZEPHYR, conversations, rendered
from test_tokenizer_published import Published, sentence_piece
from test_tokenizer_sentence_piece import trained, type_of
from vocabulary_model import CONTROL, NORMAL, USER_DEFINED, model_of

sentencepiece = pytest.importorskip("sentencepiece")

# As the code that came with Llama 2 writes its turns.
LLAMA2 = """{%- if messages[0]['role'] == 'system' -%}
{%- set system_message = messages[0]['content'] -%}{%- set rest = messages[1:] -%}
{%- else -%}{%- set system_message = false -%}{%- set rest = messages -%}{%- endif -%}
{%- for message in rest -%}
{%- set content = message['content'] -%}
{%- if loop.index0 == 0 and system_message != false -%}
{%- set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] -%}
{%- endif -%}
{%- if message['role'] == 'user' -%}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
{%- elif message['role'] == 'assistant' -%}{{ ' ' + content.strip() + ' ' + eos_token }}{%- endif -%}
{%- endfor -%}"""
# Without the begin-of-text token, which is the file's to say.
MISTRAL = "mistralai/Mistral-7B-Instruct-v0.2 (NOTE: Old pre-v1 without a system prompt)"
FAMILIES = {"llama2": LLAMA2, "zephyr": ZEPHYR, "mistral": TEMPLATES.get(MISTRAL), "chatml": TEMPLATES.get("teknium/OpenHermes-2.5-Mistral-7B")}
MARKS = {"llama2": ["[INST]", "[/INST]"], "zephyr": ["<|system|>", "<|user|>", "<|assistant|>"], "mistral": ["[INST]", "[/INST]"],
         "chatml": ["<|im_start|>", "<|im_end|>"]}


class Both:
    """A vocabulary with a template, as pith has it, and what the package makes of a rendered text."""

    def __init__(self, folder, template, tokens, types, scores, encode, family=None):
        self.encode, self.names = encode, {t: i for i, (t, kind) in enumerate(zip(tokens, types)) if kind == CONTROL}
        ids = {"bos": tokens.index(BOS), "eos": tokens.index(EOS), "unknown": 0}
        self.tokenizer = libpith.Tokenizer(model_of(folder, tokens, types, scores=scores, model="llama", pre="default", ids=ids,
                                                    chat_template=template))
        self.ours = libpith.Chat(self.tokenizer)
        assert family is None or self.ours.name() == family

    def expected(self, text):
        parts = re.split("(" + "|".join(map(re.escape, sorted(self.names, key=len, reverse=True))) + ")", text)
        return [i for part in parts for i in ([self.names[part]] if part in self.names else self.encode(part))]


@pytest.fixture(params=["published", "with marks", "without marks"])
def make(request, tmp_path):
    def of(family, types_of_marks=CONTROL):
        libpith.library()
        if request.param == "published":
            path = model_folder() / "llama_cpp_python-0.3.36" / "ggml-vocab-llama-spm.gguf"
            if not path.exists():
                pytest.skip(f"no {path}: tools/ci/fetch_models fetches it")
            p = Published(tmp_path, path)
            for name in ("float.gguf", "packed.gguf"):
                (tmp_path / name).unlink()
            return Both(tmp_path, FAMILIES[family], p.tokens, p.types, p.scores, sentence_piece(p), family)
        seed = random.randrange(2 ** 32)
        print("seed of the vocabulary", seed)
        theirs = trained(seed, control_symbols=MARKS[family] if request.param == "with marks" else [])
        pieces = range(theirs.get_piece_size())
        return Both(tmp_path, FAMILIES[family], [theirs.id_to_piece(i) for i in pieces], [type_of(theirs, i) for i in pieces],
                    [theirs.get_score(i) for i in pieces], theirs.encode, family)
    return of


def talks_of(family, n):
    for talk in conversations(n, has_system=family != "mistral"):
        if family in ("llama2", "mistral"):
            talk = talk if talk[-1]["role"] == "user" else talk[:-1]
        if talk and talk[-1]["role"] != "system":
            yield [{**message, "content": message["content"].replace("\0", "")} for message in talk]


@pytest.mark.parametrize("family", FAMILIES)
def test_rendered(family, make):
    if FAMILIES[family] is None:
        pytest.skip("no template: tools/ci/fetch_models fetches it")
    both, n, n_marks = make(family), 0, 0
    for talk in talks_of(family, 300):
        wanted = rendered(FAMILIES[family], talk, talk[-1]["role"] == "user")
        ids = both.expected(wanted)
        assert both.ours.encode(talk, ANSWER if talk[-1]["role"] == "user" else 0) == ids, (talk, wanted)
        n, n_marks = n + 1, n_marks + sum(i in both.names.values() for i in ids)
    print(n, "conversations,", n_marks, "marks")
    assert n > 100


@pytest.mark.parametrize("family", FAMILIES)
def test_turn_by_turn(family, make):
    """What is written after an answer goes on with its text: there is no blank that SentencePiece puts in front of texts."""
    if FAMILIES[family] is None:
        pytest.skip("no template: tools/ci/fetch_models fetches it")
    both = make(family)
    for talk in talks_of(family, 100):
        talk = talk if talk[-1]["role"] == "user" else talk[:-1]
        first = next((i for i, m in enumerate(talk) if m["role"] == "user"), None)
        if first is None:
            continue
        shown = bytes_of(both, both.ours.encode(talk[:first + 1], ANSWER))
        for i in range(first + 1, len(talk), 2):
            answer = " " + talk[i]["content"].strip() if family == "llama2" else talk[i]["content"]
            begins = any(shown.endswith(name.encode()) for name in both.names)
            shown += (" " * begins + answer).encode()
            shown += bytes_of(both, both.ours.encode(talk[i + 1:i + 2], AFTER_ANSWER | ANSWER))
        wanted = rendered(FAMILIES[family], talk, True)
        assert shown.decode() == "".join(part if part in both.names else " " + part for part in split(both, wanted) if part)


def split(both, text):
    return re.split("(" + "|".join(map(re.escape, sorted(both.names, key=len, reverse=True))) + ")", text)


def bytes_of(both, ids):
    names = {i: name for name, i in both.names.items()}
    return b"".join(names[i].encode() if i in names else both.tokenizer.decode([i]) for i in ids)


def test_the_comparison_sees_a_difference(make):
    if FAMILIES["zephyr"] is None:
        pytest.skip("no template: tools/ci/fetch_models fetches it")
    both = make("zephyr")
    talk = [{"role": "user", "content": "Hi"}]
    assert both.ours.encode(talk, ANSWER) != both.expected(rendered(ZEPHYR, [{"role": "user", "content": "Hi "}], True))
