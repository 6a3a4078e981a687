"""What a closed inspector leaves behind: nothing, neither of itself nor of the model and its recordings."""

import gc
import weakref

import pytest

import rnnwidget as rw
from tests.widgets.models import classifier_and_batch


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("loss", [None, lambda output: output.square().mean()])
def test_a_closed_inspector_its_ripple_and_its_model_are_collected(attached, loss):
    model, batch, words = classifier_and_batch()
    if attached:
        inspector = rw.RNNInspector(model, loss=loss)
        model(*batch)
    else:
        inspector = rw.RNNInspector(model, inputs=batch, tokens=words, loss=loss)
    ripple = inspector.ripple()
    for shown in (inspector, ripple):
        shown._repr_mimebundle_()
    inspector.edits = [rw.clamp("forget_gate", 0.5)]
    inspector._page.score._request = {
        "serial": 1,
        "layer": None,
        "units": None,
        "dials": {"forget_gate": {"kind": "shift", "value": 1.0}},
    }
    held = [weakref.ref(each) for each in (inspector, ripple, model, inspector.recording, inspector._page.score)]
    assert all(each() is not None for each in held)
    inspector.close()
    del inspector, ripple, model, shown
    gc.collect()
    assert [each() for each in held] == [None] * len(held)
