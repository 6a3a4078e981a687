"""From a running model to a recording of its states and gates."""

from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.record import record
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.stored_format import RecordingFileError

__all__ = ["LayerRecording", "Recording", "RecordingFileError", "record"]
