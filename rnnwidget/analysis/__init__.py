"""Numbers for the views: orders of units, matrices at screen resolution."""

from rnnwidget.analysis.ordering import clustered_order
from rnnwidget.analysis.pooling import Pooled, pooled

__all__ = ["Pooled", "clustered_order", "pooled"]
