from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnwidget as rw
from rnnwidget.widgets.answer_frame import answer_frame
from rnnwidget.widgets.answer_words import headline, overtaken
from rnnwidget.widgets.answers import Reader, Reading, shortened


def read_answer(output: object, sequence: int, batch: int, **keywords: Any) -> Reading | None:
    asked = {name: keywords.pop(name) for name in ("lengths", "batch_first") if name in keywords}
    return Reader(**keywords).read(output, sequence, batch, **asked)


def test_what_was_the_most_probable_before_has_not_overtaken_the_name_that_was_chosen():
    before, after, other = (
        Reading(["a", "b", "c"], torch.tensor(chances), "", (0.0, 1.0))
        for chances in ([0.5, 0.3, 0.2], [0.6, 0.2, 0.2], [0.2, 0.2, 0.6])
    )
    assert answer_frame((before, after), edited=True, told="b")["overtaken"] == ""
    assert answer_frame((before, other), edited=True, told="b")["overtaken"] == "now P(c) 0.60"
    assert answer_frame((before, other), edited=True)["overtaken"] == "now P(c) 0.60"
    assert answer_frame((before, other), edited=True, told="c")["overtaken"] == ""


def test_the_name_that_was_chosen_is_among_those_on_show():
    before, after = (
        Reading([str(place) for place in range(30)], vector, "", (0.0, 1.0))
        for vector in (torch.linspace(0, 1, 30), torch.linspace(1, 0, 30))
    )
    frame = answer_frame((before, after), edited=True, told="15")
    assert frame["labels"][frame["picked"]] == "15"
    assert frame["headline"].startswith("P(15)")
    assert len(frame["labels"]) == 8


def test_logits_are_probabilities_only_if_the_loss_says_so():
    output = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    raw = read_answer(output, 0, 2, labels=["no", "yes"])
    assert raw.values == (1.0, 3.0)
    assert raw.caption == "raw output"
    told = read_answer(output, 0, 2, loss=nn.CrossEntropyLoss(), labels=["no", "yes"])
    assert told.values == pytest.approx(torch.softmax(output[0], 0).tolist())
    assert told.limits == (0.0, 1.0)


def test_a_binary_logit_is_named_after_the_second_label():
    reading = read_answer(torch.tensor([[0.0], [2.0]]), 1, 2, loss=nn.BCEWithLogitsLoss(), labels=["bad", "good"])
    assert reading.labels == ("good",)
    assert reading.values == pytest.approx((torch.sigmoid(torch.tensor(2.0)).item(),))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (torch.tensor([5.0, 6.0, 7.0]), (6.0,)),
        (torch.arange(12.0).reshape(3, 2, 2), (6.0, 7.0)),
        (torch.arange(24.0).reshape(4, 3, 2), (20.0, 21.0)),
        ((torch.arange(24.0).reshape(4, 3, 2), (torch.zeros(1, 3, 2), torch.zeros(1, 3, 2))), (20.0, 21.0)),
        ({"loss": torch.tensor(1.0), "logits": torch.tensor([[1.0], [2.0], [3.0]])}, (2.0,)),
    ],
)
def test_the_second_of_three_sequences_is_found(output, expected):
    assert read_answer(output, 1, 3).values == expected


LENGTHS = [2, 5, 3]


@pytest.fixture
def packed():
    return pack_padded_sequence(torch.randn(3, 5, 4), LENGTHS, batch_first=True, enforce_sorted=False)


@pytest.mark.parametrize("sequence", range(3))
def test_a_packed_sequence_is_read_at_its_own_last_step(packed, sequence):
    output, (hidden, _) = nn.LSTM(4, 6)(packed)
    expected = pytest.approx(hidden[0, sequence].tolist())
    for batch_first in (True, False):
        padded = pad_packed_sequence(output, batch_first=batch_first)[0]
        reading = read_answer(padded, sequence, 3, lengths=LENGTHS)
        assert reading.values == expected
        assert reading.caption == "raw output, last step"
    assert read_answer((output, hidden), sequence, 3, lengths=LENGTHS).values == expected
    assert read_answer({"logits": output}, sequence, 3).values == expected


