"""Numbers for the views: orders of units, matrices at screen resolution."""

from rnnwidget.analysis.ledger import Ledger, cell_ledger
from rnnwidget.analysis.ordering import clustered_order
from rnnwidget.analysis.pooling import Pooled, pooled

__all__ = ["Ledger", "Pooled", "cell_ledger", "clustered_order", "pooled"]
