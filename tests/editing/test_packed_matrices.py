"""Matrices that are packed once give the bits of those that the kernel packs in every call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.editing import packed_matrices
from tests.cases import assert_same_bits

ONE_LAYER = packed_matrices._ONE_LAYER
has_onednn = pytest.mark.skipif(
    packed_matrices._PACK is None or not torch.backends.mkldnn.is_available(), reason="PyTorch is without oneDNN"
)


@contextmanager
def counted(one_layer: Callable[..., object] = ONE_LAYER) -> Iterator[list[Tensor]]:
    """The inputs of each run on packed matrices, which ``one_layer`` makes."""
    runs: list[Tensor] = []

    def counting(inputs: Tensor, *rest: object) -> object:
        runs.append(inputs)
        return one_layer(inputs, *rest)

    with patch.object(packed_matrices, "_ONE_LAYER", counting):
        yield runs


def unpacked(model: nn.Module, x: Tensor, edits: list[rw.Edit]) -> rw.Recording:
    with patch("rnnwidget.editing.carrying_out.are_packed", lambda *_: False):
        return rw.intervene(model, x, edits).recording


SITES = st.sampled_from(["i", "f", "g", "o"])
UNITS = st.sampled_from([None, None, [1], [0, 2]])
EDITS = st.one_of(
    st.tuples(st.just("clamp"), SITES, st.floats(0, 1, width=32), UNITS, st.integers(4, 6)),
    st.tuples(st.just("shift"), SITES, st.floats(-3, 3, width=32), UNITS, st.just(5)),
    st.tuples(st.just("clamp"), st.just("h"), st.just(0.0), st.sampled_from([[1], [2], [1, 3]]), st.just(5)),
)


@has_onednn
@settings(max_examples=60)
@given(
    runs=st.lists(st.lists(EDITS, min_size=1, max_size=2), min_size=1, max_size=4),
    form=st.sampled_from([(1, False, False), (2, False, False), (1, True, False), (1, False, True)]),
    batch=st.integers(1, 3),
    again=st.integers(1, 4),
)
@torch.no_grad()
def test_any_runs_of_one_runner_are_runs_of_their_own(
    runs: list[list[tuple]], form: tuple[int, bool, bool], batch: int, again: int
) -> None:
    torch.manual_seed(0)
    layers, both, batch_first = form
    model = nn.LSTM(3, 4, num_layers=layers, bidirectional=both, batch_first=batch_first)
    x = torch.randn(*((batch, 12) if batch_first else (12, batch)), 3)
    runner = rw.Intervention(model, x)
    for drawn in runs:
        edits = [getattr(rw, verb)(*of_what, units=on, steps=slice(start, None)) for verb, *of_what, on, start in drawn]
        for _ in range(again - 1):
            runner.run(edits)
        ours, expected = runner.run(edits).recording, unpacked(model, x, edits)
        for name in expected.layers:
            assert_same_bits(ours[name].hidden, expected[name].hidden)
            assert ours[name].replay_error < 1e-5


MODEL, X = nn.LSTM(3, 4), torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(0))


@has_onednn
@torch.no_grad()
def test_a_drag_packs_once_and_steps_that_are_chosen_anew_not_at_all() -> None:
    runner = rw.Intervention(MODEL, X)
    pack, packed = packed_matrices._PACK, []
    with patch.object(packed_matrices, "_PACK", lambda *given: (packed.append(given), pack(*given))[1]):
        with counted() as runs:
            for value in (0.1, 0.2, 0.3, 0.4):
                runner.run(rw.clamp("f", value, steps=slice(6, None)))
        assert [tuple(inputs.shape) for inputs in runs] == [(6, 2, 3)] * 3  # the first of them is looked at beside
        assert len(packed) == 1
        with counted() as runs:
            for start in (2, 3, 4, 5):
                runner.run(rw.clamp("f", 0.4, steps=slice(start, None)))
        assert not runs
        runner.run(rw.clamp("i", 0.4, steps=slice(6, None)))  # other rows are at zero
        runner.run(rw.clamp("i", 0.3, steps=slice(6, None)))
        assert len(packed) == 2


@torch.no_grad()
def dragged(runner: rw.Intervention) -> list[Tensor]:
    """What four runs give that differ by a value alone."""
    return [runner.run(rw.clamp("f", value, steps=slice(6, None))).output[0] for value in (0.1, 0.2, 0.3, 0.4)]


def refuse(*_: object) -> object:
    raise RuntimeError("not on this processor")


def of_other_bits(*given: object) -> object:
    output, *rest = ONE_LAYER(*given)
    return output + 1e-6, *rest


@has_onednn
@pytest.mark.parametrize(("one_layer", "times"), [(ONE_LAYER, 3), (refuse, 1), (of_other_bits, 1)])
def test_a_kernel_that_does_otherwise_with_packed_matrices_is_given_plain_ones(
    one_layer: Callable[..., object], times: int
) -> None:
    with counted(one_layer) as runs:
        outputs = dragged(rw.Intervention(MODEL, X))
    assert len(runs) == times
    with patch("rnnwidget.editing.carrying_out.are_packed", lambda *_: False):
        expected = dragged(rw.Intervention(MODEL, X))
    for ours, theirs in zip(outputs, expected, strict=True):
        assert_same_bits(ours, theirs)


@has_onednn
@pytest.mark.parametrize(
    "model",
    [nn.LSTM(3, 4).double(), nn.GRU(3, 4), nn.RNN(3, 4), nn.LSTM(3, 4, bias=False), nn.LSTM(3, 4, proj_size=2)],
    ids=["double", "gru", "rnn", "no bias", "projected"],
)
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_other_kernels_are_given_plain_ones(model: nn.RNNBase) -> None:
    x = X.to(model.weight_hh_l0.dtype)
    site = {nn.GRU: "r", nn.RNN: "h"}.get(type(model), "f")
    with torch.no_grad(), counted() as runs:
        runner = rw.Intervention(model, x)
        for value in (0.1, 0.2, 0.3):
            runner.run(rw.shift(site, value, steps=slice(6, None)))
    assert not runs


class FromHalfOfATensor(nn.Module):
    """Begins from states that do not lie in one piece of memory."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.lstm, self.begun = nn.LSTM(3, 4, batch_first=batch_first), torch.randn(2, 1, 2, 8)

    def forward(self, x: Tensor) -> Tensor:
        hidden, cell = self.begun[..., ::2]
        return self.lstm(x, (hidden, cell))[0]


