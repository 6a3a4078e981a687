"""Models whose layers step otherwise than their input, and outputs whose axes look alike."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnwidget as rw
from rnnwidget.widgets import answer_lane
from rnnwidget.widgets.probe import MOVED

SOURCE = ["the", "big", "cat", "sat", "."]
TARGET = ["<s>", "le", "grand", "chat", "dort", "</s>"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(answer_lane, "PAUSE", 0.0)


class Translator(nn.Module):
    """Reads source words, and writes so many target words, each read again."""

    def __init__(self, written=7):
        super().__init__()
        self.written = written
        self.source, self.target = nn.Embedding(len(SOURCE), 6), nn.Embedding(len(TARGET), 6)
        self.encoder, self.decoder = nn.LSTM(6, 8, batch_first=True), nn.LSTMCell(6, 8)
        self.head = nn.Linear(8, len(TARGET))

    def forward(self, words):
        _, (h, c) = self.encoder(self.source(words))
        h, c = h[0], c[0]
        word, outputs = words.new_zeros(words.size(0)), []
        for _ in range(self.written):
            h, c = self.decoder(self.target(word), (h, c))
            outputs.append(self.head(h))
            word = outputs[-1].argmax(-1)
        return torch.stack(outputs, 1)


def encode(words):
    lists = [words] if isinstance(words[0], str) else words
    return torch.tensor([[SOURCE.index(word) for word in own] for own in lists])


def frame_of(inspector):
    return inspector._page.score._frame


@pytest.fixture
def translating(inspect):
    torch.manual_seed(0)
    return inspect(
        Translator().eval(), inputs=encode(SOURCE), tokens=SOURCE, encode=encode, vocabulary=TARGET, logits=True
    )


def test_words_of_the_source_stand_at_no_step_of_the_decoder(translating):
    assert frame_of(translating)["tokens"] == SOURCE
    assert [layer["label"] for layer in frame_of(translating)["layers"]] == ["encoder 0→", "decoder"]
    translating.layer = "decoder"
    frame = frame_of(translating)
    assert (frame["tokens"], frame["steps"]) == (None, 7)
    assert frame["writing"]["words"] is None


def test_a_removed_word_is_seen_from_the_decoder_too(translating):
    translating.layer = "decoder"
    translating.retype(SOURCE[1:])
    frame = frame_of(translating)
    assert (frame["tokens"], frame["writing"]["changed_steps"]) == (None, [])
    assert frame["heatmap"]["before"] is not None
    assert frame["writing"]["told"] == ["“the” removed"]


def test_a_vocabulary_of_the_output_does_not_name_what_is_read(translating):
    assert frame_of(translating)["writing"]["reads"] == [f"number {place}" for place in range(5)]


def test_a_vocabulary_that_is_the_input_s_too_names_what_is_read(inspect):
    words = [*SOURCE[:4], "unknown"]
    model = Translator()
    known = inspect(model, inputs=encode(SOURCE), tokens=words, vocabulary=[*SOURCE, "more"])
    assert frame_of(known)["writing"]["reads"] == SOURCE


class Tagger(nn.Module):
    def __init__(self, *, bidirectional=False):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.gru = nn.GRU(4, 5, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(5 * (1 + bidirectional), 3)

    def forward(self, words, lengths):
        packed = pack_padded_sequence(self.embedding(words), lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0])


def numbers(lists):
    padded = torch.zeros(len(lists), max(map(len, lists)), dtype=torch.long)
    for row, words in enumerate(lists):
        padded[row, : len(words)] = torch.tensor([ord(word) - ord("a") for word in words])
    return padded, torch.tensor([len(words) for words in lists])


def test_targets_of_each_word_are_not_given_to_its_neighbours(inspect):
    words = [list("abcde"), list("fghi")]
    targets = torch.tensor([[0, 1, 2, 0, 1], [1, 1, 2, 0, -100]])
    loss = nn.CrossEntropyLoss(ignore_index=-100)
    inspector = inspect(
        Tagger(),
        inputs=numbers(words),
        tokens=words,
        encode=numbers,
        targets=targets,
        loss=lambda output, tags: loss(output.flatten(0, 1), tags.flatten()),
    )
    assert frame_of(inspector)["gradient"] is not None
    inspector.retype(list("fhi"), sequence=1)
    assert (frame_of(inspector)["gradient"], frame_of(inspector)["gradient_message"]) == (None, MOVED)
    inspector.retype(list("fgh"), sequence=1)  # without the last: those before it are where they were
    assert frame_of(inspector)["gradient"] is not None
    inspector.retype(list("fahi"), sequence=1)
    assert frame_of(inspector)["gradient"] is not None


@pytest.mark.parametrize("edited", [False, True])
def test_tags_of_every_word_are_seen_although_a_layer_reads_from_the_end(inspect, edited):
    torch.manual_seed(0)
    model, words = Tagger(bidirectional=True).eval(), [list("abcde"), list("fghi")]
    labels = ["noun", "verb", "other"]
    inspector = inspect(model, inputs=numbers(words), tokens=words, labels=labels, logits=True)
    inspector.sequence = 1
    edits = [rw.shift("update_gate", 2.0)] if edited else []
    inspector.edits = edits
    inspector._page.score._drawn = frame_of(inspector)["version"]
    inspector._changes._lane.join(30)
    lane = inspector._page.score.lane
    assert (lane["reason"], lane["by_step"], lane["steps"]) == ("", True, 4)
    assert lane["labels"] == ["P(noun)", "P(verb)", "P(other)"]
    with torch.no_grad():
        for name, own in (("before", []), ("after", edits)) if edited else (("before", []),):
            with rw.edited(model, *own):
                expected = torch.softmax(model(*numbers(words))[1, :4], -1).T
            line = np.frombuffer(lane[name], "<f4").reshape(3, 4)
            assert line == pytest.approx(expected.numpy(), abs=1e-6)


class Pooled(Tagger):
    """One answer for each sequence, of as many classes as there are steps, from layers of both directions."""

    def forward(self, words, lengths):
        return super().forward(words, lengths).mean(1)


def test_classes_are_not_taken_for_steps(inspect):
    words = [list("abc"), list("fg")]
    inspector = inspect(Pooled(bidirectional=True), inputs=numbers(words), tokens=words)
    inspector._page.score._drawn = frame_of(inspector)["version"]
    inspector._changes._lane.join(30)
    assert inspector._page.score.lane["reason"].startswith("layer 0← reads from the end of the sequence")


@pytest.mark.parametrize("form", ["flat", "list"])
def test_targets_of_each_word_are_known_in_other_forms_too(inspect, form):
    words = [list("abcde"), list("fghi")]
    tags = torch.tensor([[0, 1, 2, 0, 1], [1, 1, 2, 0, 0]])
    targets = tags.flatten() if form == "flat" else [tags]

    def loss(output, given):
        wanted = given if isinstance(given, torch.Tensor) else given[0].flatten()
        return nn.functional.cross_entropy(output.flatten(0, 1), wanted)

    inspector = inspect(Tagger(), inputs=numbers(words), tokens=words, encode=numbers, targets=targets, loss=loss)
    inspector.retype(list("bcde"), sequence=0)
    assert frame_of(inspector)["gradient_message"] == MOVED


def test_padding_has_no_part_in_what_a_vocabulary_names(inspect):
    padded = torch.tensor([[0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0]])
    words = [[*SOURCE, *[""] * 7]]
    inspector = inspect(Translator(), inputs=padded, tokens=words, vocabulary=[*SOURCE, "more"])
    assert frame_of(inspector)["writing"]["reads"] == [*SOURCE, *["the"] * 7]


class LastState(nn.Module):
    """So many classes from the last state, time first in memory."""

    def __init__(self, classes):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4), nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.lstm(x)[1][0][-1])


@pytest.mark.parametrize(
    ("size", "steps", "named"), [(2, 6, True), (4, 6, True), (5, 5, True), (2, 6, False), (4, 6, False)]
)
def test_as_many_sequences_as_classes_and_steps_are_told_apart(inspect, size, steps, named):
    torch.manual_seed(1)
    model, x = LastState(size).eval(), torch.randn(steps, size, 3)
    labels = list("abcdefgh")[:size] if named else [str(place) for place in range(size)]
    inspector = inspect(model, inputs=x, labels=labels if named else None, logits=True)
    inspector.sequence = 1
    inspector.edits = [rw.shift("forget_gate", 1.5)]
    frame = frame_of(inspector)
    assert frame["answer"]["labels"] == labels
    with torch.no_grad():
        expected = torch.softmax(model(x)[1], 0).tolist()
    assert np.frombuffer(frame["answer"]["before"], "<f4").tolist() == pytest.approx(expected, abs=1e-6)
    inspector._page.score._drawn = frame["version"]
    inspector._changes._lane.join(30)
    lane = inspector._page.score.lane
    assert (lane["reason"], lane["done"]) == ("", True)
    line = np.frombuffer(lane["before"], "<f4").reshape(len(lane["labels"]), steps)
    for read in range(1, steps + 1):
        with torch.no_grad():
            expected = torch.softmax(model(x[:read])[1], 0).tolist()
        assert line[:, read - 1].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_brush_that_a_shorter_call_does_not_reach_is_taken_away(inspect):
    model = nn.GRU(3, 4)
    inspector = inspect(model)
    model(torch.randn(20, 1, 3))
    inspector.steps = (10, 15)
    inspector._capture._resumes = 0.0
    model(torch.randn(12, 1, 3))
    assert inspector.steps == (10, 15)
    inspector._capture._resumes = 0.0
    model(torch.randn(5, 1, 3))
    assert inspector.steps is None
    assert inspector._page.score.steps is None
