"""Bounded types that schemas of files and of requests are written in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidatorFunctionWrapHandler, WrapValidator
from typing_extensions import TypeAliasType

from luthier.machine import parse_memory
from luthier.messages import Message

LONGEST_NAME, LONGEST_PATH = 255, 4096  # bytes, the most that file systems allow

OPEN = ConfigDict(extra="allow", allow_inf_nan=False)  # of a TypedDict: more keys may stand there, which are kept
CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)
Whole = Annotated[int, Field(ge=-(2**64), le=2**64)]
Count = Annotated[int, Field(ge=0, le=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=1_000_000)]
Sentence = Annotated[Text, Field(min_length=1)]
DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$")]
Plain = TypeAliasType("Plain", "dict[str, Plain] | list[Plain] | str | bool | Whole | Number | None")
Undefined = Annotated[float, BeforeValidator(lambda value: float("nan") if value is None else value)]  # NaN, or null


def _same_text(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(check(value), str) and isinstance(value, Message) else check(value)


MessageText = Annotated[Text, WrapValidator(_same_text)]  # a message stays one


def with_its_messages(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """A validated dataclass whose texts are the messages that they were."""
    result, content = check(value), value if isinstance(value, Mapping) else {}
    return replace(result, **{name: text for name, text in content.items() if isinstance(text, Message)})


def _one_name(name: str) -> str:
    if name in ("", ".", "..") or any(c in name for c in "/\\\0") or len(name.encode()) > LONGEST_NAME:
        raise ValueError("Input should be the name of one file or folder")
    return name


def _a_path(path: str) -> str:
    longest = 0 if "://" in path else max(len(name.encode()) for name in path.split("/"))
    if "\0" in path or len(path.encode()) > LONGEST_PATH or longest > LONGEST_NAME:
        raise ValueError("Input should be a path or an address")
    return path


FileName = Annotated[str, AfterValidator(_one_name)]
FilePath = Annotated[str, AfterValidator(_a_path)]


def _text(value: Any) -> Any:
    return value if isinstance(value, str | Mapping | Sequence | None) else str(value)


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _bytes(value: Any) -> Any:
    return parse_memory(value) if isinstance(value, str) else value


def _names(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


def _listed(value: Any) -> Any:
    if callable(value):
        raise ValueError("a metric of your own goes by the name that luthier.own_metric(function, ...) gives")
    if isinstance(value, Mapping):  # of several targets, by name
        return ";".join(f"{name}={_listed(one)}" for name, one in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def _kinds(value: Any) -> Any:
    return {str(name): kind for name, kind in value.items()} if isinstance(value, Mapping) else value


Named = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | int)]
NamedOrNone = Annotated[str | None, BeforeValidator(_text, json_schema_input_type=str | int | None)]
Place = Annotated[FilePath, BeforeValidator(_path, json_schema_input_type=str | Path)]
Rows = Annotated[FilePath, BeforeValidator(_path, json_schema_input_type=Any)]  # those in memory become a file before
Bytes = Annotated[int, Field(ge=0), BeforeValidator(_bytes, json_schema_input_type=str | int)]
Listed = Annotated[str, BeforeValidator(_listed, json_schema_input_type=str | Sequence[str])]
Names = Annotated[tuple[str, ...], BeforeValidator(_names, json_schema_input_type=Sequence[str])]
Kinds = Annotated[dict[str, str], BeforeValidator(_kinds, json_schema_input_type=Mapping[str, str])]
