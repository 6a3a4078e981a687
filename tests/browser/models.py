"""Cells that make small models, and what the engine says of them: the kernel's side of the browser tests."""

IMPORTS = """
import torch, rnnwidget as rw
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(3)
"""

WORDS = [
    "it",
    "was",
    "not",
    "bad",
    "at",
    "all",
    ",",
    "in",
    "fact",
    "I",
    "would",
    "watch",
    "the",
    "whole",
    "thing",
    "again",
    "with",
    "joy",
]

SENTIMENT = (
    IMPORTS
    + f"""
class Sentiment(nn.Module):
    failing = [False]

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.lstm = nn.LSTM(8, 24, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(96, 2)

    def forward(self, tokens, lengths):
        if self.failing[0]:
            raise RuntimeError("the model broke down")
        embedded = nn.utils.rnn.pack_padded_sequence(
            self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False
        )
        _, (hidden, cell) = self.lstm(embedded)
        return self.head(torch.cat([hidden[-2], hidden[-1], cell[-2], cell[-1]], dim=-1))


model = Sentiment()
with torch.no_grad():
    for parameter in model.lstm.parameters():
        parameter.mul_(3)
lengths = torch.tensor([18, 11, 5])
inputs = (torch.randint(0, 50, (3, 18)), lengths)
tokens = [{WORDS}[:length] for length in lengths]
targets = torch.tensor([1, 0, 1])
labels = ["negative", "positive"]
"""
)

INSPECTOR = """
inspector = rw.RNNInspector(
    model, inputs=inputs, tokens=tokens, targets=targets, loss=nn.CrossEntropyLoss(), labels=labels
)
inspector
"""

# Told to every kernel: what the page has to show, by two roads (edits on a copy, edits on the model itself).
EXPECT = """
import json

def told(value):
    print(json.dumps(value))

def score_widget():
    from ipywidgets.widgets.widget import _instances
    from rnnwidget.widgets.score import Score

    return [widget for widget in _instances.values() if isinstance(widget, Score)][-1]

def versions():
    score = score_widget()
    told([score._frame["version"], score.drawn])

def rows():
    told(torch.frombuffer(bytearray(score_widget()._frame["order"]), dtype=torch.int32).tolist())

def answers():
    shown = inspector.sequence
    result = rw.intervene(model, inputs, inspector.edits)
    with torch.no_grad(), rw.edited(model, *inspector.edits):
        own = model(*inputs)
    torch.testing.assert_close(own, result.output)
    before, after = (torch.softmax(output[shown].detach(), dim=0) for output in (result.baseline, result.output))
    told({"before": before.tolist(), "after": after.tolist()})

def cells(site):
    shown = inspector.sequence
    recording = rw.intervene(model, inputs, inspector.edits).recording[inspector.layer]
    told(recording[site][: recording.lengths[shown], shown].T.tolist())
"""
