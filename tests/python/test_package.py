"""The Python package: what it computes, what it refuses, and how it behaves in a program.

PITH_LIBRARY names libpith.so, beside whose libpith.a the package is built; PITH_COMMAND names the pith command.
"""

import dataclasses
import gc
import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
import weakref
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest

from built_package import REPOSITORY, ran

PITH = os.environ.get("PITH_COMMAND", REPOSITORY / "build" / "release" / "pith")
BUILTIN = REPOSITORY / "tools" / "model" / "m.q4.gguf"
PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def model(pith):
    with pith.Model() as opened:
        yield opened


def command(*arguments):
    return json.loads(ran(PITH, *arguments, "--json"))


def random_ids(model, n):
    seed = random.randrange(2 ** 32)
    print("seed", seed)
    return np.random.default_rng(seed).integers(1, model.info.vocab_size, n)


# ---- text


def test_the_text_is_that_of_the_command(pith, model):
    for keywords in ({}, dict(seed=7), dict(temperature=0), dict(repeat_penalty=1.3, top_k=0, min_p=0, top_p=1)):
        options = [word for name, value in keywords.items()
                   for word in ("--" + name.replace("temperature", "temp").replace("_", "-"), value)]
        expected = command("run", "-p", PROMPT, "-n", 60, *options)["text"]
        generation = model.generate(PROMPT, max_tokens=60, **keywords)
        assert PROMPT + "".join(generation) == expected
        assert generation.text == expected[len(PROMPT):] and len(generation.tokens) <= 60
    assert model.generate(PROMPT, max_tokens=60, seed=2).read() != model.generate(PROMPT, max_tokens=60, seed=3).read()


def test_pieces_stream(model):
    generation = model.generate(PROMPT, max_tokens=20)
    first = next(generation)
    assert len(generation.tokens) == 1 and generation.text == first and generation.finish_reason is None
    assert isinstance(first, str) and first.tokens == ()
    assert len(list(generation)) >= 10 and generation.finish_reason == "length" and len(generation.tokens) == 20
    assert list(generation) == []


def test_stop_strings_end_a_text_and_are_not_in_it(model):
    whole = model.generate(PROMPT, max_tokens=100).read()
    stop = whole[60:64]
    generation = model.generate(PROMPT, max_tokens=100, stop=["not in it", stop])
    assert generation.read() == whole[:whole.index(stop)] and generation.finish_reason == "stop"


def test_a_text_ends_by_itself_or_with_the_context(pith):
    with pith.Model(context=40) as model:
        generation = model.generate(PROMPT)
        generation.read()
        assert generation.finish_reason == "length" and len(generation.prompt) + len(generation.tokens) == 40
        with pytest.raises(ValueError, match="a context of 40: give max_tokens"):
            model.generate(PROMPT * 20).read()
        assert model.generate(PROMPT * 20, max_tokens=30).read()
        for seed in range(100):  # not every story ends within 200 tokens
            text = model.generate(PROMPT, max_tokens=200, seed=seed)
            text.read()
            assert text.finish_reason == ("end" if model.tokenizer.is_end(text.tokens[-1]) else "length")
            if text.finish_reason == "end":
                break
        assert text.finish_reason == "end"


def test_log_probabilities_are_those_of_the_logits(pith, model):
    generation = model.generate(PROMPT, max_tokens=40, temperature=1.5, repeat_penalty=1.5, logprobs=5)
    pieces = list(generation)
    assert "".join(pieces) == generation.text
    tokens = [token for piece in pieces for token in piece.tokens]
    assert [token.id for token in tokens] == generation.tokens
    assert b"".join(token.data for token in tokens).decode() == generation.text
    with model.session() as session:
        session.eval(generation.prompt)
        for token in tokens:
            logits = session.logits().astype(np.float64)
            p = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
            assert token.logprob == pytest.approx(p[token.id], rel=6e-8, abs=1e-12)  # rounded to float32
            assert [i for i, _ in token.top] == np.argsort(-p, kind="stable")[:5].tolist()
            assert [x for _, x in token.top] == pytest.approx(sorted(p)[::-1][:5], rel=6e-8, abs=1e-12)
            assert session.logprobs(token.id, 5) == (token.logprob, token.top)
            session.eval([token.id])
        assert sorted(i for i, _ in session.logprobs(0, 10**6)[1]) == list(range(model.info.vocab_size))
    assert any(token.id != token.top[0][0] for token in tokens)  # not greedy: two different numbers were compared
    with model.session() as session:
        with pytest.raises(ValueError, match="no token was evaluated"):
            session.logprobs(0)
        session.eval([1])
        with pytest.raises(pith.Error, match="token: -1"):
            session.logprobs(-1)
    alone = next(model.generate(PROMPT, logprobs=0))
    assert alone.tokens[0].top == () and alone.tokens[0].logprob < 0


