import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnwidget as rw
from rnnwidget.widgets.input_edits import matched_steps, told_of_words, typed
from rnnwidget.widgets.stimulus import moved_pulse, stimulus_place, with_pulse
from tests.widgets.models import Classifier

WORDS = ["not", "bad", "at", "all", "good", "film"]
NUMBERS = {word: number + 1 for number, word in enumerate(WORDS)}


def encode(lists):
    longest = max(map(len, lists))
    rows = [[NUMBERS[word] for word in words] + [0] * (longest - len(words)) for words in lists]
    return torch.tensor(rows), torch.tensor([len(words) for words in lists])


@pytest.fixture
def texts(inspect):
    torch.manual_seed(0)
    model, words = Classifier().eval(), [["not", "bad", "film"], ["good", "film"]]
    return model, inspect(model, inputs=encode(words), tokens=words, encode=encode)


def cells_before(inspector):
    sent = inspector._page.score.before
    assert sent["version"] == frame_of(inspector)["heatmap"]["before"]
    return floats(sent["cells"])


def frame_of(inspector):
    return inspector._page.score._frame


def ask(inspector, **wish):
    serial = inspector._page.score._request.get("serial", 0) + 1
    inspector._page.score._request = {"serial": serial, "inputs": wish}


def floats(data):
    return np.frombuffer(data, "<f4")


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_matched_steps_go_forward_and_equal_words_are_matched(before, after):
    places = matched_steps(before, after).tolist()
    kept = [place for place in places if place >= 0]
    assert len(places) == len(after)
    assert kept == sorted(set(kept))
    if before == after:
        assert places == list(range(len(after)))


def plain_pulse(series, start, stop, move, gain):
    beside = [series[place] for place in (start - 1, stop) if 0 <= place < len(series)]
    ground = sum(beside) / len(beside) if beside else 0.0
    if all(value == ground for value in series[start:stop]):
        ground = 0.0
    changed = [ground if start <= step < stop else value for step, value in enumerate(series)]
    for step in range(start, stop):
        if 0 <= step + move < len(series):
            changed[step + move] = ground + gain * (series[step] - ground)
    return changed


@given(
    st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=9).flatmap(
        lambda series: st.tuples(
            st.just(series), st.integers(0, len(series) - 1), st.integers(1, 9), st.integers(-9, 9), st.floats(0, 3)
        )
    )
)
def test_a_moved_pulse_is_that_of_a_plain_loop(drawn):
    series, start, length, move, gain = drawn
    stop = min(len(series), start + length)
    got = moved_pulse(torch.tensor(series, dtype=torch.float64), start, stop, move, gain)
    np.testing.assert_allclose(got, plain_pulse(series, start, stop, move, gain), atol=1e-12)


def test_a_retyped_word_is_a_run_on_the_new_input(texts):
    model, inspector = texts
    before = inspector.output
    ask(inspector, kind="words", words=["not", "good", "film"])
    changed = [["not", "good", "film"], ["good", "film"]]
    assert inspector.tokens == changed
    torch.testing.assert_close(inspector.output, model(*encode(changed)))
    assert torch.equal(inspector.baseline_output, before)
    frame = frame_of(inspector)
    assert frame["tokens"] == changed[0]
    assert frame["writing"]["told"] == ["sequence 1: “bad” → “good”"]
    assert frame["writing"]["changed_steps"] == [1]
    assert frame["heatmap"]["before"] is not None
    assert frame["writing"]["reads"] == [f"number {NUMBERS[word]}" for word in changed[0]]


def test_edits_and_retyped_words_act_together(texts):
    model, inspector = texts
    inspector.tokens = [["not", "good", "film"], ["bad"]]
    edit = rw.clamp("forget_gate", 1.0, steps=slice(1, 2))
    inspector.edits = [edit]
    with rw.edited(model, edit):
        torch.testing.assert_close(inspector.output, model(*encode(inspector.tokens)))
    inspector.reset_inputs()
    with rw.edited(model, edit):
        torch.testing.assert_close(inspector.output, model(*encode([["not", "bad", "film"], ["good", "film"]])))