def test_one_number_for_each_step_is_read_at_the_last_step():
    time_first = torch.arange(15.0).reshape(5, 3) / 10
    for output in (time_first, time_first[..., None], time_first.T, time_first.T[..., None]):
        reading = read_answer(
            output, 2, 3, lengths=LENGTHS, loss=nn.BCEWithLogitsLoss(), labels=["bad", "good"], batch_first=None
        )
        assert reading.labels == ("good",)
        assert reading.values == pytest.approx((torch.sigmoid(time_first[2, 2]).item(),))


def test_as_many_classes_as_steps_are_classes_if_labels_say_so_and_in_raw_outputs():
    output = torch.randn(3, 5)
    named = read_answer(output, 0, 3, lengths=LENGTHS, loss=nn.BCEWithLogitsLoss(), labels=list("abcde"))
    assert named.values == pytest.approx(torch.sigmoid(output[0]).tolist())
    assert read_answer(output, 0, 3, lengths=LENGTHS).values == pytest.approx(output[0].tolist())


@pytest.mark.parametrize("batch_first", [True, False])
def test_as_many_steps_as_sequences_are_told_apart_by_the_layout(batch_first):
    output, hidden = nn.GRU(4, 6, batch_first=batch_first)(torch.randn(3, 3, 4))
    reading = read_answer((output, hidden), 1, 3, lengths=[3, 3, 3], batch_first=batch_first)
    assert reading.values == pytest.approx(hidden[0, 1].tolist())


def test_as_many_steps_as_sequences_are_batch_first_once_packed():
    packed = pack_padded_sequence(torch.randn(3, 3, 4), [1, 3, 2], batch_first=True, enforce_sorted=False)
    output, hidden = nn.GRU(4, 6)(packed)
    for layout in (None, False):
        reading = read_answer((output, hidden), 2, 3, lengths=[1, 3, 2], batch_first=layout)
        assert reading.values == pytest.approx(hidden[0, 2].tolist())


@pytest.mark.parametrize(
    ("shape", "lengths", "batch_first", "loss"),
    [
        ((3, 3, 4), [3, 3, 1], None, None),
        ((3, 3), [3, 3, 3], False, None),
        ((3, 3, 4), [5, 5, 5], True, None),
        ((15, 3), [5, 5, 5], True, None),
        ((15, 3), [5, 5, 5], True, nn.CrossEntropyLoss()),
        ((3, 4, 3), [3, 3, 3], False, nn.CrossEntropyLoss()),
        ((3,), [5, 5, 5], True, nn.CrossEntropyLoss()),
        ((3, 0), [5, 5, 5], True, None),
    ],
)
def test_no_answer_rather_than_that_of_another_sequence(shape, lengths, batch_first, loss):
    reading = read_answer(torch.zeros(shape), 1, 3, lengths=lengths, batch_first=batch_first, loss=loss)
    assert reading is None or "all of it" in reading.caption


def test_as_many_classes_as_sequences_are_no_steps():
    output = torch.arange(9.0).reshape(3, 3)
    for batch_first in (True, False, None):
        assert read_answer(output, 1, 3, lengths=[5, 4, 2], batch_first=batch_first).values == (3.0, 4.0, 5.0)
    square = read_answer(output, 1, 3, lengths=[3, 3, 3], batch_first=False, loss=nn.CrossEntropyLoss())
    assert square.values == pytest.approx(torch.softmax(output[1], 0).tolist())


