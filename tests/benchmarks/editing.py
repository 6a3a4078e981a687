"""What many edited runs cost against as many plain ones."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

import rnnwidget as rw
from tests.benchmarks.comparison import Row, compare


class Classifier(nn.Module):
    """Two classes from the last hidden state of a stack."""

    def __init__(self, units: int, layers: int) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(units, units, num_layers=layers), nn.Linear(units, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][-1])


def single_unit_lesions(seconds: float) -> Iterator[Row]:
    """Every unit of a layer lesioned by itself, controls and checks included, against so many forwards.

    The floor is PyTorch's own kernel on as many sequences at once, with no edit.
    """
    torch.manual_seed(0)
    units = 128
    model, x = Classifier(units, layers=2).eval(), torch.randn(200, 1, units)

    @torch.no_grad()
    def forwards() -> None:
        for _ in range(units):
            model(x)

    name, batch = f"LSTM 2×{units}, T=200, B=1", x.expand(-1, units, -1).contiguous()
    ours: dict[str, Callable[[], object]] = {
        f"{units} single-unit lesions of {layer}, {name}": partial(
            rw.lesion_scores, model, x, layer=layer, progress=False
        )
        for layer in ("lstm.l1", "lstm.l0")
    }
    ours[f"floor: {units} sequences at once, {name}"] = lambda: model(batch)
    for what, run in ours.items():
        yield compare(what, run, forwards, f"{units} plain forwards", seconds=seconds, at_least=5)


def sweep_of_shifts(seconds: float) -> Iterator[Row]:
    """A forget gate shifted by many values, checks included, against so many forwards and so many interventions."""
    torch.manual_seed(0)
    model, x, values = nn.LSTM(128, 128, num_layers=2), torch.randn(200, 1, 128), torch.linspace(-2, 2, 33).tolist()

    def edit_of(value: float) -> rw.Edit:
        return rw.shift("forget_gate", value)

    def forwards() -> None:
        for _ in values:
            model(x)

    def interventions() -> None:
        runner = rw.Intervention(model, x)
        for value in values:
            runner.run([edit_of(value)])

    for alternative, name in ((forwards, "plain forwards"), (interventions, "interventions of one runner")):
        yield compare(
            f"sweep of {len(values)} shifts of a forget gate, LSTM 2×128, T=200, B=1",
            lambda: rw.sweep(model, x, edit_of=edit_of, values=values, progress=False),
            alternative,
            f"{len(values)} {name}",
            seconds=seconds,
            at_least=5,
        )


def _edited(model: nn.Module, x: Tensor, edit: rw.Edit) -> object:
    with rw.edited(model, edit):
        return model(x)


def stack(layers: int, units: int, steps: int) -> tuple[nn.LSTM, Tensor, str]:
    """An LSTM, one sequence, and what the two are called."""
    torch.manual_seed(0)
    name = f"LSTM {layers}×{units}, T={steps}, B=1"
    return nn.LSTM(units, units, num_layers=layers), torch.randn(steps, 1, units), name


def of_all_time(seconds: float) -> Iterator[Row]:
    """Edits that weights can stand for, in the user's own call."""
    edits = {
        "clamp of a gate": rw.clamp("forget_gate", 0.9),
        "clamp of a gate of one unit": rw.clamp("forget_gate", 0.9, units=[3]),
        "shift of a gate": rw.shift("forget_gate", 1.0),
        "lesion of one unit": rw.lesion([3]),
        "clamp of the cell of one unit": rw.clamp("cell", 0.3, units=[3]),
    }
    for sizes in ((1, 128, 200), (2, 256, 500)):
        module, x, name = stack(*sizes)
        for what, edit in edits.items():
            yield compare(
                f"{what}, {name}",
                lambda m=module, x=x, e=edit: _edited(m, x, e),
                lambda m=module, x=x: m(x),
                "plain forward",
                seconds=seconds,
            )


def from_where_it_begins(seconds: float) -> Iterator[Row]:
    """Interventions that find most of the run, or most of its weights, as they left them."""
    for sizes in ((1, 128, 200), (2, 256, 500)):
        module, x, name = stack(*sizes)
        runner = rw.Intervention(module, x)
        last_tenth = rw.clamp("forget_gate", 0.9, steps=slice(x.size(0) - x.size(0) // 10, None))
        for what, edit in (("last tenth clamped", last_tenth), ("cell clamped", rw.clamp("cell", 0.3, units=[3]))):
            yield compare(
                f"Intervention.run, {what}, {name}",
                lambda r=runner, e=edit: r.run([e]),
                lambda m=module, x=x: m(x),
                "plain forward",
                seconds=seconds,
            )


def stepped(seconds: float) -> Row:
    """A forget gate multiplied, against a loop that a user would write with the same edit."""
    module, x, name = stack(1, 128, 200)
    weights = [getattr(module, f"{kind}_l0") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def loop() -> Tensor:
        w_ih, w_hh, b_ih, b_hh = weights
        h = c = x.new_zeros(1, 128)
        outputs = []
        for now in x:
            i, f, g, o = (now @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=-1)
            c = 0.5 * f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs)

    edit = rw.scale("forget_gate", 0.5)
    edited, by_hand = _edited(module, x, edit), loop()
    torch.testing.assert_close(edited[0], by_hand, rtol=1e-4, atol=1e-5)
    return compare(
        f"scale of a gate, {name}",
        lambda: _edited(module, x, edit),
        loop,
        "hand-written loop with the edit",
        seconds=seconds,
    )


@torch.no_grad()
def rows(seconds: float) -> Iterator[Row]:
    """Every row of this table; without gradients, in float32."""
    yield from of_all_time(seconds)
    yield from from_where_it_begins(seconds)
    yield stepped(seconds)
    yield from single_unit_lesions(seconds)
    yield from sweep_of_shifts(seconds)
