"""Where the gradient goes."""

from rnnwidget.gradients.loss_gradient import gradient_flow

__all__ = ["gradient_flow"]
