"""What PyTorch itself refuses on some machines: oneDNN has an LSTM in half precision for newer processors only."""

from collections.abc import Callable

import pytest


def skip_where_refused(plain: Callable[[], object]) -> None:
    """Skip the test if a plain call raises here."""
    try:
        plain()
    except RuntimeError as error:
        pytest.skip(f"PyTorch itself refuses these precisions: {str(error)[:60]}")
