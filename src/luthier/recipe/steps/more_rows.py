"""Step 4: would more training rows help? The learning curve over their number."""

from __future__ import annotations

import torch

from luthier.assess import more_rows
from luthier.population import Part
from luthier.recipe.ladder import Standing, seeded
from luthier.recipe.work import Work
from luthier.records import Decision, Option
from luthier.seeds import derive, torch_generator

SHARES = (1 / 8, 1 / 4, 1 / 2)
FEWEST = 40


def more_rows_in_words(helps: bool) -> str:
    """The answer."""
    return "yes" if helps else "not clearly"


def _some(part: Part, rows: int, seed: int) -> Part:
    """The first rows of a fixed order, so that a larger part holds the smaller ones."""
    order = torch.randperm(len(part), generator=torch_generator(seed, "some rows"))[:rows]
    return part.rows(order)


def ask_for_more_rows(work: Work, standing: Standing) -> None:
    """Train the standing setting on parts of the training rows, and follow the losses on to twice as many."""
    setting, rows = standing.setting, len(work.data.training)
    sizes, losses = [], []
    _, training, validation = work.prepared(setting.method)
    for share in SHARES:
        count = round(share * rows)
        if count < FEWEST:
            continue
        planned = work.plan.fit_validation.for_batches(setting.batch_size, work.plan.batch_size)
        seeds = [derive(work.seed, "member", k) for k in range(work.plan.seeds)]
        members = seeded(setting, seeds, planned.steps, f"{count} rows")
        trained = work.train(
            f"validate-rows-{count}",
            "fit validation",
            planned,
            setting.method,
            setting.rule,
            members,
            batch_size=min(setting.batch_size, count),
            parts=(_some(training, count, work.seed), validation),
        )
        if trained is None or "cut" in trained.statuses or len(trained.usable()) < len(members):
            return
        sizes.append(count)
        losses.append([float(loss) for loss in trained.validation_loss])
    if len(sizes) < 2:
        return
    found = more_rows([*sizes, rows], [*losses, [float(loss) for loss in standing.rows.mean(1)]])
    law = found["law"]
    gain = f"{found['gain']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    work.ledger.decide(
        Decision(
            step=4,
            topic="would more rows help?",
            chosen=more_rows_in_words(found["helps"]),
            reason=f"by the power law through the losses, twice as many rows would lower the loss by {gain}, "
            f"from {found['now']:.4f} towards a floor of {law['floor']:.4f}",
            options=tuple(
                Option(f"{size} rows", {"loss": round(sum(values) / len(values), 5), "seeds": len(values)})
                for size, values in zip(found["rows"], found["losses"], strict=True)
            ),
            evidence=found,
            rule="would gain clear of nothing",
        )
    )
