"""Studies in Optuna's storages: copies, live ones, shared by processes; and a Ray cluster that loses a worker."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import warm
from torch import nn

import luthier
from luthier.errors import InputError
from luthier.search import Trial, space_from
from luthier.search.optuna_file import close_storage, write_study_file
from luthier.search.optuna_studies import SharedStudy, mirror
from luthier.seeds import torch_generator

optuna = pytest.importorskip("optuna")
X = torch.randn(400, 6, generator=torch_generator(0, "storages"))
Y = (X[:, 0] + 0.5 * X[:, 1] > 0).long()
SPACE = {"learning_rate": (1e-3, 1.0), "rule": ["sgd", "adam"], "momentum": (0.5, 0.99), "units": [4, 8]}


def build(h: dict[str, Any]) -> nn.Module:
    return nn.Sequential(nn.Linear(6, h["units"]), nn.ReLU(), nn.Linear(h["units"], 2))


def tuned(**options: Any) -> luthier.Study:
    asked = {"trials": 12, "epochs": 9, "confirm": 0, "workers": 1, "tiers": False, **options}
    return luthier.tune(build, (X, Y), SPACE, **asked)


def stored(name: str, url: str) -> list[Any]:
    """A study's trials read back, its connections closed."""
    study = optuna.load_study(study_name=name, storage=url)
    trials = study.trials
    close_storage(study._storage)
    return trials


def by_number(result: luthier.Study) -> list[tuple[Any, ...]]:
    return [(t.number, repr(t.values), t.status, t.value, t.curve) for t in result.outcome.trials]


def test_study_db_is_the_study(tmp_path: Path) -> None:
    result = tuned(run=tmp_path / "run", trials=27, halving="successive")
    trials = stored("run", f"sqlite:///{tmp_path}/run/study.db")
    assert len(trials) == 27
    for theirs, ours in zip(trials, result.outcome.trials, strict=True):
        assert theirs.params == {name: value for name, value in ours.values.items() if name in SPACE}
        assert theirs.state.name == {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}[ours.status]
        assert theirs.intermediate_values == dict(ours.curve)
        assert theirs.user_attrs["seed"] == str(ours.seed)
        assert theirs.user_attrs.get("reason", "") == ours.reason
    study = optuna.create_study()
    study.add_trials(trials)
    assert optuna.importance.get_param_importances(study)


@pytest.mark.parametrize("live", [False, True])
def test_the_best_value_of_a_study_is_the_mean_that_is_reported(live: bool, tmp_path: Path) -> None:
    """Not the luckiest seed's, of the search or of its refits; they are there, and break a constraint by their luck."""
    url = f"sqlite:///{tmp_path}/live.db"
    result = tuned(run=tmp_path / "run", confirm=4, **({"storage": url, "study": "run"} if live else {}))
    study = optuna.load_study(study_name="run", storage=f"sqlite:///{tmp_path}/run/study.db")
    assert study.best_value == pytest.approx(result.value, rel=1e-12)
    assert study.best_params == {name: value for name, value in result.best.items() if name in SPACE}
    assert study.best_trial.user_attrs["stage"] == "measured"
    lucky = [t for t in study.trials if t.value is not None and t.value < result.value]
    assert lucky
    assert all(t.system_attrs["constraints"][0] == pytest.approx(result.value - t.value) for t in lucky)
    close_storage(study._storage)
    if live:
        shared = optuna.load_study(study_name="run", storage=url)
        refits = [t for t in shared.trials if t.user_attrs["stage"] in ("refit", "final")]
        assert shared.best_trial.number not in {t.number for t in refits}
        assert result.value in [t.value for t in shared.trials if t.user_attrs["stage"] == "measured"]
        close_storage(shared._storage)


def test_the_quick_copy_is_what_optuna_would_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna's tables are filled directly; where it has other tables, by its own calls. Both read back the same."""
    space = space_from(SPACE)
    trials = [
        Trial(0, space.default(), 7, "all", "complete", 0.5, 0.9, curve=[(1, 0.7), (2, 0.5)]),
        Trial(1, {**space.default(), "learning_rate": 5.0}, 8, "all", "pruned", 0.8, curve=[(1, 0.8)], reason="rank 2"),
        Trial(2, space.default(), 9, "all", "failed", curve=[(1, float("inf"))]),
        Trial(3, space.default(), 10, "all", "failed", 0.7, curve=[(1, 0.7)], reason="it was retired later"),
    ]
    mirror(tmp_path / "quick.db", "x", space, trials)
    monkeypatch.setattr("luthier.search.optuna_file._SCHEMA", -1)
    mirror(tmp_path / "slow.db", "x", space, trials)
    quick, slow = (stored("x", f"sqlite:///{tmp_path}/{name}.db") for name in ("quick", "slow"))
    for one, other in zip(quick, slow, strict=True):
        assert (one.state, one.values, one.params) == (other.state, other.values, other.params)
        assert (one.intermediate_values, one.distributions) == (other.intermediate_values, other.distributions)
        assert one.user_attrs == other.user_attrs
    assert quick[1].user_attrs["learning_rate"] == 5.0  # outside of its range: kept beside the parameters


