"""The answer along a dial: what is asked, in which order, and what makes it stop."""

import threading
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rnnwidget as rw
from rnnwidget.widgets import tracks
from rnnwidget.widgets.tracks import VALUES, coarse_first
from tests.widgets.models import Numbered, classifier_and_batch


@pytest.fixture
def case():
    model, batch, words = classifier_and_batch()
    return model, batch, words


@pytest.fixture
def inspector(inspect, case):
    model, batch, words = case
    return inspect(model, inputs=batch, tokens=words, loss=nn.CrossEntropyLoss(), targets=torch.tensor([0, 1, 0]))


def score_of(inspector):
    return inspector._page.score


def look(inspector, site, kind, look=[0], **more):  # noqa: B006 - counts the looks
    look[0] += 1
    score_of(inspector)._track = {"site": site, "kind": kind, "look": look[0], **more}


def finished(inspector, site):
    inspector._tracks.wait()
    return score_of(inspector)._tracks[site]


@given(st.integers(1, 60))
def test_every_beginning_spreads_over_the_range(count):
    places = coarse_first(count)
    assert sorted(places) == list(range(count))
    for known in range(2, count):
        gaps = sorted(places[:known])
        widest = max(after - before for before, after in pairwise(gaps))
        assert widest <= 4 * (count - 1) / (known - 1) + 1


@pytest.mark.parametrize(
    ("kind", "low", "high", "make"), [("shift", -6, 6, rw.shift), ("clamp", 0, 1, rw.clamp), ("scale", 0, 2, rw.scale)]
)
def test_a_track_is_the_answer_at_every_value(case, inspector, kind, low, high, make):
    model, batch, _ = case
    other = rw.shift("i", 1.0, layer="lstm.l1")
    inspector.edits = [other]
    inspector.layer, inspector.units, inspector.steps, inspector.sequence = "lstm.l0", [1, 3], (1, 4), 2
    look(inspector, "forget_gate", kind)
    track = finished(inspector, "forget_gate")
    assert track["done"]
    assert (track["kind"], track["name"], track["limits"]) == (kind, "P(1)", [0.0, 1.0])
    assert track["values"] == pytest.approx([low + place * (high - low) / 24 for place in range(VALUES)])
    for value, answer in zip(track["values"], track["answers"], strict=True):
        edit = make("f", value, layer="lstm.l0", units=[1, 3], steps=slice(1, 4))
        expected = torch.softmax(rw.intervene(model, batch, [other, edit]).output[2].detach(), dim=0)[1]
        assert answer == pytest.approx(expected.item(), abs=1e-5)


def test_the_answer_that_was_chosen_is_told_of_everywhere(case, inspect):
    model, batch, words = case
    inspector = inspect(
        model,
        inputs=batch,
        tokens=words,
        loss=nn.CrossEntropyLoss(),
        targets=torch.tensor([0, 1, 0]),
        labels=["a", "b"],
    )
    score, ripple = score_of(inspector), inspector.ripple()
    inspector.edits = [rw.shift("f", 2.0)]
    look(inspector, "forget_gate", "shift")
    assert finished(inspector, "forget_gate")["name"] == "P(b)"
    for chosen, other in ((score, ripple), (ripple, score)):
        for name, place in (("a", 0), ("b", 1)):
            chosen.told = name
            answer = score._frame["answer"]
            assert other.told == name
            assert answer["headline"].startswith(f"P({name})")
            assert answer["picked"] == place
            assert "forget_gate" not in score._tracks
            look(inspector, "forget_gate", "shift")
            assert finished(inspector, "forget_gate")["name"] == f"P({name})"
    score.told = "nobody"
    assert score._frame["answer"]["headline"].startswith("P(b)")


def test_a_dial_that_stands_somewhere_is_asked_as_if_it_stood_elsewhere(case, inspector):
    model, batch, _ = case
    inspector.edits = [rw.clamp("f", 0.5, layer="lstm.l0")]
    look(inspector, "forget_gate", "shift")
    track = finished(inspector, "forget_gate")
    expected = torch.softmax(rw.intervene(model, batch, [rw.shift("f", -6.0, layer="lstm.l0")]).output[0], dim=0)[1]
    assert track["answers"][0] == pytest.approx(expected.item(), abs=1e-5)


def test_moving_the_dial_itself_keeps_its_track_and_moving_another_drops_it(inspector):
    look(inspector, "forget_gate", "shift")
    whole = finished(inspector, "forget_gate")
    inspector.edits = [rw.shift("f", 2.0, layer="lstm.l0")]
    assert score_of(inspector)._tracks["forget_gate"] == whole
    inspector.edits = [rw.shift("f", 2.0, layer="lstm.l0"), rw.shift("i", 1.0, layer="lstm.l0")]
    assert score_of(inspector)._tracks == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda inspector: setattr(inspector, "sequence", 1),
        lambda inspector: setattr(inspector, "units", [2]),
        lambda inspector: setattr(inspector, "steps", (0, 2)),
        lambda inspector: setattr(inspector, "layer", "lstm.l1"),
        lambda inspector: setattr(score_of(inspector), "scope", {"units": "all", "layers": "all", "steps": "all"}),
        lambda inspector: setattr(inspector, "inputs", (inspector.inputs[0].roll(1, 0), inspector.inputs[1])),
    ],
)
def test_a_track_of_another_scope_sequence_or_input_is_dropped(inspector, change):
    look(inspector, "forget_gate", "shift")
    finished(inspector, "forget_gate")
    change(inspector)
    assert score_of(inspector)._tracks == {}