@pytest.mark.parametrize(
    ("shape", "lengths", "where", "caption"),
    [
        ((3, 4, 5), LENGTHS, (0, slice(None), 1), "last step"),
        ((5, 4, 3), LENGTHS, (1, slice(None), 0), "last step"),
        ((3, 5, 5), LENGTHS, (0, slice(None), 1), "last step"),
        ((3, 4, 2), LENGTHS, (0, slice(None), 1), "last position"),
        ((3, 4, 5, 2), LENGTHS, (0, slice(None), 1, 1), "last step"),
        ((3, 4, 3), [2, 3, 3], (0, slice(None), 1), "last step"),
        ((5, 4), [5], (4,), "last step"),
        ((1, 4, 5), [5], (0, slice(None), 4), "last step"),
    ],
)
def test_cross_entropy_has_its_classes_on_the_second_axis(shape, lengths, where, caption):
    output = torch.randn(shape)
    reading = read_answer(output, 0, len(lengths), lengths=lengths, batch_first=True, loss=nn.CrossEntropyLoss())
    assert reading.values == pytest.approx(torch.softmax(output[where], 0).tolist())
    assert reading.caption.endswith(caption)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (nn.CrossEntropyLoss(), functional.cross_entropy),
        (nn.BCEWithLogitsLoss(), functional.binary_cross_entropy_with_logits),
    ],
)
def test_a_functional_loss_says_what_its_module_says(module, function):
    output = torch.randn(2, 3)
    told = read_answer(output, 1, 2, loss=module)
    assert told.limits == (0.0, 1.0)
    for same in (function, partial(function, reduction="sum")):
        reading = read_answer(output, 1, 2, loss=same)
        assert (reading.values, reading.caption) == (told.values, told.caption)
    assert read_answer(output, 1, 2, loss=lambda *given: function(*given).mean()).caption == "raw output"


def test_labels_must_be_as_many_as_the_classes():
    output = torch.randn(2, 3)
    for loss in (nn.CrossEntropyLoss(), functional.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=r"2 names, but .* 3 classes"):
            read_answer(output, 0, 2, loss=loss, labels=["no", "yes"])
    assert read_answer(output, 0, 2, labels=["no", "yes"]).labels == ("output 0", "output 1", "output 2")


def test_a_readout_of_the_persons_own_comes_first():
    assert read_answer(None, 0, 1, answer=lambda _: 3).values == (3.0,)
    assert read_answer(None, 0, 1, answer=lambda _: {"a": 1, "b": 2}).labels == ("a", "b")


def test_an_output_without_tensors_has_no_answer():
    assert read_answer("text", 0, 1) is None
    assert read_answer(torch.tensor(3.0), 0, 4) is None


def test_the_headline_shows_enough_digits_to_tell_before_from_after():
    def reading(value):
        return Reading(("no", "yes"), torch.tensor([1 - value, value]), "", (0, 1))

    assert headline(reading(0.07), reading(0.61), 1) == "P(yes)  0.07 → 0.61"
    assert headline(reading(0.5001), reading(0.5004), 1) == "P(yes)  0.5001 → 0.5004"


def test_many_raw_outputs_are_cut_to_the_largest_of_either_run_whatever_their_sign():
    names = tuple(map(str, range(20)))
    before = Reading(names, torch.arange(20.0) * torch.tensor([1.0, -1.0]).repeat(10), "raw output", None)
    after = Reading(names, before.vector + torch.eye(20)[3] * 50, "raw output", None)
    short, _ = shortened(before, after)
    assert short.labels == ("19", "18", "17", "16", "15", "14", "13", "3")
    assert short.caption == "raw output: the 8 largest of 20 by magnitude"
    short, other = shortened(before, after, 10)
    assert short.labels == other.labels
    assert "10" in short.labels
    assert short.caption == "raw output: 10 and the 7 largest of 20 by magnitude"


def test_many_chances_are_cut_to_the_most_probable_of_either_run():
    names = tuple(map(str, range(20)))
    before = Reading(names, torch.linspace(0, 0.1, 20), "probability", (0.0, 1.0))
    after = Reading(names, before.vector.flip(0), "probability", (0.0, 1.0))
    short, _ = shortened(before, after)
    assert set(short.labels) == {"0", "1", "2", "3", "16", "17", "18", "19"}
    assert short.caption == "probability: the 8 largest of 20"


