"""What an edit and a runner keep from one run to the next must never be another run's."""

import math
import threading

import pytest
import torch
from torch import nn

import rnnwidget as rw
from rnnwidget.editing import kept_weights
from rnnwidget.editing.clamped_rows import ClampedRows
from tests.cases import assert_close, assert_same_bits

X = torch.linspace(-1, 1, 60, dtype=torch.float64).reshape(20, 1, 3)


clear = ClampedRows.clear_rows


def lstm(units: int = 4, dtype: torch.dtype = torch.float64, layers: int = 1) -> nn.LSTM:
    torch.manual_seed(units)
    return nn.LSTM(3, units, num_layers=layers).to(dtype)


def clamped(model: nn.Module, edit: rw.Edit, x: torch.Tensor = X) -> torch.Tensor:
    with rw.edited(model, edit):
        return model(x)[0]


@pytest.mark.parametrize("verb", [rw.clamp, rw.scale], ids=["folded", "stepped"])
def test_one_edit_of_models_of_any_width_and_precision(verb) -> None:
    edit = verb("forget_gate", 0.9, units=[1, 5])
    for model in (lstm(8), lstm(6), lstm(8, torch.float32), lstm(8)):
        x = X.to(model.weight_hh_l0.dtype)
        assert_same_bits(clamped(model, edit, x), clamped(model, verb("forget_gate", 0.9, units=[1, 5]), x))


def test_an_edit_that_fitted_one_model_is_checked_against_the_next() -> None:
    edit = rw.clamp("forget_gate", 0.9, units=[5])
    clamped(lstm(8), edit)
    with pytest.raises(IndexError, match=r"\[5\]"):
        clamped(lstm(4), edit)
    with pytest.raises(KeyError, match="no targeted layer has that site"):
        clamped(nn.GRU(3, 8).double(), edit)


@pytest.mark.parametrize("edit", [rw.clamp("f", 0.9, units=[1]), rw.lesion([2]), rw.scale("i", 0.5, units=[0])])
def test_an_edit_first_used_in_inference_mode_has_gradients_later(edit: rw.Edit) -> None:
    model = lstm()
    with torch.inference_mode():
        clamped(model, edit)
    clamped(model, edit).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_part_of_an_edit_is_not_taken_for_the_whole() -> None:
    model, early = lstm(), rw.clamp("cell", 0.3, steps=slice(0, 4), units=[1])
    whole = rw.clamp("cell", 0.3, units=[1])
    results = [clamped(model, edit) for edit in (early, whole, early, whole)]
    assert_same_bits(results[0], results[2])
    assert_same_bits(results[1], results[3])
    assert not torch.equal(results[0], results[1])


@torch.no_grad()
def test_the_matrices_of_a_clamped_gate_serve_every_value_while_the_weights_hold(monkeypatch) -> None:
    model = lstm(layers=2)
    runner = rw.Intervention(model, X)
    monkeypatch.setattr(kept_weights, "MUCH", 0)
    cleared = []
    monkeypatch.setattr(ClampedRows, "clear_rows", lambda rows, view: (cleared.append(view.dim()), clear(rows, view)))
    for value in (0.1, 0.9, 0.4):
        assert_same_bits(runner.run(rw.clamp("f", value)).output[0], clamped(model, rw.clamp("f", value)))
    # Of each layer two matrices, once by the runner and once by the calls of our own, which copy all but those rows.
    assert cleared.count(2) == 2 * 2 + 2 * 2
    lesion, other = rw.lesion([2]), rw.clamp("f", 0.4)
    for edits in (
        [rw.clamp("f", 0.4, units=[1])],
        [rw.clamp("i", 0.4)],
        [other],
        [lesion],
        [other],
        [other, lesion],
        [other],
    ):
        with rw.record(model), rw.edited(model, *edits):
            expected, _ = model(X)
        assert_same_bits(runner.run(edits).output[0], expected)
    model.weight_hh_l0.data.mul_(-1)  # in a way that PyTorch does not count
    assert_same_bits(runner.run(rw.clamp("f", 0.2)).output[0], clamped(model, rw.clamp("f", 0.2)))