@has_onednn
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("first", [0, 5])
@torch.no_grad()
def test_states_and_inputs_that_lie_in_many_pieces(batch_first: bool, first: int) -> None:
    torch.manual_seed(0)
    model, x = FromHalfOfATensor(batch_first=batch_first), X.transpose(0, 1).contiguous() if batch_first else X
    runner = rw.Intervention(model, x)
    with counted() as runs:
        for value in (0.1, 0.2, 0.3, 0.4):
            edit = rw.clamp("f", value, steps=slice(first, first + 6))
            assert_same_bits(runner.run(edit).output, rw.intervene(model, x, edit).output)
    assert len(runs) == 3


@has_onednn
@torch.no_grad()
def test_a_model_in_training_has_kernels_of_its_own() -> None:
    runner, model = rw.Intervention(MODEL, X), MODEL
    with counted() as runs:
        dragged(runner)
        model.eval()
        outputs = dragged(runner)
        model.train()
    assert len(runs) == 6
    for ours, theirs in zip(outputs, dragged(runner), strict=True):
        assert_same_bits(ours, theirs)


@has_onednn
@torch.no_grad()
def test_lesions_one_after_the_other() -> None:
    runner = rw.Intervention(MODEL, X)
    for unit in (1, 1, 1, 1, 2, 2, 1):
        edit = rw.lesion([unit], steps=slice(5, None))
        assert_same_bits(runner.run(edit).output, rw.intervene(MODEL, X, edit).output)


@has_onednn
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@torch.no_grad()
def test_what_is_switched_off_is_not_used() -> None:
    runner = rw.Intervention(MODEL, X)
    dragged(runner)
    with torch.backends.mkldnn.flags(enabled=False), counted() as runs:
        outputs = dragged(runner)
    assert not runs
    for ours, theirs in zip(outputs, dragged(runner), strict=True):
        torch.testing.assert_close(ours, theirs)
