"""Triton kernel that marches rays through the occupancy bitfield: one lane per ray, few rays a program, which runs to its longest."""

# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportPossiblyUnboundVariable=false
# (what stands below is Triton's language, not Python)
import triton
import triton.language as tl


@triton.jit
def _clip(o, d, half, lo, hi):
    """Intersect [lo, hi] with the slab [-half, half] of one axis; directions below 1e-12 are parallel to it."""
    parallel = tl.abs(d) < 1e-12
    safe = tl.where(parallel, 1.0, d)
    a = tl.div_rn(-half - o, safe)
    b = tl.div_rn(half - o, safe)
    outside = parallel & (tl.abs(o) > half)
    near = tl.where(parallel, tl.where(outside, float("inf"), float("-inf")), tl.minimum(a, b))
    far = tl.where(parallel, tl.where(outside, float("-inf"), float("inf")), tl.maximum(a, b))
    return tl.maximum(lo, near), tl.minimum(hi, far)


@triton.jit
def _coordinate(t, STEP, MAX_STEP, LOG):
    """Lattice coordinate of a distance (cone stepping): a line, a logarithm, a line. float64"""
    ta = STEP / LOG
    tb = MAX_STEP / LOG
    na = tl.log(ta) / LOG
    nb = tl.log(tb) / LOG
    middle = tl.log(tl.minimum(tl.maximum(t, ta), tb)) / LOG
    return tl.where(t <= ta, (t - ta) / STEP + na, tl.where(t <= tb, middle, (t - tb) / MAX_STEP + nb))


@triton.jit
def _distance(n, STEP, MAX_STEP, LOG):
    """Inverse of _coordinate. float64"""
    ta = STEP / LOG
    tb = MAX_STEP / LOG
    na = tl.log(ta) / LOG
    nb = tl.log(tb) / LOG
    middle = tl.exp(tl.minimum(tl.maximum(n, na), nb) * LOG)
    return tl.where(n <= na, (n - na) * STEP + ta, tl.where(n <= nb, middle, (n - nb) * MAX_STEP + tb))


@triton.jit
def _spread(v):
    """Two zero bits between the bits of a number below 1024."""
    v = (v | (v << 16)) & 0x030000FF
    v = (v | (v << 8)) & 0x0300F00F
    v = (v | (v << 4)) & 0x030C30C3
    return (v | (v << 2)) & 0x09249249


@triton.jit
def _exit(p, d, cell, size, RES: tl.constexpr):
    """Distance along the ray from p to where it leaves its cell along one axis; far for axes it does not move along."""
    low = (cell.to(tl.float32) - RES / 2) * size
    wall = tl.where(d > 0, low + size, low)
    moving = tl.abs(d) > 1e-12
    return tl.where(moving, (wall - p) / tl.where(moving, d, 1.0), 1e30)


