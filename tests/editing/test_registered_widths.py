"""A registered class whose gates and cell are not as wide as its hidden state, as ELMo's projected LSTM."""

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from tests.cases import assert_close

X = torch.randn(6, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Projected(nn.Module):
    """h ← P (o · tanh(c)); P takes the cell's width to the hidden state's."""

    def __init__(self, hidden: int, cell: int, *, finals: bool = True, named: str = "hidden_size") -> None:
        super().__init__()
        torch.manual_seed(0)
        setattr(self, named, hidden)
        self.widths, self.finals = (hidden, cell), finals
        self.i, self.h = nn.Linear(4, 4 * cell), nn.Linear(hidden, 4 * cell)
        self.projection = nn.Linear(cell, hidden)
        self.double()

    def forward(self, x: Tensor, edit: object = None) -> object:
        h, c = (x.new_zeros(x.size(1), width) for width in self.widths)
        outputs = []
        for now in x:
            i, f, g, o = (self.i(now) + self.h(h)).chunk(4, -1)
            f = f.sigmoid() if edit is None else edit(f.sigmoid())
            c = i.sigmoid() * g.tanh() + f * c
            h = self.projection(o.sigmoid() * c.tanh())
            outputs.append(h)
        return (torch.stack(outputs), (h, c)) if self.finals else torch.stack(outputs)


@pytest.fixture(autouse=True)
def registered() -> None:
    gates = {"input_gate": "sigmoid", "forget_gate": "sigmoid", "candidate": "tanh", "output_gate": "sigmoid"}

    @rw.register(Projected, states=("hidden", "cell"), gates=gates)
    def step(module: Projected, x: Tensor, state: tuple[Tensor, Tensor], at: object) -> tuple[Tensor, Tensor]:
        i, f, g, o = (module.i(x) + module.h(state[0])).chunk(4, -1)
        written = at.gate("input_gate", i) * at.gate("candidate", g)
        c = at.state("cell", written + at.gate("forget_gate", f) * state[1])
        return module.projection(at.gate("output_gate", o) * c.tanh()), c


@pytest.mark.parametrize("named", ["hidden_size", "size"])
@pytest.mark.parametrize(("hidden", "cell"), [(3, 8), (8, 3)])
def test_units_of_a_gate_are_the_gate_s(hidden: int, cell: int, named: str) -> None:
    model = Projected(hidden, cell, named=named)
    units = [0, cell - 1]

    def by_hand(f: Tensor) -> Tensor:
        f = f.clone()
        f[:, units] = 0.9
        return f

    expected, _ = model(X, by_hand)
    with rw.edited(model, rw.clamp("forget_gate", 0.9, units=units)), rw.record(model) as recording:
        output, _ = model(X)
    assert_close(output, expected, 1e-12)
    assert recording["cell"]["forget_gate"].shape == (6, 2, cell)
    values = torch.rand(6, 2, cell, dtype=torch.float64)
    with rw.edited(model, rw.clamp("forget_gate", values)), rw.record(model) as recording:
        model(X)
    assert_close(recording["cell"]["forget_gate"], values, 1e-12)
    for site in ("forget_gate", "cell"):
        with pytest.raises(IndexError, match=rf"'{site}' has units 0 to {cell - 1}"):
            rw.intervene(model, X, rw.clamp(site, 0.5, units=[cell]))
    with pytest.raises(IndexError, match=f"'hidden' has units 0 to {hidden - 1}"):
        rw.intervene(model, X, rw.clamp("hidden", 0.5, units=[hidden]))


def test_the_page_shows_and_takes_every_unit() -> None:
    inspector = rw.RNNInspector(Projected(3, 8), inputs=X)
    inspector._repr_mimebundle_()
    inspector.units = [7]
    for site, width in (("hidden", 3), ("cell", 8), ("forget_gate", 8)):
        inspector.site = site
        assert len(inspector._page.score._frame["order"]) == 4 * width
    inspector.edits = [rw.clamp("forget_gate", 0.5, units=[7])]
    assert inspector.recording is not None
    assert inspector.recording["cell"]["forget_gate"][..., 7].unique().tolist() == [0.5]
    inspector.close()


def test_units_that_only_another_layer_has_are_left_out_here() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.LSTM(4, 12, dtype=torch.float64), Projected(4, 4)
            self.down = nn.Linear(12, 4, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            return self.narrow(self.down(self.wide(x)[0]))[0]

    model = Two()
    result = rw.intervene(model, X, rw.clamp("forget_gate", 0.5, units=[9]))
    assert result.recording["wide.l0"]["forget_gate"][..., 9].unique().tolist() == [0.5]
    for layer in ("narrow", None):
        with pytest.raises(IndexError, match=r"units \[(9|19)\] do not exist"):
            rw.intervene(model, X, rw.clamp("forget_gate", 0.5, layer=layer, units=[9 if layer else 19]))


def test_our_own_layers_tell_their_widths_before_anything_is_attached() -> None:
    model = rw.cells.PeepholeLSTM(3, 4)
    with pytest.raises(IndexError, match=r"units \[9\] do not exist"):
        rw.edited(model, rw.clamp("forget_gate", 0.5, units=[9])).__enter__()


def test_states_are_recorded_where_nobody_tells_how_wide_the_others_are() -> None:
    model = Projected(3, 8, finals=False)
    with rw.record(model) as recording:
        output = model(X)
    assert torch.equal(recording["cell"].hidden, output)
