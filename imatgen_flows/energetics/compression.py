"""The enthalpy of a crystal that is not relaxed: it is compressed as a whole until its enthalpy is lowest."""

from __future__ import annotations

import math
from collections.abc import Callable

FIRST_STEP = -0.06  # of ln(volume), the first that is tried
GROWTH = 1.6  # of a step beyond the one before it
FITS = 12  # parabolas through the three lowest points, at most
WIDTH = 0.12  # of ln(volume), between the outer of them, from which on a parabola finds the minimum
LEAST_STEP = 0.03  # of ln(volume), while they are farther apart
SAME_VOLUME = 0.01  # of ln(volume): of a stiff oxide, 0.5 meV/atom in the enthalpy


def find_lowest(enthalpy: Callable[[float], float]) -> float:
    """Find the volume at which the enthalpy is lowest, in five to ten evaluations.

    The nearest minimum is looked for, downhill from the volume as it is: farther off a potential may have holes.

    Parameters
    ----------
    enthalpy : of ln(volume / initial volume); infinite where there is none

    Returns
    -------
    ln(volume / initial volume), one of the arguments of `enthalpy`

    Examples
    --------
    >>> abs(find_lowest(lambda x: (x + 0.3) ** 2) + 0.3) < SAME_VOLUME
    True
    """
    far, best = (0.0, enthalpy(0.0)), (FIRST_STEP, enthalpy(FIRST_STEP))
    if best[1] >= far[1]:
        far, best = best, far
    while True:
        x = best[0] + GROWTH * (best[0] - far[0])
        beyond = (x, enthalpy(x))
        if not beyond[1] < best[1]:
            break
        far, best = best, beyond
    for _ in range(FITS):
        x, wide = _vertex(far, best, beyond), abs(beyond[0] - far[0]) > WIDTH
        if wide and abs(x - best[0]) < LEAST_STEP:
            # into the wider part: a parabola through points that far apart is no guide
            wider = max((far, beyond), key=lambda point: abs(point[0] - best[0]))
            x = best[0] + math.copysign(LEAST_STEP, wider[0] - best[0])
        elif abs(x - best[0]) < SAME_VOLUME:
            break
        tried = (x, enthalpy(x))
        towards_beyond = (x - best[0]) * (beyond[0] - best[0]) > 0
        if tried[1] < best[1]:
            far, beyond = (best, beyond) if towards_beyond else (far, best)
            best = tried
        elif towards_beyond:
            beyond = tried
        else:
            far = tried
        if not wide:
            break
    return best[0]


def _vertex(*points: tuple[float, float]) -> float:
    """Find the lowest point of the parabola through three points, of which the second is lowest and in the middle."""
    (a, fa), (b, fb), (c, fc) = points
    if not (math.isfinite(fa) and math.isfinite(fc)):
        return (b + (c if math.isfinite(fa) else a)) / 2
    left, right = (b - a) * (fb - fc), (b - c) * (fb - fa)
    return b if left == right else b - ((b - a) * left - (b - c) * right) / (2 * (left - right))