@triton.jit
def march(
    ORIGINS, DIRECTIONS, NEAR, FAR, JITTER, BITS, OFFSETS, COUNTS, RAYS, T, DT, R, CONES, STEP_F, half,
    RES: tl.constexpr, CASCADES: tl.constexpr, CONE: tl.constexpr, MAX_SAMPLES: tl.constexpr, FILL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Counts the samples of each ray into COUNTS, or (FILL) writes them from OFFSETS on; both do the same arithmetic.

    CONES: (step, largest step, log(1 + cone angle)) in float64. An empty cell is skipped up to the last lattice point inside it.
    """
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = r < R
    ox = tl.load(ORIGINS + 3 * r, mask=m, other=0.0)
    oy = tl.load(ORIGINS + 3 * r + 1, mask=m, other=0.0)
    oz = tl.load(ORIGINS + 3 * r + 2, mask=m, other=0.0)
    dx = tl.load(DIRECTIONS + 3 * r, mask=m, other=1.0)
    dy = tl.load(DIRECTIONS + 3 * r + 1, mask=m, other=0.0)
    dz = tl.load(DIRECTIONS + 3 * r + 2, mask=m, other=0.0)
    start = tl.load(NEAR + r, mask=m, other=1.0)
    stop = tl.load(FAR + r, mask=m, other=0.0)
    start, stop = _clip(ox, dx, half, start, stop)
    start, stop = _clip(oy, dy, half, start, stop)
    start, stop = _clip(oz, dz, half, start, stop)
    jitter = tl.load(JITTER + r, mask=m, other=0.0)
    base = tl.zeros((BLOCK,), tl.int64)
    if FILL:
        base = tl.load(OFFSETS + r, mask=m, other=0)
    if CONE:
        step = tl.load(CONES)
        max_step = tl.load(CONES + 1)
        log = tl.load(CONES + 2)
        n0 = _coordinate(start.to(tl.float64), step, max_step, log)
    count = tl.zeros((BLOCK,), tl.int32)
    k = tl.zeros((BLOCK,), tl.int32)
    active = m & (start < stop)
    while tl.max(active.to(tl.int32), axis=0) > 0:
        if CONE:
            n = n0 + (k.to(tl.float32) + jitter).to(tl.float64)
            t = _distance(n, step, max_step, log).to(tl.float32)
        else:
            t = start + (k.to(tl.float32) + jitter) * STEP_F
        active = active & (t < stop)
        px = ox + t * dx
        py = oy + t * dy
        pz = oz + t * dz
        largest = tl.maximum(tl.abs(px), tl.maximum(tl.abs(py), tl.abs(pz)))
        cascade = tl.zeros((BLOCK,), tl.int32)
        size = tl.full((BLOCK,), 2.0 / RES, tl.float32)
        for c in tl.static_range(CASCADES - 1):
            out = largest >= 2.0**c
            cascade += out.to(tl.int32)
            size = tl.where(out, 2.0 ** (c + 2) / RES, size)
        scale = 1.0 / size  # powers of two: exact
        cx = tl.minimum(tl.maximum(tl.floor(px * scale + RES / 2), 0.0), RES - 1.0).to(tl.int32)
        cy = tl.minimum(tl.maximum(tl.floor(py * scale + RES / 2), 0.0), RES - 1.0).to(tl.int32)
        cz = tl.minimum(tl.maximum(tl.floor(pz * scale + RES / 2), 0.0), RES - 1.0).to(tl.int32)
        index = _spread(cx) | (_spread(cy) << 1) | (_spread(cz) << 2)
        byte = tl.load(BITS + cascade.to(tl.int64) * (RES * RES * RES // 8) + (index >> 3), mask=active, other=0).to(tl.int32)
        hit = active & (((byte >> (index & 7)) & 1) == 1)
        if FILL:
            at = base + count
            if CONE:
                dt = (_distance(n + 0.5, step, max_step, log) - _distance(n - 0.5, step, max_step, log)).to(tl.float32)
            else:
                dt = tl.zeros((BLOCK,), tl.float32) + STEP_F
            tl.store(RAYS + at, r, mask=hit)
            tl.store(T + at, t, mask=hit)
            tl.store(DT + at, dt, mask=hit)
        count += hit.to(tl.int32)
        leave = tl.minimum(_exit(px, dx, cx, size, RES), tl.minimum(_exit(py, dy, cy, size, RES), _exit(pz, dz, cz, size, RES)))
        leave = tl.minimum(tl.maximum(leave, 0.0), stop - t)
        if CONE:
            ahead = _coordinate((t + leave).to(tl.float64), step, max_step, log) - n
            skip = tl.floor(ahead).to(tl.int32)
        else:
            skip = tl.floor(leave / STEP_F).to(tl.int32)
        k += tl.where(hit | (skip < 1), 1, skip)
        active = active & (count < MAX_SAMPLES)
    if not FILL:
        tl.store(COUNTS + r, count, mask=m)