def test_the_quick_copy_holds_any_number_and_any_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses that are not finite, and choices that Python takes for equal."""
    from optuna.distributions import CategoricalDistribution

    kinds = {"yes": CategoricalDistribution([False, True]), "one": CategoricalDistribution([0, 1])}
    curve = {1: 0.5, 2: float("nan"), 3: float("inf"), 4: float("-inf")}
    trials = [
        optuna.trial.create_trial(
            value=value, params={"yes": True, "one": 1}, distributions=kinds, intermediate_values=curve
        )
        for value in (0.5, float("inf"), float("-inf"))
    ]
    write_study_file(tmp_path / "quick.db", "x", trials)
    monkeypatch.setattr("luthier.search.optuna_file._SCHEMA", -1)
    write_study_file(tmp_path / "slow.db", "x", trials)
    quick, slow = (stored("x", f"sqlite:///{tmp_path}/{name}.db") for name in ("quick", "slow"))
    for one, other in zip(quick, slow, strict=True):
        assert (one.values, str(one.params)) == (other.values, str(other.params))
        assert str(one.distributions) == str(other.distributions)
        assert str(one.intermediate_values) == str(other.intermediate_values) == str(curve)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    pytest.importorskip("psycopg")
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not homes:
        pytest.skip("needs Debian's postgresql")
    # Outside of pytest's own folder, which each session closes to other users.
    folder = Path(tempfile.mkdtemp(prefix="luthier-postgres-"))
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    data, port = folder / "data", 40_000 + os.getpid() % 20_000
    subprocess.run(
        [*user, homes[-1] / "initdb", "-D", data, "-U", "me", "-A", "trust"], check=True, capture_output=True
    )
    options = f"-p {port} -k {folder} -c fsync=off"
    start = [*user, homes[-1] / "pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", "start"]
    subprocess.run(start, check=True, capture_output=True)
    yield f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
    subprocess.run(
        [*user, homes[-1] / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, capture_output=True
    )
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/live.db" if request.param == "sqlite" else request.getfixturevalue("postgres")


def test_a_live_study_has_the_same_trials(url: str) -> None:
    alone, live = tuned(), tuned(storage=url, study="one")
    assert by_number(alone) == by_number(live)
    trials = stored("one", url)
    assert [t.value for t in trials] == [t.value for t in alone.outcome.trials]
    assert all(t.state.is_finished() for t in trials)


def test_processes_share_a_study(url: str, tmp_path: Path) -> None:
    """Two processes, one study: as many trials as asked for in all, no number twice."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_storages as here\n"
        f"here.tuned(storage={url!r}, study='both', trials=24, seed=int(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", program]
    running = [warm.Popen([*command, seed], stderr=warm.PIPE) for seed in (1, 2)]
    said = [process.communicate(timeout=180)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    trials = stored("both", url)
    assert 24 <= len(trials) <= 24 + 32  # a round under way is brought to its end
    assert all(t.state.is_finished() for t in trials)
    assert len({t.number for t in trials}) == len(trials)


def test_a_study_of_another_space(url: str) -> None:
    SharedStudy(url, "other", space_from(SPACE), "me").close()
    with pytest.raises(InputError, match="searches another space"):
        SharedStudy(url, "other", space_from({"learning_rate": (1e-3, 0.1)}), "me")
    theirs = optuna.create_study(study_name="theirs", storage=url)
    theirs.ask()
    close_storage(theirs._storage)
    with pytest.raises(InputError, match="a study that was not made by Luthier"):
        SharedStudy(url, "theirs", space_from(SPACE), "me")


@pytest.mark.parametrize(
    "bad", ["postgresql+psycopg://me:secret@127.0.0.1:1/x", "nonsense", "sqlite:////no/such/folder/x.db"]
)
def test_a_storage_out_of_reach(bad: str) -> None:
    with pytest.raises(InputError, match="cannot be reached") as caught:
        tuned(storage=bad)
    assert "secret" not in str(caught.value)


def test_a_killed_live_study_goes_on_with_its_trials(tmp_path: Path) -> None:
    url, run, wanted = f"sqlite:///{tmp_path}/live.db", tmp_path / "run", 60
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_storages as here\n"
        f"here.tuned(storage={url!r}, study='one', trials={wanted}, sampler='tpe', run={str(run)!r})\n"
    )
    process = warm.Popen([sys.executable, "-c", program])
    journal = run / "journal.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b'"trained"') < 3):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = [t for t in stored("one", url) if t.state.is_finished()]
    assert 0 < len(before) < wanted
    result = tuned(storage=url, study="one", trials=wanted, sampler="tpe", run=run)
    after = stored("one", url)
    assert len(after) == wanted
    assert {t.number: t.value for t in before}.items() <= {t.number: t.value for t in after}.items()
    assert {t.state.name for t in after} == {"COMPLETE"}
    assert len(result.outcome.trials) == wanted


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_trials(cluster: Any, tmp_path: Path) -> None:
    options = {"halving": "successive", "trials": 18, "confirm": 2}
    here, there = tuned(**options), tuned(on="ray", **options)
    assert by_number(here) == by_number(there)


