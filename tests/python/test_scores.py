"""`pith run --logprobs`, `pith eval --choices` and `pith embed`, against `transformers` in float64 and the `tokenizers` package."""

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import tiny_models  # noqa: E402
from test_hugging_face import BOUND  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
PITH = os.environ.get("PITH_COMMAND", REPOSITORY / "build" / "release" / "pith")
FLOATS = ("--activations", "f32", "--cache", "f32")
WORDS = (REPOSITORY / "tests" / "golden" / "tale.txt").read_text("utf-8").split()


def pith(*arguments, **keywords):
    return subprocess.run([PITH, *map(str, arguments)], capture_output=True, text=True, timeout=300, **keywords)


def done(*arguments, **keywords):
    result = pith(*arguments, **keywords)
    assert result.returncode == 0, result.stderr
    return result.stdout


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Of the references, which are so small that threads wait for each other most of the time."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def random_source():
    seed = np.random.SeedSequence().entropy % 2**31
    print("seed", seed)
    return np.random.default_rng(seed)


class Words:
    """A packed model, and what `transformers` says of texts."""

    def __init__(self, path, logits):
        self.path, self.logits, self.tokenizer, self.model = path, logits, logits.tokenizer, logits.model
        self.bos = self.tokenizer.token_to_id("<|endoftext|>")

    def encode(self, text):
        return [self.bos, *self.tokenizer.encode(text).ids]

    def log_softmax(self, ids):
        """[n, V], and how far off float32 may be: the bound on logits, which a log softmax can double."""
        x = self.logits(ids)
        shift = x.max(-1, keepdims=True)
        return x - shift - np.log(np.exp(x - shift).sum(-1, keepdims=True)), 2 * BOUND * abs(x).max()


@pytest.fixture(scope="module", params=["llama, tied", "minicpm3, short"])
def words(request, tmp_path_factory, random_source):
    folder = tmp_path_factory.mktemp("words")
    logits = tiny_models.write_with_words(request.param, folder / "model", int(random_source.integers(2**31)))
    done("quantize", folder / "model", folder / "packed.gguf", "--type", "f32")
    return Words(folder / "packed.gguf", logits)


# ---- pith run --logprobs


def test_logprobs_of_drawn_tokens(words):
    options = ("run", words.path, "-p", "The fox", "-n", 12, "--seed", 5, "--temp", 5, "--top-k", 0, "--top-p", 1,
               "--min-p", 0, *FLOATS)
    told = lines(done(*options, "--logprobs", 3))
    document = json.loads(done(*options, "--logprobs", 3, "--json"))
    assert document["logprobs"] == told and 1 <= len(told) == document["tokens"]
    assert document["text"] == json.loads(done(*options, "--json"))["text"]
    drawn = [one["id"] for one in told]
    text = b"".join(bytes(one["bytes"] or []) for one in told)
    assert document["text"] == "The fox" + text.decode("utf-8", "replace")
    prompt = words.encode("The fox")
    expected, tolerance = words.log_softmax(prompt + drawn)
    for one, row in zip(told, expected[len(prompt) - 1:]):
        assert one["token"] == (words.tokenizer.id_to_token(one["id"]) if one["bytes"] is None else
                                bytes(one["bytes"]).decode("utf-8", "replace"))
        assert one["logprob"] == pytest.approx(row[one["id"]], abs=tolerance)
        top = [other["logprob"] for other in one["top_logprobs"]]
        assert top == pytest.approx(np.sort(row)[::-1][:3], abs=tolerance)
        for other in one["top_logprobs"]:  # not by the order of the reference: two may be as near to each other as rounding
            assert set(other) == {"token", "id", "logprob", "bytes"}
            assert other["logprob"] == pytest.approx(row[other["id"]], abs=tolerance)
    # Not greedy, so that two different numbers were compared (unless the text has ended at once).
    assert len(told) < 6 or any(one["id"] != one["top_logprobs"][0]["id"] for one in told)