@torch.no_grad()
def test_memory_that_is_used_again_is_no_other_layer_s() -> None:
    """Layers of unlike widths, both directions of one layer, a change of gates and units, bias and none."""
    torch.manual_seed(0)
    models = [
        nn.LSTM(3, 4, num_layers=3, bidirectional=True),
        nn.LSTM(3, 8, bias=False),
        nn.GRU(3, 4, num_layers=2),
        nn.LSTM(3, 4, proj_size=2),
    ]
    lists = (
        [("i", 0.3, None)],
        [("i", 0.3, (1, 2)), ("o", 1.0, None)],
        [("o", 0.6, None)],
        [("i", 0.8, (3,))],
        [("f", 0.0, None)],
        [("i", 0.3, None)],
    )
    for model in [model.double() for model in models * 2]:
        sites = {"i": "r", "o": "z", "f": "r"} if isinstance(model, nn.GRU) else {"i": "i", "o": "o", "f": "f"}
        for clamps in lists:
            edits = [rw.clamp(sites[gate], value, units=units) for gate, value, units in clamps]
            with rw.record(model) as recording, rw.edited(model, *edits):
                model(X)
            assert all(recording[name].replay_error < 1e-12 for name in recording.layers)


def test_two_threads_clamp_at_once() -> None:
    model, values = lstm(8, layers=2), [0.2, 0.8]
    expected = [clamped(model, rw.clamp("f", value)).detach() for value in values]
    wrong: list[torch.Tensor] = []

    def run(place: int) -> None:
        with torch.no_grad():
            outputs = [clamped(model, rw.clamp("f", values[place])) for _ in range(200)]
        wrong.extend(output for output in outputs if not torch.allclose(output, expected[place]))

    threads = [threading.Thread(target=run, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class TwoReaders(nn.Module):
    """A second recurrent module reads what the first one gives."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.GRU(3, 4), nn.GRU(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)[0])[0]


def test_a_first_leg_is_run_again_where_it_reads_something_else() -> None:
    torch.manual_seed(0)
    model = TwoReaders().double()
    late, below = rw.scale("z", 0.5, layer="second.l0", steps=slice(6, None)), rw.clamp("r", 0.2, layer="first.l0")
    runner = rw.Intervention(model, X)
    for edits in ([late], [below, late], [late], [below, late]):
        assert_same_bits(runner.run(edits).output, rw.intervene(model, X, edits).output)


def lesioned_loop(model: nn.LSTM, begun: float, value: float) -> torch.Tensor:
    """The model step by step, hidden unit 2 held."""
    w_ih, w_hh, b_ih, b_hh = (weight.detach() for weight in model.parameters())
    h = c = torch.full((1, 4), begun, dtype=torch.float64)
    expected = []
    for x in X:
        i, f, g, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        h[:, 2] = value
        expected.append(h)
    return torch.stack(expected)


class FromItsOwnState(nn.LSTM):
    """Begins from a state that it keeps, without a word to who calls it."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        begun = x.new_full((1, x.size(1), self.hidden_size), 0.5)
        return super().forward(x, (begun, begun))


@pytest.mark.parametrize("kind", [nn.LSTM, FromItsOwnState])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_lesion_reads_the_state_before_the_first_step_as_it_is(kind: type[nn.LSTM], value: float) -> None:
    torch.manual_seed(0)
    model = kind(3, 4).double()
    expected = lesioned_loop(model, 0.5 if kind is FromItsOwnState else 0.0, value)
    assert_close(clamped(model, rw.clamp("hidden", value, units=[2])), expected)


@pytest.mark.parametrize("where", [(slice(0, 2), 2), (9, slice(0, 2))], ids=["read from the unit", "read by a gate"])
def test_a_lesion_beside_an_infinite_weight_is_the_edited_loop(where: tuple[object, object]) -> None:
    model = lstm()
    with torch.no_grad():
        model.weight_hh_l0[where] = math.inf
    expected = lesioned_loop(model, 0.0, 0.0)
    assert not expected.isfinite().all()
    assert torch.allclose(clamped(model, rw.lesion([2])), expected, equal_nan=True)
