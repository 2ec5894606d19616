"""What people read, in their language: one catalogue, the English template being the key.

A `Message` is a sentence as data: files keep its template and values beside its English text, and it is put into words
when somebody reads. `tr` makes one and says it at once, in the language that `speaking` set; English is spoken outside
of it, and where a translation is missing. Values go into braces, so that their place may differ between languages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

LANGUAGES = ("en", "zh")
_NUMBERS = frozenset({int, float, bool, type(None)})
KEPT = "messages"  # under which a record keeps what its sentences are made of
_HAN, _LATIN = "[\u4e00-\u9fff]", "[A-Za-z0-9%]"
_APART = re.compile(f"(?<={_HAN}) ?\0 ?(?={_LATIN})|(?<={_LATIN}) ?\0 ?(?={_HAN})")
_TOGETHER = re.compile(f"(?<={_HAN}) ?\0 ?(?={_HAN})")
_language: ContextVar[str] = ContextVar("language", default="en")


def language() -> str:
    """The language that is spoken now."""
    return _language.get()


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """Speak one of `LANGUAGES` for the length of a `with`; `luthier.errors.language_named` checks what a user says."""
    token = _language.set(name)
    try:
        yield
    finally:
        _language.reset(token)


class Message(str):
    """A sentence as data: its English text, made of a template and of values, which are kept for other languages.

    Values are written once, as the template's braces ask (`{loss:.3f}`); those of another message follow the language.

    >>> count = Message("{count} rows", count=3)
    >>> count, count.spoken()
    ('3 rows', '3 rows')
    >>> with speaking("zh"):
    ...     print(count, count.spoken())
    3 rows 3 行
    """

    template: str
    values: Mapping[str, str]

    def __new__(cls, template: str, /, **values: Any) -> Message:
        written = {name: _written(values[name], spec, how) for name, spec, how in _fields(template)} if values else {}
        return cls._of(template, written)

    @classmethod
    def _of(cls, template: str, written: Mapping[str, str]) -> Message:
        message = super().__new__(cls, _filled(template, written))
        message.template, message.values = template, written
        return message

    def spoken(self) -> str:
        """The sentence in the language of now."""
        if language() == "en":
            return str(self)
        translated = catalogue(language()).get(self.template, self.template)
        values = {n: v.spoken() if isinstance(v, Message) else v for n, v in self.values.items()}
        return _set_in_chinese(_pieces(translated, values)) if values else translated

    def as_data(self) -> dict[str, object]:
        """Template and values as plain JSON; a message among the values likewise."""
        values = {name: v.as_data() if isinstance(v, Message) else v for name, v in self.values.items()}
        return {"template": self.template, "values": values}

    @classmethod
    def of_data(cls, kept: Any) -> Message:
        """What `as_data` gave, from a file that anybody may have written: ValueError for anything else."""
        if not isinstance(kept, dict) or not isinstance(kept.get("template"), str):
            raise ValueError("not a message")
        values = kept.get("values")
        if not isinstance(values, dict) or not all(isinstance(value, str | dict) for value in values.values()):
            raise ValueError("not a message's values")
        written = {n: cls.of_data(v) if isinstance(v, dict) else v for n, v in values.items()}
        return cls._of(kept["template"], written)


def tr(text: str, /, **values: Any) -> str:
    """A sentence in the language of now, with its values.

    >>> tr("{count} notes", count=3)
    '3 notes'
    >>> with speaking("zh"):
    ...     tr("What next?")
    '下一步做什么？'
    """
    return Message(text, **values).spoken()


def spoken(text: str) -> str:
    """A text in the language of now: a message in its words, other text as the catalogue has it, or as it is."""
    if isinstance(text, Message):
        return text.spoken()
    return text if language() == "en" else catalogue(language()).get(text, text)


def as_message(text: str) -> Message:
    """A sentence that is written out is its own template."""
    return text if isinstance(text, Message) else Message(text)


def joined(parts: Iterable[str], template: str = "{first}; {rest}") -> Message:
    """Sentences in a row, as one message; the empty ones are left out.

    >>> whole = joined([Message("{count} rows", count=3), "", "done"])
    >>> with speaking("zh"):
    ...     print(whole, "=", whole.spoken())
    3 rows; done = 3 行；done
    """
    some = [part for part in parts if part]
    result = some[-1] if some else ""
    for part in reversed(some[:-1]):
        result = Message(template, first=part, rest=result)
    return as_message(result)


def joined_by_and(parts: Sequence[str]) -> Message:
    """Messages as a list in a sentence, the last one behind "and".

    >>> str(joined_by_and(["a", "b", "c"]))
    'a, b and c'
    """
    *most, last = parts
    return Message("{first} and {last}", first=joined(most, "{first}, {rest}"), last=last) if most else joined(parts)


def with_messages(content: Any) -> Any:
    """Content for a JSON file: beside the messages of each mapping what they are made of, under `messages`.

    >>> with_messages({"rows": 3, "sentence": Message("{count} rows", count=3)})["messages"]
    {'sentence': {'template': '{count} rows', 'values': {'count': '3'}}}
    """
    if isinstance(content, Mapping):
        result = {name: with_messages(value) for name, value in content.items()}
        kept = {name: made for name, value in content.items() if (made := _made_of(value)) is not None}
        return {**result, KEPT: kept} if kept else result
    if isinstance(content, list | tuple):
        return list(content) if _are_numbers(content) else [with_messages(one) for one in content]
    return content


def in_words(content: Any) -> Any:
    """What `with_messages` made, its sentences in the language of now; those of other records as they stand there.

    >>> kept = with_messages({"sentence": Message("{count} rows", count=3)})
    >>> with speaking("zh"):
    ...     in_words(kept)
    {'sentence': '3 行'}
    """
    if isinstance(content, Mapping):
        kept = content.get(KEPT)
        kept = kept if isinstance(kept, Mapping) else {}
        return {name: _said(value, kept.get(name)) for name, value in content.items() if name != KEPT}
    if isinstance(content, list | tuple):
        return list(content) if _are_numbers(content) else [in_words(one) for one in content]
    return content


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether there is nothing else, as in a confusion matrix of a thousand classes, a million times."""
    return _NUMBERS.issuperset(map(type, values))


