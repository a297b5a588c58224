"""Triton kernels of volume rendering: one program per ray, which scans its samples a block at a time, forwards or backwards."""

# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# (what stands below is Triton's language, not Python)
import triton
import triton.language as tl


@triton.jit
def minus_expm1(x):
    """``1 - exp(-x)``, accurate for small x too."""
    series = x * (1.0 - x * (0.5 - x * (1.0 / 6 - x * (1.0 / 24 - x * (1.0 / 120 - x / 720)))))
    return tl.where(tl.abs(x) < 0.25, series, 1.0 - tl.exp(-x))


@triton.jit
def _last(x, BLOCK: tl.constexpr):
    return tl.sum(tl.where(tl.arange(0, BLOCK) == BLOCK - 1, x, 0.0), 0)


@triton.jit
def _recurrence(a1, b1, a2, b2):
    """Compose the maps R -> b + a R."""
    return a1 * a2, b2 + a2 * b1


@triton.jit
def composite_forward(
    DENSITY, DT, CHANNELS, OFFSETS, VALUES, OPACITY, WEIGHTS, AFTER, early_stop,
    C: tl.constexpr, CP: tl.constexpr, ALPHA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Density form, or (ALPHA) opacity form: DENSITY then holds alpha and DT is not read.

    AFTER: the transmittance behind each sample, 0 where stopped (density form), or in front of it (opacity form).
    The transmittance in front of a sample is scanned from the samples before it: subtracting its own share would cancel.
    """
    r = tl.program_id(0).to(tl.int64)
    begin = tl.load(OFFSETS + r)
    n = (tl.load(OFFSETS + r + 1) - begin).to(tl.int32)
    c = tl.arange(0, CP)
    values = tl.zeros((CP,), tl.float32)
    opacity = 0.0
    tau = 0.0
    carry = 1.0
    for b in range(0, n, BLOCK):
        j = b + tl.arange(0, BLOCK)
        m = j < n
        q = begin + j
        earlier = m & (j > 0)
        a = tl.load(DENSITY + q, mask=m, other=0.0)
        before = tl.load(DENSITY + q - 1, mask=earlier, other=0.0)
        if ALPHA:
            t = carry * tl.cumprod(1.0 - before, 0)
            carry = _last(t, BLOCK)
            w = t * a
            keep = m & (t >= early_stop)
            after = t
        else:
            depth = a * tl.load(DT + q, mask=m, other=0.0)
            ahead = tau + tl.cumsum(before * tl.load(DT + q - 1, mask=earlier, other=0.0), 0)
            tau = _last(ahead, BLOCK)
            t = tl.exp(-ahead)
            w = t * minus_expm1(depth)
            keep = m & (t >= early_stop)
            after = tl.where(keep, t * tl.exp(-depth), 0.0)
        w = tl.where(keep, w, 0.0)
        ch = tl.load(CHANNELS + q[:, None] * C + c[None, :], mask=m[:, None] & (c[None, :] < C), other=0.0)
        values += tl.sum(w[:, None] * ch, 0)
        opacity += tl.sum(w, 0)
        tl.store(WEIGHTS + q, w, mask=m)
        tl.store(AFTER + q, after, mask=m)
    tl.store(VALUES + r * C + c, values, mask=c < C)
    tl.store(OPACITY + r, opacity)


@triton.jit
def composite_backward(
    DENSITY, DT, CHANNELS, OFFSETS, WEIGHTS, AFTER, GV, GO, GW, GD, GDT, GC, early_stop,
    C: tl.constexpr, CP: tl.constexpr, ALPHA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Back to front. ``q = <GV, channels> + GO + GW`` is the derivative by a weight.

    Density form: ``d density_k = dt_k (T_{k+1} q_k - sum_{j>k} w_j q_j)``. Opacity form: ``d alpha_k = T_k (q_k - R_{k+1})`` with
    ``R_k = alpha_k q_k + (1 - alpha_k) R_{k+1}``. Sums over later samples start at the next sample, which lanes hand on through GD:
    nothing is subtracted again or divided.
    """
    r = tl.program_id(0).to(tl.int64)
    begin = tl.load(OFFSETS + r)
    n = (tl.load(OFFSETS + r + 1) - begin).to(tl.int32)
    c = tl.arange(0, CP)
    lane = tl.arange(0, BLOCK)
    gv = tl.load(GV + r * C + c, mask=c < C, other=0.0)
    go = tl.load(GO + r)
    behind = 0.0  # R, or the sum of w q from two samples on, of the block behind
    first = 0.0  # w q of its first sample
    blocks = tl.cdiv(n, BLOCK)
    for back in range(0, blocks):
        j = (blocks - 1 - back) * BLOCK + lane
        m = j < n
        q = begin + j
        a = tl.load(DENSITY + q, mask=m, other=0.0)
        w = tl.load(WEIGHTS + q, mask=m, other=0.0)
        t = tl.load(AFTER + q, mask=m, other=0.0)
        mask = m[:, None] & (c[None, :] < C)
        ch = tl.load(CHANNELS + q[:, None] * C + c[None, :], mask=mask, other=0.0)
        dq = tl.sum(gv[None, :] * ch, 1) + go + tl.load(GW + q, mask=m, other=0.0)
        handed = m & (lane < BLOCK - 1) & (j + 1 < n)
        if ALPHA:
            dq = tl.where(m & (t >= early_stop), dq, 0.0)
            slope, value = tl.associative_scan((tl.where(m, 1.0 - a, 1.0), tl.where(m, a * dq, 0.0)), 0, _recurrence, reverse=True)
            here = value + slope * behind
            tl.store(GD + q, here, mask=m)
            tl.debug_barrier()
            later = tl.where(lane == BLOCK - 1, behind, tl.load(GD + q + 1, mask=handed, other=0.0))
            tl.debug_barrier()
            tl.store(GD + q, t * (dq - later), mask=m)
            behind = tl.sum(tl.where(lane == 0, here, 0.0), 0)
        else:
            wq = w * dq
            tl.store(GD + q, wq, mask=m)
            tl.debug_barrier()
            following = tl.where(lane == BLOCK - 1, first, tl.load(GD + q + 1, mask=handed, other=0.0))
            tl.debug_barrier()
            later = behind + tl.cumsum(following, 0, reverse=True)
            g = t * dq - later
            tl.store(GD + q, tl.load(DT + q, mask=m, other=0.0) * g, mask=m)
            tl.store(GDT + q, a * g, mask=m)
            behind = tl.sum(tl.where(lane == 0, later, 0.0), 0)
            first = tl.sum(tl.where(lane == 0, wq, 0.0), 0)
        tl.store(GC + q[:, None] * C + c[None, :], w[:, None] * gv[None, :], mask=mask)


@triton.jit
def distortion_forward(W, T, DT, OFFSETS, LOSS, BLOCK: tl.constexpr):
    """``sum_i 2 w_i (t_i W_{<i} - M_{<i}) + w_i^2 dt_i / 3``, W and M the sums of w and w t before i."""
    r = tl.program_id(0).to(tl.int64)
    begin = tl.load(OFFSETS + r)
    n = (tl.load(OFFSETS + r + 1) - begin).to(tl.int32)
    first = tl.load(T + begin, mask=n > 0, other=0.0)
    loss = 0.0
    mass = 0.0
    moment = 0.0
    for b in range(0, n, BLOCK):
        j = b + tl.arange(0, BLOCK)
        m = j < n
        q = begin + j
        w = tl.load(W + q, mask=m, other=0.0)
        t = tl.where(m, tl.load(T + q, mask=m, other=0.0) - first, 0.0)
        wt = w * t
        ahead = 2.0 * w * (t * (mass + tl.cumsum(w, 0) - w) - (moment + tl.cumsum(wt, 0) - wt))
        loss += tl.sum(ahead + w * w * tl.load(DT + q, mask=m, other=0.0) / 3.0, 0)
        mass += tl.sum(w, 0)
        moment += tl.sum(wt, 0)
    tl.store(LOSS + r, loss)


@triton.jit
def distortion_backward(W, T, DT, OFFSETS, GL, GW, BLOCK: tl.constexpr):
    """``d w_k = 2 (t_k W_{<k} - M_{<k} + M_{>k} - t_k W_{>k}) + 2/3 w_k dt_k``: front to back, then back to front."""
    r = tl.program_id(0).to(tl.int64)
    begin = tl.load(OFFSETS + r)
    n = (tl.load(OFFSETS + r + 1) - begin).to(tl.int32)
    first = tl.load(T + begin, mask=n > 0, other=0.0)
    g = tl.load(GL + r)
    lane = tl.arange(0, BLOCK)
    mass = 0.0
    moment = 0.0
    blocks = tl.cdiv(n, BLOCK)
    for b in range(0, blocks):
        q = begin + b * BLOCK + lane
        m = b * BLOCK + lane < n
        w = tl.load(W + q, mask=m, other=0.0)
        t = tl.where(m, tl.load(T + q, mask=m, other=0.0) - first, 0.0)
        wt = w * t
        before = t * (mass + tl.cumsum(w, 0) - w) - (moment + tl.cumsum(wt, 0) - wt)
        tl.store(GW + q, g * (2.0 * before + 2.0 / 3.0 * w * tl.load(DT + q, mask=m, other=0.0)), mask=m)
        mass += tl.sum(w, 0)
        moment += tl.sum(wt, 0)
    tl.debug_barrier()
    mass = 0.0
    moment = 0.0
    for back in range(0, blocks):
        j = (blocks - 1 - back) * BLOCK + lane
        q = begin + j
        m = j < n
        w = tl.load(W + q, mask=m, other=0.0)
        t = tl.where(m, tl.load(T + q, mask=m, other=0.0) - first, 0.0)
        wt = w * t
        after = moment + tl.cumsum(wt, 0, reverse=True) - wt - t * (mass + tl.cumsum(w, 0, reverse=True) - w)
        tl.store(GW + q, tl.load(GW + q, mask=m, other=0.0) + 2.0 * g * after, mask=m)
        mass += tl.sum(w, 0)
        moment += tl.sum(wt, 0)
