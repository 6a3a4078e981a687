import subprocess
import sys
import threading

import ipywidgets
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import rnnwidget as rw
from rnnwidget.widgets import answer_lane
from rnnwidget.widgets import inspector as inspector_module
from rnnwidget.widgets.answer_lane import AnswerLane, Asked, Question
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
    asked = Question(("answer",), None, steps, before, after, before_of or object(), steps)
    return Asked(number, lambda: asked)


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
    assert (lane["labels"], lane["picked"], lane["done"]) == (["P(no)", "P(yes)"], 1, True)
    for read in range(1, 7):
        for name, edits in (("before", []), ("after", [edit])):
            with torch.no_grad(), rw.edited(model, *edits):
                expected = torch.softmax(model(x[:, :read])[1], dim=0)
            assert floats(lane[name]).reshape(2, 6)[:, read - 1] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_model_that_reads_from_the_end_says_so(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    inspector._page.score._drawn = 1
    assert told_of(inspector)["reason"].startswith("layer 0← reads from the end of the sequence")


@pytest.mark.parametrize(
    ("answer", "reason", "in_place"),
    [
        (lambda output: 1 / 0, "answer= failed: ZeroDivisionError", True),
        (lambda output: None, "answer= failed: TypeError: answer must return a number", True),
        (lambda output: ipywidgets.HTML(), "the answer is a widget: there is no number to follow", False),
        (lambda output: {}, "answer= gave no number", True),
        (lambda output: {str(float(output[0, 0])): 1.0}, "go by different names: there is nothing to compare", True),
    ],
)
def test_an_answer_without_a_line_says_why_and_in_its_own_place_where_it_is_empty(inspect, answer, reason, in_place):
    inspector = inspect(Causal(), inputs=torch.randn(2, 4, 3), answer=answer)
    inspector.edits = [rw.shift("forget_gate", 3.0)]
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    lane, frame = told_of(inspector), inspector._page.score._frame
    assert lane["number"] == frame["answer_number"]
    assert reason in lane["reason"]
    assert frame["answer"] is None
    assert frame["answer_error"] == (lane["reason"] if in_place else "")


def test_an_output_without_a_number_says_what_to_do(inspect):
    class Worded(Causal):
        def forward(self, x):
            return "yes" if super().forward(x)[0, 0] > 0 else "no"

    inspector = inspect(Worded(), inputs=torch.randn(2, 4, 3))
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    reason = "the output holds no number: answer= can say what the answer is"
    assert (told_of(inspector)["reason"], inspector._page.score._frame["answer_error"]) == (reason, reason)


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
    with lane.deferred():
        go_on.set()
    lane.join(30)
    assert len(asked) == 2
    assert told[-1]["done"]
    assert floats(told[-1]["before"]).tolist() == [1, 2, 3]


ENDING = """
import threading
from rnnwidget.widgets.answer_lane import AnswerLane, Asked, Question

begun = threading.Event()

def line():
    for read in range(1, 10**9):
        begun.set()
        yield read % 3 + 1, 0.0

lane = AnswerLane(lambda told: None, lambda: True, pause=0.0)
lane.ask(Asked(1, lambda: Question(("answer",), None, 3, line, None, object(), 3)))
assert begun.wait(30)
"""


def test_a_script_that_ends_meanwhile_ends_well():
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


class Forecaster(nn.Module):
    """A value for each step and channel; ``centred`` makes it look at the whole of its input."""

    def __init__(self, channels=2, centred=False):
        super().__init__()
        self.rnn, self.head, self.centred = nn.GRU(3, 5, batch_first=True), nn.Linear(5, channels), centred

    def forward(self, x):
        states = self.rnn(x)[0]
        if isinstance(states, PackedSequence):
            return PackedSequence(self.head(states.data), *states[1:])
        return self.head(states - states.mean(1, keepdim=True) if self.centred else states)


def lane_of(inspector):
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    return told_of(inspector)


def lines(lane, name):
    return floats(lane[name]).reshape(len(lane["labels"]), lane["steps"])


def series_after(model, x, read, edits, sequence=0):
    """The values of the last step of a run on the first steps only."""
    with torch.no_grad(), rw.edited(model, *edits):
        return model(x[:, :read])[sequence, -1]


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_forecast_has_its_values_of_every_step_beside_the_truth(inspect, channels, centred):
    torch.manual_seed(2)
    model, x, truth = Forecaster(channels, centred), torch.randn(3, 7, 3), torch.randn(3, 7, channels)
    inspector = inspect(model, inputs=x, targets=truth)
    inspector.sequence = 1
    edit = rw.shift("update_gate", 2.0, steps=slice(2, 5))
    inspector.edits = [edit]
    lane = lane_of(inspector)
    assert (lane["done"], lane["series"], lane["limits"]) == (True, True, None)
    assert lane["labels"] == (["output"] if channels == 1 else ["output 0", "output 1"])
    np.testing.assert_allclose(lines(lane, "truth"), truth[1].T)
    for read in range(1, 8):
        for name, edits in (("before", []), ("after", [edit])):
            expected = series_after(model, x, read, edits, sequence=1)
            np.testing.assert_allclose(lines(lane, name)[:, read - 1], expected, atol=1e-6)


def test_a_forecast_in_packed_sequences_ends_where_each_of_them_ends(inspect):
    torch.manual_seed(3)
    model, x, lengths = Forecaster(), torch.randn(3, 6, 3), [3, 6, 4]
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    inspector = inspect(model, inputs=packed, targets=torch.randn(3, 6, 2))
    inspector.edits = [rw.shift("update_gate", 2.0)]
    for sequence, length in enumerate(lengths):
        inspector.sequence = sequence
        lane = lane_of(inspector)
        assert (lane["reason"], lane["steps"]) == ("", length)
        own = x[sequence : sequence + 1]
        for name, edits in (("before", []), ("after", inspector.edits)):
            expected = [series_after(model, own, read, edits) for read in range(1, length + 1)]
            np.testing.assert_allclose(lines(lane, name).T, torch.stack(expected), atol=1e-6)


def test_a_forecast_that_does_not_grow_with_the_input_is_refused_with_a_reason(inspect):
    class Ahead(Forecaster):
        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    inspector = inspect(Ahead(channels=6), inputs=torch.randn(2, 6, 3), targets=torch.randn(2, 6))
    assert "after 1 step the output is 2 × 6: it does not have one value for each step" in lane_of(inspector)["reason"]


def test_a_forecast_of_another_span_is_followed_by_its_error(inspect):
    class Ahead(Forecaster):
        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    torch.manual_seed(4)
    model, x, truth = Ahead(channels=4), torch.randn(2, 6, 3), torch.randn(2, 4)
    lane = lane_of(inspect(model, inputs=x, targets=truth))
    assert lane["labels"] == ["error (RMS)"]
    for read in range(1, 7):
        error = (model(x[:, :read])[0] - truth[0]).square().mean().sqrt().item()
        assert lines(lane, "before")[0, read - 1] == pytest.approx(error, abs=1e-6)


def test_numbers_with_names_have_their_truth_beside_them(inspect):
    torch.manual_seed(5)
    model, x, truth = Forecaster(3), torch.randn(1, 6, 3), torch.randn(1, 6, 3)
    lane = lane_of(inspect(model, inputs=x, targets=truth, labels=["low", "middle", "high"]))
    assert sorted(lane["labels"]) == ["high", "low", "middle"]
    wanted = [["low", "middle", "high"].index(label) for label in lane["labels"]]
    np.testing.assert_allclose(lines(lane, "truth"), truth[0].T[wanted])
    np.testing.assert_allclose(lines(lane, "before"), model(x)[0].T[wanted].detach(), atol=1e-6)


def test_a_sequence_that_is_shorter_than_others_has_a_lane_of_its_own_length(inspect):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, packed):
            return self.rnn(packed)[1][0]

    torch.manual_seed(6)
    model, x = Last(), torch.randn(6, 2, 3)
    inspector = inspect(model, inputs=pack_padded_sequence(x, [2, 6], enforce_sorted=False))
    lane = lane_of(inspector)
    assert (lane["reason"], lane["steps"]) == ("", 2)
    for read in (1, 2):
        alone = model(pack_padded_sequence(x[:read, :1], [read]))[0].detach()
        order = [int(label.removeprefix("output ")) for label in lane["labels"]]
        np.testing.assert_allclose(lines(lane, "before")[:, read - 1], alone[order], atol=1e-6)


