"""The mathematics of one layer by itself: names, formulas, slopes, edits."""

import pytest
import torch

from rnnwidget.cells import family_named, gru, lstm, rnn, rnn_relu
from rnnwidget.cells.activations import activate, slope
from rnnwidget.cells.edits import LayerEdits, SiteEdit
from rnnwidget.cells.layer_run import Arrivals, LayerRun, LayerWeights
from tests.cases import Case, assert_close

FAMILIES = {"lstm": lstm, "gru": gru, "tanh": rnn, "relu": rnn_relu}


def run_of(case: Case, edits: LayerEdits | None = None) -> LayerRun:
    module = case.module
    weights = LayerWeights(
        module.weight_ih_l0,
        module.weight_hh_l0,
        module.bias_ih_l0 if module.bias else None,
        module.bias_hh_l0 if module.bias else None,
        module.weight_hr_l0 if module.proj_size else None,
    ).map(torch.detach)
    hidden = case.reference().layers["l0"]["hidden"].detach()
    initial = tuple(state[0] for state in case.state)
    return LayerRun(
        inputs=torch.stack(case.sequences, dim=1),
        initial=initial,
        later=hidden[:-1],
        weights=weights,
        edits=edits or LayerEdits(),
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bias", [True, False])
def test_quantities_are_the_formulas(family: str, bias: bool) -> None:
    case = Case(family, bias=bias, steps=6, projected=family == "lstm")
    run, expected = run_of(case), case.reference().layers["l0"]
    found = FAMILIES[family].quantities(run)
    assert set(found) == set(FAMILIES[family].sites)
    for site, tensor in found.items():
        assert_close(tensor, expected[site])
    for site, tensor in FAMILIES[family].preactivations(run).items():
        assert_close(tensor, expected[f"preactivation:{site}"])


@pytest.mark.parametrize("family", FAMILIES)
def test_slopes_are_derivatives(family: str) -> None:
    run = run_of(Case(family))
    quantities = FAMILIES[family].quantities(run)
    for site, found in FAMILIES[family].slopes(run, quantities).items():
        value = FAMILIES[family].preactivations(run)[site].requires_grad_()
        kind = FAMILIES[family].activations[site]
        (expected,) = torch.autograd.grad(activate(kind, value).sum(), value)
        assert_close(found, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_backward_is_autograd(family: str) -> None:
    case = Case(family, steps=5, given_state=False)
    run, reference = run_of(case), case.reference()
    generator = torch.Generator().manual_seed(1)
    arriving = torch.randn(run.previous.shape, generator=generator, dtype=case.dtype)
    loss = (arriving * reference.output).sum()
    found, to_inputs = FAMILIES[family].backward(run, FAMILIES[family].quantities(run), Arrivals(arriving))
    for key, gradient in found.items():
        assert_close(gradient, reference.layers["l0"].gradient(loss, key))
    inputs = [sequence.clone().requires_grad_() for sequence in case.sequences]
    case.__dict__["sequences"] = inputs
    loss = (arriving * case.reference().output).sum()
    assert_close(to_inputs, torch.stack(torch.autograd.grad(loss, inputs), dim=1))


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "relu"])
def test_slope_from_the_value(kind: str) -> None:
    x = torch.linspace(-3, 3, 12, dtype=torch.float64, requires_grad=True)
    value = activate(kind, x)
    (expected,) = torch.autograd.grad(value.sum(), x)
    assert_close(slope(kind, value.detach()), expected)


def test_names_and_letters() -> None:
    assert lstm.sites == ("input_gate", "forget_gate", "candidate", "output_gate", "hidden", "cell")
    assert [lstm.site(letter) for letter in "ifgohc"] == list(lstm.sites)
    assert [gru.site(letter) for letter in "rznh"] == list(gru.sites)
    assert [rnn.site(name) for name in ("h", "hidden")] == ["hidden", "hidden"]
    with pytest.raises(KeyError, match=r"update_gate \(z\)"):
        gru.site("forget_gate")
    assert rnn.site_with_preactivation("h") == "hidden"
    with pytest.raises(KeyError, match="no pre-activation"):
        lstm.site_with_preactivation("c")


def test_the_registry() -> None:
    assert [family_named(name) for name in ("lstm", "gru", "rnn")] == [lstm, gru, rnn]
    with pytest.raises(KeyError, match=r"known: .*gru, .*lstm, .*rnn"):
        family_named("mamba")


def test_the_order_of_edits_in_a_site() -> None:
    one = torch.ones(1, 1, 1)
    edits = LayerEdits(
        (
            SiteEdit("forget_gate", "nudge", one * 0.5),
            SiteEdit("forget_gate", "shift", one * 10),
            SiteEdit("forget_gate", "scale", one * 2),
            SiteEdit("forget_gate", "clamp", one * 7, mask=torch.tensor([[[True, False]]])),
            SiteEdit("cell", "scale", one * 100),
        )
    )
    value = torch.full((1, 1, 2), 0.25)
    assert edits.before("forget_gate", value).tolist() == [[[10.25, 10.25]]]
    assert edits.after("forget_gate", value).tolist() == [[[7.0, 1.5]]]
    assert edits.derivative("forget_gate", torch.ones(1, 1, 2)).tolist() == [[[0.0, 2.0]]]
    assert edits.after("hidden", value) is value
    assert edits
    assert not LayerEdits()
