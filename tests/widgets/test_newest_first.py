"""What a person waits for comes before what the inspector works out by itself."""

import threading

import pytest
import torch
from torch import nn

import rnnwidget as rw
from rnnwidget.widgets import answer_lane, change_views

EDIT = rw.shift("forget_gate", 1.0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(answer_lane, "PAUSE", 0.0)


class Told(nn.Module):
    """Tells which threads have run it, its copies as well; ``held`` waits in it for ``go_on``."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 5), nn.Linear(5, 2)

    runs: list[str] = []  # noqa: RUF012
    held = threading.Event()
    go_on = threading.Event()

    def forward(self, x):
        Told.runs.append(threading.current_thread().name)
        if threading.current_thread().name == "held":
            Told.held.set()
            Told.go_on.wait(30)
        return self.head(self.lstm(x)[0][-1])


@pytest.fixture
def inspector(inspect):
    Told.held.clear()
    Told.go_on.clear()
    inspector = inspect(Told(), inputs=torch.randn(6, 1, 3), logits=True)
    Told.runs.clear()
    yield inspector
    Told.go_on.set()


def drawn(inspector):
    inspector._page.score._drawn = inspector._page.score._frame["version"]


def lane_of(inspector):
    inspector._changes._lane.join(30)
    return inspector._page.score.lane


def test_a_question_that_waited_for_the_model_is_not_run_once_there_is_a_newer_one(inspector):
    with inspector._probe.twin._lock:
        drawn(inspector)
        inspector._changes._lane.join(0.2)
        inspector.edits = [EDIT]
    assert lane_of(inspector)["done"]
    # Six beginnings, before and after.
    assert Told.runs.count("rnnwidget answer lane") == 12


def test_a_track_that_waited_for_the_model_is_not_run_once_it_was_given_up(inspector):
    with inspector._probe.twin._lock:
        inspector._page.score._track = {"site": "forget_gate", "kind": "shift", "look": 1, "idle": False}
        thread = inspector._tracks._tracks._thread
        thread.join(0.2)
        inspector._tracks.give_up()
    thread.join(30)
    assert Told.runs == []
    assert inspector._page.score._tracks == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda inspector: setattr(inspector, "edits", [rw.shift("forget_gate", 2.0)]),
        lambda inspector: setattr(inspector, "inputs", torch.randn(6, 1, 3)),
        lambda inspector: setattr(
            inspector._page.score,
            "_request",
            {"serial": 1, "layer": None, "units": None, "dials": {"forget_gate": {"kind": "shift", "value": 2.0}}},
        ),
    ],
)
def test_no_question_is_taken_up_while_a_run_goes_on_that_makes_another_of_it(inspector, monkeypatch, change):
    taken_up = []

    def question(twin, picture, *more, real=change_views.lane_question):
        taken_up.append(picture)
        return real(twin, picture, *more)

    monkeypatch.setattr(change_views, "lane_question", question)
    inspector.edits = [EDIT]
    changing = threading.Thread(target=change, args=(inspector,), name="held")
    changing.start()
    assert Told.held.wait(30)
    drawn(inspector)
    inspector._changes._lane.join(0.3)
    assert taken_up == []
    Told.go_on.set()
    changing.join()
    assert lane_of(inspector)["done"]
    assert taken_up == [inspector._picture]