def test_an_inserted_word_has_no_step_before(texts):
    _, inspector = texts
    plain = rw.intervene(*_case(inspector)).baseline_recording["lstm.l0"]["h"][:3, 0].T.detach()
    ask(inspector, kind="words", words=["not", "at", "all", "bad", "film"])
    frame = frame_of(inspector)
    assert frame["steps"] == 5
    assert frame["writing"]["changed_steps"] == [1, 2]
    order = np.frombuffer(frame["order"], "<i4").copy()
    ghost = cells_before(inspector).reshape(-1, 5)
    assert np.isnan(ghost[:, 1:3]).all()
    np.testing.assert_allclose(ghost[:, [0, 3, 4]], plain[torch.tensor(order).long()], atol=1e-6)
    assert np.isfinite(floats(frame["margin"]["before"])).all()


def _case(inspector):
    return inspector._probe.twin.model, encode([["not", "bad", "film"], ["good", "film"]]), []


def test_a_word_can_be_removed(texts):
    model, inspector = texts
    ask(inspector, kind="words", words=["bad", "film"])
    torch.testing.assert_close(inspector.output, model(*encode([["bad", "film"], ["good", "film"]])))
    assert frame_of(inspector)["writing"]["told"] == ["sequence 1: “not” removed"]
    ask(inspector, kind="reset")
    assert frame_of(inspector)["tokens"] == ["not", "bad", "film"]
    assert frame_of(inspector)["heatmap"]["before"] is None
    assert frame_of(inspector)["writing"]["told"] == []


def test_words_go_to_the_sequence_that_was_on_show(texts):
    _, inspector = texts
    inspector.sequence = 1
    score = inspector._page.score
    score._request = {"serial": 1, "sequence": 0, "inputs": {"kind": "words", "words": ["not", "good", "film"]}}
    assert inspector.tokens == [["not", "good", "film"], ["good", "film"]]


@pytest.mark.parametrize(("steps", "kept"), [((2, 3), None), ((1, 3), (1, 3)), (None, None)])
def test_a_brush_past_the_end_of_a_shorter_text_is_gone_and_what_was_edited_there_stays(texts, steps, kept):
    _, inspector = texts
    for words in (["not", "film"], ["film", "bad"]):
        inspector.steps = steps
        inspector.edits = [rw.shift("f", 2.0, layer="lstm.l0", steps=steps and slice(*steps))]
        inspector.retype(words)
        assert inspector.steps == kept
        assert inspector._page.score.steps == (kept and list(kept))
        assert inspector.edits == [rw.shift("f", 2.0, layer="lstm.l0", steps=steps and slice(*steps))]
        inspector.reset_inputs()


def test_an_error_of_encode_is_shown_and_the_last_picture_stays(texts):
    _, inspector = texts
    ask(inspector, kind="words", words=["not", "good", "film"])
    version, output = frame_of(inspector)["version"], inspector.output
    ask(inspector, kind="words", words=["not", "xyzzy", "film"])
    assert inspector._page.score._status["message"] == "ValueError: encode failed on the words: KeyError: 'xyzzy'"
    assert frame_of(inspector)["version"] == version
    assert inspector.output is output
    assert inspector.tokens[0] == ["not", "good", "film"]
    inspector.edits = [rw.shift("forget_gate", 1.0)]
    status = inspector._page.score._status
    assert (status["state"], status["message"][:30]) == ("ready", "ValueError: encode failed on t")
    ask(inspector, kind="words", words=["bad", "film"])
    assert inspector._page.score._status["message"] == ""


def test_words_without_encode_are_not_editable_and_say_why(inspect):
    words = [["not", "bad", "film"]]
    inspector = inspect(Classifier(), inputs=encode(words), tokens=words)
    assert "encode=" in frame_of(inspector)["writing"]["words"]
    with pytest.raises(ValueError, match="encode="):
        inspector.tokens = [["good"]]


@pytest.mark.parametrize("given", [{}, {"encode": lambda words: torch.zeros(4, 1, 3)}])
def test_without_words_nothing_is_retyped_and_what_is_missing_is_said(inspect, given):
    inspector = inspect(nn.LSTM(3, 4), inputs=torch.randn(5, 1, 3), **given)
    with pytest.raises(ValueError, match=r"no words to retype: give the inspector tokens=.* and encode="):
        inspector.retype(["good"])
    with pytest.raises(ValueError, match=r"no words to retype: give the inspector tokens=.* and encode="):
        inspector.tokens = [["good"]]


