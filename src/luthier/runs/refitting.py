"""`luthier refit`: the delivered settings once more, on all rows, beside the judged model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier import storage
from luthier.assess import Register, open_test
from luthier.errors import InputError, LuthierError
from luthier.machine import torch_settings
from luthier.messages import Message
from luthier.recipe import Ledger, reread
from luthier.recipe.delivery.delivered_bags import DELIVERED, DeliveredBag
from luthier.recipe.refitted import Refitted, refitted
from luthier.recipe.rows.known_rows import keep_learnt
from luthier.recipe.rows.parts import parts_of
from luthier.records import noted
from luthier.report import write_report
from luthier.runs.belonging import require_model_of
from luthier.runs.screen import Screen, quiet_screen
from luthier.saved import Model, RunFolder, open_fit
from luthier.schema_types import Plain
from luthier.storage import home_folder
from luthier.untrusted import fitting_together, read_json


@torch_settings()
def refit(run: str | Path, *, screen: Screen | None = None, verbose: int = 0) -> Model:
    """Train the settings that a judged `run` delivered on all of its rows, the sealed ones too: `refitted.luthier`.

    As many networks are trained, from the same seeds, for the same epochs; their last or averaged weights count.
    Encoding, calibration and intervals are those of `model.luthier`, which stays the run's judged model: of the
    refitted one no score is known. From then on the run's sealed rows are open, in the run and in this machine's
    register, so that `test --again` and `branch --again` are refused. Called again, it returns the stored model.

    Raises InputError for a run that has not been judged, for one whose networks were stopped by validation rows (those
    of pictures, text, warm starts and budgets too short for any experiment) and for a distilled one; LuthierError, and
    nothing is kept, where the refitted model's answers lie farther from the judged one's than the answers of two of its
    networks lie apart. `screen` and `verbose` are as for `luthier.fit`.
    """
    screen = screen if screen is not None else quiet_screen(verbose)
    folder = open_fit(run)
    if not folder.scores.exists():
        raise InputError(
            Message("'{run}' has not been judged yet", run=run),
            remedy=Message("finish it first: luthier resume {run}", run=run),
        )
    if not folder.refitted.exists():
        with storage.held(folder.path), fitting_together(folder.path):
            _refit(folder)
    kept = folder.fit_facts()["refitted"]
    result = {"model": str(folder.refitted), **kept}
    screen.event("done", result=result, lines=["", *_lines(folder, kept)])
    return Model.load(folder.refitted)


def _lines(folder: RunFolder, kept: Mapping[str, Any]) -> list[str]:
    return [
        Message("{refitted}: {networks} networks, trained on all {rows:,} rows", refitted=folder.refitted, **kept),
        Message(
            "  its answers lie {disagreement:.3g} from the judged model's, two of whose networks lie "
            "{spread:.3g} apart",
            **kept,
        ),
        "  no score is known of it: that of the run is model.luthier's, and its sealed rows are open now",
    ]


def _refit(folder: RunFolder) -> None:
    bags = _delivered(folder)
    asked, read = reread(folder, "test")
    if asked.heads:
        raise InputError(
            Message("networks that several targets share are not refitted for one of them"),
            expected=Message("a run with networks of its own"),
            remedy=Message("fit the targets with --separate"),
        )
    model = Model.load(folder.bundle)
    require_model_of(read, model)
    parts, ledger = parts_of(read, asked, folder), Ledger.reopen(folder.ledger)
    rows = parts.training.joined(parts.validation)
    if len(parts.sealed):
        purpose = "to learn from them, for refitted.luthier: these rows are open from now on"
        rows = rows.joined(ledger.write(open_test(parts.sealed, purpose=purpose)))
    found = refitted(model, bags, rows, asked.seed)
    if not found.agrees:
        template = "the refitted model disagrees with the judged one: their answers lie {disagreement:.3g} apart"
        raise LuthierError(
            Message(template, disagreement=found.disagreement),
            expected=Message("at most {spread:.3g}, as two of the judged model's networks", spread=found.spread),
            remedy="use model.luthier, whose score is known; nothing was kept",
        )
    _keep(folder, found, len(rows), ledger)


def _keep(folder: RunFolder, found: Refitted, rows: int, ledger: Ledger) -> None:
    """First the rows are open, then the model is there."""
    register = Register.opened(home_folder()) if folder.trained_facts().get("registered") else Register.none()
    keep_learnt(folder, register)
    facts = {
        "rows": rows,
        "networks": len(found.model.nets),
        "disagreement": found.disagreement,
        "spread": found.spread,
    }
    sentence = Message(
        "refitted.luthier learns from all {rows:,} rows; the sealed ones are open from now on", rows=rows
    )
    ledger.add(noted(5, sentence))
    folder.update_facts(refitted=facts)
    found.model.save(folder.refitted)
    write_report(folder.path)


def _delivered(folder: RunFolder) -> list[DeliveredBag]:
    """The bags that a run delivered. InputError where it delivered something else."""
    path = folder.checkpoint / f"{DELIVERED}.json"
    kept: Any = read_json(path, Plain, "of a run's checkpoint") if path.exists() else {"kind": "", "bags": []}
    if not kept["bags"]:
        alone = {"distilled": "one network that was distilled on the training rows"}
        other = "networks that were stopped by validation rows" if path.exists() else "a run of an earlier version"
        raise InputError(
            Message("'{path}' cannot be refitted", path=folder.path),
            expected="a run whose networks were trained to their planned end",
            received=alone.get(kept["kind"], other),
            remedy="start a new run of a table with more time, without --warm-start and --distil",
        )
    return [DeliveredBag.from_json(one) for one in kept["bags"]]