def test_a_step_of_an_optimiser_drops_the_tracks_at_the_next_look(case, inspector):
    model, _, _ = case
    look(inspector, "forget_gate", "shift")
    old = finished(inspector, "forget_gate")
    with torch.no_grad():
        model.head.weight.mul_(-3.0)
    look(inspector, "forget_gate", "shift")
    assert finished(inspector, "forget_gate")["answers"] != old["answers"]


@pytest.mark.parametrize(("patience", "few"), [(float("inf"), tracks.FEW), (-1.0, tracks.LEAST)])
def test_a_dial_that_nobody_looks_at_is_asked_at_few_values(inspector, monkeypatch, patience, few):
    monkeypatch.setattr(tracks, "PATIENCE", patience)
    look(inspector, "forget_gate", "shift", idle=True)
    track = finished(inspector, "forget_gate")
    assert (track["done"], len(track["values"])) == (True, few)
    assert {-6.0, 0.0, 6.0} <= set(track["values"])
    look(inspector, "forget_gate", "shift")
    whole = finished(inspector, "forget_gate")
    assert (whole["done"], len(whole["values"])) == (True, VALUES)
    assert (
        dict(zip(track["values"], track["answers"], strict=True)).items()
        <= dict(zip(whole["values"], whole["answers"], strict=True)).items()
    )
    look(inspector, "forget_gate", "shift", idle=True)
    assert finished(inspector, "forget_gate") == whole


class Counted(nn.Module):
    """Counts its runs, and can be made to wait in one."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    runs = 0
    gate = threading.Event()

    def forward(self, x):
        Counted.runs += 1
        Counted.gate.wait()
        return self.rnn(x)[0][-1]


@pytest.fixture
def counted():
    Counted.gate.set()
    yield Counted
    Counted.gate.set()


def test_an_edit_abandons_the_track_and_a_new_look_goes_on_with_it(inspect, counted):
    inspector = inspect(Counted(), inputs=torch.randn(5, 1, 3))
    counted.gate.clear()
    look(inspector, "update_gate", "shift")
    started = counted.runs
    asking = threading.Thread(
        target=lambda: setattr(
            score_of(inspector),
            "_request",
            {"serial": 1, "layer": "rnn.l0", "units": None, "dials": {"update_gate": {"kind": "shift", "value": 1.0}}},
        )
    )
    asking.start()
    counted.gate.set()
    asking.join()
    inspector._tracks.wait()
    assert inspector.edits == [rw.shift("z", 1.0, layer="rnn.l0")]
    assert counted.runs - started < VALUES
    look(inspector, "update_gate", "shift")
    assert finished(inspector, "update_gate")["done"]


def test_looking_at_another_dial_turns_to_that_one(inspect, counted):
    inspector = inspect(Counted(), inputs=torch.randn(5, 1, 3))
    for _ in range(5):
        counted.gate.clear()
        look(inspector, "update_gate", "shift")
        looking = threading.Thread(target=look, args=(inspector, "reset_gate", "shift"))
        looking.start()
        counted.gate.set()
        looking.join()
        assert finished(inspector, "reset_gate")["done"]
        inspector.edits = [rw.shift("n", float(len(inspector.edits)), layer="rnn.l0"), *inspector.edits]


def test_a_closed_inspector_asks_no_more(inspect, counted):
    inspector = inspect(Counted(), inputs=torch.randn(5, 1, 3))
    started = counted.runs
    counted.gate.clear()
    look(inspector, "update_gate", "shift")
    closing = threading.Thread(target=inspector.close)
    closing.start()
    counted.gate.set()
    closing.join()
    inspector._tracks.wait()
    runs = counted.runs
    assert runs - started < VALUES
    look(inspector, "update_gate", "shift")
    inspector._tracks.wait()
    assert counted.runs == runs


def test_nothing_is_asked_while_no_page_is_displayed_or_the_page_is_hidden(inspect, counted):
    inspector = inspect(Counted(), displayed=False, inputs=torch.randn(5, 1, 3))
    runs = counted.runs
    look(inspector, "update_gate", "shift")
    inspector._tracks.wait()
    assert counted.runs == runs
    inspector._repr_mimebundle_()
    score = score_of(inspector)
    score._drawn = 1
    for serial in (1, 2):
        inspector.edits = [rw.shift("z", float(serial))]
    assert inspector._page.stalled
    runs = counted.runs
    look(inspector, "update_gate", "shift")
    inspector._tracks.wait()
    assert counted.runs == runs


def test_where_the_model_fails_there_is_a_gap_and_no_error(inspect):
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(3, 4)

        def forward(self, x):
            output = self.rnn(x)[0]
            if output.mean() > 0.5:
                raise ArithmeticError("too loud")
            return output[-1, :, :1]

    inspector = inspect(Picky(), inputs=torch.randn(5, 1, 3))
    look(inspector, "hidden", "shift")
    track = finished(inspector, "hidden")
    assert track["answers"][-1] is None
    assert track["answers"][0] is not None
    assert score_of(inspector)._status["state"] == "ready"


def test_an_attached_model_that_cannot_be_copied_is_left_alone(inspect):
    class Hoarder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(3, 4)
            self.part = Numbered(1)

        runs = 0

        def forward(self, x):
            Hoarder.runs += 1
            return self.rnn(x)[0][-1]

    model = Hoarder()
    inspector = inspect(model)
    model(torch.randn(5, 1, 3))
    runs = Hoarder.runs
    look(inspector, "hidden", "shift")
    inspector._tracks.wait()
    assert Hoarder.runs == runs
