"""Step 4: fit the validation set. The ladder of remedies for the gap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from luthier.recipe.decisions.decision import finite
from luthier.recipe.decisions.gates import GapEvidence
from luthier.recipe.decisions.input_encoding import encoding_name
from luthier.recipe.decisions.remedy import NoRemedyEvidence
from luthier.recipe.ladder import Fitted, Ladder
from luthier.recipe.options import penalty_options
from luthier.recipe.plan import VALIDATION_RUNGS, WIDEST
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.recipe.steps import for_pictures, for_text
from luthier.recipe.steps.fit_training import shape_words
from luthier.recipe.steps.more_rows import ask_for_more_rows
from luthier.records import Finding

PROBABILITIES = (0.25, 0.35, 0.5)  # from a quarter towards a half, over several trials (S4-24)
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)  # lambda / n, so that they mean the same for every number of rows (S1-91)
DECAYS = (0.01, 0.1)
CLIPS = (0.5, 5.0)
NOISES, MIXUP = (0.1, 0.3), 0.2  # deviations of standardised numbers; the a of Beta(a, a)
NOISE = 2.0  # standard errors by which training and validation loss may differ


def fit_validation(runner: Runner, fitted: Fitted) -> Setting:
    """Climb the ladder of step 4 from the setting that fitted the training set."""
    planned, carried = runner.plan.fit_validation, list(fitted.near_misses)
    ladder = Ladder(runner, 4, "fit validation", "validate", planned, near_misses=carried, spread=fitted.spread)
    ladder.going_on = fitted.standing
    if ladder.begin(fitted.setting) is None:
        runner.ledger.decide(4, NoRemedyEvidence())
        return fitted.setting
    climbs = {"table": _climb_table, "pictures": for_pictures.climb_validation, "text": for_text.climb_validation}
    climbs[runner.problem.medium](runner, ladder)
    assert ladder.standing is not None
    if "more rows" in runner.plan.validation_rungs and not ladder.cut:
        ask_for_more_rows(runner, ladder.standing)
    _gate(runner, ladder)
    return ladder.standing.setting


def _climb_table(runner: Runner, ladder: Ladder) -> None:
    for rung in VALIDATION_RUNGS[1:]:
        if rung.name == "together":
            ladder.together()
        elif rung.name in runner.plan.validation_rungs and rung.name != "more rows" and ladder.standing is not None:
            ladder.climb(rung.name, list(_options(rung.name, ladder.standing.setting, runner)))


def dropout_rates(place: str, probability: float, layers: int) -> tuple[float, ...]:
    """The probability to drop of each hidden layer; outputs are never dropped.

    >>> dropout_rates("last", 0.25, 3), dropout_rates("all", 0.5, 2)
    ((0.0, 0.0, 0.25), (0.5, 0.5))
    """
    return (probability,) * layers if place == "all" else (0.0,) * (layers - 1) + (probability,)


def _options(name: str, now: Setting, runner: Runner) -> Iterator[Setting]:
    problem = runner.problem
    member, spec = now.member, now.member.dense
    layers = len(spec.hidden)
    if name.startswith("dropout"):
        place = "last" if "last" in name else "all"
        for p in PROBABILITIES if place == "last" or layers > 1 else ():
            changed = replace(member, dropout=dropout_rates(place, p, layers))
            yield replace(now, member=changed, label=f"dropout {p:g} in the {place} layer{'s' * (place == 'all')}")
    elif name == "L2":
        yield from penalty_options(now, len(problem.data.training), PENALTIES, DECAYS)
    elif name == "input normalisation":
        for method in runner.plan.methods if problem.data.training.numbers.shape[1] else ():
            if method != now.method:
                inputs = problem.prepared(method)[1].features.shape[1]
                changed = replace(member, spec=replace(spec, inputs=inputs))
                yield replace(now, method=method, member=changed, label=encoding_name(method))
    elif name == "batch norm":
        yield replace(now, member=replace(member, spec=replace(spec, batch_norm=True)), label="batch norm")
        yield replace(now, member=replace(member, spec=replace(spec, layer_norm=True)), label="layer norm")
    elif name == "augmentation":
        for noise in NOISES if spec.inputs else ():
            yield replace(now, member=replace(member, noise=noise), label=f"noise {noise:g}")
        yield replace(now, member=replace(member, mixup=MIXUP), label=f"mix-up {MIXUP:g}")
    elif name == "clipping":
        for norm in CLIPS:
            yield replace(now, member=replace(member, clip_norm=norm), label=f"gradient norm at most {norm:g}")
    else:
        for hidden in _shapes(spec.hidden):
            place = "all" if sum(p > 0 for p in member.drop_rates) > 1 else "last"
            dropout = dropout_rates(place, max(member.drop_rates), len(hidden)) if any(member.drop_rates) else ()
            residual = len(hidden) > 1 and len(set(hidden)) == 1
            changed = replace(member, dropout=dropout, spec=replace(spec, hidden=hidden, residual=residual))
            yield replace(now, member=changed, label=shape_words(hidden))


def _shapes(hidden: tuple[int, ...]) -> list[tuple[int, ...]]:
    half, double = (tuple(max(4, min(WIDEST, round(units * factor))) for units in hidden) for factor in (0.5, 2))
    return [half, double, (*hidden, hidden[-1])]


def _gate(runner: Runner, ladder: Ladder) -> None:
    """Whether validation and training loss differ by more than noise, and what that says of the architecture."""
    standing = ladder.standing
    assert standing is not None
    rows = standing.rows.mean(0)
    noise = float(rows.std(ddof=1) / len(rows) ** 0.5)
    evidence = GapEvidence(finite(standing.training), standing.loss, finite(noise), NOISE)
    closed = runner.ledger.decide(4, evidence)
    tried = len([name for name in runner.plan.validation_rungs if name not in ("start", "more rows")])
    if not closed and not ladder.kept and not ladder.cut and tried >= 3:
        above = f"the validation loss is {standing.loss - standing.training:.3g} above the training loss"
        sentence = f"none of {tried} remedies gained more than the noise, and {above}"
        remedy = "use fewer columns, more rows, or a different architecture"
        runner.ledger.find(
            Finding("re-examine-architecture", "note", sentence, evidence.to_json(), remedy, "S4-42"), step=4
        )
