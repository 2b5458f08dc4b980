"""Damage to bytes, to documents (JSON, YAML) and to XML; all of it drawn from one generator."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import yaml

Mutator = Callable[[bytes, random.Random, list[bytes]], bytes]

MARK = "@@raw{}@@"
TOKENS = (b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\x1b[2J", b"\xc2\x9b", b"\xe2\x80\xae", b"NaN", b"-1")
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
_NUMBERS = ("0", "-1", "-0.0", "1.5", "1e-320", "1e999", "-1e999", "1e308", "NaN", "Infinity", "-Infinity")
_INTEGERS = (
    *(str(n) for n in (2**31, 2**32, 2**63, 2**64, 10**30, 4096, 4097, 65_536, 1_048_576)),
    "9" * 4300,
    "9" * 4400,
)
_TEXTS = (
    "",
    " ",
    "3",
    "x" * 5000,
    "\x1b[31mred",
    "\x9b2J",
    "a\nb",
    "\u202edlrow",
    "\ud800",
    "\x00",
    "'",
    "../../x",
    "é" * 70,
)
COMMON = (*_NUMBERS, *_INTEGERS, *(json.dumps(text) for text in _TEXTS), "true", "false", "null", "[]", "{}", "[[]]")
JSON_ONLY = ('{"a": 1, "a": 2}', "[,]", "01", "'x'", '"\t"', "0x10")
YAML_ONLY = (
    "!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!binary aGk=", "!!set {a, b}",
    "!!omap [a: 1]", "!!pairs [a: 1, a: 2]", "2020-01-01", "2020-13-45", "2020-01-01 25:00:00", "0x" + "f" * 5000,
    "1:30:00", "&a [*a]", "*x", "&x [1, 2]", "{<<: {a: 1}}", "{<<: 3}", ".inf", "-.inf", ".nan", "!!float x", "!!int x",
    "!!int ''", "!!bool x", "!!null x", "!!timestamp x", "!!str [a]", "!!map []", "!!seq {}", "{[a, b]: c}", "{{}: 1}",
    "{? a}", "=", "0b", "0o8", "1_000", "yes", "~", "!x y", "{.nan: 1, .nan: 2}", "{1: a, '1': b}", "{~: 1}", "%", "|",
)  # fmt: skip


def damage_bytes(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Flip, overwrite, insert, delete, repeat, cut or splice."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(data) + 1)
        length = min(rng.choice((1, 1, 2, 4, 8, 64)), len(data) - at)
        kind = rng.randrange(8)
        if kind == 0 and length:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and length:
            data[at : at + length] = bytes([rng.choice(INTERESTING)]) * length
        elif kind == 2:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length] * rng.choice((1, 2, 100))
        elif kind == 5:
            del data[at:]
        elif kind == 6:
            other = rng.choice(others)
            data[at:] = other[rng.randrange(len(other) + 1) :]
        elif length:
            data[at : at + length] = rng.randbytes(length)
    return bytes(data)


def nested(rng: random.Random) -> str:
    """Lists or objects in one another; near the depth at which Python gives up, and far beyond it."""
    depth = rng.choice((50, rng.randrange(150, 1000), 3000, 50_000))
    return "[" * depth + "]" * depth if rng.random() < 0.7 else '{"a":' * depth + "1" + "}" * depth


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a document."""
    if isinstance(value, dict | list):
        items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        return [(value, key) for key, _ in items] + [place for _, item in items for place in _places(item)]
    return []


def change_document(document: Any, rng: random.Random, raw: list[str], edges: tuple[str, ...]) -> Any:
    """One change to a document, in place; text that is no plain value is left as a mark and put into ``raw``."""

    def mark() -> str:
        raw.append(nested(rng) if rng.random() < 0.05 else rng.choice(edges))
        return MARK.format(len(raw) - 1)

    places = _places(document)
    if not places or rng.random() < 0.01:
        return mark()
    container, key = rng.choice(places)
    kind = rng.randrange(8)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[rng.choice((*_TEXTS, mark(), f"{key}x"))] = container[key]
    elif kind == 1 or (kind == 2 and isinstance(container, list)):
        container[key:key] = [container[key]] * rng.choice((1, 2, 50))
    elif kind == 3:
        other, place = rng.choice(places)
        container[key] = json.loads(json.dumps(other[place], default=str))
    elif kind == 4 and isinstance(container[key], int | float):
        container[key] = container[key] * rng.choice((-1, 0.5, 2, 1e6)) + rng.choice((-1, 0, 1))
    else:
        container[key] = mark()
    return document


