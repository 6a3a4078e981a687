"""An order of units in which those that behave alike stand together."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def clustered_order(activity: Float[Tensor, "sample unit"]) -> Int[Tensor, " unit"]:
    """Order units by the Fiedler vector of their correlations (spectral seriation, Atkins, Boman & Hendrickson 1998).

    Units that correlate stand close, units of opposite sign far apart. Units that do not vary come last, by index.
    Rows that are not finite are left out. Units that are alike stand by index, and the end with the lower mean index
    comes first. Where the correlations leave several orders equal, rounding chooses.

    Examples
    --------
    >>> import torch
    >>> wave, other = torch.linspace(0, 9, 50).sin(), torch.linspace(0, 3, 50).cos()
    >>> clustered_order(torch.stack([wave, other, wave, other], dim=1)).tolist()
    [0, 2, 1, 3]
    """
    finite = activity[torch.isfinite(activity).all(dim=1)].double().cpu()
    units = activity.size(1)
    if finite.size(0) < 2:
        return torch.arange(units, device="cpu")
    centred = finite - finite.mean(dim=0)
    spread = centred.norm(dim=0)
    varies = spread > 1e-9 * spread.max().clamp(min=1e-12)
    alive = torch.nonzero(varies).flatten()
    still = torch.nonzero(~varies).flatten()
    if alive.numel() < 3:
        return torch.cat([alive, still])
    scaled = centred[:, alive] / spread[alive]
    similarity = (1 + scaled.T @ scaled).clamp(min=0)
    laplacian = torch.diag(similarity.sum(dim=1)) - similarity
    # The last digits differ from machine to machine, and so does the vector's sign.
    fiedler = torch.linalg.eigh(laplacian).eigenvectors[:, 1].round(decimals=9)
    half = alive.numel() // 2
    ways = [alive[torch.argsort(sign * fiedler, stable=True)].tolist() for sign in (1, -1)]
    return torch.cat([torch.tensor(min(ways, key=lambda order: (sum(order[:half]), order)), device="cpu"), still])