def test_ten_outputs_are_all_shown_as_they_come():
    reading = read_answer(torch.tensor([[1.0, -5, 2, 1, -8, 0.3, 0.2, 0.1, 1, 1]]), 0, 1)
    frame = answer_frame((reading, reading), edited=False)
    assert frame["labels"] == [f"output {place}" for place in range(10)]
    assert frame["caption"] == "raw output"


def test_the_answer_told_of_stays_the_same_while_a_dial_moves(inspect):
    torch.manual_seed(0)
    model = nn.GRU(2, 3)
    inspector = inspect(model, inputs=torch.randn(6, 1, 2), answer=lambda output: dict(enumerate(output[1].flatten())))
    told = set()
    for value in (-6.0, -3.0, 0.0, 3.0, 6.0):
        inspector.edits = [rw.shift("candidate", value)]
        told.add(inspector._page.score._frame["answer"]["headline"].split("  ")[0])
    highest = int(model(inspector.inputs)[1].argmax())
    assert told == {str(highest)}


def test_what_has_overtaken_the_answer_told_of_is_said():
    before = Reading(("ADJ", "NOUN", "VERB"), torch.tensor([0.68, 0.2, 0.12]), "", (0.0, 1.0))
    after = Reading(before.names, torch.tensor([0.37, 0.06, 0.57]), "", (0.0, 1.0))
    assert overtaken(before, after, 0) == "now P(VERB) 0.57"
    assert overtaken(before, before, 0) == ""
    raw = [Reading(of.names, of.vector, "", None) for of in (before, after)]
    assert overtaken(*raw, 0) == ""
    two = [Reading(("no", "yes"), torch.tensor([1 - chance, chance]), "", (0.0, 1.0)) for chance in (0.7, 0.2)]
    assert overtaken(*two, 1) == ""


@pytest.mark.parametrize(
    ("value", "told"), [(99.994, "99.99"), (1234.5, "1234"), (123456.4, "123,456"), (12345678, "12,345,678")]
)
def test_large_numbers_keep_their_digits_in_the_headline(value, told):
    reading = Reading(("count",), torch.tensor([value], dtype=torch.float64), "", None)
    assert headline(reading, reading, 0) == f"count  {told} → {told}"


def test_white_space_is_made_visible_in_the_headline():
    def reading(value):
        return Reading(("a", " "), torch.tensor([1 - value, value]), "", (0.0, 1.0))

    assert headline(reading(0.07), reading(0.61), 1) == "P(␣)  0.07 → 0.61"


def test_logits_can_be_said_to_be_logits_and_log_probabilities_told_by_their_loss():
    output = torch.randn(2, 3)
    told = read_answer(output, 1, 2, logits=True)
    assert told.values == pytest.approx(torch.softmax(output[1], 0).tolist())
    assert told.limits == (0.0, 1.0)
    single = read_answer(output[:, :1], 1, 2, logits=True)
    assert single.values == pytest.approx(torch.sigmoid(output[1, :1]).tolist())
    logs = torch.log_softmax(output, 1)
    assert read_answer(logs, 1, 2, loss=nn.NLLLoss()).values == pytest.approx(told.values, abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 5, 40), (2, 40)])
