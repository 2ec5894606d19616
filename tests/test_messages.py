"""Every sentence that is spoken has its translation, with the same values in it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from string import Formatter

import pytest
from typer.main import get_command

import luthier
from luthier.cli import app, main
from luthier.errors import ConfigError, language_named
from luthier.messages import Message, catalogue, speaking, tr
from luthier.recipe import checklist, in_lines, read_ledger, worded
from luthier.recipe.checklist import ITEMS, STEP_NAMES
from luthier.recipe.ledger import Ledger
from luthier.records import noted
from luthier.report.terminal import STEPS, WORDS

SOURCE = Path(luthier.__file__).parent


def literals(node: ast.AST) -> set[str]:
    """The texts that an expression may be; of a chosen one both."""
    if isinstance(node, ast.IfExp):
        return literals(node.body) | literals(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def templates(node: ast.AST) -> set[str]:
    """What a node of the program puts into words: arguments of `tr` and `Message`, and what is named `template`."""
    if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["template"]:
        return literals(node.value)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return set()
    place = {"tr": 0, "Message": 0, "joined": 1}.get(node.func.id, len(node.args))
    return literals(node.args[place]) if place < len(node.args) else set()


def spoken() -> set[str]:
    """All templates of the program, and the tables whose entries are spoken."""
    result = {item.what for item in ITEMS} | set(STEP_NAMES.values()) | set(STEPS) | set(WORDS.values())
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            result |= templates(node)
    return result


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def numerals(template: str) -> list[str]:
    """The numbers that stand in a text itself, thousands without their comma."""
    return sorted(number.replace(",", "") for number in re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"{.*?}", "", template)))


def test_every_sentence_has_its_chinese() -> None:
    sentences = {text for text in spoken() if re.search("[A-Za-z]{2}", re.sub("{.*?}", "", text))}
    assert sentences - set(catalogue("zh")) == set()


@pytest.mark.parametrize("text", sorted(catalogue("zh")))
def test_a_translation_has_the_same_values_and_numbers(text: str) -> None:
    translated = catalogue("zh")[text]
    assert placeholders(text) == placeholders(translated)
    assert numerals(text) == numerals(translated)
    if not re.match("luthier |pip |--", text) and re.search("[a-z]{2}", re.sub("{.*?}", "", text)):
        assert re.search(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", translated)


def test_a_message_is_kept_as_data_and_said_in_each_language(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    count = Message("{count} rows", count=12)
    ledger.add(noted(0, Message("{name} is left out: {problem}", name="a", problem=count)))
    record = read_ledger(ledger.path)[0]
    assert record["sentence"] == "a is left out: 12 rows"
    assert worded(record)["sentence"] == record["sentence"]
    assert worded(record, "zh")["sentence"] == "跳过 a：12 行"


def test_what_data_hold_is_never_translated() -> None:
    """A class may be called as a word of ours is."""
    assert catalogue("zh")["yes"] == "是"
    with speaking("zh"):
        assert Message("{name} has {loss}", name="yes", loss=0.5).spoken() == "yes 为 0.5"


@pytest.mark.parametrize(
    "kept",
    [None, {"sentence": 3}, {"sentence": {"template": 3}}, {"sentence": {"template": "{", "values": {"a": "b"}}}, [],
     {"sentence": {"template": "{a}", "values": [1]}},
     {"sentence": {"template": "{a.__class__}", "values": {"b": "c"}}}],
)  # fmt: skip
def test_sentences_of_earlier_versions_and_of_anybody_open(tmp_path: Path, kept: object) -> None:
    path = tmp_path / "ledger.jsonl"
    record = {"kind": "note", "step": 0, "sentence": "as it was"} | ({} if kept is None else {"messages": kept})
    path.write_text(json.dumps(record) + "\n")
    read = read_ledger(path)[0]
    assert worded(read)["sentence"] == "as it was"
    assert worded(read, "zh")["sentence"] in ("as it was", "")


def test_the_checklist_in_chinese() -> None:
    with speaking("zh"):
        lines = in_lines(checklist())
    assert lines[0] == "第 1 步：选择损失函数"
    assert tr("What next?") == "What next?"


def test_a_language_that_is_not_known() -> None:
    with pytest.raises(ConfigError, match="not one of en, zh"):
        language_named("xx")


@pytest.mark.parametrize("name", ["fit", "check", "predict", "report", "plan", "show"])
def test_the_main_verbs_have_chinese_help(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    helps = [command.help, *(parameter.help for parameter in command.params if parameter.name != "help")]
    assert {text for text in helps if text} - set(catalogue("zh")) == set()


def test_wrong_usage_is_explained_in_chinese(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_LANG", "zh")
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--nope"])
    assert ended.value.code == 2
    assert "没有选项 --nope" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fit", "nofile.csv", "--target", "y"])
    assert "没有文件“nofile.csv”" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--lang", "en", "fit", "nofile.csv", "--target", "y"])
    assert "there is no file 'nofile.csv'" in capsys.readouterr().err


MAIN_PATH = ("data", "recipe", "runs", "saved", "task", "untrusted.py", "storage.py", "request.py")
STILL_ENGLISH = 36  # sentences of errors there that only callers of parts of the library meet; fewer is better


def said_in_errors() -> set[str]:
    """The sentences that errors of the main path's rooms are raised with, written out."""
    result: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] not in MAIN_PATH:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("InputError", "LuthierError", "Finding"):
                result |= {text for one in (*node.args, *(k.value for k in node.keywords)) for text in literals(one)}
    return {text for text in result if " " in text and not text.startswith(("S", "luthier "))}


def test_few_errors_of_the_main_path_are_english_alone() -> None:
    assert len(said_in_errors() - set(catalogue("zh"))) <= STILL_ENGLISH
