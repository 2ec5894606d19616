"""Formulas: a small part of TeX's notation as MathML, which browsers typeset without a library.

Letters, numbers, signs, `_` and `^`, braces, and the commands below are known.
"""

from __future__ import annotations

import re
from html import escape

_LETTERS = {"infty": "∞", "nabla": "∇", "partial": "∂", "Sigma": "Σ", "alpha": "α", "beta": "β", "gamma": "γ"}
_LETTERS |= {"delta": "δ", "epsilon": "ε", "eta": "η", "lambda": "λ", "mu": "μ", "rho": "ρ", "sigma": "σ", "pi": "π"}
_SIGNS = {"cdot": "⋅", "times": "×", "odot": "⊙", "to": "→", "gets": "←", "le": "≤", "ge": "≥", "sim": "∼", "in": "∈"}
_SIGNS |= {"approx": "≈", "dots": "…", "sum": "∑", "pm": "±"}
_WORDS = ("ln", "exp", "max", "min", "log", "sgn", "cos", "floor")
_ACCENTS = {"hat": "^", "tilde": "~", "bar": "¯"}
_TOKEN = re.compile(r"\\text\{[^}]*\}|\\[a-zA-Z]+|\d+(?:\.\d+)?|\s+|.")


def mathml(formula: str) -> str:
    r"""A formula as a `<math>` element. ValueError for a command that is not known.

    >>> mathml(r"a = \sqrt2")
    '<math display="block"><mi>a</mi><mo>=</mo><msqrt><mn>2</mn></msqrt></math>'
    >>> mathml("w_j^2").count("msubsup")
    2
    """
    tokens = [token for token in _TOKEN.findall(formula) if not token.isspace()]
    body = _row(tokens)
    if tokens:
        raise ValueError(f"'{formula}': a brace closes that was not opened")
    return f'<math display="block">{body}</math>'


def _row(tokens: list[str]) -> str:
    """All up to a closing brace or the end."""
    result = []
    while tokens and tokens[0] != "}":
        result.append(_scripted(tokens))
    return "".join(result)


def _scripted(tokens: list[str]) -> str:
    """An atom with what is written below and above it."""
    base, below, above = _atom(tokens), "", ""
    while tokens and tokens[0] in ("_", "^", "'"):
        mark = tokens.pop(0)
        if mark == "'":
            base = f'<mrow>{base}<mo lspace="0" rspace="0">′</mo></mrow>'
        elif mark == "_":
            below = _atom(tokens)
        else:
            above = _atom(tokens)
    if below and above:
        return f"<msubsup>{base}{below}{above}</msubsup>"
    if below:
        return f"<msub>{base}{below}</msub>"
    return f"<msup>{base}{above}</msup>" if above else base


def _atom(tokens: list[str]) -> str:
    """A letter, number, sign, group or command."""
    token = tokens.pop(0)
    if token == "{":
        inside = _row(tokens)
        tokens.pop(0)
        return f"<mrow>{inside}</mrow>"
    if token.startswith("\\text{"):
        return f"<mtext>{escape(token[6:-1])}</mtext>"
    if token.startswith("\\"):
        return _command(token[1:], tokens)
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if token.isalpha():
        return f"<mi>{token}</mi>"
    if token in "()[]|":
        return f'<mo stretchy="false">{token}</mo>'
    return f"<mo>{escape({'-': '−'}.get(token, token))}</mo>"


def _command(name: str, tokens: list[str]) -> str:
    if name == "frac":
        return f"<mfrac>{_atom(tokens)}{_atom(tokens)}</mfrac>"
    if name == "sqrt":
        return f"<msqrt>{_atom(tokens)}</msqrt>"
    if name in _ACCENTS:
        return f"<mover>{_atom(tokens)}<mo>{_ACCENTS[name]}</mo></mover>"
    if name in _WORDS:
        return f'<mi>{name}</mi><mspace width="0.17em"/>'
    if name == "quad":
        return '<mspace width="1.2em"/>'
    if name in _LETTERS:
        return f"<mi>{_LETTERS[name]}</mi>"
    if name in _SIGNS:
        return f"<mo>{_SIGNS[name]}</mo>"
    raise ValueError(f"'\\{name}' is not a known command")