@pytest.mark.parametrize("steps", [4, 8])
@pytest.mark.parametrize(
    ("model", "more"),
    [
        (Causal(), {}),
        (Forecaster(1), {"targets": torch.randn(2, 6, 1)}),
        (Forecaster(2), {"targets": torch.randn(2, 6, 2)}),
    ],
)
def test_each_line_is_that_of_its_own_input(inspect, model, more, steps):
    torch.manual_seed(7)
    x, other = torch.randn(2, 6, 3), torch.randn(2, steps, 3)
    inspector = inspect(model, inputs=x, **more)
    inspector.inputs = other
    lane = lane_of(inspector)
    assert (lane["reason"], lane["steps"], lane["truth"]) == ("", steps, None)

    assert lane["new_steps"] == list(range(6, steps))
    assert "error" not in inspector._page.score._frame["answer"]["headline"]

    def answer(of, read):
        with torch.no_grad():
            return model(of[:, :read])[0].reshape(-1, len(lane["labels"]))[-1]

    for read in range(1, steps + 1):
        np.testing.assert_allclose(lines(lane, "after")[:, read - 1], answer(other, read), atol=1e-6)
        before = answer(x, read) if read <= 6 else torch.full((len(lane["labels"]),), torch.nan)
        np.testing.assert_allclose(lines(lane, "before")[:, read - 1], before, atol=1e-6)