def test_an_input_without_words_says_how_there_are_some_again(texts):
    _, inspector = texts
    inspector.inputs = encode([["not"], ["bad"]])
    assert inspector.tokens is None
    with pytest.raises(ValueError, match=r"has no words; .*inspector\.reset_inputs\(\) goes back"):
        inspector.retype(["good"])
    inspector.tokens = [["good"], ["bad"]]
    inspector.retype(["good", "film"])
    assert inspector.tokens == [["good", "film"], ["bad"]]


def test_encode_is_given_what_the_person_gave(inspect):
    seen = []

    def encode_one(words):
        seen.append(words)
        return encode([words])

    inspector = inspect(Classifier(), inputs=encode([["bad", "film"]]), tokens=["bad", "film"], encode=encode_one)
    ask(inspector, kind="words", words=["good", "film"])
    assert seen == [["good", "film"]]


def test_padding_that_the_model_reads_has_an_empty_word(inspect):
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.rnn = nn.Embedding(9, 4), nn.GRU(4, 5, batch_first=True)

        def forward(self, x):
            return self.rnn(self.embedding(x))[0][:, -1]

    def dense(lists):
        return encode(lists)[0]

    words = [["not", "bad", "film"], ["good", "film", "film"]]
    inspector = inspect(Dense(), inputs=dense(words), tokens=words, encode=dense)
    ask(inspector, kind="words", words=["not", "at", "all", "bad", "film"])
    assert inspector.tokens == [["not", "at", "all", "bad", "film"], ["good", "film", "film"]]
    inspector.sequence = 1
    assert frame_of(inspector)["tokens"] == ["good", "film", "film", "", ""]
    ask(inspector, kind="words", words=["good", "bad", "film", "", ""])
    assert inspector.tokens[1] == ["good", "bad", "film"]
    ask(inspector, kind="words", words=["good", "bad", "film", "at", ""])
    assert inspector.tokens[1] == ["good", "bad", "film", "at"]
    inspector.sequence = 0
    ask(inspector, kind="words", words=["not", "bad", "film"])
    assert inspector.tokens == [["not", "bad", "film"], ["good", "bad", "film", "at"]]
    inspector.tokens = inspector.tokens
    assert inspector._page.score._status["message"] == ""


def test_what_is_flat_is_scaled_as_it_is_and_cannot_be_moved(inspect):
    x = torch.ones(12, 1, 2)
    x[..., 1] = 0
    inspector = inspect(nn.GRU(2, 4), inputs=x)
    wish = {"kind": "pulse", "start": 3, "stop": 6}
    ask(inspector, **wish, channel=0, move=0, gain=3.0, gesture="a")
    assert inspector.inputs[:, 0, 0].tolist() == [1, 1, 1, 3, 3, 3, 1, 1, 1, 1, 1, 1]
    kept = inspector.inputs
    for channel, move, gain, why in ((0, -2, 1.0, "the channel is the same"), (1, 0, 2.0, "the channel is 0")):
        ask(inspector, kind="pulse", start=8, stop=10, channel=channel, move=move, gain=gain, gesture=why)
        assert why in inspector._page.score._status["message"]
        assert inspector.inputs is kept
    ask(inspector, **wish, channel=0, move=500, gain=1.0, gesture="b")
    assert "wholly beyond the 12 steps" in inspector._page.score._status["message"]
    ask(inspector, **wish, channel=0, move=0, gain=-1.0, gesture="c")
    assert inspector.inputs[2:7, 0, 0].tolist() == [1, -1, -1, -1, 1]