def test_logprobs_alone_and_too_many(words):
    assert all(one["top_logprobs"] == [] for one in lines(done("run", words.path, "-n", 2, "-p", "A", "--logprobs", 0)))
    assert len(lines(done("run", words.path, "-n", 1, "-p", "A", "--logprobs", 2048))[0]["top_logprobs"]) == 2048
    refused = pith("run", words.path, "-n", 1, "-p", "A", "--logprobs", 2049)
    assert refused.returncode == 1 and "option --logprobs: 2049, and the vocabulary has 2048 tokens" in refused.stderr
    assert refused.stdout == ""


def test_a_special_token_has_a_name_and_no_bytes(tmp_path):
    """Of the built-in model: after the fox its text ends, or goes on with a sign that no tale has."""
    grammar = tmp_path / "fox.gbnf"
    grammar.write_text('root ::= " fox" "\u00a7"?\n', "utf-8")
    told = lines(done("run", "-p", "Once upon a time", "--grammar", grammar, "--logprobs", 0))
    assert told[-1]["token"] == "<|endoftext|>" and told[-1]["bytes"] is None
    assert all(one["bytes"] for one in told[:-1])


# ---- pith eval --choices


def some_words(random_source, n):
    first = random_source.integers(len(WORDS) - n)
    return " ".join(WORDS[first:first + n])


def random_task(random_source):
    """Of pith's own names, or of HellaSwag's; sometimes with blanks at the context's end, or a word that goes on in the choice."""
    n_choices, kind = int(random_source.integers(2, 6)), random_source.integers(4)
    context = some_words(random_source, int(random_source.integers(1, 30)))
    choices = [some_words(random_source, int(random_source.integers(1, 12))) for _ in range(n_choices)]
    answer = int(random_source.integers(n_choices))
    if kind == 0:
        return {"ctx": context, "endings": choices, "label": str(answer), "ind": 4}
    if kind == 1:
        return {"context": context + " ", "choices": choices, "answer": answer}
    if kind == 2:
        return {"context": context, "choices": [choice[1:] for choice in choices if len(choice) > 1] + ["s", "ing"], "answer": 0}
    return {"context": context, "choices": [" " + choice for choice in choices], "answer": answer}


def texts_of(task):
    if "ctx" in task:
        return task["ctx"], [" " + choice for choice in task["endings"]], task["endings"], int(task["label"])
    return task["context"], task["choices"], task["choices"], task["answer"]


def expected_scores(words, context, choices):
    """Sums of log-probabilities of the tokens that the context alone does not begin with, and their tolerances."""
    out, alone = [], words.tokenizer.encode(context.rstrip()).ids
    for choice in choices:
        ids = words.tokenizer.encode(context + choice).ids
        first = next(i for i, token in enumerate(ids) if i == len(alone) or token != alone[i])
        p, tolerance = words.log_softmax([words.bos, *ids])
        out.append((p[first + np.arange(len(ids) - first), ids[first:]].sum(), tolerance * (len(ids) - first)))
    return out


def evaluate(model, tasks, folder, *options):
    (folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks), "utf-8")
    document = json.loads(done("eval", model, "--choices", folder / "tasks.jsonl", "--scores", folder / "scores.jsonl", "--json", *options))
    return document, lines((folder / "scores.jsonl").read_text())


def test_choices_are_scored_as_transformers_scores_them(words, tmp_path, random_source):
    tasks = [random_task(random_source) for _ in range(12)]
    document, scores = evaluate(words.path, tasks, tmp_path, *FLOATS)
    right, right_normalised, chance = [], [], []
    for number, (task, ours) in enumerate(zip(tasks, scores, strict=True), 1):
        context, continued, choices, answer = texts_of(task)
        expected = expected_scores(words, context, continued)
        for found, (value, tolerance) in zip(ours["logprobs"], expected, strict=True):
            assert found == pytest.approx(value, abs=tolerance)
        nbytes = [len(choice.encode()) for choice in choices]
        assert ours["line"] == number and ours["answer"] == answer and ours["bytes"] == nbytes
        # Of ours: two choices may be nearer than rounding.
        by_bytes = [a / b for a, b in zip(ours["logprobs"], nbytes)]
        assert ours["likeliest"] == int(np.argmax(ours["logprobs"])) and ours["likeliest_normalised"] == int(np.argmax(by_bytes))
        right.append(ours["likeliest"] == answer)
        right_normalised.append(ours["likeliest_normalised"] == answer)
        chance.append(1 / len(choices))
    assert document["tasks"] == 12 and document["chance"] == pytest.approx(np.mean(chance))
    for key, found in (("accuracy", right), ("accuracy_norm", right_normalised)):
        assert document[key] == pytest.approx(np.mean(found))
        assert document[key + "_stderr"] == pytest.approx(np.std(found, ddof=1) / math.sqrt(12))


