"""How much slower a Raspberry Pi 4 is than this machine, and how to behave as on one.

Nothing throttles a process evenly: the kernel's CPU quotas let it run at full speed and then stop
it for whole timer ticks, which are stalls of their own making (with a quota of a fifth, a loop that
does nothing but look at the clock saw gaps of 16 to 32 ms). So the CPU time of the event loop's
thread is measured here, and multiplied.
"""

import time

# Python's n-body of the Computer Language Benchmarks Game on a Raspberry Pi 4 Model B (1.5 GHz):
# https://chaitanyamehta.github.io/projects/performance-analysis-of-programming-languages
# That was an older and slower Python than Home Assistant's: a Pi is not as slow as this says.
PI_SECONDS, PI_STEPS = 158.3, 5_000_000
_STEPS = 50_000
_TRIES = 5

type _Vector = list[float]

_SUN = 39.478
_BODIES: list[tuple[_Vector, _Vector, float]] = [
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], _SUN),
    ([4.84, -1.16, -0.10], [0.606, 2.81, -0.02], 0.00095 * _SUN),
    ([8.34, 4.12, -0.40], [-1.01, 1.82, 0.008], 0.00029 * _SUN),
    ([12.9, -15.1, -0.22], [1.08, 0.87, -0.01], 0.00004 * _SUN),
    ([15.4, -25.9, 0.18], [0.98, 0.59, -0.03], 0.00005 * _SUN),
]
_PAIRS = [(one, other) for i, one in enumerate(_BODIES) for other in _BODIES[i + 1 :]]


def slowness() -> float:
    """Return how many times longer a Raspberry Pi 4 takes for the same Python."""
    return PI_SECONDS / PI_STEPS * _STEPS / min(_seconds() for _ in range(_TRIES))


def as_on_a_pi(factor: float) -> None:
    """Let our client choose the size of its writes as if each took so many times longer."""
    if factor == 1.0:
        return
    from custom_components.dropbox_backup.dropbox_api import transport

    transport._SHORT_WRITE /= factor
    transport._LONG_WRITE /= factor


def _seconds() -> float:
    begun = time.thread_time()
    for _ in range(_STEPS):
        _advance(0.01)
    return time.thread_time() - begun


def _advance(dt: float) -> None:
    for ([x1, y1, z1], v1, m1), ([x2, y2, z2], v2, m2) in _PAIRS:
        dx, dy, dz = x1 - x2, y1 - y2, z1 - z2
        mag = dt * ((dx * dx + dy * dy + dz * dz) ** -1.5)
        b1, b2 = m1 * mag, m2 * mag
        v1[0] -= dx * b2
        v1[1] -= dy * b2
        v1[2] -= dz * b2
        v2[0] += dx * b1
        v2[1] += dy * b1
        v2[2] += dz * b1
    for place, [vx, vy, vz], _ in _BODIES:
        place[0] += dt * vx
        place[1] += dt * vy
        place[2] += dt * vz