def test_a_changed_stimulus_has_the_one_before_beside_it(inspect):
    x = torch.zeros(12, 1, 1)
    x[3:5] = 1.0
    inspector = inspect(nn.GRU(1, 4), inputs=x)
    inspector.edits = [rw.shift("update_gate", 1.0)]
    assert frame_of(inspector)["inputs"]["before"] is None
    ask(inspector, kind="pulse", channel=0, start=3, stop=5, move=2, gain=2.0, gesture="a")
    assert floats(frame_of(inspector)["inputs"]["data"]).nonzero()[0].tolist() == [5, 6]
    assert floats(frame_of(inspector)["inputs"]["before"]).nonzero()[0].tolist() == [3, 4]


def test_inputs_can_be_set_and_others_are_refused(inspect):
    torch.manual_seed(0)
    model, x, other = nn.LSTM(3, 4), torch.randn(5, 2, 3), torch.randn(7, 2, 3)
    inspector = inspect(model, inputs=x)
    assert inspector.inputs is x
    inspector.inputs = other
    torch.testing.assert_close(inspector.output[0], model(other)[0])
    torch.testing.assert_close(inspector.baseline_output[0], model(x)[0])
    assert frame_of(inspector)["steps"] == 7
    assert np.isnan(cells_before(inspector).reshape(-1, 7)[:, 5:]).all()
    output = inspector.output
    with pytest.raises(ValueError, match="3 sequences, the picture has 2"):
        inspector.inputs = torch.randn(5, 3, 3)
    assert inspector.output is output
    inspector.inputs = None
    assert inspector.inputs is x


@pytest.mark.parametrize("wrapped", [lambda x: x, lambda x: (x,), lambda x: {"input": x}])
def test_a_pulse_is_moved_and_scaled_where_it_lies_in_the_input(inspect, wrapped):
    model = nn.GRU(2, 6)
    x = torch.zeros(12, 2, 2)
    x[3:5, 1, 0] = 1.0
    inspector = inspect(model, inputs=wrapped(x))
    inspector.sequence = 1
    assert frame_of(inspector)["writing"]["pulses"] == ""
    wish = {"kind": "pulse", "channel": 0, "start": 3, "stop": 5}
    ask(inspector, **wish, move=1, gain=1.0, gesture="a")
    ask(inspector, **wish, move=4, gain=2.0, gesture="a")
    expected = torch.zeros_like(x)
    expected[7:9, 1, 0] = 2.0
    torch.testing.assert_close(inspector.output[0], model(expected)[0])
    assert frame_of(inspector)["writing"]["told"] == [
        "sequence 2: input 0, steps 3 to 4, moved by +4 and scaled by 2.00"
    ]
    inspector.sequence = 0
    assert frame_of(inspector)["writing"]["told"] == [
        "sequence 2: input 0, steps 3 to 4, moved by +4 and scaled by 2.00"
    ]
    assert frame_of(inspector)["writing"]["moved"] == []
    inspector.sequence = 1
    assert x[3:5, 1, 0].tolist() == [1.0, 1.0]
    ask(inspector, **wish, move=0, gain=1.0, gesture="a")
    torch.testing.assert_close(inspector.output[0], model(x)[0])


def test_the_second_drag_begins_where_the_first_ended(inspect):
    x = torch.zeros(12, 1, 1)
    x[3:5] = 1.0
    inspector = inspect(nn.GRU(1, 4), inputs=x)
    ask(inspector, kind="pulse", channel=0, start=3, stop=5, move=2, gain=1.0, gesture="a")
    ask(inspector, kind="pulse", channel=0, start=5, stop=7, move=3, gain=1.0, gesture="b")
    assert inspector.inputs.flatten().nonzero().flatten().tolist() == [8, 9]