PORTS = """
import psutil
from luthier.search.cluster import Cluster
cluster = Cluster(None, None, 1)
family = [psutil.Process(), *psutil.Process().children(recursive=True)]
found = {c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == "LISTEN"}
cluster.close()
print(*sorted(ip.removeprefix("::ffff:") for ip in found))
"""


def test_a_cluster_of_ours_listens_on_loopback_alone() -> None:
    pytest.importorskip("ray")
    result = warm.run([sys.executable, "-c", PORTS], stdout=warm.PIPE, stderr=warm.PIPE, text=True)
    assert set(result.stdout.split()) == {"127.0.0.1"}, result.stderr


class Mortal(nn.Module):
    """Kills its process, once, in the middle of a training."""

    def __init__(self, mark: str, units: int, how: signal.Signals) -> None:
        super().__init__()
        self.mark, self.passes, self.how = mark, 0, how
        self.net = nn.Sequential(nn.Linear(6, units), nn.ReLU(), nn.Linear(units, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if self.mark and self.training and self.passes == 25 and not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), self.how)
        return self.net(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("on", "how"), [("ray", signal.SIGKILL), ("local", signal.SIGKILL), ("local", signal.SIGTERM)])
def test_a_lost_worker_is_replaced(
    on: str, how: signal.Signals, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if on == "ray":
        request.getfixturevalue("cluster")

    def search(mark: str, **options: Any) -> luthier.Study:
        return luthier.tune(
            lambda h: Mortal(mark, h["units"], how),
            (X, Y),
            {"learning_rate": (1e-3, 0.1), "units": [4, 8]},
            **{"trials": 6, "epochs": 6, "confirm": 0, "tiers": False, "layout": "looped", **options},
        )

    mark = tmp_path / "killed"
    whole = search("", workers=1)
    result = search(str(mark), on=on, workers=2)
    assert mark.exists()
    assert [t.value for t in result.outcome.trials] == [t.value for t in whole.outcome.trials]


def test_a_cluster_out_of_reach() -> None:
    """In a process of its own: this one may have a cluster already."""
    pytest.importorskip("ray")
    command = [sys.executable, "-m", "luthier", "tune", "wine", "--on", "127.0.0.1:1", "--trials", "2"]
    done = warm.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_search_json_is_plain(tmp_path: Path) -> None:
    tuned(run=tmp_path / "run", trials=3)
    assert json.loads((tmp_path / "run" / "search.json").read_text())["trials"] == 3


def test_the_dashboard_reads_it(tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    result = tuned(run=tmp_path / "run", trials=6)
    held = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/run/study.db")
    app, message = dashboard.wsgi(held), {}

    def answer(path: str) -> Any:
        asked = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80"}
        asked |= {"wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "QUERY_STRING": ""}
        body = b"".join(app(asked, lambda status, headers, *rest: message.update(status=status)))
        assert message["status"].startswith("200")
        return json.loads(body)

    (study,) = answer("/api/studies")["study_summaries"]
    assert study["study_name"] == "run"
    trials = answer(f"/api/studies/{study['study_id']}")["trials"]
    assert [trial["values"][0] for trial in trials] == pytest.approx([t.value for t in result.outcome.trials])
    close_storage(held)
