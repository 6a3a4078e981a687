import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

import rnnwidget as rw
from rnnwidget.widgets import answer_lane
from rnnwidget.widgets.answer_lane import AnswerLane, Question
from tests.widgets.models import classifier_and_batch


class Causal(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(answer_lane, "PAUSE", 0.0)


def question(number, before, after=None, steps=3, before_of=None):
    return Question(number, "answer", None, steps, before, after, before_of or object(), steps)


def told_of(inspector):
    inspector._changes._lane.join(30)
    return inspector._page.score.lane


def floats(data):
    return np.frombuffer(data, "<f4")


def counting(*values):
    return lambda: ((read + 1, value) for read, value in enumerate(values))


def test_the_line_is_told_at_its_end():
    told = []
    lane = AnswerLane(told.append, lambda: True)
    lane.ask(question(7, counting(1.0, 2.0, 3.0), counting(4.0, 5.0, 6.0)))
    lane.join(30)
    assert told[-1]["number"] == 7
    assert told[-1]["done"]
    assert floats(told[-1]["before"]).tolist() == [1, 2, 3]
    assert floats(told[-1]["after"]).tolist() == [4, 5, 6]


def test_a_newer_question_ends_an_older_one():
    told, beyond, begun, go_on = [], [], threading.Event(), threading.Event()

    def slow():
        yield 1, 0.0
        begun.set()
        go_on.wait(30)
        yield 2, 0.0
        beyond.append(3)

    lane = AnswerLane(told.append, lambda: True)
    lane.ask(question(1, slow))
    assert begun.wait(30)
    lane.ask(question(2, counting(9.0, 9.0, 9.0)))
    go_on.set()
    lane.join(30)
    assert {frame["number"] for frame in told} == {2}
    assert beyond == []


def test_nothing_is_worked_out_until_somebody_looks():
    told, looking = [], []
    lane = AnswerLane(told.append, lambda: bool(looking))
    lane.ask(question(1, counting(1.0, 2.0, 3.0)))
    lane.join(30)
    assert told == []
    looking.append(True)
    lane.wake()
    lane.join(30)
    assert told[-1]["done"]


def test_the_line_before_is_worked_out_once():
    runs, told = [], []
    lane = AnswerLane(told.append, lambda: True)

    def before():
        runs.append(1)
        return counting(1.0, 2.0, 3.0)()

    same = object()
    for number in (1, 2):
        lane.ask(question(number, before, counting(0.0, 0.0, float(number)), before_of=same))
        lane.join(30)
    assert runs == [1]
    assert floats(told[-1]["before"]).tolist() == [1, 2, 3]


def test_an_error_is_the_reason_that_is_shown():
    told = []
    lane = AnswerLane(told.append, lambda: True)

    def failing():
        raise ValueError("it reads from the end")
        yield

    lane.ask(question(3, failing))
    lane.join(30)
    assert told == [{"number": 3, "reason": "it reads from the end"}]


def test_the_lane_is_the_answer_to_every_beginning(inspect):
    torch.manual_seed(1)
    model, x = Causal().eval(), torch.randn(2, 6, 3)
    inspector = inspect(model, inputs=x, logits=True, labels=["no", "yes"])
    inspector.sequence = 1
    edit = rw.shift("forget_gate", 3.0, steps=slice(2, 4))
    inspector.edits = [edit]
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    lane = told_of(inspector)
    assert lane["number"] == inspector._page.score._frame["answer_number"]
    assert (lane["label"], lane["done"]) == ("P(yes)", True)
    for read in range(1, 7):
        for name, edits in (("before", []), ("after", [edit])):
            with torch.no_grad(), rw.edited(model, *edits):
                expected = torch.softmax(model(x[:, :read])[1], dim=0)[1]
            assert floats(lane[name])[read - 1] == pytest.approx(float(expected), abs=1e-6)


def test_a_model_that_reads_from_the_end_says_so(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    inspector._page.score._drawn = 1
    assert told_of(inspector)["reason"].startswith("layer 0← reads from the end of the sequence")


def test_no_lane_without_a_page(inspect):
    inspector = inspect(Causal(), inputs=torch.randn(1, 4, 3))
    inspector.edits = [rw.clamp("forget_gate", 1.0)]
    assert told_of(inspector) == {}
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    assert told_of(inspector)["done"]


def test_a_question_that_gave_way_is_answered_from_the_beginning():
    told, asked, begun, go_on = [], [], threading.Event(), threading.Event()

    def slow():
        asked.append(1)
        yield 1, 1.0
        begun.set()
        go_on.wait(30)
        yield 2, 2.0
        yield 3, 3.0

    lane = AnswerLane(told.append, lambda: True)
    lane.ask(question(4, slow))
    assert begun.wait(30)
    lane.defer()
    go_on.set()
    lane.join(30)
    assert len(asked) == 2
    assert told[-1]["done"]
    assert floats(told[-1]["before"]).tolist() == [1, 2, 3]


ENDING = """
import threading
from rnnwidget.widgets.answer_lane import AnswerLane, Question

begun = threading.Event()

def line():
    for read in range(1, 10**9):
        begun.set()
        yield read % 3 + 1, 0.0

lane = AnswerLane(lambda told: None, lambda: True, pause=0.0)
lane.ask(Question(1, "answer", None, 3, line, None, object(), 3))
assert begun.wait(30)
"""


def test_a_script_that_ends_meanwhile_ends_well():
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