def test_what_was_done_to_the_same_steps_is_said_in_all(inspect):
    x = torch.zeros(12, 1, 2)
    x[3:5] = 1.0
    x[7, 0, 0] = 5.0
    inspector = inspect(nn.GRU(2, 4), inputs=x)
    wish = {"kind": "pulse", "start": 3, "stop": 5, "channel": 0}

    def moved(channel=0):
        return [one for one in frame_of(inspector)["writing"]["moved"] if one["channel"] == channel]

    ask(inspector, **wish, move=0, gain=0.5, gesture="a")
    assert moved() == [{"channel": 0, "start": 3, "stop": 5, "move": 0, "gain": 0.5}]
    ask(inspector, **wish | {"channel": 1}, move=0, gain=3.0, gesture="b")
    ask(inspector, **wish, move=3, gain=0.5, gesture="c", again=True)
    assert inspector.inputs[:, 0, 0].tolist() == [0, 0, 0, 0, 0, 0, 0.5, 0.5, 0, 0, 0, 0]
    told = ["input 0, steps 3 to 4, moved by +3 and scaled by 0.50", "input 1, steps 3 to 4, scaled by 3.00"]
    assert frame_of(inspector)["writing"]["told"] == told
    assert inspector.code.count("move_pulse") == 2
    for gain in (0.0, 2.0):
        ask(inspector, **wish, move=0, gain=gain, gesture=gain, again=True)
        assert inspector.inputs[:8, 0, 0].tolist() == [0, 0, 0, gain, gain, 0, 0, 5]
    assert moved(1)[0]["gain"] == 3.0
    ask(inspector, **wish, move=0, gain=1.0, gesture="d", again=True)
    ask(inspector, **wish | {"channel": 1}, move=0, gain=1.0, gesture="e", again=True)
    assert inspector.inputs is x
    assert frame_of(inspector)["writing"]["told"] == []
    ask(inspector, **wish, move=0, gain=1.0, gesture="f", again=True)
    assert inspector.inputs is x
    inspector.undo()
    assert moved(1) == [{"channel": 1, "start": 3, "stop": 5, "move": 0, "gain": 3.0}]


def test_pulses_from_python_act_one_after_the_other_and_are_told_once_where_one_does_the_same(inspect):
    x = torch.zeros(12, 1, 2)
    x[3:5] = 1.0
    inspector = inspect(nn.GRU(2, 4), inputs=x)
    for times, left in ((0.5, 0.5), (0.25, 0.125), (0.5, 0.0625)):
        inspector.move_pulse(0, 3, 5, times=times)
        assert inspector.inputs[3:5, 0, 0].tolist() == [left, left]
    assert frame_of(inspector)["writing"]["told"] == ["input 0, steps 3 to 4, scaled by 0.06"]
    assert inspector.code.splitlines()[1] == "inspector.move_pulse(0, 3, 5, by=0, times=0.0625, sequence=0)"
    inspector.move_pulse(0, 3, 5, by=2, times=16.0)
    assert frame_of(inspector)["writing"]["told"] == ["input 0, steps 3 to 4, moved by +2"]
    inspector.move_pulse(0, 5, 7, by=-1)
    assert inspector.inputs[:, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]
    assert len(frame_of(inspector)["writing"]["told"]) == 2
    with pytest.raises(ValueError, match="nothing to scale"):
        inspector.move_pulse(0, 9, 11, times=2.0)
    inspector.move_pulse(1, 3, 5, times=float("inf"))
    assert [one["channel"] for one in frame_of(inspector)["writing"]["moved"]] == [0]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 2), st.booleans(), st.integers(0, 2**16))
def test_a_pulse_of_a_packed_sequence_is_that_of_the_padded_one(lengths, channels, is_sorted, seed):
    drawn = torch.Generator().manual_seed(seed)
    lengths = sorted(lengths, reverse=True) if is_sorted else lengths
    x = torch.randn(len(lengths), max(lengths), channels, generator=drawn)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=is_sorted)
    sequence = seed % len(lengths)
    steps, channel = lengths[sequence], seed % channels
    start, move, gain = seed % (steps + 2), seed % 5 - 2, 0.5
    read = [own[:length] for own, length in zip(x, lengths, strict=True)]
    place = stimulus_place({"packed": packed}, read, sequence)
    assert place is not None
    wish = (sequence, channel, start, start + 2, move, gain, steps)
    if start >= steps:
        with pytest.raises(ValueError, match="beyond the end of sequence"):
            with_pulse({"packed": packed}, place, *wish)
        return
    if start + move >= steps or min(steps, start + 2) + move <= 0:
        with pytest.raises(ValueError, match="wholly beyond"):
            with_pulse({"packed": packed}, place, *wish)
        return
    expected = x.clone()
    own = plain_pulse(x[sequence, :steps, channel].tolist(), start, min(steps, start + 2), move, gain)
    expected[sequence, :steps, channel] = torch.tensor(own)
    again = pack_padded_sequence(expected, lengths, batch_first=True, enforce_sorted=is_sorted)
    changed = with_pulse({"packed": packed}, place, *wish)["packed"]
    torch.testing.assert_close(changed.data, again.data)
    assert changed.batch_sizes is packed.batch_sizes
    for ours, theirs in ((changed.sorted_indices, again.sorted_indices), (changed.unsorted_indices, again[3])):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


