"""Models as users write them, small."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

WORDS = 30


class Classifier(nn.Module):
    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 6)
        self.lstm = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(10, classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        return self.head(torch.cat([hidden[-2], hidden[-1]], dim=-1))


class Fragile(nn.Module):
    """Fails once an edit lets its cell state grow."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        output, (_, cell) = self.lstm(x)
        if cell.abs().max() > 3:
            raise ArithmeticError("the cell ran away")
        return output


class Interrupted(nn.Module):
    """Is interrupted, as by the notebook's stop button, as often as ``times`` says; its copies as well."""

    times: ClassVar[list[int]] = [0]

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.times[0] > 0:
            self.times[0] -= 1
            raise KeyboardInterrupt
        return self.lstm(x)[0]


class Numbered(nn.Module):
    """Cannot be copied, deep or shallow: it is not made without a number."""

    def __new__(cls, number: int) -> "Numbered":  # noqa: ARG004, PYI034
        return super().__new__(cls)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def classifier_and_batch() -> tuple[Classifier, tuple[Tensor, Tensor], list[list[str]]]:
    torch.manual_seed(0)
    model = Classifier()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    lengths = torch.tensor([7, 3, 5])
    words = [[f"word{step}" for step in range(length)] for length in lengths.tolist()]
    return model, (torch.randint(0, WORDS, (3, 7)), lengths), words
