"""What PyTorch itself refuses on some machines: oneDNN has an LSTM in half precision for newer processors only."""

from collections.abc import Callable

import pytest


def skip_where_refused(plain: Callable[[], object]) -> None:
    """Skip the test if oneDNN has nothing here for a plain call."""
    try:
        plain()
    except RuntimeError as error:
        if "could not create a primitive" not in str(error):
            raise
        pytest.skip(f"PyTorch itself refuses these precisions: {str(error)[:60]}")