@pytest.mark.parametrize("wrapped", [lambda x: x, lambda x: (x,), lambda x: {"input": x}])
def test_a_pulse_of_a_packed_input_is_a_run_on_the_input_packed_anew(inspect, wrapped):
    torch.manual_seed(1)
    model, x, lengths = nn.LSTM(2, 6, batch_first=True), torch.zeros(3, 12, 2), [5, 12, 8]
    x[2, 3:5, 1] = 1.0
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    kept = packed.data.clone()
    inspector = inspect(model, inputs=wrapped(packed))
    inspector.sequence = 2
    assert frame_of(inspector)["writing"]["pulses"] == ""
    edit = rw.shift("forget_gate", 1.0)
    inspector.edits = [edit]
    wish = {"kind": "pulse", "channel": 1, "start": 3, "stop": 5}
    ask(inspector, **wish, move=4, gain=2.0, gesture="a")
    expected = torch.zeros_like(x)
    expected[2, 7, 1] = 2.0
    with rw.edited(model, edit):
        fresh, (hidden, _) = model(pack_padded_sequence(expected, lengths, batch_first=True, enforce_sorted=False))
    torch.testing.assert_close(inspector.output[0].data, fresh.data)
    torch.testing.assert_close(inspector.output[1][0], hidden)
    assert torch.equal(packed.data, kept)
    ask(inspector, **wish, move=0, gain=1.0, gesture="a")
    assert inspector.inputs is inspector._writing.original.inputs


def test_a_pulse_beyond_the_end_is_refused_and_one_that_reaches_over_it_is_cut(inspect):
    stimulus = torch.zeros(2, 9, 1)
    stimulus[0, 2:4] = 1.0
    x = pack_padded_sequence(stimulus, [4, 9], batch_first=True, enforce_sorted=False)
    inspector = inspect(nn.GRU(1, 3), inputs=x)
    ask(inspector, kind="pulse", channel=0, start=5, stop=8, move=0, gain=2.0, gesture="a")
    assert "steps 5 to 7 lie beyond the end of sequence 0" in inspector._page.score._status["message"]
    assert inspector.inputs is x
    ask(inspector, kind="pulse", channel=0, start=2, stop=8, move=0, gain=3.0, gesture="b")
    assert inspector._page.score._status["message"] == ""
    padded = pad_packed_sequence(inspector.inputs, batch_first=True)[0][..., 0]
    assert padded.tolist() == [[0, 0, 3, 3, 0, 0, 0, 0, 0], [0] * 9]
    assert frame_of(inspector)["writing"]["told"] == ["sequence 1: input, steps 2 to 3, scaled by 3.00"]


def test_a_pulse_is_that_of_the_sequence_on_show_where_either_axis_might_be_the_batch(inspect):
    impulses = torch.eye(6).unsqueeze(-1)
    inspector = inspect(nn.RNN(1, 4, batch_first=True), inputs=impulses)
    inspector.move_pulse(0, 1, 2, by=2, sequence=1)
    expected = impulses.clone()
    expected[1] = impulses[3]
    assert torch.equal(inspector.inputs, expected)


