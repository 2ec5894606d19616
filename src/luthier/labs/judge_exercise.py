"""Judge an exercise in a process of its own, since an answer is a program: it may print, fail, or never end.

python -m luthier.labs.judge_exercise NAME FILE     prints the judgement as one line of JSON
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from luthier.errors import InputError
from luthier.labs.exercise import Exercise, Judgement, judge
from luthier.labs.exercises import exercise_named
from luthier.messages import Message

PATIENCE = 60.0  # seconds for what takes one


def judged_apart(exercise: Exercise, path: Path, *, seconds: float = PATIENCE) -> Judgement:
    """Run a filled-in file as a program of the user's, with the user's rights, and judge it. What it prints goes to
    the terminal, as errors do. InputError where there is no such file."""
    if not path.is_file():
        raise InputError(
            Message("there is no file '{path}'", path=path),
            remedy=Message("write it first: luthier lab exercise {name} -o {path}", name=exercise.name, path=path),
        )
    command = [sys.executable, "-m", "luthier.labs.judge_exercise", exercise.name, str(path)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        template = "the file was not done after {seconds:g} s: is there a loop without an end?"
        return Judgement(False, Message(template, seconds=seconds))
    try:
        right, sentence = json.loads(done.stdout.splitlines()[-1])
        return Judgement(bool(right), Message.of_data(sentence))
    except (IndexError, ValueError, TypeError):
        template = "the file ended the process that ran it, with exit code {code}"
        return Judgement(False, Message(template, code=done.returncode))


def _main(name: str, path: str) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        judgement = judge(exercise_named(name), Path(path))
    print(json.dumps([judgement.right, judgement.sentence.as_data()]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