def test_the_next_token_is_named_by_the_vocabulary(shape):
    vocabulary = [f"token{number}" for number in range(40)]
    output = torch.randn(shape)
    last = output[1, -1] if len(shape) == 3 else output[1]
    reading = read_answer(output, 1, 2, lengths=[5, 5], batch_first=True, vocabulary=vocabulary)
    assert reading.values == pytest.approx(last.tolist())
    assert (reading.limits, reading.caption.startswith("next token, raw output")) == (None, True)
    chances = torch.softmax(output, -1)
    told = read_answer(chances, 1, 2, lengths=[5, 5], batch_first=True, vocabulary=vocabulary)
    assert told.limits == (0.0, 1.0)
    logits = read_answer(output, 1, 2, lengths=[5, 5], batch_first=True, vocabulary=vocabulary, logits=True)
    assert logits.values == pytest.approx(told.values, abs=1e-6)
    frame = answer_frame((logits, logits), edited=False)
    top = torch.topk(logits.vector, 4).indices.tolist()
    assert set(frame["labels"]) >= {vocabulary[number] for number in top}
    assert len(frame["labels"]) == 8
    assert frame["range"][1] < 1
    with pytest.raises(ValueError, match="vocabulary has 39 tokens"):
        read_answer(output, 1, 2, lengths=[5, 5], batch_first=True, vocabulary=vocabulary[:39])


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("channels", [0, 2])
def test_a_forecast_stands_beside_its_truth(batch_first, channels):
    output, truth = (torch.randn(3, 6, channels) if channels else torch.randn(3, 6) for _ in range(2))
    own, wanted = output[2, :4], truth[2, :4]
    pair = (output, truth) if batch_first else (output.transpose(0, 1), truth.transpose(0, 1))
    reading = read_answer(pair[0], 2, 3, lengths=[6, 5, 4], batch_first=batch_first, targets=pair[1])
    torch.testing.assert_close(reading.series, own.reshape(4, -1).T)
    torch.testing.assert_close(reading.truth, wanted.reshape(4, -1).T)
    assert reading.values == pytest.approx((float((own - wanted).square().mean().sqrt()),))
    frame = answer_frame((reading, reading), edited=True)
    assert (frame["series"]["channels"], frame["series"]["steps"]) == (max(1, channels), 4)


def test_a_single_number_has_its_truth_beside_it():
    reading = read_answer(torch.tensor([[1.0], [2.0]]), 1, 2, targets=torch.tensor([[1.5], [2.5]]))
    assert (reading.values, reading.truth.tolist()) == ((2.0,), [2.5])


def test_class_numbers_are_no_truth_of_a_forecast():
    assert read_answer(torch.randn(2, 3), 0, 2, targets=torch.tensor([0, 1])).truth is None


def test_many_numbers_without_names_are_a_strip():
    before, after = (read_answer(torch.randn(1, 700), 0, 1) for _ in range(2))
    strip = answer_frame((before, after), edited=True)["strip"]
    assert (strip["count"], strip["columns"]) == (700, 350)
    assert len(strip["after"]) == 4 * 350
    change = (after.vector - before.vector).abs()
    assert strip["most_change"] == pytest.approx(float(change.max()))
    assert strip["mean_change"] == pytest.approx(float(change.mean()))


def test_an_answer_of_ones_own_may_ask_for_the_sequence():
    assert read_answer(None, 4, 5, answer=lambda output, sequence: sequence).values == (4.0,)
    assert read_answer(3.0, 4, 5, answer=lambda output, scale=2: output * scale).values == (6.0,)
    with pytest.raises(TypeError, match="answer must return a number"):
        read_answer(None, 0, 1, answer=lambda _: "yes")


def test_the_headline_has_a_true_minus():
    def reading(value):
        return Reading(("output",), torch.tensor([value]), "", None)

    assert headline(reading(-0.06), reading(0.21), 0) == "output  −0.06 → 0.21"
    assert headline(reading(-torch.inf), reading(torch.nan), 0) == "output  −∞ → NaN"


def test_an_answer_of_many_numbers_is_told_by_its_name_and_what_to_give():
    output = torch.zeros(2, 5)
    with pytest.raises(
        TypeError, match=r"got a tensor of shape \(2,\) of type Tensor for 'left'; answer=lambda output, seq"
    ):
        Reader(answer=lambda output: {"right": 1.0, "left": output[:, 0]}).read(output, 0, 2)


def test_a_name_written_from_right_to_left_leaves_the_numbers_in_their_order():
    def reading(value: float, name: str = "حسن") -> Reading:
        return Reading(("سيئ", name), torch.tensor([1 - value, value]), "probability", (0.0, 1.0))

    assert headline(reading(0.43), reading(0.49), 1) == "P(\u2068حسن\u2069)  0.43 → 0.49"
    assert headline(reading(0.1, "\u202eevil"), reading(0.2, "\u202eevil"), 1).endswith("evil\u2069)  0.10 → 0.20")