def test_a_cancelled_text_ends(model):
    generation = model.generate(PROMPT)
    next(generation)
    generation.cancel()
    assert generation.read() == generation.text and generation.finish_reason == "cancelled"


def test_generate_goes_on_in_a_session(model):
    whole = model.generate(PROMPT, max_tokens=20, temperature=0)
    whole.read()
    with model.session() as session:
        first = model.generate(PROMPT, max_tokens=5, temperature=0, session=session)
        first.read()
        assert session.tokens == first.prompt + first.tokens
        second = model.generate("", max_tokens=15, temperature=0, session=session)
        pieces = [next(second) for _ in range(3)]
        assert session.tokens == first.prompt + first.tokens + second.tokens and "".join(pieces) == second.text
        second.read()
        assert first.tokens + second.tokens == whole.tokens


# ---- chats


def said(model, session, messages, monkeypatch):
    """The answer, and how many tokens the session read for it, those that were drawn among them."""
    read, eval_ = [], type(session)._eval
    monkeypatch.setattr(type(session), "_eval", lambda self, ids, *rest: (read.extend(ids), eval_(self, ids, *rest)))
    generation = model.chat(messages, max_tokens=12, session=session)
    text = generation.read()
    monkeypatch.undo()
    return generation, text, len(read)


def test_a_chat_reads_only_what_is_new(pith, monkeypatch):
    with pith.Model(template="chatml", attention="materialise") as model, model.session() as session:
        messages = [{"role": "system", "content": "Tell a tale."}, {"role": "user", "content": "Who lived in the wood?"}]
        for turn in range(3):
            with model.session() as fresh:
                expected = said(model, fresh, messages, monkeypatch)
            generation, text, n_read = said(model, session, messages, monkeypatch)
            assert (text, generation.prompt) == (expected[1], expected[0].prompt)
            if turn > 0:
                assert n_read < expected[2] - 20
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And then?"}]
        other = [{"role": "user", "content": "Another talk."}]
        with model.session() as fresh:
            assert said(model, session, other, monkeypatch)[1] == said(model, fresh, other, monkeypatch)[1]


def test_the_model_keeps_the_session_of_its_last_chat(pith):
    with pith.Model(template="chatml") as model:
        messages = [{"role": "user", "content": "Who lived in the wood?"}]
        model.chat(messages, max_tokens=4).read()
        kept, = model._kept
        abandoned = model.chat(messages, max_tokens=4)
        next(abandoned)
        assert model._kept == []
        del abandoned  # gives it back
        assert model._kept == [kept] and kept.position > 0
        model.generate(PROMPT, max_tokens=3).read()  # has a session of its own
        assert kept.tokens[-1] != 0 and model._kept == [kept]
    with pytest.raises(ValueError, match="this Session is closed"):
        kept.position


def test_messages_are_checked(pith, model):
    with pytest.raises(pith.Error, match="tokenizer.chat_template") as error:
        model.chat([{"role": "user", "content": "x"}])
    assert error.value.name == "PITH_E_MISSING"
    with pith.Model(template="chatml") as chatty:
        assert chatty.template == "chatml"
        for wrong in ({"role": "robot", "content": "x"}, {"role": "user"}, {"role": "user", "content": "x", "name": "y"}):
            with pytest.raises(ValueError, match="message 1"):
                chatty.chat([{"role": "user", "content": "x"}, wrong])
    with pytest.raises(pith.Error, match="no-such"):
        pith.Model(template="no-such").template


# ---- sessions


