import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rnnwidget.widgets.gradient_figure import GradientFigure


@pytest.fixture
def figure() -> Iterator[GradientFigure]:
    made = GradientFigure()
    yield made
    made.close()


def test_a_layer_says_at_how_many_steps_it_has_no_point(figure):
    odd = torch.tensor([1.0, torch.nan, torch.inf, 0.0])
    assert figure.show({"0→": odd, "0←": torch.ones(3)})
    assert "0→ (not finite at 2 steps, zero at 1 step)<" in figure._names.value
    assert "0←<" in figure._names.value
    assert figure.figure.children == (figure._names, figure._plot, figure._counted)
    np.testing.assert_array_equal(figure._lines.y, [[1, np.nan, np.nan, np.nan], [1, 1, 1, np.nan]])


@pytest.mark.parametrize(("value", "told"), [(torch.nan, "not finite"), (torch.inf, "not finite"), (0.0, "zero")])
def test_without_a_point_the_names_remain_and_the_plot_goes(figure, value, told):
    assert figure.show({"0→": torch.full((12,), value)})
    assert f"0→ ({told} at 12 steps)" in figure._names.value
    assert figure.figure.children == (figure._names,)
    assert figure.show({"0→": torch.ones(12)})
    assert figure.figure.children == (figure._names, figure._plot, figure._counted)


def test_a_line_breaks_between_the_layers_and_not_between_a_swatch_and_its_name(figure):
    figure.show({"encoder.lstm 0→": torch.ones(3), "decoder.lstm 0→": torch.zeros(3)})
    kept = re.findall(r'<span style="display:inline-block[^"]*">(.*?)</span>(.*?)</span>', figure._names.value)
    assert [(swatch[-1], name) for swatch, name in kept] == [
        ("━", "&nbsp;encoder.lstm 0→"),
        ("━", "&nbsp;decoder.lstm 0→ (zero at 3 steps)"),
    ]


def test_without_norms_there_is_nothing_to_show(figure):
    assert not figure.show({})
    assert not figure.show({"0→": torch.empty(0)})


@pytest.mark.parametrize(("steps", "ticks"), [(1, [0]), (11, [0, 2, 4, 6, 8, 10]), (120, list(range(0, 120, 20)))])
def test_ticks_are_at_whole_positions(figure, steps, ticks):
    figure.show({"0→": torch.ones(steps)})
    assert figure._positions.tick_values.tolist() == ticks


def test_the_axis_says_what_it_counts(figure):
    figure.show({"encoder": torch.ones(5), "decoder": torch.ones(3)})
    assert ">timestep, each layer's own<" in figure._counted.value
    figure.show({"0→": torch.ones(5), "0←": torch.ones(5)})
    assert ">timestep<" in figure._counted.value
