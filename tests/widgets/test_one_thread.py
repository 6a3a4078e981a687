"""Small runs are made on one thread; nobody else's threads become fewer."""

import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.recording.model_capture import CapturedCall
from rnnwidget.recording.twin import Arguments
from rnnwidget.widgets.one_thread import LIBRARIES, SMALL, is_small, is_small_run, one_thread
from rnnwidget.widgets.probe import Probe
from tests.threads import in_a_new_thread

pytestmark = pytest.mark.skipif(sys.platform not in LIBRARIES, reason="a thread's own number cannot be set here")
THREADS: list[int] = []


class Counting(nn.Module):
    """Tells on how many threads it was run, copies of it too."""

    def __init__(self, hidden: int, words: int = 1) -> None:
        super().__init__()
        self.table = nn.Embedding(words, 3)
        self.lstm = nn.LSTM(3, hidden)

    def forward(self, x: Tensor) -> Tensor:
        THREADS.append(torch.get_num_threads())
        return self.lstm(x)[0]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    THREADS.clear()
    yield
    torch.set_num_threads(before)


def test_one_thread_is_one_for_this_thread_alone() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        assert in_a_new_thread(torch.get_num_threads) == 2
    assert torch.get_num_threads() == 2


def test_threads_are_as_before_after_an_exception_and_within_another() -> None:
    with one_thread():
        with one_thread():
            pass
        assert torch.get_num_threads() == 1
    with pytest.raises(ArithmeticError), one_thread():
        raise ArithmeticError
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("hidden", "batch", "small"), [(128, 1, True), (128, 7, True), (128, 8, False), (362, 1, False), (356, 1, True)]
)
def test_small_is_little_work_a_step(hidden: int, batch: int, small: bool) -> None:
    model = Counting(hidden)
    with torch.no_grad(), rw.record(model) as recording:
        model(torch.randn(2, batch, 3))
    work = batch * sum(parameter.numel() for parameter in model.lstm.parameters())
    assert is_small_run(model, recording) is is_small(model, batch) is small is (work <= SMALL)


def test_looking_up_words_is_no_work() -> None:
    assert is_small(Counting(4, words=SMALL), batch=1)


@pytest.mark.parametrize(("loss", "first"), [(None, {2}), (Tensor.sum, {1})])
@pytest.mark.parametrize(("batch", "threads"), [(1, {1}), (60, {2})])
def test_runs_before_and_after_are_made_on_as_many_threads(
    batch: int, threads: set[int], loss: Callable[..., Tensor] | None, first: set[int]
) -> None:
    probe = Probe(Counting(64), loss, None)
    probe.fill(torch.randn(4, batch, 3))
    assert set(THREADS) == first | threads
    THREADS.clear()
    probe.edited([rw.clamp("forget_gate", 0.5)])
    probe.output([rw.scale("output_gate", 0.5)])
    assert set(THREADS) == threads
    assert torch.get_num_threads() == 2


def test_inputs_that_can_be_read_only_once_are_read_once() -> None:
    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4)

        def forward(self, steps: Iterator[Tensor]) -> Tensor:
            return self.lstm(torch.stack(list(steps)))[0]

    for batch in (1, 2**14):
        probe = Probe(Reading(), None, None)
        picture = probe.fill(iter(torch.randn(2, batch, 3)))
        assert picture.recording["lstm.l0"].hidden.shape == (2, batch, 4)
        assert probe.edited([rw.scale("forget_gate", 1.0)]).baseline_recording is picture.recording


@pytest.mark.parametrize("batch", [1, 60])
@pytest.mark.parametrize("loss", [None, Tensor.sum])
def test_what_was_opened_is_what_edits_are_compared_with(batch: int, loss: Callable[..., Tensor] | None) -> None:
    probe, x = Probe(Counting(64), loss, None), torch.randn(4, batch, 3)
    opened = probe.fill(x)
    x.zero_()
    edited = probe.edited([rw.scale("output_gate", 0.5)])
    assert torch.equal(edited.baseline_output, opened.output)
    assert probe.edited([]).baseline_recording is opened.recording


@pytest.mark.parametrize("loss", [None, Tensor.sum])
@pytest.mark.parametrize("edits", [[rw.clamp("forget_gate", 0.5)], []])
def test_a_call_of_the_users_own_is_run_again_on_one_thread(
    loss: Callable[..., Tensor] | None, edits: list[rw.Edit]
) -> None:
    model, x = Counting(64), torch.randn(4, 1, 3)
    probe = Probe(model, loss, None)
    with rw.record(model) as recording:
        output = model(x)
    assert THREADS == [2]
    THREADS.clear()
    probe.take(CapturedCall(Arguments((x,), {}), output, recording, grad_enabled=False), edits)
    assert set(THREADS) == ({1} if loss or edits else set())
    probe.edited([rw.nudge("cell", 0.5)])
    assert set(THREADS) == {1}


def test_what_is_shown_of_a_small_run_is_worked_out_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*arguments: object) -> tuple[dict[str, object], dict[str, object], str]:
        THREADS.append(torch.get_num_threads())
        return given(*arguments)

    from rnnwidget.widgets import frame

    given = frame.heatmap_and_margin
    inspector = rw.RNNInspector(Counting(8), inputs=torch.randn(4, 1, 3), loss=Tensor.sum)
    inspector._repr_mimebundle_()
    monkeypatch.setattr(frame, "heatmap_and_margin", told)
    THREADS.clear()
    inspector.site = "cell"
    inspector.close()
    assert THREADS == [1]