def test_logits_are_those_of_transformers(pith, tmp_path):
    """Through the package, one by one and as a prompt; the bound is that of test_hugging_face.py."""
    pytest.importorskip("transformers")
    import tiny_models
    seed = random.randrange(2 ** 31)
    print("seed", seed)
    expected_of = tiny_models.write("minicpm3, long", tmp_path / "model", seed)
    ran(PITH, "quantize", tmp_path / "model", tmp_path / "model.gguf", "--type", "f32")
    ids = tiny_models.ids_of(seed)
    expected = expected_of(ids)
    with pith.Model(tmp_path / "model.gguf", cache="f32", activations="f32") as model:
        with model.session() as session:
            each = session.eval_each(ids)
        with model.session() as session:
            for token, row in zip(ids, expected):
                session.eval([token])
                assert abs(session.logits() - row).max() < 2e-5 * abs(expected).max()
        assert each.shape == expected.shape and each.dtype == np.float32
        assert abs(each - expected).max() < 2e-5 * abs(expected).max()
        assert abs(each[1:] - expected[:-1]).max() > 1e-2 * abs(expected).max()  # the comparison has teeth
        with pytest.raises(pith.Error):  # it has no vocabulary
            model.generate(PROMPT)


def test_logits_are_a_copy(model):
    with model.session() as session:
        with pytest.raises(ValueError, match="no token was evaluated"):
            session.logits()
        session.eval([5])
        first = session.logits()
        kept = first.copy()
        session.eval([6])
        assert np.array_equal(first, kept) and not np.array_equal(session.logits(), kept)
        assert first.flags.owndata and first.flags.writeable and first.shape == (model.info.vocab_size,)
    assert np.array_equal(first, kept)
    assert session.__class__.__name__ == "Session" and "closed" in repr(session)


def test_long_prompts_have_the_bits_of_one_call(pith, model):
    """They are cut into calls of a chunk, between which Ctrl-C is seen; the library's own cut is the same."""
    ids = random_ids(model, 400)
    for chunk in (1, 16, 100, 512):
        with model.session(chunk=chunk) as session:
            session.eval(ids)
            cut = session.logits()
        with model.session(chunk=chunk) as session:
            session._chunk = 10 ** 6
            session.eval(ids)
            assert np.array_equal(cut, session.logits())


def test_rewind_hold_and_reset(model):
    ids = [int(i) for i in random_ids(model, 60)]
    with model.session(attention="materialise") as session, model.session(attention="materialise") as fresh:
        session.eval(ids)
        assert session.tokens == ids and session.position == 60
        session.rewind(40)
        assert session.tokens == ids[:40]
        changed = ids[:30] + ids[10:20]
        assert session.hold(changed) == 10 and session.tokens == changed
        fresh.eval(changed)
        assert np.array_equal(session.logits(), fresh.logits())
        assert session.hold(changed) == 0 and session.hold(changed[:20]) == 1 and session.position == 20
        session.reset()
        assert session.tokens == [] and session.position == 0
        assert session.hold(ids) == 60
        fresh.copy_from(session)
        assert fresh.tokens == ids and np.array_equal(fresh.logits(), session.logits())
    with model.session(context=32, chunk=1) as ring:  # what a rewind needs is gone: all is read again
        ring.eval(ids)
        assert ring.hold(ids[:50]) == 50 and ring.tokens == ids[:50]


