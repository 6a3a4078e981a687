"""What an edit and a runner keep from one run to the next must never be another run's."""

import gc
import math
import threading
import weakref
from collections.abc import Callable

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


LATE = slice(6, None)


def not_finite(where: str) -> tuple[nn.Module, object, list[rw.Edit]]:
    """A model and edits under which what is folded into weights would give NaN where the edited model has none."""
    model, x, edits = lstm(dtype=torch.float32), X.float().clone(), [rw.clamp("f", 0.4, steps=LATE)]
    but_the_output = [rw.clamp(site, 0.4, steps=LATE) for site in "ifg"]
    match where:
        case "a number read before":
            x[2, 0, 1] = math.inf
        case "a number read in the window":
            x[8, 0, 1] = math.inf
        case "a number read after it":
            edits = [rw.clamp("f", 0.4, steps=slice(6, 9))]
            x[12, 0, 1] = -math.inf
        case "a weight":
            model.weight_ih_l0.data[12:, 1] = math.inf
            x[:, 0, 1] = 1
            x[8, 0, 1] = 0
            edits = but_the_output
        case "a shift":
            edits = [*but_the_output, rw.shift("o", math.nan, steps=LATE)]
        case "what a sum comes to":
            model = nn.RNN(3, 4, nonlinearity="relu", bias=True)
            for parameter in model.parameters():
                parameter.data.fill_(0)
            model.weight_ih_l0.data.fill_(1)
            model.weight_hh_l0.data[0, 0] = 1e6
            x[:], edits = 0, [rw.clamp("h", 0.5, units=[1], steps=LATE)]
            x[5:] = 1
        case "a state":
            model = nn.RNN(3, 4)
            return model, (x, torch.full((1, 1, 4), math.nan)), [rw.clamp("h", 0.5, steps=LATE)]
    return model, x, edits


PLACES = ["a number read before", "a number read in the window", "a number read after it", "a weight"]


@pytest.mark.parametrize("where", [*PLACES, "a shift", "what a sum comes to", "a state"])
@torch.no_grad()
def test_what_is_not_finite_comes_from_the_model_alone(where: str) -> None:
    model, x, edits = not_finite(where)
    with rw.edited(model, *edits), rw.record(model) as recording:
        expected = model(*x) if isinstance(x, tuple) else model(x)
    runner = rw.Intervention(model, x)
    for _ in range(3):
        found = runner.run(edits)
        assert_same_bits(found.output, expected)
        for state in recording["l0"].states:
            assert_same_bits(found.recording["l0"][state], recording["l0"][state])


@pytest.mark.parametrize("verb", [rw.clamp, rw.scale])
@torch.no_grad()
def test_a_window_that_falls_on_many_calls(verb: Callable[..., rw.Edit]) -> None:
    model = lstm()
    edit, whole = (verb("f", 0.3, steps=slice(3, 13), units=[1]) for _ in range(2))
    for _ in range(2):
        state, outputs = None, []
        with rw.edited(model, edit):
            for part in X.split(4):
                output, state = model(part, state)
                outputs.append(output)
        assert_close(torch.cat(outputs), clamped(model, whole))


@torch.no_grad()
def test_an_edit_of_a_window_is_one_of_that_window_alone() -> None:
    edit, model = rw.clamp("f", 0.3, steps=slice(4, None), units=[1]), lstm()
    x = torch.randn(30, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for steps in (20, 9, 20, 3, *range(5, 30), 20):  # more windows than are remembered
        alike = rw.clamp("f", 0.3, steps=slice(4, steps), units=[1])
        assert_same_bits(clamped(model, edit, x[:steps]), clamped(model, alike, x[:steps]))
    assert len(edit.in_windows) <= 16
    runner, others = rw.Intervention(model, x), lstm(6)
    for start in (3, 9, 3, *range(2, 28), 3):
        begun = rw.clamp("f", 0.3, steps=slice(start, None), units=[1])
        assert_same_bits(runner.run(begun).output[0], clamped(model, begun, x))
        assert_same_bits(
            clamped(others, begun, x), clamped(others, rw.clamp("f", 0.3, units=[1], steps=begun.steps), x)
        )


@pytest.mark.parametrize("verb", [rw.clamp, rw.scale])
@torch.no_grad()
def test_an_edit_first_used_in_a_window_in_inference_mode_has_gradients_later(verb: Callable[..., rw.Edit]) -> None:
    edit, model = verb("f", 0.3, steps=slice(4, None), units=[1]), lstm()
    with torch.inference_mode():
        clamped(model, edit)
    with torch.enable_grad():
        clamped(model, edit).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("batch_first", [False, True])
@torch.no_grad()
def test_the_same_edits_after_others_are_those_edits(batch_first: bool) -> None:
    torch.manual_seed(0)
    model = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=batch_first)
    x = torch.randn(*((2, 12) if batch_first else (12, 2)), 3)
    late = [rw.clamp("f", 0.3, steps=LATE), rw.clamp("f", 0.7, steps=LATE), rw.shift("i", 1.0, steps=LATE)]
    lists = [
        late[:1],
        late[:1],
        late[1:2],
        late[:1],
        late[::2],
        late[:1],
        [rw.lesion([1], steps=LATE)],
        late[1:],
        late[:1],
    ]
    runner = rw.Intervention(model, x)
    for edits in lists:
        assert_same_bits(runner.run(edits).output[0], rw.Intervention(model, x).run(edits).output[0])


class ChangesItsWeights(nn.Module):
    """Reads its input in pieces, with other weights each time."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.rnn, self.part = nn.LSTM(3, 8), part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, outputs, state = getattr(self.rnn, self.part), [], None
        before = weight.detach().clone()
        with torch.no_grad():
            for piece in x.split(5):
                output, state = self.rnn(piece, state)
                outputs.append(output)
                weight.mul_(0.5)
            weight.copy_(before)
        return torch.cat(outputs)


@pytest.mark.parametrize("part", ["weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0"])
@pytest.mark.parametrize(
    "edit",
    [
        rw.clamp("f", 0.3),
        rw.clamp("f", 0.3, units=[1]),
        rw.shift("f", 1.5, steps=slice(7, None)),
        rw.clamp("h", 0.5, units=[1]),
        rw.clamp("h", 0.5, units=[1], steps=slice(8, None)),
    ],
    ids=repr,
)
@torch.no_grad()
def test_weights_that_a_forward_changes_between_two_calls(part: str, edit: rw.Edit) -> None:
    torch.manual_seed(0)
    model, x = ChangesItsWeights(part), torch.randn(25, 2, 3)
    with rw.edited(model, edit):
        expected = model(x)
    runner = rw.Intervention(model, x)
    for _ in range(4):
        torch.testing.assert_close(runner.run(edit).output, expected, rtol=0, atol=1e-6)


def test_a_thread_holds_no_edit_s_tensor() -> None:
    value = torch.ones(50, 1, 4)
    edit, model = rw.shift("f", value), lstm(dtype=torch.float32)
    held = weakref.ref(edit.value)
    with torch.no_grad():
        clamped(model, edit, X.float().repeat(3, 1, 1)[:50])
    del edit
    gc.collect()
    assert held() is None
    assert kept_weights.kept_for_now(0)._written is None
