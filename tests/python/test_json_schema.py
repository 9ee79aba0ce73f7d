"""JSON Schema by the official suite (as the sources of the `jsonschema` package carry it; tools/ci/fetch_models), by documents drawn
at random under schemas, which that package must find valid, and by random documents of schemas, which must fit."""

import collections
import itertools
import json
import random
import string
from pathlib import Path

import jsonschema
import pytest

from conftest import model_folder
from grammar_matcher import GBNF, JSON_SCHEMA, Refused, Vocabulary

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary((ROOT / "tools/model/m.q4.gguf").read_bytes())


def opened(schema):
    """Where the standard lets other properties through unless told otherwise, say so: pith takes none of them unless told."""
    if isinstance(schema, list):
        return [opened(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: value if key in ("enum", "const") else opened(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        out["additionalProperties"] = True
    return out


def written(value):
    """The texts of a document in pith's form of numbers and strings, with the members of objects in every order."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e18:
        value = int(value)
    if isinstance(value, dict):
        members = [[f"{json.dumps(k, ensure_ascii=False)}:{t}" for t in written(v)] for k, v in value.items()]
        orders = itertools.permutations(members) if len(members) <= 4 else [members]
        return ["{" + ",".join(chosen) + "}" for order in orders for chosen in itertools.product(*order)]
    if isinstance(value, list):
        return ["[" + ",".join(chosen) + "]" for chosen in itertools.product(*map(written, value))]
    return [json.dumps(value, ensure_ascii=False)]


# docs/grammar.md: of `oneOf` several branches may fit, and formats are held, which the standard takes for annotations.
WIDER, STRICTER = {"oneOf"}, {"format"}


def test_official_suite(vocabulary):
    folder = model_folder() / "json_schema_suite"
    if not folder.exists():
        pytest.skip(f"no {folder}: tools/ci/fetch_models fetches it")
    passed, refused, wider, stricter, failed = 0, collections.Counter(), 0, 0, []
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text("utf-8")):
            try:
                matcher = vocabulary.matcher(JSON_SCHEMA, json.dumps(opened(group["schema"])))
            except Refused as why:
                refused[path.stem] += len(group["tests"])
                assert why.args[1].startswith("schema: at \"#"), why.args
                if "nothing fits" in why.args[1]:
                    failed += [(path.stem, group["description"], t["description"]) for t in group["tests"] if t["valid"]]
                continue
            for test in group["tests"]:
                fits = any(matcher.fits(text) for text in written(test["data"]))
                if fits == test["valid"]:
                    passed += 1
                elif fits and path.stem in WIDER:
                    wider += 1
                elif not fits and path.stem in STRICTER:
                    stricter += 1
                else:
                    failed.append((path.stem, group["description"], test["description"], test["data"]))
    print(f"\npassed {passed}, refused {sum(refused.values())}, wider (oneOf) {wider}, stricter (format) {stricter}, failed {len(failed)}\nrefused: {dict(refused)}")
    for f in failed:
        print("failed:", *f)
    assert not failed
    assert passed > 500 and wider < 10 and stricter < 10


class RandomSchema:
    """Schemas of what is held, and documents that fit them, in pith's form."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def schema(self, depth=3):
        r, kind = self.random, self.random.randrange(9 if depth > 0 else 6)
        if kind == 0:
            low = r.randrange(-300, 300)
            return {"type": "integer", "minimum": low, "maximum": low + r.randrange(500)}
        if kind == 1:
            low = r.randrange(5)
            return {"type": "string", "minLength": low, "maxLength": low + r.randrange(8)}
        if kind == 2:
            return {"enum": [self.scalar() for _ in range(1 + r.randrange(4))]}
        if kind == 3:
            return {"type": r.choice(["boolean", "null", "number", ["null", "integer"], ["boolean", "null"]])}
        if kind == 4:
            return {"type": "string", "pattern": r.choice(["^[a-c]{2,5}$", "^(foo|bar)+-\\d*$", "^\\w\\s[^\\d]?$", "^$"])}
        if kind == 5:
            return {"type": "string", "format": r.choice(["date", "time", "date-time", "uuid", "ipv4", "email"])}
        if kind == 6:
            low = r.randrange(3)
            return {"type": "array", "items": self.schema(depth - 1), "minItems": low, "maxItems": low + r.randrange(3)}
        if kind == 7:
            return {"anyOf": [self.schema(depth - 1) for _ in range(1 + r.randrange(3))]}
        names = r.sample(["a", "b", "ab", "é", "x y", "q\"", "long_name"], r.randrange(1, 5))
        return {"type": "object", "properties": {n: self.schema(depth - 1) for n in names},
                "required": [n for n in names if r.random() < 0.5],
                "additionalProperties": r.choice([False, False, {"type": "boolean"}])}

    def scalar(self):
        r = self.random
        return r.choice([r.randrange(-50, 50), None, True, "".join(r.choices(string.printable + "éß€😀", k=r.randrange(6)))])

    def document(self, schema):
        r = self.random
        if "enum" in schema:
            return r.choice(schema["enum"])
        if "anyOf" in schema:
            return self.document(r.choice(schema["anyOf"]))
        kind = schema["type"] if isinstance(schema["type"], str) else r.choice(schema["type"])
        if kind == "integer":
            return r.randint(schema.get("minimum", -10**6), schema.get("maximum", 10**6))
        if kind == "number":
            return r.choice([r.randrange(-99, 99), r.randrange(-9999, 9999) / 128, r.random() * 1e-7])
        if kind == "boolean":
            return r.random() < 0.5
        if kind == "null":
            return None
        if kind == "array":
            return [self.document(schema["items"]) for _ in range(r.randint(schema["minItems"], schema["maxItems"]))]
        if kind == "object":
            out = {n: self.document(s) for n, s in schema["properties"].items() if n in schema["required"] or r.random() < 0.5}
            if schema["additionalProperties"] and r.random() < 0.5:
                out.update({n: True for n in r.sample(["c", "abc", "", "éé"], 2)})
            return out
        if "pattern" in schema:
            return {"^[a-c]{2,5}$": "abca", "^(foo|bar)+-\\d*$": "foobar-7", "^\\w\\s[^\\d]?$": "a\n\"", "^$": ""}[schema["pattern"]]
        if "format" in schema:
            return {"date": "2024-02-29", "time": "23:59:00Z", "date-time": "1999-12-31T00:00:00.25+01:00",
                    "uuid": "123e4567-e89b-12d3-a456-426614174000", "ipv4": "10.0.0.255", "email": "a.b@example.org"}[schema["format"]]
        return "".join(r.choices(string.printable + "éß€😀", k=r.randint(schema["minLength"], schema["maxLength"])))


def draw(matcher, choose):
    """A text drawn under the mask, by random tokens; what closes is taken oftener, so that it ends."""
    vocabulary, text = matcher.vocabulary, b""
    matcher.reset()
    for _ in range(3000):
        if matcher.is_done():
            return text
        allowed = matcher.allowed()
        closing = [t for t in allowed if t in vocabulary.ends or vocabulary.texts[t][:1] in (b'"', b"}", b"]")]
        token = int(choose.choice(closing if closing and choose.random() < 0.3 else allowed))
        assert matcher.accept(token)
        if token in vocabulary.ends:
            return text
        text += vocabulary.texts[token]
    raise AssertionError(f"it does not end: {text[:200]}")


def test_random_schemas(vocabulary):
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    for seed in range(60):
        maker = RandomSchema(seed)
        schema = maker.schema()
        matcher = vocabulary.matcher(JSON_SCHEMA, json.dumps(schema))
        validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
        for _ in range(4):
            text = draw(matcher, maker.random).decode("utf-8")
            validator.validate(json.loads(text))
        for _ in range(10):
            document = maker.document(schema)
            validator.validate(document)
            for text in (json.dumps(document, ensure_ascii=False), json.dumps(document, ensure_ascii=False, indent=2),
                         json.dumps(document, ensure_ascii=False, separators=(",", ":"))):
                if "e-" not in text:  # exponents of three digits are none of pith's
                    assert matcher.fits(text), (schema, text)


def test_any_document(vocabulary):
    matcher = vocabulary.matcher(JSON_SCHEMA, "{}")
    for seed in range(20):
        json.loads(draw(matcher, random.Random(seed)))


def test_published_grammars(vocabulary):
    """llama.cpp's own examples compile, and texts of theirs fit."""
    folder = model_folder() / "llama_cpp_python-0.3.36"
    paths = sorted(folder.glob("*.gbnf"))
    if not paths:
        pytest.skip(f"no grammars in {folder}: tools/ci/fetch_models fetches them")
    texts = {"json": '{"a": [1, "x"]}', "json_arr": '[\n"a"]', "list": "- one\n- two\n", "arithmetic": "a +1 =2\n",
             "chess": "1. e4 e5\n2. Nf3 Nc6\n", "english": "Hello there.", "japanese": "こんにちは", "c": "int main(){return 0;}"}
    for path in paths:
        matcher = vocabulary.matcher(GBNF, path.read_text("utf-8"))
        assert len(matcher.allowed()) > 0
        assert matcher.fits(texts[path.stem]), path.name
        assert not matcher.fits(texts[path.stem] + "\x00"), path.name