def test_a_score_does_not_hang_on_the_other_choices(words, tmp_path, random_source):
    tasks = [random_task(random_source) for _ in range(10)]
    _, scores = evaluate(words.path, tasks, tmp_path)
    turned = [{key: value[::-1] if isinstance(value, list) else value for key, value in task.items()} for task in tasks][::-1]
    for task in turned:
        task.update({"label": "0"} if "label" in task else {"answer": 0})
    _, others = evaluate(words.path, turned, tmp_path)
    assert [one["logprobs"] for one in scores] == [one["logprobs"][::-1] for one in others][::-1]


def test_known_answers(tmp_path):
    """The built-in model tells tales."""
    tasks = [{"context": "Once upon a", "choices": [" hammer", " time", " of"], "answer": 1},
             {"context": "", "choices": ["Once upon a time", "Hammer of of a"], "answer": 0},
             {"ctx": "Once upon a time there was a", "endings": ["the", "king", "of"], "label": 1}]
    document, _ = evaluate(REPOSITORY / "tools/model/m.q4.gguf", tasks, tmp_path)
    assert document["accuracy"] == document["accuracy_norm"] == 1 and document["accuracy_stderr"] == 0
    wrong = [{**task, ("label" if "label" in task else "answer"): 2 if number != 1 else 1} for number, task in enumerate(tasks)]
    document, _ = evaluate(REPOSITORY / "tools/model/m.q4.gguf", wrong, tmp_path)
    assert document["accuracy"] == 0
    # The sum takes the short one, the mean over bytes the long one, which begins as tales do.
    document, scores = evaluate(REPOSITORY / "tools/model/m.q4.gguf",
                                [{"context": "Once upon a time there", "choices": [" the", " was a poor woman who had"], "answer": 1}],
                                tmp_path)
    assert (document["accuracy"], document["accuracy_norm"]) == (0, 1), scores
    document, scores = evaluate(REPOSITORY / "tools/model/m.q4.gguf", tasks, tmp_path, "--limit", 1)
    assert document["tasks"] == len(scores) == 1 and document["accuracy_stderr"] is None


GOOD = {"context": "a", "choices": [" b", " c"], "answer": 1}


@pytest.mark.parametrize("line, sentence", [
    ('{"context": "a"', "line 2: "), ("[1]", "line 2: no object"),
    (json.dumps({"choices": ["b", "c"], "answer": 0}), "line 2: field context: missing"),
    (json.dumps(GOOD | {"context": 3}), "line 2: field context: it is no text"),
    (json.dumps({"ctx": "a", "endings": ["b", "c"]}), "line 2: field label: missing"),
    (json.dumps({"ctx": "a", "endings": ["b", "c"], "label": "1x"}), 'line 2: field label: "1x" is not within 0 .. 1'),
    (json.dumps(GOOD | {"choices": ["b"]}), "line 2: field choices: no array of two"),
    (json.dumps(GOOD | {"choices": ["b", 7]}), "line 2: field choices: choice 1 is no text"),
    (json.dumps(GOOD | {"choices": ["b", ""]}), "line 2: field choices: choice 1 is empty"),
    (json.dumps(GOOD | {"answer": 2}), "line 2: field answer: 2 is not within 0 .. 1"),
    (json.dumps(GOOD | {"answer": -1}), "line 2: field answer: -1 is not within 0 .. 1"),
    (json.dumps(GOOD | {"answer": 0.5}), "line 2: field answer: 0.5 is not within 0 .. 1"),
    (json.dumps(GOOD | {"context": "a fox " * 40}), "line 2: choice 0: "),
])
def test_errors_name_the_line_and_the_field(line, sentence, tmp_path):
    (tmp_path / "tasks").write_text(json.dumps(GOOD) + "\n" + line + "\n")
    refused = pith("eval", "--choices", tmp_path / "tasks", "--context", 40, "--scores", tmp_path / "scores")
    assert refused.returncode == 1 and f"file {tmp_path}/tasks: {sentence}" in refused.stderr, refused.stderr
    assert not (tmp_path / "scores").exists() and refused.stdout == ""
    (tmp_path / "tasks").write_text(json.dumps(GOOD) + "\n\n")
    assert "accuracy" in done("eval", "--choices", tmp_path / "tasks", "--context", 40)


