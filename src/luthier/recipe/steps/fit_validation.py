"""Step 4: fit the validation set. The ladder of remedies for the gap."""

from __future__ import annotations

from luthier.messages import Message
from luthier.recipe.decisions.decision import finite
from luthier.recipe.decisions.gates import GapEvidence
from luthier.recipe.decisions.remedy import NoRemedyEvidence
from luthier.recipe.ladder import Fitted, Ladder
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.recipe.steps import for_pictures, for_text
from luthier.records import Finding

NOISE = 2.0  # standard errors by which training and validation loss may differ


def fit_validation(runner: Runner, fitted: Fitted) -> Setting:
    """Climb the ladder of step 4 of pictures or text, from the setting that fitted the training set."""
    ladder = Ladder(runner, 4, "fit validation", "validate", runner.plan.fit_validation, spread=fitted.spread)
    ladder.going_on = fitted.standing
    if ladder.begin(fitted.setting) is None:
        runner.ledger.decide(4, NoRemedyEvidence())
        return fitted.setting
    climbs = {"pictures": for_pictures.climb_validation, "text": for_text.climb_validation}
    climbs[runner.problem.medium](runner, ladder)
    assert ladder.standing is not None
    _gate(runner, ladder)
    return ladder.standing.setting


def _gate(runner: Runner, ladder: Ladder) -> None:
    """Whether validation and training loss differ by more than noise, and what that says of the architecture."""
    standing = ladder.standing
    assert standing is not None
    rows = standing.rows.mean(0)
    noise = float(rows.std(ddof=1) / len(rows) ** 0.5)
    evidence = GapEvidence(finite(standing.training), standing.loss, finite(noise), NOISE)
    closed = runner.ledger.decide(4, evidence)
    tried = len([name for name in runner.plan.validation_rungs if name != "start"])
    if not closed and not ladder.kept and not ladder.cut and tried >= 3:
        sentence = Message(
            "none of {tried} remedies gained more than the noise, and the validation loss is {gap:.3g} above the "
            "training loss",
            tried=tried,
            gap=standing.loss - standing.training,
        )
        remedy = "use fewer columns, more rows, or a different architecture"
        runner.ledger.find(
            Finding("re-examine-architecture", "note", sentence, evidence.to_json(), remedy, "S4-42"), step=4
        )