def test_a_state_goes_on_elsewhere_with_the_same_bits(pith, model):
    ids = random_ids(model, 80)
    with model.session() as session:
        session.eval(ids[:50])
        state = session.state()
        session.eval(ids[50:])
        expected = session.logits()
    with pith.Model() as other, other.session() as session:
        session.eval([7, 8])
        damaged = bytearray(state)
        damaged[len(state) // 2] ^= 1
        with pytest.raises(pith.Error) as error:
            session.restore(bytes(damaged))
        assert error.value.name == "PITH_E_SAVED_CHECKSUM" and session.tokens == [7, 8]
        session.restore(state)
        assert session.position == 50 and session.tokens is None
        session.eval(ids[50:])
        assert np.array_equal(session.logits(), expected)
        assert session.hold(ids) == 80 and session.tokens == list(ids)
    sampler, again = pith.Sampler(2048, seed=5), pith.Sampler(2048, seed=6)
    sampler.draw(expected)
    again.restore(sampler.state())
    assert [sampler.draw(expected) for _ in range(20)] == [again.draw(expected) for _ in range(20)]


def test_hidden_states(model):
    ids = random_ids(model, 20)
    with model.session() as session:
        each = session.eval_hidden(ids)
        assert each.shape == (20, model.info.width) and np.array_equal(each[-1], session.hidden())


# ---- tokenizer, metadata, perplexity


def test_embeddings_are_those_of_the_command(pith, model, tmp_path):
    texts = ["The fox and the hen.", "", "Once upon a time " * 60]
    (tmp_path / "texts").write_text("\n".join(texts) + "\n")
    for pooling in ("mean", "last"):
        for normalise in (False, True):
            ran(PITH, "embed", "--file", tmp_path / "texts", "--npy", tmp_path / "out.npy", "--pooling", pooling,
                *["--normalise"] * normalise)
            ours = model.embed(texts, pooling=pooling, normalise=normalise)
            assert ours.dtype == np.float32 and ours.shape == (3, model.info.width)
            assert ours == pytest.approx(np.load(tmp_path / "out.npy"), rel=1e-6, abs=1e-6)
            assert np.array_equal(model.embed(texts[0], pooling=pooling, normalise=normalise)[0], ours[0])
    assert model.embed([]).shape == (0, model.info.width)
    with pytest.raises(ValueError, match="pooling: 'first'"):
        model.embed("A", pooling="first")
    with pith.Model(context=20) as short, pytest.raises(ValueError, match="texts: number 1 has .* the context"):
        short.embed(["A", texts[2]])


def test_tokenizer(model):
    tokenizer = model.tokenizer
    text = "A fox, Ärger und 狐狸 🦊\n <|endoftext|>"
    ids = tokenizer.encode(text, bos=False)
    assert tokenizer.decode(ids) == text and len(tokenizer) == tokenizer.vocab_size == 2048
    assert tokenizer.encode(text, bos=True) == [tokenizer.bos, *ids]
    special = tokenizer.encode(text, specials=True, bos=False)
    assert special[-1] == tokenizer.token_id("<|endoftext|>") == tokenizer.eos and special != ids
    assert tokenizer.decode(special) == text[:-13] and tokenizer.decode(special, specials=True) == text
    assert tokenizer.is_special(special[-1]) and tokenizer.is_end(special[-1]) and not tokenizer.is_special(ids[0])
    assert tokenizer.token_id("no such token") is None
    assert tokenizer.decode_bytes(tokenizer.encode(b"\xff\xfe", bos=False)) == b"\xff\xfe"


def test_metadata_is_that_of_an_independent_reader(model):
    reader = gguf.GGUFReader(BUILTIN)
    expected = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    got = {key: list(value) if isinstance(value, tuple) else value for key, value in model.metadata.items()}
    assert got == expected and len(got["tokenizer.ggml.tokens"]) == 2048
    assert "general.nothing" not in model.metadata


def test_info_has_every_field(pith, model):
    from pith._pith import ffi
    fields = [name for name, _ in ffi.typeof("pith_model_info").fields if name != "struct_size"]
    assert [field.name for field in dataclasses.fields(pith.ModelInfo)] == fields
    assert model.info.gate_kind == "up" and model.info.n_layers == 12 and model.info.tied_output is True


def test_perplexity_is_that_of_the_command(pith, model, tmp_path):
    text = (REPOSITORY / "tests" / "golden" / "tale.txt").read_text()[:1500]
    text += "\n<|endoftext|>\r\nAnother tale\u2028of one line.\r\n<|endoftext|>\n"
    (tmp_path / "text").write_bytes(text.encode())
    expected = command("eval", "--text", tmp_path / "text", "--context", 100)
    with pith.Model(context=100) as small:
        got = small.eval_perplexity(text)
        assert (got.tokens, got.bytes) == (expected["tokens"], expected["bytes"])
        assert got.perplexity == pytest.approx(expected["perplexity"], rel=1e-12)
        assert got.bits_per_byte == pytest.approx(expected["bits_per_byte"], rel=1e-12)
        ids = random_ids(small, 150)
        (tmp_path / "ids").write_text(",".join(map(str, ids)))
        with pytest.raises(ValueError, match="150, and a context of 100"):
            small.eval_perplexity(ids)
        expected = command("eval", "--ids", tmp_path / "ids", "--context", 100, "--slide")
        assert small.eval_perplexity(ids, slide=True).perplexity == pytest.approx(expected["perplexity"], rel=1e-12)
    assert model.eval_perplexity(ids).tokens == 149


# ---- refusals


def test_errors_say_what_is_wrong(pith, model, tmp_path):
    with pytest.raises(FileNotFoundError):
        pith.Model(tmp_path / "none.gguf")
    for content, name in ((b"not a model" * 10, "PITH_E_MAGIC"), (BUILTIN.read_bytes()[:-5000], "PITH_E_TRUNCATED")):
        (tmp_path / "bad.gguf").write_bytes(content)
        with pytest.raises(pith.Error) as error:
            pith.Model(tmp_path / "bad.gguf")
        assert error.value.name == name and error.value.status > 0 and str(error.value)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    (tmp_path / "bad.gguf").write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        pith.Model(tmp_path / "bad.gguf")
    for keywords, word in ((dict(cache="i4"), "cache"), (dict(threads=0), "threads"), (dict(context=-1), "context")):
        with pytest.raises(ValueError, match=word):
            pith.Model(**keywords)
    for keywords, word in ((dict(temperature=-1), "temperature"), (dict(top_p=0), "top_p"), (dict(min_p=1), "min_p"),
                           (dict(top_k=-1), "top_k"), (dict(repeat_penalty=0), "repeat_penalty"), (dict(max_tokens=-1), "max_tokens"),
                           (dict(temperature=math.nan), "temperature"), (dict(repeat_window=65537), "repeat_window")):
        with pytest.raises(ValueError, match=word):
            model.generate(PROMPT, **keywords)
    with pytest.raises(pith.Error, match="stop"):
        model.generate(PROMPT, stop=["x"] * 9)
    with pytest.raises(TypeError):
        model.session(kontext=5)
    with pith.Model(REPOSITORY / "tests" / "golden" / "tiny.q4.gguf") as other, other.session() as session:
        with pytest.raises(ValueError, match="another Model"):
            model.generate(PROMPT, session=session)
    with model.session(threads=1) as session:
        session.eval([1, 2])
        with pytest.raises(pith.Error) as error:
            session.eval([3, 99999])
        assert error.value.name == "PITH_E_ARGUMENT" and session.tokens == [1, 2]
        with pytest.raises(TypeError):
            session.eval([1.5])
        with pytest.raises(ValueError, match="float32"):
            pith.Sampler(2048).draw(session.logits().astype(np.float64))


def test_closed_objects_say_so(pith):
    model = pith.Model()
    session = model.session()
    generation = model.generate(PROMPT)
    next(generation)
    model.close()
    model.close()
    for use in (lambda: model.generate(PROMPT), lambda: model.tokenizer, lambda: model.metadata, lambda: model.session(),
                lambda: pickle.dumps(model)):
        with pytest.raises(ValueError, match="this Model is closed"):
            use()
    session.eval([1])  # what was made of it goes on
    assert next(generation) and session.position == 1
    session.close()
    session.close()
    for use in (lambda: session.eval([1]), session.logits, session.state, lambda: session.position, session.cancel):
        with pytest.raises(ValueError, match="this Session is closed"):
            use()


# ---- memory


def mapped():
    """Bytes of address space, and whether the built-in model is mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    ranges = [[int(x, 16) for x in line.split()[0].split("-")] for line in lines]
    return sum(end - begin for begin, end in ranges), any(line.endswith("m.q4.gguf") for line in lines)


def test_no_cycle_keeps_a_session(pith, model):
    """Its memory goes with the last reference, also after an exception and in the middle of a text."""
    def fails(*_):
        raise RuntimeError

    gc.collect()
    gc.disable()
    try:
        session = model.session(progress=fails)
        with pytest.raises(RuntimeError):
            session.eval(range(1, 300))
        generation = model.generate(PROMPT)
        next(generation)
        alive = [weakref.ref(session), weakref.ref(generation._progress.session)]
        assert all(ref() is not None for ref in alive)
        del session, generation
        assert [ref() for ref in alive] == [None, None]
    finally:
        gc.enable()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc/self/maps")
def test_memory_goes_with_the_last_reference(pith, package_python):
    """In a process of its own, without the garbage collector."""
    print(ran(package_python, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import test_package; test_package.in_memory()",
              Path(__file__).parent))


def in_memory():
    import pith
    gc.disable()
    with pith.Model(threads=2).session() as session:  # makes threads, which stay
        session.eval([1])
    before, is_mapped = mapped()
    assert not is_mapped
    for how in ("close", "del", "with"):
        model = pith.Model(context=200_000)
        session = model.session()
        session.eval([1, 2, 3])
        inside, is_mapped = mapped()
        assert is_mapped and session.nbytes > 100e6 and inside >= before + session.nbytes
        if how == "close":
            session.close()
            assert mapped()[0] < inside - 100e6 and mapped()[1]
            model.close()
        elif how == "del":
            del session, model
        else:
            with session, model:
                pass
        after, is_mapped = mapped()
        assert not is_mapped and after < before + 4e6, (how, after - before)


def test_models_are_pickled_by_path_and_options(pith, tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(BUILTIN.read_bytes())
    monkeypatch.chdir(tmp_path)
    with pith.Model("model.gguf", context=77, cache="f32", template="chatml", threads=1) as model:
        data = pickle.dumps(model)
        monkeypatch.chdir("/")
        with pickle.loads(data) as other:
            assert other.path == str(tmp_path / "model.gguf") and len(data) < 1000
            assert other._options.keywords() == model._options.keywords() and other.template == "chatml"
            assert other.generate(PROMPT, max_tokens=9).read() == model.generate(PROMPT, max_tokens=9).read()
    (tmp_path / "model.gguf").unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)


# ---- threads, signals


def test_evaluations_release_the_gil(model):
    """Python gives the GIL to another thread after the switch interval alone, which is too long here, or where it is released."""
    interval, go, done, seen = sys.getswitchinterval(), threading.Event(), [], []

    def look():
        go.wait()
        seen.append(list(done))

    def watch(work):
        go.clear()
        thread = threading.Thread(target=look)
        thread.start()
        sys.setswitchinterval(1000)
        try:
            go.set()
            work()
            done.append("done")
        finally:
            sys.setswitchinterval(interval)
        thread.join()
        done.clear()

    with model.session() as session:
        ids = random_ids(model, 3000)
        watch(lambda: session.eval(ids))
        watch(lambda: sum(range(10 ** 6)))  # the control: this holds it
    assert seen == [[], ["done"]]


def test_threads_with_sessions_of_their_own(model):
    expected = {seed: model.generate(PROMPT, max_tokens=40, seed=seed).read() for seed in range(8)}
    got = {}
    threads = [threading.Thread(target=lambda seed=seed: got.update({seed: model.generate(PROMPT, max_tokens=40, seed=seed).read()}))
               for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected


def test_exceptions_of_callbacks_come_out(pith, model):
    ids = random_ids(model, 400)
    calls = []

    def progress(done, total):
        calls.append((done, total))
        if len(calls) == 5:
            raise RuntimeError("of the callback")

    with model.session(progress=progress, chunk=100) as session:
        with pytest.raises(RuntimeError, match="of the callback"):
            session.eval(ids)
        assert calls[:2] == [(1200 // 12, 1200), (2400 // 12, 1200)] and session.position == 0 and session.tokens == []
        session.eval(ids)  # and is as it was
        with model.session(chunk=100) as fresh:
            fresh.eval(ids)
            assert np.array_equal(fresh.logits(), session.logits())
    # A second entry, and the end of the session, from inside.
    refused = []

    def enter(*_):
        with pytest.raises(pith.Error) as error:
            session.eval([1])
        refused.append(error.value.name)

    with model.session(progress=enter) as session:
        session.eval(ids)
        assert set(refused) == {"PITH_E_BUSY"} and session.tokens == list(ids)
    session = model.session(progress=lambda *_: session.close())
    with pytest.raises(pith.Error) as error:
        session.eval(ids)
    assert error.value.name == "PITH_E_CANCELLED"
    # A signal in the middle of a chunk: its handler runs there.
    with model.session(progress=lambda *_: signal.raise_signal(signal.SIGINT)) as session:
        with pytest.raises(KeyboardInterrupt):
            session.eval(ids)
        assert session.position == 0


def test_another_thread_cancels_a_prompt(pith):
    with pith.Model(context=512) as model:
        generation = model.generate(np.tile(random_ids(model, 1000), 500), max_tokens=3)  # a minute of work
        threading.Timer(0.3, generation.cancel).start()
        assert generation.read() == "" and generation.finish_reason == "cancelled"
        calls, is_under_way = [], threading.Event()

        def progress(*_):  # for each of the 12 layers of a chunk
            calls.append(1)
            if len(calls) == 30:
                is_under_way.set()

        with model.session(progress=progress) as session:
            canceller = threading.Thread(target=lambda: (is_under_way.wait(), session.cancel()))
            canceller.start()
            with pytest.raises(pith.Error) as error:
                session.eval(generation.prompt)
            canceller.join()
            assert error.value.name == "PITH_E_CANCELLED" and 0 < session.position < len(generation.prompt)


def test_another_thread_closes_a_session(pith, model):
    """At any instant: what the first thread is inside of ends with an exception, and not with the process."""
    ends = []
    for i in range(60):
        session = model.session(threads=1)
        timer = threading.Timer(0.0005 * (i % 20), session.close)
        timer.start()
        try:
            while True:
                session.eval(range(1, 20))
                session.logits()
                session.state()
        except (ValueError, pith.Error) as error:
            ends.append(str(error))
        timer.join()
    assert len(ends) == 60 and all("closed" in end or "cancelled" in end for end in ends), set(ends)


INTERRUPTED = """
import sys, time
import numpy as np, pith
model = pith.Model(context=512)
ids = np.tile(np.arange(1, 2001), 2000)  # minutes of work
calls = []  # 12 of a chunk: a call for each layer
session = model.session(progress=lambda *_: (calls.append(1), len(calls) == 30 and print("started", flush=True)))
try:
    session.eval(ids)
except KeyboardInterrupt:
    print("interrupted", session.position, flush=True)
assert 0 < session.position < len(ids) and session.tokens == ids[:session.position].tolist()
with model.session() as fresh:  # goes on as one that was not interrupted
    n = session.position // 512 * 512
    assert n == session.position
    session.reset()
    for s in (session, fresh):
        s.eval(ids[:700])
    assert np.array_equal(session.logits(), fresh.logits())
print("usable", flush=True)
generation = model.generate("Once upon a time", max_tokens=10 ** 6)
try:
    for piece in generation:
        len(generation.tokens) == 20 and print("drawing", flush=True)
except KeyboardInterrupt:
    print("interrupted", len(generation.tokens), flush=True)
print(generation.text.startswith(model.generate("Once upon a time", max_tokens=5).read()), flush=True)
"""


def test_ctrl_c_in_a_long_prompt(pith, package_python):
    """A real SIGINT to a child. Measured: 2 to 8 ms; the bound allows for a machine that is busy."""
    with subprocess.Popen([package_python, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as child:
        try:
            for sign in ("started", "drawing"):
                line = child.stdout.readline()
                while line and line != sign + "\n":
                    line = child.stdout.readline()
                assert line, f"never {sign}"
                time.sleep(0.2)
                start = time.monotonic()
                child.send_signal(signal.SIGINT)
                answer = child.stdout.readline().split()
                while answer and answer[0] == sign:
                    answer = child.stdout.readline().split()
                taken = time.monotonic() - start
                print(sign, answer, f"{taken:.3f} s")
                assert answer[:1] == ["interrupted"] and int(answer[1]) > 0 and taken < 2
                if sign == "started":
                    assert child.stdout.readline() == "usable\n"
            assert child.stdout.readline() == "True\n" and child.wait(60) == 0
        finally:
            child.kill()


def test_threads_are_as_many_as_the_command_takes(model):
    with model.session() as session:
        assert session.threads == command("run", "-n", 1)["threads"]


# ---- examples, README


def example(package_python, name, *arguments, text=None):
    return ran(package_python, REPOSITORY / "examples" / "python" / name, *arguments, input=text)


def test_the_first_lines_of_the_readme_tell_a_story(pith, model, package_python):
    readme = (REPOSITORY / "README.md").read_text()
    lines = readme[readme.index("    import pith\n"):].split("\n\n")[0]
    code = "\n".join(line[4:] for line in lines.splitlines())
    assert len(code.splitlines()) == 3
    assert ran(package_python, "-c", code) == model.generate(PROMPT).read()


def test_story(model, package_python):
    assert example(package_python, "story.py", "--tokens", 30) == PROMPT + model.generate(PROMPT, max_tokens=30).read() + "\n"


def test_chat_example(pith, package_python):
    out = example(package_python, "chat.py", "--template", "chatml", "--tokens", 8, text="Hello\nAnd then?\n")
    with pith.Model(template="chatml") as model:
        messages = [{"role": "user", "content": "Hello"}]
        first = model.chat(messages, max_tokens=8).read()
        messages += [{"role": "assistant", "content": first}, {"role": "user", "content": "And then?"}]
        assert out == f"> {first}\n> {model.chat(messages, max_tokens=8).read()}\n> \n"


def test_a_batch_on_two_workers(pith, package_python):
    pytest.importorskip("distributed")
    out = example(package_python, "batch.py", "One day", "At night", "The fox", "A king", "--tokens", 10)
    workers = {line.split("]")[0] for line in out.split("\n") if line.startswith("[")}
    assert len(workers) == 2
    with pith.Model() as model:
        for prompt in ("One day", "At night", "The fox", "A king"):
            assert f"] {prompt}{model.generate(prompt, max_tokens=10).read()}\n" in out


# ---- the files


def test_wheel_and_sdist_have_what_they_need_and_no_more(package):
    version = (REPOSITORY / "CMakeLists.txt").read_text().split("project(pith VERSION ")[1].split()[0]
    assert package.wheel.name.startswith(f"pith-{version}-cp39-abi3-")
    sources = {f"pith/{path.name}" for path in (REPOSITORY / "python" / "pith").iterdir() if path.is_file()}
    info = f"pith-{version}.dist-info/"
    with zipfile.ZipFile(package.wheel) as wheel:
        names = set(wheel.namelist())
        assert names == sources | {"pith/_pith.abi3.so", "pith/m.q4.gguf"} | {
            info + name for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE", "licenses/NOTICE",
                                     "licenses/tools/model/README.md")}
        assert wheel.read("pith/m.q4.gguf") == BUILTIN.read_bytes()
    assert package.wheel.stat().st_size < 5e6
    listed = ran("git", "-C", REPOSITORY, "ls-files", "include", "src", "simd", "python", "cmake").split()
    with tarfile.open(package.sdist) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert names >= {*listed, "CMakeLists.txt", "LICENSE", "NOTICE", "tools/model/m.q4.gguf"}
    assert not [name for name in names if name.startswith(("tests/", "bench/", "docs/", "tools/cli/"))]


@pytest.mark.skipif(sys.platform != "linux", reason="manylinux is Linux's")
def test_the_wheel_is_a_manylinux_one(package, tmp_path):
    pytest.importorskip("auditwheel")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran(sys.executable, "-m", "auditwheel", "repair", package.wheel, "-w", tmp_path, env=environment)
    repaired, = tmp_path.glob("*.whl")
    print(repaired.name)
    assert "-cp39-abi3-manylinux_2_" in repaired.name


def test_the_module_exports_its_beginning_alone_and_needs_no_runtime_of_cpp(package):
    module = package.site / "pith" / "_pith.abi3.so"
    assert [line.split()[-1] for line in ran("nm", "-D", "--defined-only", module).splitlines()] == ["PyInit__pith"]
    assert "libstdc++" not in ran("objdump", "-p", module)


TYPED = """
import numpy as np
import pith

with pith.Model(context=100) as model, model.session(chunk=8) as session:
    text: str = "".join(piece for piece in model.generate([1, 2, 3], logprobs=2, session=session))
    best: float = max(token.logprob for piece in model.chat([{"role": "user", "content": text}]) for token in piece.tokens)
    logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = session.logits()
    width: int = model.info.width
"""


def test_types(package_python, tmp_path):
    """Of the package itself, and as a program sees them; a wrong one is seen."""
    pytest.importorskip("mypy")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", package_python, "--cache-dir", tmp_path / "cache")
    (tmp_path / "right.py").write_text(TYPED)
    (tmp_path / "wrong.py").write_text(TYPED.replace("width: int", "width: str").replace("context=100", "context='100'"))
    ran(*mypy, "-p", "pith", cwd=tmp_path)
    programs = subprocess.run([*map(str, mypy), "right.py", "wrong.py"], cwd=tmp_path, capture_output=True, text=True)
    assert programs.returncode == 1 and programs.stdout.count("wrong.py:") == 2, programs.stdout + programs.stderr
    assert "Found 2 errors in 1 file (checked 2 source files)" in programs.stdout