def test_tasks_of_a_text(tmp_path):
    """bench/cloze: the answer is what follows in the text, and nothing else is; the same seed gives the same tasks."""
    tale = (REPOSITORY / "tests" / "golden" / "tale.txt").read_text("utf-8")
    sentences = [" ".join(one.split()) + "." for one in tale.replace("!", ".").replace("?", ".").split(".") if one.strip()]
    third = len(sentences) // 3
    documents = [" ".join(sentences[i * third:(i + 1) * third]) for i in range(3)]
    (tmp_path / "text").write_text("\n<|endoftext|>\n".join(documents), "utf-8")
    for seed in (1, 1, 2):
        subprocess.run([REPOSITORY / "bench" / "cloze", tmp_path / "text", tmp_path / f"tasks{seed}", "--tasks", "5", "--seed", str(seed)],
                       check=True, timeout=60)
    tasks = lines((tmp_path / "tasks1").read_text())
    assert len(tasks) == 5 and tasks != lines((tmp_path / "tasks2").read_text())
    for task in tasks:
        follows = [any(task["context"] + choice in document for document in documents) for choice in task["choices"]]
        assert len(follows) == 4 and [i for i, one in enumerate(follows) if one] == [task["answer"]]


# ---- pith embed


def hidden_states(words, text):
    with torch.no_grad():
        return words.model.model(torch.tensor([words.encode(text)])).last_hidden_state[0].numpy()


def test_embeddings_are_those_of_transformers(words, tmp_path, random_source):
    texts = ["A", "", "The fox and the hen.", *(some_words(random_source, 40) for _ in range(3))]
    (tmp_path / "texts").write_text("\r\n".join(texts[:3]) + "\n" + "\n".join(texts[3:]), "utf-8")
    states = [hidden_states(words, text) for text in texts]
    for pooling, expected in (("mean", [x.mean(0) for x in states]), ("last", [x[-1] for x in states])):
        for normalise in (False, True):
            options = ("embed", words.path, "--pooling", pooling, *FLOATS, *["--normalise"] * normalise)
            told = lines(done(*options, "--file", tmp_path / "texts"))
            assert [one["index"] for one in told] == list(range(6)) and [one["tokens"] for one in told] == [len(x) for x in states]
            found = np.array([one["embedding"] for one in told])
            wanted = np.array(expected)
            if normalise:
                wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
                assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)
            assert abs(found - wanted).max() < BOUND * abs(wanted).max()
            assert done(*options, input=(tmp_path / "texts").read_bytes().decode()) == done(*options, "--file", tmp_path / "texts")
            done(*options, "--file", tmp_path / "texts", "--npy", tmp_path / "out.npy")
            written = np.load(tmp_path / "out.npy", allow_pickle=False)
            assert written.dtype == np.float32 and np.array_equal(written, found.astype(np.float32))


def test_embeddings_that_cannot_be(words, tmp_path):
    (tmp_path / "texts").write_text("A\n" + "the fox " * 60)
    refused = pith("embed", words.path, "--file", tmp_path / "texts", "--context", 40, "--npy", tmp_path / "out.npy")
    assert refused.returncode == 1 and "line 2: " in refused.stderr and "a context of 40" in refused.stderr
    assert not (tmp_path / "out.npy").exists()
    nothing = pith("embed", words.path, input="")
    assert nothing.returncode == 1 and "no line to embed" in nothing.stderr


# ---- pith run --prompt-cache


PROMPT = " ".join(WORDS[:60])


@pytest.fixture(params=["packed", "built-in"])
def cached_model(request, words):
    """A float model of each kind, and one with a gate and groups."""
    return [words.path] if request.param == "packed" else []