def with_raw(text: str, raw: list[str], quotes: str) -> bytes:
    for index, value in enumerate(raw):
        text = re.sub(f"{quotes}{MARK.format(index)}{quotes}", lambda _, value=value: value, text)
    return text.encode("utf-8", "surrogatepass")


def damage_json(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Change values of a JSON text; of a text with several lines, those of one."""
    lines = content.splitlines()
    one = rng.randrange(len(lines)) if lines and not content.startswith(b"{\n") else None
    document = json.loads(content if one is None else lines[one])
    raw: list[str] = []
    document = change_document(document, rng, raw, COMMON + JSON_ONLY)
    text = with_raw(json.dumps(document), raw, '"')
    return text if one is None else b"\n".join([*lines[:one], text, *lines[one + 1 :]]) + b"\n"


def damage_yaml(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Change values of a YAML text, or repeat one of its lines."""
    lines = content.splitlines(keepends=True)
    if rng.random() < 0.1 and lines:
        at = rng.randrange(len(lines))
        return b"".join([*lines[:at], lines[at], *lines[at:]])
    raw: list[str] = []
    document = change_document(yaml.safe_load(content), rng, raw, COMMON + YAML_ONLY)
    return with_raw(yaml.safe_dump(document, sort_keys=False, width=10**6), raw, "['\"]?")


_DTDS = (
    '<!DOCTYPE x [<!ENTITY a "aaaa">]>', '<!DOCTYPE x SYSTEM "file:///etc/passwd">', "<!doctype x>", "<! DOCTYPE x>",
    '<!ENTITY a "b">', '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]>', "<?xml-stylesheet href='x'?>",
    '<!DOCTYPE x [<!ENTITY a "1"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>',
    '<?xml version="1.0" encoding="utf-7"?>', '<?xml version="1.0" encoding="utf-16"?>', '<?xml version="1.1"?>',
    '<x xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd" parse="text"/></x>',
)  # fmt: skip
_XML_TEXTS = (
    "&a;",
    "&#x9b;2J",
    "&#x1b;",
    "&#0;",
    "&#x202e;",
    "&lt;",
    "&amp;",
    "x" * 5000,
    "NaN",
    "3.0",
    "1e3",
    "٣",
    "0 ",
    "9" * 4400,
)
_XML_TYPES = ("int", "long", "float", "double", "string", "boolean", "yfiles", "x", "")


def damage_xml(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Entities, attributes, namespaces, elements twice, elements in one another."""
    text = content.decode("utf-8", "replace")
    kind = rng.randrange(9)
    quoted = list(re.finditer(r'"[^"]*"', text))
    inner = list(re.finditer(r">([^<]*)<", text))
    lines = text.splitlines(keepends=True)
    values = (*_XML_TEXTS, *_XML_TYPES, "-1", "0", "1", "4096", str(10**30), "directed", "n0")
    if kind == 0:
        at = rng.choice((0, text.find("<graphml"), rng.randrange(len(text) + 1)))
        text = text[:at] + rng.choice(_DTDS) + text[at:]
    elif kind in (1, 2) and quoted:
        found = rng.choice(quoted)
        text = text[: found.start() + 1] + rng.choice(values) + text[found.end() - 1 :]
    elif kind in (3, 4) and inner:
        found = rng.choice(inner)
        text = text[: found.start(1)] + rng.choice(values) + text[found.end(1) :]
    elif kind == 5 and lines:
        at = rng.randrange(len(lines))
        lines[at:at] = [lines[at]] * rng.choice((1, 2, 100))
        text = "".join(lines)
    elif kind == 6 and len(lines) > 1:
        one, two = rng.sample(range(len(lines)), 2)
        lines[one], lines[two] = lines[two], rng.choice((lines[one], ""))
        text = "".join(lines)
    elif kind == 7:
        tag, depth = rng.choice(("graph", "node", "edge", "data", "x")), rng.choice((2, 500, 20_000))
        at = rng.choice([match.start() for match in re.finditer("<", text)] or [0])
        text = text[:at] + f"<{tag}>" * depth + f"</{tag}>" * depth + text[at:]
    else:
        return damage_bytes(content, rng, others)
    return text.encode("utf-8", "surrogatepass")
