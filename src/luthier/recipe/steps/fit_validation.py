"""Step 4: fit the validation set. Dropout, L2, batch norm and width as populations (S4-22 to S4-44)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np

from luthier.population import Member
from luthier.recipe.evidence import by_setting, in_words, paired_gain, summary
from luthier.recipe.steps.fit_training import Setting, schedule_named, shape_words
from luthier.recipe.work import Trained, Work
from luthier.records import Decision, Option
from luthier.seeds import derive

NO_PENALTY = 0.0


def dropout_rates(name: str, layers: int) -> tuple[float, ...]:
    """The probability to drop of each hidden layer; "last" starts at the last one (S4-24).

    >>> dropout_rates("last 0.25", 3), dropout_rates("all 0.5", 2), dropout_rates("none", 1)
    ((0.0, 0.0, 0.25), (0.5, 0.5), (0.0,))
    """
    if name == "none":
        return (0.0,) * layers
    place, probability = name.split()
    p = float(probability)
    return (p,) * layers if place == "all" else (0.0,) * (layers - 1) + (p,)


def fit_validation(work: Work, start: Setting) -> Setting:
    """Close the gap to the validation set, from the setting that fitted the training set."""
    hidden = start.member.spec.hidden
    for factor in work.plan.width_factors:
        for batch_norm in work.plan.batch_norms:
            widths = tuple(max(1, round(width * factor)) for width in hidden)
            name = f"validate-{'x'.join(map(str, widths))}{'-bn' if batch_norm else ''}"
            members = _members(work, start, widths, batch_norm)
            work.train(name, "fit validation", work.plan.fit_validation, start.method, start.rule, members)
    populations = [trained for trained in work.trained if trained.stage == "fit validation"]
    if not populations:
        work.ledger.decide(
            Decision(4, "regularisation", "none", "the time was up before any remedy could be tried"),
        )
        return start
    return _choose(work, start, populations)


def _members(work: Work, start: Setting, hidden: tuple[int, ...], batch_norm: bool) -> list[Member]:
    spec = work.spec(start.method, hidden, batch_norm=batch_norm)
    layers, rows = len(hidden), len(work.data.training)
    placements = list(dict.fromkeys((dropout_rates(name, layers), name) for name in work.plan.dropouts))
    distinct = dict(reversed(placements))  # one layer: "last" and "all" are the same
    return [
        replace(
            start.member,
            spec=spec,
            seed=derive(work.seed, "member", k),
            schedule=schedule_named(start.member.schedule.kind, work.plan.fit_validation.steps),
            dropout=rates,
            l2=penalty * rows,  # the documents' lambda is divided by n: the plan holds lambda / n (S1-91)
            label=f"dropout {name}, λ/n {penalty:g}, seed {k}",
        )
        for rates, name in sorted(distinct.items())
        for penalty in work.plan.penalties
        for k in range(work.plan.seeds)
    ]


def _choose(work: Work, start: Setting, populations: list[Trained]) -> Setting:
    settings = {
        (trained.name, index): float(trained.validation_loss[index])
        for trained in populations
        for index in trained.usable()[:1]
    }
    name, index = min(settings, key=lambda key: settings[key])
    best = next(trained for trained in populations if trained.name == name)
    _explain(work, start, populations, best.members[index])
    return Setting(best.method, best.rule, best.members[index], settings[name, index], float(best.train_loss[index]))


def _explain(work: Work, start: Setting, populations: list[Trained], winner: Member) -> None:
    rows = [
        (member, loss)
        for trained in populations
        for member, loss in zip(trained.members, trained.validation_loss, strict=True)
    ]
    losses = [float(loss) for _, loss in rows]
    factors: dict[str, tuple[list[Hashable], Hashable, Hashable]] = {
        "dropout": (
            [_dropout_words(m.dropout) for m, _ in rows],
            _dropout_words(winner.dropout),
            _dropout_words((0.0,)),
        ),
        "L2": (
            [_penalty_words(m.l2, len(work.data.training)) for m, _ in rows],
            _penalty_words(winner.l2, len(work.data.training)),
            _penalty_words(0.0, 1),
        ),
        "batch norm": (
            ["on" if m.dense.batch_norm else "off" for m, _ in rows],
            "on" if winner.dense.batch_norm else "off",
            "off",
        ),
        "width": (
            [shape_words(m.spec.hidden) for m, _ in rows],
            shape_words(winner.spec.hidden),
            shape_words(start.member.spec.hidden),
        ),
    }
    for topic, (levels, chosen, reference) in factors.items():
        others = [other for key, (other, _, _) in factors.items() if key != topic]
        seeds = [member.seed for member, _ in rows]
        blocks: list[Hashable] = list(zip(*others, seeds, strict=True))
        _decide(work, topic, losses, levels, blocks, chosen, reference)


def _decide(
    work: Work,
    topic: str,
    losses: list[float],
    levels: list[Hashable],
    blocks: list[Hashable],
    chosen: Hashable,
    reference: Hashable,
) -> None:
    gain = paired_gain(losses, levels, blocks, reference)
    groups = by_setting(losses, levels)
    if len(groups) == 1:
        reason = "the budget left room for this one alone"
    elif chosen == reference:
        reason = "no other option gave a lower validation loss together with the rest"
    else:
        reason = f"it belongs to the best setting; alone it gains {in_words(gain(chosen))}"
    work.ledger.decide(
        Decision(
            step=4,
            topic=topic,
            chosen=str(chosen),
            reason=reason,
            options=tuple(
                Option(
                    str(level),
                    {
                        "best": round(float(np.nanmin(values)), 5) if np.isfinite(values).any() else None,
                        **summary(values),
                        "members": len(values),
                        **({} if level == reference else {"gain over " + str(reference): gain(level)}),
                    },
                )
                for level, values in groups.items()
            ),
            evidence={"measured": "validation loss; gains are paired, all else equal, with 95 % half widths"},
        )
    )


def _dropout_words(rates: tuple[float, ...]) -> str:
    if not any(rates):
        return "none"
    return f"all layers {rates[0]:g}" if rates[0] and len(rates) > 1 else f"last layer {rates[-1]:g}"


def _penalty_words(penalty: float, rows: int) -> str:
    return "none" if not penalty else f"λ/n = {penalty / rows:.0e}"
