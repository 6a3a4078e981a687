"""From a running model to a recording of its states and gates."""

from rnnwidget.recording.record import record
from rnnwidget.recording.recording import LayerRecording, Recording

__all__ = ["LayerRecording", "Recording", "record"]