def told(model, prompt, *options):
    """The document, and what standard error has."""
    ran = pith("run", *model, "-p", prompt, "-n", 8, "--temp", 0, "--chunk", 16, "--json", *options)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), ran.stderr


def same(a, b):
    return all(a[key] == b[key] for key in ("text", "logits_hash", "prompt_tokens", "tokens"))


def test_a_cached_prompt_gives_the_same_text(cached_model, words, tmp_path):
    cache = ("--prompt-cache", tmp_path / "cache")
    for attention in ("grouped", "materialise"):
        options = ("--attention", attention)
        plain, _ = told(cached_model, PROMPT, *options)
        for n_cached in (0, plain["prompt_tokens"]):
            with_file, errors = told(cached_model, PROMPT, *options, *cache)
            assert same(with_file, plain) and with_file["cached_prompt_tokens"] == n_cached and errors == ""
        before = (tmp_path / "cache").read_bytes()
        assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o600
        longer = PROMPT + " and then the fox said that it was time to go home."
        plain_longer, _ = told(cached_model, longer, *options)
        with_file, errors = told(cached_model, longer, *options, *cache)
        assert same(with_file, plain_longer) and not same(plain_longer, plain)
        n = plain["prompt_tokens"]
        is_latent = words.model.config.model_type == "minicpm3"
        if attention == "materialise" or (cached_model and not is_latent):
            usable = n
        elif cached_model:
            usable = n - n % 16
        else:
            usable = n if n % 16 == 0 else 0
        assert with_file["cached_prompt_tokens"] == usable
        assert ("would not give the same bits" in errors) == (usable == 0)
        assert ((tmp_path / "cache").read_bytes() == before) == (usable > 0)  # one that was used stays
        (tmp_path / "cache").unlink()


def test_a_cache_that_does_not_fit_is_told_and_written_anew(cached_model, words, tmp_path):
    path = tmp_path / "cache"
    plain, _ = told(cached_model, PROMPT)
    other_model = [] if cached_model else [words.path]
    cases = [("do not begin this prompt", (cached_model, "Another " + PROMPT)), ("of another model", (other_model, PROMPT)),
             ("option capacity was", (cached_model, PROMPT, "--context", 300)), ("do not begin this prompt", (cached_model, PROMPT + " and on"))]
    for sentence, arguments in cases:
        path.unlink(missing_ok=True)
        told(*arguments, "--prompt-cache", path)
        with_file, errors = told(cached_model, PROMPT, "--prompt-cache", path)
        assert same(with_file, plain) and with_file["cached_prompt_tokens"] == 0
        assert errors.count("\n") == 1 and sentence in errors and "the prompt is read again" in errors
        again, errors = told(cached_model, PROMPT, "--prompt-cache", path)
        assert same(again, plain) and again["cached_prompt_tokens"] == plain["prompt_tokens"] and errors == ""


def test_a_damaged_cache_is_never_used(cached_model, tmp_path, random_source):
    path = tmp_path / "cache"
    plain, _ = told(cached_model, PROMPT, "--prompt-cache", path)
    whole = path.read_bytes()
    places = [0, 8, 16, 30, 40, 60, 64, len(whole) - 1, len(whole) - 4 * plain["prompt_tokens"] - 1, *random_source.integers(len(whole), size=4)]
    damaged = [whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:] for at in map(int, places)]
    for data in [*damaged, whole[:-1], whole[:100], b"", whole + b"x"]:
        path.write_bytes(data)
        with_file, errors = told(cached_model, PROMPT, "--prompt-cache", path)
        assert same(with_file, plain) and with_file["cached_prompt_tokens"] == 0 and errors.count("\n") == 1
        assert "the prompt is read again" in errors
        assert path.read_bytes() == whole
    with_file, errors = told(cached_model, PROMPT, "--prompt-cache", path)
    assert with_file["cached_prompt_tokens"] == plain["prompt_tokens"] and errors == ""


def test_a_cache_that_cannot_be_written(cached_model, tmp_path):
    refused = pith("run", *cached_model, "-p", PROMPT, "--prompt-cache", tmp_path / "absent" / "cache")
    assert refused.returncode == 1 and "option --prompt-cache: file " in refused.stderr and refused.stdout == ""
