"""What a cell means: numbers, dates and words as people write them, each to its value."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_series_equal

from luthier.data import TableEncoder, Unread, encode_target, infer_columns, infer_task, read_source, target_values
from luthier.data.typed_columns.columns import Column
from luthier.data.typed_columns.levels import Levels
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.data.typed_columns.parsing import MOMENTS, NUMBERS, WORD_MARKS, CellParser
from luthier.errors import ConfigError, InputError


def column(cells: list[Any], override: str = "", **options: Any) -> Column:
    frame = pl.DataFrame({"x": pl.Series(cells, **options)})
    return infer_columns(frame, target="", overrides={"x": override} if override else {})[0]


def numbers(cells: list[Any], override: str = "") -> list[float | None]:
    result = column(cells, override)
    assert result.kind == "number"
    return result.cells.values(pl.Series("x", cells)).to_list()


WRITTEN = {
    "thousands": (["1,163.74", "12.5", "2,345,678"], [1163.74, 12.5, 2345678.0], "',' stands between thousands"),
    "currency": (["$1,200", "-$85", "$-3"], [1200.0, -85.0, -3.0], "'$' is left out"),
    "a code of currency": (["EUR 5", "EUR 12", "EUR 7.5"], [5.0, 12.0, 7.5], "'EUR' is left out"),
    "per cent": (["12.5%", "3 %", "-1%"], [12.5, 3.0, -1.0], "'%' is left out"),
    "decimal comma": (["0,85", "1,2", "-3,125"], [0.85, 1.2, -3.125], "decimal mark is a comma"),
    "point and comma": (["1.234,56", "999,00", "2.345"], [1234.56, 999.0, 2345.0], "'.' stands between thousands"),
    "apostrophes": (["1'234.5", "12", "1\u2019000"], [1234.5, 12.0, 1000.0], "stands between thousands"),
    "blanks": (["1\u202f234,5", "12", "1 000"], [1234.5, 12.0, 1000.0], "stands between thousands"),
    "brackets": (["(1,234)", "56", "(7)"], [-1234.0, 56.0, -7.0], "brackets mean a minus"),
    "unit": (["12 kg", "1.5kg", "3 kg"], [12.0, 1.5, 3.0], "'kg' is left out"),
    "any unit, after a blank": (["3 stars", "5 stars", "4.5 stars"], [3.0, 5.0, 4.5], "'stars' is left out"),
    "minus sign": (["\u22123.5", "2", "\u22121"], [-3.5, 2.0, -1.0], "its values are numbers"),
    "times of day": (["12:30", "0:00:05.5", "23:59"], [45000.0, 5.5, 86340.0], "seconds since midnight"),
    "half days": (["1:30 PM", "11:15 am", "12:00 AM"], [48600.0, 40500.0, 0.0], "seconds since midnight"),
    "lengths of time": (["30:15:00", "2 days 03:00:00", "0:00:01"], [108900.0, 183600.0, 1.0], "count in seconds"),
    "Indian thousands": (["₹1,23,456.70", "₹12,345", "₹99"], [123456.7, 12345.0, 99.0], "'₹' is left out"),
    "brackets within": (["$(1,234.50)", "$56", "$(7)"], [-1234.5, 56.0, -7.0], "brackets mean a minus"),
    "minus after": (["1234.50-", "56", "7-"], [-1234.5, 56.0, -7.0], "a minus may stand after"),
    "no fraction": (["CHF 3'000.-", "CHF 12.–", "CHF 7.50"], [3000.0, 12.0, 7.5], "'CHF' is left out"),
    "magnitudes": (["1.2K", "3M", "450", "2.5bn"], [1200.0, 3e6, 450.0, 2.5e9], "K, M and B stand for thousands"),
    "money": (["$1.2M", "$500k", "$3B"], [1.2e6, 5e5, 3e9], "K, M and B"),
    "sizes of files": (["12KB", "3MB", "1.5GB"], [12e3, 3e6, 1.5e9], "K, M and B"),
    "metres": (["5 m", "7.5 m", "12 m"], [5.0, 7.5, 12.0], "'m' is left out"),
    "wide signs": (["￥１，２００", "￥３５", "－￥７．５"], [1200.0, 35.0, -7.5], "'¥' is left out"),
    "Chinese units": (["1200元", "35元", "7.5元"], [1200.0, 35.0, 7.5], "'元' is left out"),
    "Chinese magnitudes": (["1.2万", "3亿", "450"], [12000.0, 3e8, 450.0], "K, M and B"),
    "powers": (["1,5e3", "2,5E-4", "3,0"], [1500.0, 2.5e-4, 3.0], "decimal mark is a comma"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_as_people_write_them(name: str) -> None:
    cells, wanted, message = WRITTEN[name]
    assert numbers(cells * 3) == wanted * 3
    assert numbers(cells * 3, "number") == wanted * 3
    assert message in column(cells * 3).sentence()
    task = infer_task(pl.Series("y", cells * 9), override="regression")
    assert target_values(pl.Series("y", cells), task).to_list() == wanted


@pytest.mark.parametrize(
    "cells",
    [
        ["A1", "A2", "A3"],
        ["5a", "6b", "7a"],
        ["1.2.3", "4.5.6", "7.8.9"],
        ["12 kg", "3 g", "1 kg"],
        ["59:30", "1:02:30", "0:45"],
    ],
)
def test_what_is_no_number_stays_text(cells: list[str]) -> None:
    assert column(cells * 8).kind == "category"


@pytest.mark.parametrize(
    "mark",
    [
        "n/a",
        "N/A",
        "None",
        "-",
        "<NA>",
        "NaN",
        "null",
        "#DIV/0!",
        "#N/A",
        "?",
        " ",
        ".",
        "\\N",
        "(null)",
        "n.d.",
        "1.#IND",
        "No data",
        "暂无",
    ],
)
@pytest.mark.parametrize("blank", ["", " "])
def test_marks_among_numbers_are_missing(mark: str, blank: str) -> None:
    cells = ["1.5", "2", f"{blank}{mark}{blank}", "3"]
    assert numbers(cells * 5) == [1.5, 2.0, None, 3.0] * 5
    if mark.strip():
        assert f"'{mark}' counts as missing (5 cells)" in column(cells * 5).sentence()


def test_marks_among_words() -> None:
    """A level may be called None or -; what programs alone write is missing. Both are said."""
    assert column(["a", "b", "c", "\\N", "(null)"] * 5).cells.word("\\N") is None
    result = column(["NA", "a", "None", "-", "b"] * 5)
    assert "4 levels; 'NA' counts as missing (5 cells)" in result.reason
    assert result.cells.words(pl.Series(["NA", "None", " a ", "", None])).to_list() == [None, "None", "a", None, None]


def test_numbers_that_are_asked_for() -> None:
    cells = ["1.5", "about 5", "2", "?"] * 5
    assert column(cells).kind != "number"
    result = column(cells, "number")
    assert "5 cells that are not numbers, such as 'about 5', count as missing" in result.reason
    assert result.cells.values(pl.Series(["about 7", "3"])).to_list() == [None, 3.0]
    mixed = column(["12 kg", "3 lb", "7 kg"] * 5, "number")
    assert "'kg' is left out; 5 cells that are not numbers, such as '3 lb', count as missing" in mixed.reason
    with pytest.raises(ConfigError, match="none of its cells is a number"):
        column(["a", "b", "?"], "number")


def test_the_advice_beside_a_dropped_column_keeps_it() -> None:
    mixed = column([f"{k}.5" if k % 10 else f"about {k}" for k in range(100)])
    assert (mixed.kind, mixed.override) == ("identifier", "--column x=number")
    money = column([f"${k},500" if k % 10 else "call us" for k in range(1, 101)])
    assert (money.kind, money.override) == ("identifier", "--column x=number")
    assert column([f"k{k}" for k in range(100)]).override == "--column x=text"
    assert column(list(range(100))).override == "--column x=number"


NOON = dt.datetime(2021, 3, 13, 12, 30)
DATES = {
    "%Y-%m-%d %H:%M": 0.0,
    "%Y-%m-%dT%H:%M:%SZ": 0.0,
    "%Y-%m-%d %H:%M:%S+02:00": -2.0,
    "%Y-%m-%dT%H:%M:%S.%f": 0.0,
    "%Y-%m-%dT%H:%M:%S-0330": 3.5,
    "%m/%d/%Y %H:%M": 0.0,
    "%d/%m/%Y %H:%M:%S": 0.0,
    "%m/%d/%Y %I:%M %p": 0.0,
    "%d.%m.%Y %H:%M": 0.0,
    "%d-%b-%Y %H:%M": 0.0,
    "%B %d, %Y %H:%M": 0.0,
    "%m/%d/%y %H:%M": 0.0,
    "%d.%m.%y, %H:%M": 0.0,
    "%d-%b-%y %I:%M%p": 0.0,
    "%Y年%m月%d日 %H:%M": 0.0,
    "%Y-%m-%d %H:%M:%S UTC": 0.0,
    "%Y%m%dT%H%M%SZ": 0.0,
    "%Y-%m-%dT%H:%M:%S+01:00[Europe/Berlin]": -1.0,
    "%a, %d %b %Y %H:%M:%S GMT": 0.0,
    "%a %b %d %H:%M:%S -0330 %Y": 3.5,
    "%d/%b/%Y:%H:%M:%S +0200": -2.0,
}


@pytest.mark.parametrize("pattern", DATES)
def test_dates_as_people_write_them(pattern: str) -> None:
    moments = [NOON + dt.timedelta(hours=37 * k) for k in range(40)]
    cells = [moment.strftime(pattern) for moment in moments]
    result = column(cells)
    assert result.kind == "date"
    wanted = [moment + dt.timedelta(hours=DATES[pattern]) for moment in moments]
    assert result.cells.values(pl.Series(cells)).to_list() == wanted
    typed = pl.Series(wanted).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    assert result.cells.values(typed).to_list() == wanted
    iso = [moment.isoformat() for moment in wanted]  # a typed column, written by another program
    assert result.cells.values(pl.Series(iso)).to_list() == wanted


@pytest.mark.parametrize("form", ["%Y-%m", "%b %Y", "%B %Y", "%b-%y", "%m/%Y", "%Y年%m月"])
def test_a_month_is_not_taken_for_a_day(form: str) -> None:
    """The 20 of "Mar 2021" is not a day, nor 21 the year."""
    months = [dt.datetime(2019 + k // 12, k % 12 + 1, 1) for k in range(30)]
    result = column([month.strftime(form) for month in months])
    assert result.kind == "date"
    assert result.cells.values(pl.Series([month.strftime(form) for month in months])).to_list() == months


def test_seconds_are_rounded_once() -> None:
    """Typed and as text, and as Python divides: a division in Polars is a product with a rounded inverse."""
    lengths = [dt.timedelta(microseconds=37_123_457 * k) for k in range(500)]
    times = [(dt.datetime(2000, 1, 1) + length).time() for length in lengths]
    wanted = [length / dt.timedelta(seconds=1) for length in lengths]
    style = NumberStyle(clock=True)
    assert NUMBERS.values(pl.Series(lengths)).to_list() == wanted
    assert NUMBERS.values(pl.Series(times)).to_list() == wanted
    assert replace(NUMBERS, style=style).values(pl.Series([str(one) for one in times])).to_list() == wanted


@pytest.mark.parametrize(
    "cells", [[dt.timedelta(seconds=k) for k in range(40)], [dt.time(k // 60, k % 60) for k in range(40)]]
)
def test_a_target_may_be_a_length_of_time(cells: list[Any]) -> None:
    series = pl.Series("y", cells)
    task = infer_task(series)
    assert task.kind == "regression"
    assert "counts in seconds" in task.reason
    assert target_values(series, task).to_list() == [
        k * (1.0 if cells[1] == dt.timedelta(seconds=1) else 60.0) for k in range(40)
    ]


def test_years_of_two_digits_are_those_of_python() -> None:
    cells = ["01.02.68", "01.02.69", "31.12.99", "13.10.00"]
    result = column(cells * 3)
    wanted = [dt.datetime.strptime(cell, "%d.%m.%y") for cell in cells]
    assert result.cells.values(pl.Series(cells)).to_list() == wanted
    assert "taken for 1969 to 2068" in result.reason


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="'%Q' is not a format of dates"):
        column(["2021-03-01"] * 3, "date:%Q")


def test_whole_numbers_may_be_asked_to_be_dates() -> None:
    for cells in ([20210301, 20191231, 20200229], ["20210301", "20191231", "20200229"]):
        result = column(cells, "date")
        days = [dt.datetime.strptime(str(cell), "%Y%m%d") for cell in cells]
        assert result.cells.values(pl.Series(cells)).to_list() == days


def test_months() -> None:
    assert column(["2021-03", "2021-11", "?"] * 5).cells.values(pl.Series(["2021-03"])).to_list() == [
        dt.datetime(2021, 3, 1)
    ]


def test_days_that_could_be_months_are_said() -> None:
    cells = ["03/04/2021", "05/06/2021", "12/01/2020"]
    result = column(cells)
    assert "day and month may be the other way round: --column x=date:%d/%m/%Y" in result.reason
    assert result.cells.values(pl.Series(cells))[0] == dt.datetime(2021, 3, 4)
    assert column(cells, "date:%d/%m/%Y").cells.values(pl.Series(cells))[0] == dt.datetime(2021, 4, 3)
    assert "round" not in column([*cells, "13/01/2020"]).reason


def test_dates_by_their_format() -> None:
    result = column([20210313, 20210401, 20210402], "date:%Y%m%d")
    assert result.cells.values(pl.Series([20210313]))[0] == dt.datetime(2021, 3, 13)
    assert result.cells.values(pl.Series(["20210313"]))[0] == dt.datetime(2021, 3, 13)
    lenient = column(["1 Mar 21", "soon", "2 Apr 21"], "date:%d %b %y")
    assert "1 cells that are not dates, such as 'soon', count as missing" in lenient.reason
    with pytest.raises(ConfigError, match=r"none of its cells is a date(.|\n)*x=date:%d/%m/%Y"):
        column(["soon", "later"], "date")
    with pytest.raises(ConfigError, match="a format belongs to a date"):
        column(["a", "b"], "category:%d")


def test_dates_of_a_frame_then_of_a_file(tmp_path: Path) -> None:
    frame = pl.DataFrame({"day": [dt.date(2021, 1, 1) + dt.timedelta(k) for k in range(40)], "x": range(40)})
    encoder = TableEncoder.fit(frame, infer_columns(frame, target="x", overrides={}))
    frame.write_csv(tmp_path / "t.csv")
    assert encoder.encode(read_source(tmp_path / "t.csv").frame).numbers.equal(encoder.encode(frame).numbers)
    with pytest.raises(InputError, match=r"where training had dates(.|\n)*ISO 8601(.|\n)*'soon' in row 1"):
        encoder.encode(pl.DataFrame({"day": ["soon"]}))


def test_durations_and_times_of_day_are_numbers() -> None:
    hours = column([dt.timedelta(hours=k) for k in range(30)])
    assert (hours.kind, "durations, in seconds" in hours.reason) == ("number", True)
    assert hours.cells.values(pl.Series([dt.timedelta(minutes=1)])).to_list() == [60.0]
    clock = column([dt.time(k) for k in range(24)])
    for cell in ("01:00:30", dt.time(1, 0, 30)):
        assert clock.cells.values(pl.Series([cell])).to_list() == [3630.0]


TRUTHS = {"yes": 1.0, "Yes": 1.0, "TRUE": 1.0, "t": 1.0, "1.0": 1.0, "no": 0.0, "N": 0.0, "0": 0.0, "off": 0.0}


@pytest.mark.parametrize(
    "cells", [["Yes", "no"], ["True", "False"], ["Y", "N"], [1, 0], [True, False], ["on", "off"], ["1", "0"]]
)
def test_truths_in_every_spelling(cells: list[Any]) -> None:
    encoder = fitted(cells * 10)
    result = encoder.encode(pl.DataFrame({"x": list(TRUTHS)})).numbers[:, 0]
    assert result.tolist() == list(TRUTHS.values())
    for typed in ([True, False, None], [1, 0, 2], [1.0, 0.0, 0.5]):
        result = encoder.encode(pl.DataFrame({"x": typed})).numbers[:, 0]
        assert result[:2].tolist() == [1.0, 0.0]
        assert result[2].isnan()


def fitted(cells: list[Any], override: str = "") -> TableEncoder:
    frame = pl.DataFrame({"x": cells})
    overrides = {"x": override} if override else {}
    return TableEncoder.fit(frame, infer_columns(frame, target="", overrides=overrides))


def test_mixed_spellings_are_two_levels_where_all_are_truths() -> None:
    cells = ["Yes", "yes", "No", "no", "Y", "TRUE", "f"] * 5
    assert "spellings of yes and no, which count as two" in column(cells).reason
    assert fitted(cells).encode(pl.DataFrame({"x": cells[:7]})).numbers[:, 0].tolist() == [1, 1, 0, 0, 1, 1, 0]


def test_levels_that_differ_in_case_are_kept_apart_and_said() -> None:
    result = column(["Red", "red", "blue", "green"] * 10)
    assert result.kind == "category"
    assert "'Red' and 'red' are kept apart" in result.reason
    assert fitted(["Red", "red", "blue"] * 10).vocabularies["x"] == ("Red", "blue", "red")
    assert "'Yes' and 'yes' are kept apart" in column(["Yes", "yes"] * 10).reason


def test_a_word_that_training_did_not_have_is_missing_and_counted() -> None:
    encoder, unread = fitted(["male", "female"] * 10), Unread()
    result = encoder.encode(pl.DataFrame({"x": ["male", "female", "perhaps", None, "m"]}), unread=unread).numbers[:, 0]
    assert result[:2].tolist() == [1.0, 0.0]
    assert result[2:].isnan().all()
    assert list(unread.sentences()) == ["`x`: 2 cells are not in training, such as 'perhaps'; they count as unknown"]


@pytest.mark.parametrize(
    ("levels", "cell", "wanted"),
    [
        (["02134", "10001"], 2134, "02134"),
        (["02134", "10001"], 2134.0, "02134"),
        (["02134", "2134"], 2134, None),  # two levels have the value
        (["02134", "2134"], "2134", "2134"),  # as written
        (["1.0", "2.0"], 1, "1.0"),
        (["1", "2"], "1.0", "1"),
        (["1", "2"], 1.5, None),
        (["1e3", "2"], 1000, "1e3"),
        (["true", "false", "?!"], True, "true"),
        (["0", "1", "2"], True, "1"),
        (["2024-01-01", "2024-01-02"], dt.date(2024, 1, 1), "2024-01-01"),
        (["2024-01-01", "2024-01-02"], "2024-01-02T00:00:00Z", "2024-01-02"),
        ([str(10**17), str(10**17 + 1)], 10**17 + 1, str(10**17 + 1)),
        ([str(10**17), str(10**17 + 1)], 1e17, None),  # a float does not say which
        (["a", "b"], 1, None),
    ],
)
def test_a_typed_cell_means_the_level_of_its_value(levels: list[str], cell: Any, wanted: str | None) -> None:
    code = Levels(tuple(levels)).code(cell)
    assert code == (0 if wanted is None else 2 + levels.index(wanted))
    many = Levels(tuple(levels)).codes(pl.Series([cell] * 100))  # by distinct cells, where they are many
    assert many.tolist() == [code] * 100


def test_dictionaries_are_text() -> None:
    for kind in (pl.Categorical, pl.Enum(["x", "y", "z"])):
        two = pl.DataFrame({"x": pl.Series(["x", "y", None] * 10, dtype=kind)})
        encoder = TableEncoder.fit(two, infer_columns(two, target="", overrides={}))
        assert encoder.truths == {"x": ("x", "y")}
        assert encoder.encode(two).numbers[:2, 0].tolist() == [0.0, 1.0]


def test_text_of_scripts_without_blanks_is_text() -> None:
    letters = "电影很好看我们都喜欢这部它的音乐也不错"
    cells = [letters[k % 7 :] + letters[: k % 11] + str(k) for k in range(60)]
    assert column(cells).kind == "text"
    japanese = ["この映画はとても面白かったです" + letters[k % 13] + str(k) for k in range(60)]
    assert column(japanese).kind == "text"


def test_a_class_called_na_stays() -> None:
    series = pl.Series("y", ["AF", "EU", "NA", ""] * 10)
    task = infer_task(series)
    assert task.classes == ("AF", "EU", "NA")
    assert "'NA' is taken for a class" in task.reason
    assert target_values(series, task).null_count() == 10
    assert encode_target(series.head(3), task).tolist() == [0, 1, 2]


def test_classes_of_a_file_and_of_a_frame() -> None:
    """Text of a file has no types, so its whole numbers come back as numbers; a frame's text comes back as text."""
    cells = pl.Series("y", ["2", "3", "1", "n/a"] * 9)
    assert infer_task(cells, written=True).label_kind == "integer"
    assert infer_task(cells, written=True).classes == ("1", "2", "3")
    assert infer_task(cells).label_kind == "text"
    for written in (True, False):
        task = infer_task(cells, written=written)
        values = target_values(cells, task)
        assert values.null_count() == 9
        assert encode_target(pl.Series("y", [3.0, 2.0]), task).tolist() == [2, 1]
    codes = infer_task(pl.Series("y", ["01", "02", "10"] * 9), written=True)
    assert (codes.classes, codes.label_kind) == (("01", "02", "10"), "text")


