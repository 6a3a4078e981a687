import pytest
import torch
from torch import nn

from rnnwidget.widgets.answers import Reading, headline, picked_label, read_answer, shortened


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


def test_a_readout_of_the_persons_own_comes_first():
    assert read_answer(None, 0, 1, answer=lambda _: 3).values == (3.0,)
    assert read_answer(None, 0, 1, answer=lambda _: {"a": 1, "b": 2}).labels == ("a", "b")


def test_an_output_without_tensors_has_no_answer():
    assert read_answer("text", 0, 1) is None
    assert read_answer(torch.tensor(3.0), 0, 4) is None


def test_the_headline_shows_enough_digits_to_tell_before_from_after():
    def reading(value):
        return Reading(("no", "yes"), (1 - value, value), "", (0, 1))

    assert headline(reading(0.07), reading(0.61), 1) == "P(yes)  0.07 → 0.61"
    assert headline(reading(0.5001), reading(0.5004), 1) == "P(yes)  0.5001 → 0.5004"


def test_many_labels_are_cut_to_the_highest_before_and_after():
    before = Reading(tuple(map(str, range(20))), tuple(float(k) for k in range(20)), "raw output", None)
    after = Reading(before.labels, (99.0, *before.values[1:]), "raw output", None)
    assert picked_label(before, after) == 0
    short, _ = shortened(before, after)
    assert "0" in short.labels
    assert "19" in short.labels
    assert "8 of 20" in short.caption
