"""Blocks whose ``__exit__`` never ran, an interrupt having come first, are left all the same; no others are."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.recording import eager, interception, unseen
from tests.cases import assert_same_bits
from tests.threads import in_a_new_thread

MODEL, X = nn.Sequential(nn.LSTM(3, 4)), torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
EDIT = rw.clamp("forget_gate", 1.0)


class InterruptedEdits(rw.edited):
    def __exit__(self, *error: object) -> None:
        raise KeyboardInterrupt


class InterruptedRecording(rw.record):
    def __exit__(self, *error: object) -> None:
        raise KeyboardInterrupt


BLOCKS = {"edits": lambda: InterruptedEdits(MODEL, EDIT), "record": lambda: InterruptedRecording(MODEL, also=["0"])}


@pytest.fixture(autouse=True)
def nothing_of_ours_is_left() -> Iterator[None]:
    yield
    assert not interception._attachments
    assert not eager._open
    assert not unseen._watches
    assert not any((MODEL._forward_hooks, MODEL[0]._forward_hooks, MODEL[0]._forward_pre_hooks))


def plain() -> Tensor:
    return MODEL[0](X)[0]


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_block_is_left_whose_traceback_somebody_keeps(block: Callable[[], contextlib.AbstractContextManager]) -> None:
    expected = plain()

    def evaluate() -> None:
        with block():
            MODEL(X)

    with pytest.raises(KeyboardInterrupt) as kept:
        evaluate()
    assert_same_bits(MODEL(X)[0], expected)
    assert kept.tb is not None


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_another_block_leaves_those_that_were_abandoned(
    block: Callable[[], contextlib.AbstractContextManager],
) -> None:
    def evaluate() -> None:
        with block():
            pass

    with pytest.raises(KeyboardInterrupt) as kept:
        evaluate()
    other = nn.GRU(3, 4)
    with rw.record(other):
        assert len(interception._attachments) == 1
    assert kept.tb is not None


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("called_in_the_handler", [True, False])
def test_a_block_is_left_where_the_interrupt_is_caught_beside_it(
    block: Callable[[], contextlib.AbstractContextManager], called_in_the_handler: bool
) -> None:
    expected = plain()
    try:
        with block():
            MODEL(X)
    except KeyboardInterrupt:
        try:
            int("")
        except ValueError:
            if called_in_the_handler:
                assert_same_bits(MODEL(X)[0], expected)
    assert_same_bits(MODEL(X)[0], expected)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_block_that_was_abandoned_begins_again(block: Callable[[], contextlib.AbstractContextManager]) -> None:
    one = block()

    def evaluate() -> None:
        with one:
            pass

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate()
    MODEL(X)


def test_a_block_is_not_abandoned_for_another_thread() -> None:
    block = rw.edited(MODEL, EDIT)

    def begin_again() -> str:
        try:
            block.__enter__()
        except RuntimeError as error:
            return str(error)
        return ""

    with block:
        expected = MODEL(X)[0]
        assert "has begun and not ended" in in_a_new_thread(begin_again)
        assert_same_bits(MODEL(X)[0], expected)
    assert not torch.equal(plain(), expected)


def test_a_block_that_was_begun_by_hand_and_let_go_of_stays() -> None:
    recording = rw.record(MODEL).__enter__()
    MODEL(X)
    assert recording.layers == ("0.l0",)
    for attachment in list(interception._attachments.values()):
        for interest in list(attachment.interests):
            interception.detach([interest.module], interest.client)
    eager._open.clear()


class Wrapped:
    """A person's own block around ours."""

    def __init__(self) -> None:
        self.inner = rw.edited(MODEL, EDIT)

    def __enter__(self) -> None:
        self.inner.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inner.__exit__(kind, error, trace)


@contextlib.contextmanager
def from_a_generator() -> Iterator[None]:
    with rw.edited(MODEL, EDIT):
        yield


@contextlib.contextmanager
def from_a_stack() -> Iterator[None]:
    stack = contextlib.ExitStack()
    stack.enter_context(rw.edited(MODEL, EDIT))
    yield
    stack.close()


def begun_by_hand() -> contextlib.AbstractContextManager:
    block = rw.edited(MODEL, EDIT)
    block.__enter__()
    stack = contextlib.ExitStack()
    stack.push(block)
    return stack


HELD = [lambda: rw.edited(MODEL, EDIT), Wrapped, from_a_generator, from_a_stack, begun_by_hand]


@pytest.mark.parametrize("held", HELD)
def test_a_block_that_somebody_will_leave_stays(held: Callable[[], contextlib.AbstractContextManager]) -> None:
    with rw.edited(MODEL, EDIT):
        expected = MODEL(X)[0]

    def deep(levels: int) -> Tensor:
        return deep(levels - 1) if levels else MODEL(X)[0]

    with held():
        assert_same_bits(MODEL(X)[0], expected)
        assert_same_bits(deep(50), expected)
        try:
            int("")
        except ValueError:
            assert_same_bits(MODEL(X)[0], expected)
    assert not torch.equal(MODEL(X)[0], expected)


def test_a_block_begins_while_a_collection_of_garbage_ends_the_only_other(monkeypatch: pytest.MonkeyPatch) -> None:
    ending: list[rw.edited] = []

    class Collecting(dict):
        def get(self, key: int, default: object = None) -> object:
            found = super().get(key, default)
            if ending:
                ending.pop().__exit__(None, None, None)
            return found

    monkeypatch.setattr(interception, "_attachments", Collecting())
    other = rw.edited(MODEL, EDIT)
    other.__enter__()
    ending.append(other)
    with rw.record(MODEL) as recording:
        MODEL(X)
    assert recording.layers == ("0.l0",)
    assert not (recording["0.l0"]["f"] == 1).any()


def test_a_block_of_another_greenlet_stays() -> None:
    greenlet = pytest.importorskip("greenlet")
    with rw.edited(MODEL, EDIT):
        expected = MODEL(X)[0]

    def other() -> None:
        with rw.edited(MODEL, EDIT):
            greenlet.getcurrent().parent.switch()

    paused = greenlet.greenlet(other)
    paused.switch()
    assert_same_bits(MODEL(X)[0], expected)
    paused.switch()
    assert not torch.equal(MODEL(X)[0], expected)


def test_blocks_stay_in_and_around_what_awaits() -> None:
    with rw.edited(MODEL, EDIT):
        expected = MODEL(X)[0]

    async def awaiting(block: contextlib.AbstractContextManager) -> Tensor:
        with block:
            await asyncio.sleep(0)
            return MODEL(X)[0]

    def outputs() -> tuple[Tensor, Tensor]:
        inside = asyncio.run(awaiting(rw.edited(MODEL, EDIT)))
        with rw.edited(MODEL, EDIT):
            return inside, asyncio.run(awaiting(contextlib.nullcontext()))

    # Beside tests in a browser this thread has a loop under way.
    for output in in_a_new_thread(outputs):
        assert_same_bits(output, expected)