def test_large_numbers_keep_their_digits() -> None:
    cells = [str(1_614_556_800_000 + k) for k in range(50)]
    result = fitted(cells, "number").encode(pl.DataFrame({"x": cells})).numbers[:, 0]
    assert result.tolist() == [float(cell) for cell in cells]
    task = infer_task(pl.Series("y", cells))
    assert encode_target(pl.Series("y", cells), task).tolist() == [float(cell) for cell in cells]


ODD = (  # cells beside those that are written as programs write them
    *(
        "",
        " ",
        "-",
        "NA",
        "+2021-03-01",
        "-2021-03-01",
        "12021-03-01",
        "2021-3-1",
        "2021-13-01",
        "2021-02-30",
        " 2021-03-01",
    ),
    *("2021-03-01 ", "2021- 3-01", "2021-03-01T", "2021-03-01T04:19", "2021-03-01 04:19:00.5", "2021-03-01 24:00:00"),
    *("2021-03-01T04:19:00.123456789", "2021-03-01T23:59:60Z", "2021-03-01T04:19:00Z", "2021-03-01 04:19:00 +02:00"),
    *(
        "2021-03-01T04:19:00+0200",
        "2021-03-01t04:19:00",
        "\u0662\u0660\u0662\u0661-03-01",
        "01.03.2021",
        "1.3.2021",
        "1.3.21",
    ),
    *(
        "03/01/2021",
        "13/01/2021",
        "1",
        "1.5",
        "1e3",
        "inf",
        "nan",
        "--5",
        "+5",
        "-5",
        "05",
        "1,234",
        "1,23",
        "12,345.5",
    ),
    *(
        "0,123",
        "1,234,5",
        "$5",
        "$-5",
        "-$5",
        "$ 5",
        "5$",
        "$1,234.5",
        "$.5",
        "$5.",
        "($5)",
        "\u22125",
        "1.234,5",
        "1.5,5",
    ),
    *("5 kg", "5kg", "5 kgkg", "$$5", "1'234", "1\u2019234", "1 234", "12:30"),
)
PARSERS = (
    *(replace(MOMENTS, pattern=pattern) for pattern in ("ISO 8601", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S%z")),
    NUMBERS,
    *(
        replace(NUMBERS, style=style)
        for style in (
            NumberStyle(thousands=",", before="$"),
            NumberStyle(",", "."),
            NumberStyle(before="$", brackets=True),
            NumberStyle(after=" kg"),
            NumberStyle(thousands="'"),
            NumberStyle(clock=True),
        )
    ),
)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.pattern or parser.style.in_words or "plain")
@pytest.mark.parametrize(
    "first", ["2021-03-01", "2021-03-01 04:19:00", "2021-03-01T04:19:00.5", "2021-03-01T04:19:00Z", "5"]
)
def test_what_is_read_at_one_look_has_the_same_value(parser: CellParser, first: str) -> None:
    cells = pl.Series("x", [first, None, *ODD])
    for fast, slow in zip(parser._read(cells), parser._read_slowly(cells), strict=True):
        assert_series_equal(fast, slow, check_exact=True, check_names=False)


def test_parsers_come_back() -> None:
    frame = pl.DataFrame(
        {
            "price": ["$1,200", "(3)", "n/a"] * 10,
            "when": ["03/04/2021", "05/06/2021", "?"] * 10,
            "sex": ["male", "female", "NA"] * 10,
            "zip": ["00501", "10001", "02134"] * 10,
        }
    )
    columns = infer_columns(frame, target="", overrides={"zip": "category"})
    encoder = TableEncoder.fit(frame, columns)
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    for one, other in zip(encoder.encode(frame).values(), again.encode(frame).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [column.cells for column in again.columns] == [column.cells for column in encoder.columns]
    assert set(WORD_MARKS) <= set(again.columns[2].cells.marks)


def test_a_target_whose_other_value_counts_as_missing_says_so() -> None:
    with pytest.raises(InputError, match="'b' in all 20 rows; 20 cells such as 'nan' count as missing"):
        infer_task(pl.Series("y", ["nan", "b"] * 20))


@pytest.mark.parametrize("first", [2**53, 10**15 * 9 + 10**17, 10**19, -(10**30)])
@pytest.mark.parametrize("typed", [False, True])
def test_whole_numbers_that_a_floating_point_number_cannot_hold_are_levels(first: int, typed: bool) -> None:
    """Neighbours beyond 2^53 are one floating-point number: thirty codes were fifteen, or one that every row has."""
    numbers = [first + k % 30 for k in range(300)]
    series = pl.Series("code", numbers, dtype=pl.Int128) if typed else pl.Series("code", list(map(str, numbers)))
    frame = series.to_frame()
    (column,) = infer_columns(frame, target="", overrides={})
    assert (column.kind, column.used) == ("category", True)
    assert "more digits than a number keeps" in column.reason
    encoder = TableEncoder.fit(frame, (column,))
    assert len(set(encoder.encode(frame).codes[:, 0].tolist())) == 30
    assert torch.equal(
        encoder.encode(frame).codes, encoder.encode(pl.DataFrame({"code": list(map(str, numbers))})).codes
    )


def test_large_numbers_far_apart_stay_numbers() -> None:
    nanoseconds = [1_614_556_800 * 10**9 + 12_345_678_901 * k % 10**12 for k in range(300)]
    (column,) = infer_columns(pl.DataFrame({"at": nanoseconds}), target="", overrides={})
    assert column.kind == "number"


@pytest.mark.parametrize("scale", [1e-320, 1e-160, 1e-31, 1e31, 1e160, 1e300])
def test_a_target_whose_scale_cannot_be_computed_with_is_refused(scale: float) -> None:
    """Squares of such numbers are 0 or infinite, and scores of them not numbers."""
    values = pl.Series("y", np.linspace(-1.5, 2.5, 50) * scale)
    with pytest.raises(InputError, match=r"numbers too (large|small)"):
        infer_task(values)
    assert infer_task(pl.Series("y", np.linspace(-1.5, 2.5, 50) * min(max(scale, 1e-28), 1e28))).kind == "regression"


def test_classes_that_differ_in_case_alone_are_said() -> None:
    task = infer_task(pl.Series("y", ["Yes", "yes", "No", "no "] * 10), written=True)
    assert task.classes == ("No", "Yes", "no", "yes")
    assert "'Yes' and 'yes' are classes of their own" in task.reason or "'No' and 'no'" in task.reason
