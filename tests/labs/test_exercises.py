"""Every exercise: the right answer passes, usual mistakes fail, each with the sentence that says which it is."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest
from tests.cli.program import luthier

from luthier.errors import ConfigError, InputError
from luthier.labs.exercise import Judgement, judge
from luthier.labs.exercises import EXERCISES, exercise_named, hand_out
from luthier.labs.judge_exercise import judged_apart

ADAM = """\
beta1, beta2, mean, square = hyper["beta1"], hyper["beta2"], state["mean"], state["square"]
mean.mul_(beta1).add_((1 - beta1) * G)
square.mul_(beta2).add_((1 - beta2) * G**2)
first, second = mean / (1 - beta1**step), square / (1 - beta2**step)
P.sub_(hyper["rate"] * first / (second.sqrt() + hyper["epsilon"]))"""
BATCH_NORM = """\
centred = Z - Z.mean(1, keepdims=True)
return gamma * centred / np.sqrt((centred**2).mean(1, keepdims=True) + epsilon) + beta"""
RIGHT = {
    "softmax": "t = np.exp(z - z.max(0))\nreturn t / t.sum(0)",
    "bp1": "return (a - y) * sigmoid_prime(z)",
    "bp2": "return (w.T @ delta) * sigmoid_prime(z)",
    "bp3": "return delta.sum(1, keepdims=True)",
    "bp4": "return delta @ a.T",
    "adam": ADAM,
    "dropout": "return H * (rng.random(H.shape) >= p) / (1 - p)",
    "batch-norm": BATCH_NORM,
}
WRONG = {  # an answer, and words of the sentence that it gets
    "softmax": {
        "t = np.exp(z)\nreturn t / t.sum(0)": "scores of 1000 give NaN",
        "t = np.exp(z)\nreturn t / t.sum()": "each column has a sum of its own",
        "return z / z.sum(0)": "the exponential is missing",
    },
    "bp1": {
        "return a - y": "the slope of the sigmoid is missing",
        "return (y - a) * sigmoid_prime(z)": "the sign is wrong",
        "return 2 * (a - y) * sigmoid_prime(z)": "a factor of one half",
    },
    "bp2": {
        "return (w @ delta) * sigmoid_prime(z)": "not transposed",
        "return w.T @ delta": "the slope of the sigmoid is missing",
        "return 3 * (w.T @ delta) * sigmoid_prime(z)": "it gives",
    },
    "bp3": {
        "return delta.sum(1)": "keep it a column",
        "return delta.mean(1, keepdims=True)": "the mean over samples",
        "return delta": "its own column",
    },
    "bp4": {
        "return a @ delta.T": "it is transposed",
        "return delta @ a.T / a.shape[1]": "the mean over samples",
        "return delta * a": "entry by entry",
    },
    "adam": {
        ADAM.replace("mean / (1 - beta1**step), square / (1 - beta2**step)", "mean, square"): "no moment is corrected",
        ADAM.replace('second.sqrt() + hyper["epsilon"]', '(second + hyper["epsilon"]).sqrt()'): "outside the root",
        ADAM.replace("G**2", "G.abs()"): "follow G squared",
    },
    "dropout": {
        "return H * (rng.random(H.shape) >= p)": "not scaled",
        "return H * (rng.random(H.shape) < p) / p": "p is the probability to drop",
        "return H * (rng.random((len(H), 1)) >= p) / (1 - p)": "all samples share one mask",
    },
    "batch-norm": {
        BATCH_NORM.replace("(1, ", "(0, "): "mean and variance are each sample's",
        BATCH_NORM.replace("return gamma * centred", "return centred").replace(" + beta", ""): "scale and shift",
        BATCH_NORM.replace(
            "np.sqrt((centred**2).mean(1, keepdims=True) + epsilon)", "(Z.std(1, keepdims=True) + epsilon)"
        ): ("epsilon is added to the root"),
    },
}


def answered(name: str, answer: str, folder: Path) -> Path:
    """The file as it is handed out, its blank filled in."""
    path = folder / "answer.py"
    path.unlink(missing_ok=True)
    hand_out(exercise_named(name), path)
    text = path.read_text()
    assert text.count("    ...\n") == 1
    path.write_text(text.replace("    ...\n", indent(answer, "    ") + "\n"))
    return path


def judged(name: str, answer: str, folder: Path) -> Judgement:
    return judge(exercise_named(name), answered(name, answer, folder))


@pytest.mark.parametrize("name", EXERCISES)
def test_the_right_answer_passes(name: str, tmp_path: Path) -> None:
    judgement = judged(name, RIGHT[name], tmp_path)
    assert judgement.right, judgement.sentence


@pytest.mark.parametrize(
    ("name", "answer", "words"), [(name, *one) for name, wrong in WRONG.items() for one in wrong.items()]
)
def test_a_usual_mistake_is_called_by_its_name(name: str, answer: str, words: str, tmp_path: Path) -> None:
    judgement = judged(name, answer, tmp_path)
    assert not judgement.right
    assert words in judgement.sentence


@pytest.mark.parametrize("name", EXERCISES)
def test_a_blank_is_not_an_answer(name: str, tmp_path: Path) -> None:
    for blank in ("...", "pass", "return ..."):
        judgement = judged(name, blank, tmp_path)
        assert not judgement.right
        assert "blank" in judgement.sentence


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("return np.exp(z", "is not Python"),
        ("return np.exq(z)", "line 11 fails with AttributeError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("return np.zeros((2, 2))", "shape (2, 2); expected: (4, 3)"),
        ("return 'shares'", "it gives a str"),
        ("z -= z.max(0)\nreturn np.exp(z) / np.exp(z).sum(0)", "`z` is changed on the way"),
    ],
)
def test_whatever_a_file_does_there_is_a_sentence(answer: str, words: str, tmp_path: Path) -> None:
    judgement = judged("softmax", answer, tmp_path)
    assert not judgement.right
    assert words in judgement.sentence


def test_a_file_without_the_function_is_said(tmp_path: Path) -> None:
    path = tmp_path / "answer.py"
    path.write_text("def sofmax(z):\n    return z\n")
    assert "no function `softmax`" in judge(exercise_named("softmax"), path).sentence


def test_rules_of_the_contract_are_said_as_well(tmp_path: Path) -> None:
    judgement = judged("adam", ADAM + "\nreturn P", tmp_path)
    assert judgement.sentence.startswith("the steps are Adam's, but update returns something")


def test_an_answer_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    bp3 = exercise_named("bp3")
    path = answered("bp3", "print('here')\n" + RIGHT["bp3"], tmp_path)
    assert judged_apart(bp3, path) == Judgement(True, f"right: {bp3.title}")
    answered("bp3", "import os\nos._exit(7)", tmp_path)
    assert "exit code 7" in judged_apart(bp3, path).sentence
    path.write_text("while True:\n    pass\n")
    assert "was not done after" in judged_apart(bp3, path, seconds=0.5).sentence
    with pytest.raises(InputError, match="there is no file"):
        judged_apart(bp3, tmp_path / "nothing.py")


def test_an_answer_is_not_written_over(tmp_path: Path) -> None:
    path = answered("bp3", RIGHT["bp3"], tmp_path)
    with pytest.raises(InputError, match="may hold an answer"):
        hand_out(exercise_named("bp3"), path)
    with pytest.raises(ConfigError, match="softmax"):
        exercise_named("sotfmax")


def test_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    assert "dropout" in luthier("lab", "exercise").stdout
    assert "written to" in luthier("lab", "exercise", "BP1", "-o", path).stdout
    done = luthier("lab", "exercise", "bp1", "--check", path)
    assert (done.returncode, done.stdout) == (1, "not yet: a blank is left: put the formula where `...` stands\n")
    answered("bp1", RIGHT["bp1"], tmp_path)
    done = luthier("lab", "exercise", "bp1", "--check", tmp_path / "answer.py")
    assert (done.returncode, done.stdout) == (0, "right: BP1: the error of the output layer\n")