def restored(content: Any) -> Any:
    """What `with_messages` made, its sentences messages again; those of earlier versions are text.

    >>> restored(with_messages({"sentence": Message("{count} rows", count=3)}))["sentence"].template
    '{count} rows'
    """
    if isinstance(content, Mapping):
        kept = content.get(KEPT)
        kept = kept if isinstance(kept, Mapping) else {}
        return {name: _restored(value, kept.get(name)) for name, value in content.items() if name != KEPT}
    if isinstance(content, list | tuple):
        return list(content) if _are_numbers(content) else [restored(one) for one in content]
    return content


def _restored(value: Any, kept: Any) -> Any:
    if isinstance(value, list) and isinstance(kept, list) and len(kept) == len(value):
        return [_restored(*pair) for pair in zip(value, kept, strict=True)]
    try:
        return Message.of_data(kept) if kept is not None and isinstance(value, str) else restored(value)
    except (TypeError, ValueError, RecursionError):
        return value


def _made_of(value: Any) -> Any:
    """What the messages of a value are made of; None where there are none in it."""
    if isinstance(value, Message):
        return value.as_data()
    if isinstance(value, list | tuple) and not _are_numbers(value):
        made = [_made_of(one) for one in value]
        return made if any(one is not None for one in made) else None
    return None


def _said(value: Any, kept: Any) -> Any:
    if isinstance(value, list) and isinstance(kept, list) and len(kept) == len(value):
        return [_said(*pair) for pair in zip(value, kept, strict=True)]
    if kept is None or not isinstance(value, str) or language() == "en":
        return in_words(value)
    message = _restored(value, kept)
    return message.spoken() if isinstance(message, Message) else value


def _fields(template: str) -> Iterator[tuple[str, str, str]]:
    """Name, format and conversion of each value of a template."""
    for _, name, spec, how in Formatter().parse(template):
        if name is not None:
            yield name, spec or "", how or ""


def _written(value: Any, spec: str, how: str) -> str:
    if isinstance(value, Message) and not spec and not how:
        return value
    value = repr(value) if how == "r" else str(value) if how == "s" else value
    return format(value, spec)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A template with what was written for its braces; as it is where nothing was."""
    return "".join(_pieces(template, values)) if values else template


def _pieces(template: str, values: Mapping[str, str]) -> Iterator[str]:
    """What a template writes out and what was written for its braces, in turn."""
    for literal, name, _, _ in Formatter().parse(template):
        yield literal
        yield "" if name is None else values.get(name, "")


def _set_in_chinese(pieces: Iterable[str]) -> str:
    """Pieces in a row: where two meet, a blank parts Chinese from Latin letters and digits, not from Chinese.

    >>> _set_in_chinese(["SVM", "在", "12", "行上"]), _set_in_chinese(["均值", " 在这些行上"])
    ('SVM 在 12 行上', '均值在这些行上')
    """
    text = "\0".join(filter(None, pieces))
    return _TOGETHER.sub("", _APART.sub(" ", text)).replace("\0", "")


@cache
def catalogue(name: str) -> dict[str, str]:
    """All translations into a language, by the English template."""
    path = Path(__file__).parent / f"{name}.json"
    translations: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return translations


def in_bytes(count: float) -> str:
    """Bytes as people read them.

    >>> in_bytes(1536), in_bytes(3 << 30)
    ('1.5 KiB', '3 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.3g} {unit}"
