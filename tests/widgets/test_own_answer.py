"""An ``answer=`` that returns widgets: what is shown of them, what is closed, and what stays."""

from collections import Counter
from functools import cache

import ipywidgets
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from torch import nn

import rnnwidget as rw


def size(output):
    return f"{float(output[0].abs().sum()):.3f}"


def opened(inspect, answer, **more):
    return inspect(nn.LSTM(3, 4), inputs=torch.randn(5, 1, 3), answer=answer, **more)


def edit(inspector, times):
    for time in range(times):
        inspector.edits = [rw.shift("forget_gate", 0.1 * (1 + time))]


def shown(inspector):
    return [column.children[1] for column in inspector._page.box.children[1].children]


def kinds():
    return Counter(type(widget).__name__ for widget in _instances.values())


def test_it_stands_in_the_answers_place(inspect):
    inspector = opened(inspect, lambda output: ipywidgets.HTML(size(output)))
    row = inspector._page.box.children[1]
    assert [column.children[0].value for column in row.children] == ["answer"]
    for _ in range(2):
        inspector.edits = [rw.clamp("forget_gate", 1.0)]
        assert inspector._page.box.children[1] is row
        assert [column.children[0].value for column in row.children] == ["answer before", "answer after"]
        outputs = inspector.baseline_output, inspector.output
        assert [widget.value for widget in shown(inspector)] == [size(output) for output in outputs]
        assert inspector._page.score._frame["answer"] is None
        inspector.edits = []
        assert [column.children[0].value for column in row.children] == ["answer"]
        assert [widget.value for widget in shown(inspector)] == [size(inspector.output)]


@pytest.mark.parametrize(
    "answer",
    [
        lambda output: ipywidgets.HTML(size(output)),
        lambda output: ipywidgets.VBox([ipywidgets.Label("size"), ipywidgets.HTML(size(output))]),
        lambda output: float(output[0].sum()),
    ],
)
def test_edits_leave_no_widgets_behind_and_closing_none_at_all(inspect, answer):
    before = kinds()
    inspector = opened(inspect, answer, loss=lambda output: output[0].sum())
    ripple = inspector.ripple()
    ripple._repr_mimebundle_()
    edit(inspector, 1)
    after_one = kinds()
    edit(inspector, 20)
    assert kinds() == after_one
    inspector.close()
    assert kinds() == before


def test_a_widget_that_was_there_before_is_never_closed(inspect):
    kept, label = ipywidgets.HTML(), ipywidgets.Label("kept")

    def answer(output):
        kept.value = size(output)
        return ipywidgets.VBox([label, kept])

    others = [ipywidgets.HTML(), ipywidgets.HTML()]
    for returned in (answer, lambda output: others[len(size(output)) % 2], lambda output: kept):
        before = kinds()
        inspector = opened(inspect, returned)
        edit(inspector, 3)
        assert all(part.comm is not None for one in (kept, label, *others) for part in (one, one.layout, one.style))
        inspector.close()
        assert kinds() == before


def test_a_widget_that_is_kept_from_call_to_call_comes_again(inspect):
    @cache
    def view(text):
        return ipywidgets.HTML(text)

    inspector = opened(inspect, lambda output: view(size(output)))
    for _ in range(2):
        for value in (0.0, 1.0):
            inspector.edits = [rw.clamp("forget_gate", value)]
            assert [widget.value for widget in shown(inspector)] == [
                size(output) for output in (inspector.baseline_output, inspector.output)
            ]
            for widget in shown(inspector):
                assert all(part.comm is not None for part in (widget, widget.layout, widget.style))
                assert widget._repr_mimebundle_() is not None


def test_a_layout_that_a_person_gave_to_a_ripple_stays():
    inspector = rw.RNNInspector(torch.nn.GRU(3, 4), inputs=torch.randn(5, 1, 3))
    mine = ipywidgets.Layout()
    button, ripple = ipywidgets.Button(layout=mine), inspector.ripple()
    ripple.layout = mine
    inspector.close()
    assert mine.comm is not None
    button.close()
    mine.close()