def trained(model, x, steps=3):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(steps):
        optimiser.zero_grad()
        model(x).square().sum().backward()
        optimiser.step()


@pytest.mark.parametrize("edits", [[], [rw.shift("forget_gate", 2.0)]])
def test_the_picture_is_made_again_once_the_calls_of_a_training_loop_have_ended(inspect, monkeypatch, edits):
    monkeypatch.setattr(inspector_module, "LONG_PAUSE", 0.05)
    torch.manual_seed(2)
    model, x = Causal(), torch.randn(2, 6, 3)
    inspector = inspect(model)
    inspector.edits = edits
    trained(model, x)
    seen = inspector.output.detach().clone()
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    lane = told_of(inspector)
    with torch.no_grad(), rw.edited(model, *edits):
        now = model(x)
    torch.testing.assert_close(inspector.output, now)
    assert not torch.allclose(seen, now)
    frame = inspector._page.score._frame
    assert (lane["number"], lane["done"]) == (frame["answer_number"], True)
    label = lane["labels"].index(frame["answer"]["labels"][frame["answer"]["picked"]])
    line = floats(lane["after"] if edits else lane["before"]).reshape(-1, 6)[label]
    assert line[-1] == pytest.approx(float(now[0, label]), abs=1e-5)


def test_a_dial_that_is_looked_at_after_training_has_a_picture_of_the_model_as_it_is(inspect):
    model, x = Causal(), torch.randn(2, 6, 3)
    inspector = inspect(model, inputs=x)
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    told_of(inspector)
    first = inspector._page.score._frame["version"]
    inspector._page.score._track = {"site": "forget_gate", "kind": "shift", "look": 1, "idle": False}
    assert inspector._page.score._frame["version"] == first
    trained(model, x)
    inspector._page.score._track = {"site": "forget_gate", "kind": "shift", "look": 2, "idle": False}
    torch.testing.assert_close(inspector.output, model(x).detach())
    assert inspector._page.score._frame["version"] == first + 1


class Writes(nn.Module):
    """Keeps a weight where a mask has it, in its forward."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(20000, 50), nn.LSTM(50, 5), nn.Linear(5, 2)

    def forward(self, words):
        with torch.no_grad():
            self.head.weight.mul_(1.0)
        return self.head(self.lstm(self.embedding(words))[0][-1])


@pytest.mark.parametrize("loss", [None, lambda output: output.sum()])
def test_nothing_is_made_again_where_nobody_trains(inspect, loss):
    torch.manual_seed(0)
    inspector = inspect(Writes(), inputs=torch.randint(0, 20000, (6, 1)), loss=loss)
    inspector.edits = [rw.shift("forget_gate", 1.0)]
    version = inspector._page.score._frame["version"]
    inspector._page.score._drawn = version
    assert told_of(inspector)["done"]
    assert inspector._page.score._frame["version"] == version


def test_a_model_that_moves_on_and_on_is_answered_for_as_it_was_once(inspect):
    model, x = Causal(), torch.randn(2, 6, 3)
    inspector = inspect(model, inputs=x)
    made = []

    def edited(edits, real=inspector._probe.edited):
        made.append(real(edits))
        with torch.no_grad():
            model.head.weight.add_(0.1)
        return made[-1]

    inspector._probe.edited = edited
    with torch.no_grad():
        model.head.weight.add_(0.1)
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    assert told_of(inspector)["done"]
    assert len(made) == 1


def test_an_answer_that_is_a_widget_or_fails_is_made_again_after_training_too(inspect, monkeypatch):
    monkeypatch.setattr(inspector_module, "LONG_PAUSE", 0.05)
    model, x = Causal(), torch.randn(2, 6, 3)
    inspector = inspect(model, answer=lambda output: output.no_such_thing)
    trained(model, x)
    inspector._page.score._drawn = inspector._page.score._frame["version"]
    told_of(inspector)
    torch.testing.assert_close(inspector.output, model(x), atol=1e-6, rtol=1e-5)
