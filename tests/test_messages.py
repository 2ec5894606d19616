"""Every sentence that is spoken has its translation, with the same values in it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from rich.cells import cell_len
from typer.main import get_command

import luthier
from luthier.cli import app, main
from luthier.diagnosis import CHECKS, ROWS
from luthier.errors import ConfigError, language_named
from luthier.labs.exercises import EXERCISES, in_words
from luthier.labs.gallery import all_labs
from luthier.messages import Message, catalogue, restored, speaking, tr, with_messages
from luthier.messages import in_words as message_words
from luthier.recipe import checklist, in_lines, read_ledger, worded
from luthier.recipe.checklist import ITEMS, STEP_NAMES
from luthier.recipe.planning.ledger import Ledger
from luthier.records import noted
from luthier.report.terminal import STEPS, WORDS
from luthier.search import REGISTRY, TIERS
from luthier.storage import CACHED

SOURCE = Path(luthier.__file__).parent
BENCH = ("bench.number", "bench.holds", "bench.note", "bench.draw")  # where labs put what they find


def literals(node: ast.AST) -> set[str]:
    """The texts that an expression may be; of a chosen one both."""
    if isinstance(node, ast.IfExp):
        return literals(node.body) | literals(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def templates(node: ast.AST) -> set[str]:
    """What a node of the program puts into words: arguments of `tr` and `Message`, and what is named `template`."""
    if isinstance(node, ast.Assign):
        pairs = [(node.targets[0], node.value)]
        if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(node.targets[0].elts, node.value.elts, strict=False))
        return {text for name, value in pairs if ast.unparse(name) == "template" for text in literals(value)}
    if isinstance(node, ast.Call) and ast.unparse(node.func) in BENCH:
        measured = node.args[2:3] if ast.unparse(node.func) == "bench.holds" else []
        given = [keyword.value for keyword in node.keywords if keyword.arg in ("what", "measured", "why")]
        return {text for one in (*node.args[:1], *measured, *given) for text in literals(one)}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return set()
    place = {"tr": 0, "Message": 0, "_said": 0, "in_a_line": 0, "joined": 1}.get(node.func.id, len(node.args))
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
    if not re.match(r"luthier[ .]|pip |--", text) and re.search("[a-z]{2}", re.sub("{.*?}", "", text)):
        assert re.search(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", translated)


def test_a_message_is_kept_as_data_and_said_in_each_language(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    count = Message("{count} rows", count=12)
    ledger.add(noted(0, Message("{name} is left out: {problem}", name="a", problem=count)))
    record = read_ledger(ledger.path)[0]
    assert record["sentence"] == "a is left out: 12 rows"
    assert worded(record)["sentence"] == record["sentence"]
    assert worded(record, "zh")["sentence"] == "跳过 a：12 行"


def test_messages_in_lists_of_lists_are_kept() -> None:
    rows = [[Message("batch norm"), Message("{count} rows", count=3)], ["as it is", "batch norm"]]
    kept = json.loads(json.dumps(with_messages({"questions": rows})))
    with speaking("zh"):
        assert message_words(kept) == {"questions": [["批归一化", "3 行"], ["as it is", "batch norm"]]}
    assert restored(kept)["questions"] == rows


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


def all_commands(command: Any) -> Iterator[Any]:
    yield command
    for one in getattr(command, "commands", {}).values():
        yield from all_commands(one)


def test_every_command_has_chinese_help() -> None:
    helps: set[str] = set()
    for command in all_commands(get_command(app)):
        helps |= {
            command.help or "",
            *(parameter.help or "" for parameter in command.params if parameter.name != "help"),
        }
    assert len(helps) > 150
    assert helps - {""} - set(catalogue("zh")) == set()


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


ERRORS = ("InputError", "LuthierError", "ConfigError", "Finding", "_finding")
STILL_ENGLISH = 113  # errors with values in them that are not messages: callers of parts meet them; fewer is better


def in_errors() -> list[ast.AST]:
    """What errors and findings are raised with."""
    trees = [ast.walk(ast.parse(path.read_text())) for path in SOURCE.rglob("*.py")]
    calls = [n for tree in trees for n in tree if isinstance(n, ast.Call) and ast.unparse(n.func) in ERRORS]
    return [one for call in calls for one in (*call.args, *(k.value for k in call.keywords))]


def test_errors_have_their_chinese() -> None:
    texts = {text for one in in_errors() for text in literals(one)}
    said = {text for text in texts if " " in text and not text.startswith(("S", "luthier ", "--", "{", "DataLoader("))}
    assert said - set(catalogue("zh")) == set()


def test_errors_with_values_are_messages_where_users_meet_them() -> None:
    strings = [part for one in in_errors() for part in ast.walk(one) if isinstance(part, ast.JoinedStr)]
    written = ["".join(literals_of(string)) for string in strings]
    assert sum(len(re.findall("[A-Za-z]{2,}", text)) >= 3 for text in written) <= STILL_ENGLISH


def literals_of(string: ast.JoinedStr) -> Iterator[str]:
    yield from (part.value if isinstance(part, ast.Constant) else " " for part in string.values)


MAIN_PATH = ("assess", "kinds", "recipe/decisions", "recipe/steps", "report", "task")
OF_ENGLISH_RECORDS = ("recipe/decisions/earlier.py",)  # topics of earlier versions' ledgers


def test_a_plain_sentence_of_the_main_path_has_its_chinese() -> None:
    """What is returned as plain text is put into words by the catalogue alone: nothing else would miss it."""
    missing = set()
    for path in (path for room in MAIN_PATH for path in (SOURCE / room).rglob("*.py")):
        if str(path.relative_to(SOURCE)) not in OF_ENGLISH_RECORDS:
            tree = ast.parse(path.read_text())
            quiet = {id(part) for node in ast.walk(tree) for part in quiet_parts(node)}
            missing |= {
                text for node in ast.walk(tree) if id(node) not in quiet for text in literals(node) if plain(text)
            }
    assert missing - set(catalogue("zh")) == set()


def plain(text: str) -> bool:
    """Six words or more: shorter texts are mostly names."""
    six = re.fullmatch(r"\s*[^\s<|]+( [^\s<|]+){5,}\s*", text)
    return bool(six) and not re.match("S[0-4]-|luthier |Input should", text)


def quiet_parts(node: ast.AST) -> list[ast.AST]:
    """Docstrings, and the pieces of strings with values."""
    if isinstance(node, ast.JoinedStr):
        return list(ast.walk(node))
    return [node.value] if isinstance(node, ast.Expr) else []


def test_help_in_chinese_fits_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fit", "check", "tune"):
        with pytest.raises(SystemExit):
            main(["--lang", "zh", name, "--help"])
        shown = capsys.readouterr().out
        assert "[选项]" in shown
        text = shown.partition("示例：")[0]  # commands stay in one line
        assert max(cell_len(line) for line in text.splitlines()) <= 80
        assert not [line for line in text.splitlines() if line.strip().startswith(tuple("，。；：、）"))]


def test_every_check_of_a_training_has_chinese_advice() -> None:
    said = {check.remedy for check in CHECKS}
    said |= {getattr(text, "template", text) for check in (*CHECKS, *ROWS) for text in (check.claim, check.threshold)}
    assert said - set(catalogue("zh")) == set()


def test_every_lab_exercise_and_hyper_parameter_has_its_chinese() -> None:
    said = {text for lab in all_labs().values() for text in (lab.title, lab.claim)}
    said |= {text for one in EXERCISES.values() for text in (one.title, *docstrings(one.text))}
    said |= {hyper.reason for hyper in REGISTRY.values()} | set(TIERS.values()) | set(CACHED.values())
    assert said - set(catalogue("zh")) == set()


def docstrings(text: str) -> list[str]:
    return re.findall('"""(.*?)"""', text, re.DOTALL)


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_in_chinese_asks_for_the_same_program(name: str) -> None:
    with speaking("zh"):
        text = in_words(EXERCISES[name])
    assert "填写" in text
    plain, translated = (re.sub('""".*?"""', "", one, flags=re.DOTALL) for one in (in_words(EXERCISES[name]), text))
    assert plain == translated