class TwoEars(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.RNN(2, 4), nn.RNN(2, 4)

    def forward(self, left, right):
        return self.left(left)[0] + self.right(right)[0]


def test_a_pulse_says_which_layer_reads_it(inspect):
    given = torch.randn(9, 1, 2), torch.randn(9, 1, 2)
    inspector = inspect(TwoEars(), inputs=given)
    inspector.layer = "right.l0"
    inspector.move_pulse(0, 2, 4, times=3.0)
    assert torch.equal(inspector.inputs[0], given[0])
    moved, code = inspector.inputs, inspector.code
    inspector.layer = "left.l0"
    exec(code, {"rw": rw, "inspector": inspector})  # noqa: S102 - our own text
    assert all(map(torch.equal, inspector.inputs, moved))
    with pytest.raises(KeyError, match="no layer 'middle'"):
        inspector.move_pulse(0, 2, 4, times=3.0, layer="middle")


def test_a_stimulus_that_stands_in_two_inputs_is_not_editable(inspect):
    x = torch.randn(9, 1, 2)
    inspector = inspect(TwoEars(), inputs=(x, x.clone()))
    assert "stands there twice" in frame_of(inspector)["writing"]["pulses"]
    with pytest.raises(ValueError, match="stands there twice"):
        inspector.move_pulse(0, 2, 4, times=3.0)


def test_a_stimulus_that_the_model_computes_is_not_editable_and_says_why(inspect):
    inspector = inspect(nn.Sequential(nn.Linear(3, 2), nn.RNN(2, 4)), inputs=torch.randn(5, 1, 3))
    assert "set inspector.inputs" in frame_of(inspector)["writing"]["pulses"]


@given(st.booleans(), st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**16))
def test_a_channel_is_found_in_either_layout(batch_first, batch, steps, channels, seed):
    x = torch.randn(steps, batch, channels, generator=torch.Generator().manual_seed(seed))
    given = x.transpose(0, 1) if batch_first else x
    sequence = seed % batch
    place = stimulus_place((torch.zeros(2, dtype=torch.long), given), list(x.unbind(1)), sequence)
    assert place is not None
    changed = with_pulse((1, given), place, sequence, 0, 0, steps, 0, 2.0, steps)
    own = (changed[1].transpose(0, 1) if batch_first else changed[1])[:, sequence, 0]
    torch.testing.assert_close(own, 2 * x[:, sequence, 0])


def test_a_call_that_was_captured_can_be_changed(inspect):
    model, words = Classifier().eval(), [["not", "bad", "film"]]
    inspector = inspect(model, tokens=words, encode=encode)
    model(*encode(words))
    inspector.tokens = [["good", "film"]]
    torch.testing.assert_close(inspector.output, rw.intervene(model, encode([["good", "film"]]), []).output)
    inspector._capture._resumes = -torch.inf
    model(*encode(words))
    assert inspector.tokens == words


def test_what_is_typed_in_one_words_place_is_as_many_words(texts):
    model, inspector = texts
    ask(inspector, kind="words", words=["not", "at all bad", "film"])
    assert inspector.tokens[0] == ["not", "at", "all", "bad", "film"]
    fresh = model(*encode([["not", "at", "all", "bad", "film"], ["good", "film"]]))
    torch.testing.assert_close(inspector.output, fresh)


@pytest.mark.parametrize(
    ("words", "known", "expected"),
    [
        (["New York", "is big"], ["New York", "sleeps"], ["New York", "is big"]),
        (["a", " ", "b"], ["x", " ", "y"], ["a", " ", "b"]),
        (["好电影", ""], ["好", "看", "书", "吗"], ["好", "电", "影", ""]),
        (["like"], ["I"], ["like"]),
        (["The", " dog ran", " sat"], ["The", " cat", " sat"], ["The", " dog ran", " sat"]),
        (["a\n", "b c"], ["a\n", "b"], ["a\n", "b c"]),
        (["very  good ", "", "film"], ["bad", "film"], ["very", "good", "", "film"]),
    ],
)
def test_words_and_characters_are_told_apart_by_those_that_are_there(words, known, expected):
    assert typed(words, known) == expected


def test_a_word_of_white_space_is_not_one_that_was_removed():
    assert told_of_words([["(", "a"]], [[" ", "a"]]) == ("“(” → “␣”",)
    assert told_of_words([["(", "a"]], [["a"]]) == ("“(” removed",)
    assert told_of_words([["(", "a", ""]], [["(", "a"]]) == ()


def test_retyped_words_written_from_right_to_left_stand_on_their_sides_of_the_arrow():
    assert told_of_words([["ليس", "سيئ"]], [["ليس", "حسن"]]) == ("“\u2068سيئ\u2069” → “\u2068حسن\u2069”",)
