"""Bases other than that of the units: rotations Q of a layer's activations and their fractional powers.

    Q = random_rotation(256, seed=1)
    halfway = power(Q, 0.5)                  # (units, units), on the geodesic from I to Q
    rotated = activations @ halfway.T        # (..., units): new unit k is row k of the rotation

Thesis 3.3.2: Q is uniform on SO(n), and Q^alpha for alpha from 0 to 1 leads from the natural basis to it.
"""

import numpy as np


def random_rotation(n: int, seed: int) -> np.ndarray:
    """(n, n) float64, uniform on SO(n): Q of the QR decomposition of a Gaussian matrix with diag R > 0."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    q *= np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[0] *= -1
    return q


def power(q: np.ndarray, alpha: float) -> np.ndarray:
    """q^alpha for q in SO(n): each plane of the real Schur form q = W T W^T turned by alpha times its angle.

    Axes that q reverses come in pairs, of which each spans a plane turned by pi.
    """
    from scipy.linalg import schur

    t, w = schur(q, output="real")
    n = len(q)
    turned = np.eye(n)
    planes, reversed_, i = [], [], 0
    while i < n:
        if i + 1 < n and abs(t[i + 1, i]) > 1e-9:
            planes.append((i, i + 1, np.arctan2(t[i + 1, i], t[i, i])))
            i += 2
        else:
            if t[i, i] < 0:
                reversed_.append(i)
            i += 1
    planes += [(a, b, np.pi) for a, b in zip(reversed_[::2], reversed_[1::2], strict=True)]
    for a, b, angle in planes:
        c, s = np.cos(alpha * angle), np.sin(alpha * angle)
        turned[np.ix_([a, b], [a, b])] = [[c, -s], [s, c]]
    return w @ turned @ w.T


def basis_name(layer: str, alpha: float, seed: int) -> str:
    """How a layer in another basis is called in results: conv5@a0.20s1."""
    return f"{layer}@a{alpha:.2f}s{seed}"
