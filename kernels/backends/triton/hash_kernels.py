"""Triton kernels of the hash grid, the features of an entry an axis of the tile (so that an entry is one load, one atomic).

Arguments that recur: X [N, D] points; T [entries, F] table; SCALES, RES, OFFSETS per level; level LEVEL0 + program_id(1), or the levels
LEVEL0 to LEVEL1 in a loop. Dense and hashed levels are launched separately (HASH). Encodings are rows of length E whose features start at
column C. With u the position in a cell, weights are products of u or 1 - u per axis; ``A = sum_d v_d dw/dx_d`` for a tangent v.
"""

# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportPossiblyUnboundVariable=false
# (what stands below is Triton's language, not Python)
import triton
import triton.language as tl


@triton.jit
def _level(SCALES, RES, OFFSETS, level):
    start = tl.load(OFFSETS + level)
    return tl.load(SCALES + level), tl.load(RES + level).to(tl.uint32), start, (tl.load(OFFSETS + level + 1) - start).to(tl.uint32)


@triton.jit
def _axis(X, i, m, axis, scale, D: tl.constexpr, SMOOTH: tl.constexpr):
    """Cell (wrapping uint32), position in it, and its first and second derivatives by x * scale."""
    p = tl.load(X + i * D + axis, mask=m, other=0.0) * scale + 0.5
    f = tl.floor(p)
    v = p - f
    cell = f.to(tl.int32).to(tl.uint32, bitcast=True)
    if SMOOTH:
        return cell, v * v * (3.0 - 2.0 * v), 6.0 * v * (1.0 - v), 6.0 - 12.0 * v
    else:
        return cell, v, v * 0.0 + 1.0, v * 0.0


@triton.jit
def _cell(X, i, m, scale, D: tl.constexpr, SMOOTH: tl.constexpr):
    """(cell, u, u', u'') of x, y and z; in 2D the z of the result is never used."""
    x = _axis(X, i, m, 0, scale, D, SMOOTH)
    y = _axis(X, i, m, 1, scale, D, SMOOTH)
    z = _axis(X, i, m, D - 1, scale, D, SMOOTH)
    return x, y, z


@triton.jit
def _entry(x, y, z, bit_x, bit_y, bit_z, res, size, start, D: tl.constexpr, HASH: tl.constexpr):
    """Row of the table for a corner; the modulo also wraps points outside the cube, as uint32."""
    cx = x[0] + bit_x
    cy = y[0] + bit_y
    if HASH:
        k = cx ^ (cy * 2654435761)
        if D == 3:
            k = k ^ ((z[0] + bit_z) * 805459861)
        k = k & (size - 1)
    else:
        k = cx + res * cy
        if D == 3:
            k += res * res * (z[0] + bit_z)
        k = k % size
    return start + k.to(tl.int64)


@triton.jit
def _weight(x, y, z, bit_x, bit_y, bit_z, D: tl.constexpr):
    """The factors of a corner's weight along each axis (1 along a missing one)."""
    wx = x[1] if bit_x else 1.0 - x[1]
    wy = y[1] if bit_y else 1.0 - y[1]
    if D == 3:
        wz = z[1] if bit_z else 1.0 - z[1]
    else:
        wz = x[1] * 0.0 + 1.0
    return wx, wy, wz


@triton.jit
def _tangent(V, i, m, scale, D: tl.constexpr):
    vx = tl.load(V + i * D, mask=m, other=0.0) * scale
    vy = tl.load(V + i * D + 1, mask=m, other=0.0) * scale
    vz = tl.load(V + i * D + (D - 1), mask=m, other=0.0) * scale
    return vx, vy, vz


@triton.jit
def _along(x, y, z, v, w, bit_x, bit_y, bit_z, D: tl.constexpr):
    """A of a corner."""
    a = v[0] * x[2] * (1.0 if bit_x else -1.0) * w[1] * w[2] + v[1] * y[2] * (1.0 if bit_y else -1.0) * w[0] * w[2]
    if D == 3:
        a += v[2] * z[2] * (1.0 if bit_z else -1.0) * w[0] * w[1]
    return a


@triton.jit
def encode_forward(
    X, T, Y, SCALES, RES, OFFSETS, N, E, C, V, LEVEL0,
    D: tl.constexpr, F: tl.constexpr, HASH: tl.constexpr, SMOOTH: tl.constexpr, TANGENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Y = encoding of X, or (TANGENT) its change along the tangents V [N, D]. Programs: (samples, levels)."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    m = i < N
    f = tl.arange(0, F)
    level = tl.program_id(1) + LEVEL0
    scale, res, start, size = _level(SCALES, RES, OFFSETS, level)
    x, y, z = _cell(X, i, m, scale, D, SMOOTH)
    if TANGENT:
        v = _tangent(V, i, m, scale, D)
    acc = tl.zeros((BLOCK, F), tl.float32)
    for c in tl.static_range(2**D):
        w = _weight(x, y, z, c & 1, (c >> 1) & 1, c >> 2, D)
        k = _entry(x, y, z, c & 1, (c >> 1) & 1, c >> 2, res, size, start, D, HASH)
        g = tl.load(T + F * k[:, None] + f[None, :], mask=m[:, None], other=0.0)
        if TANGENT:
            acc += _along(x, y, z, v, w, c & 1, (c >> 1) & 1, c >> 2, D)[:, None] * g
        else:
            acc += (w[0] * w[1] * w[2])[:, None] * g
    tl.store(Y + i[:, None] * E + C + level * F + f[None, :], acc, mask=m[:, None])


@triton.jit
def encode_table(
    X, GY, GA, V, GT, SCALES, RES, OFFSETS, N, E, C, LEVEL0,
    D: tl.constexpr, F: tl.constexpr, HASH: tl.constexpr, SMOOTH: tl.constexpr, VALUE: tl.constexpr, TANGENT: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """GT += w GY (VALUE) + A GA (TANGENT), by atomics. Programs: (samples, levels)."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    m = i < N
    f = tl.arange(0, F)
    level = tl.program_id(1) + LEVEL0
    scale, res, start, size = _level(SCALES, RES, OFFSETS, level)
    x, y, z = _cell(X, i, m, scale, D, SMOOTH)
    p = i[:, None] * E + C + level * F + f[None, :]
    if VALUE:
        gy = tl.load(GY + p, mask=m[:, None], other=0.0)
    if TANGENT:
        v = _tangent(V, i, m, scale, D)
        ga = tl.load(GA + p, mask=m[:, None], other=0.0)
    for c in tl.static_range(2**D):
        w = _weight(x, y, z, c & 1, (c >> 1) & 1, c >> 2, D)
        k = _entry(x, y, z, c & 1, (c >> 1) & 1, c >> 2, res, size, start, D, HASH)
        add = tl.zeros((BLOCK, F), tl.float32)
        if VALUE:
            add += (w[0] * w[1] * w[2])[:, None] * gy
        if TANGENT:
            add += _along(x, y, z, v, w, c & 1, (c >> 1) & 1, c >> 2, D)[:, None] * ga
        tl.atomic_add(GT + F * k[:, None] + f[None, :], add, mask=m[:, None], sem="relaxed")


@triton.jit
def encode_points(
    X, T, GY, V, GX, SCALES, RES, OFFSETS, N, E, C, LEVEL0, LEVEL1,
    D: tl.constexpr, F: tl.constexpr, HASH: tl.constexpr, SMOOTH: tl.constexpr, SECOND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """GX += gradient to X of ``<GY, encoding>``, or (SECOND) of ``<GY, its change along V>``; levels in a loop, no atomics."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    m = i < N
    f = tl.arange(0, F)
    sx = tl.zeros((BLOCK,), tl.float32)
    sy = tl.zeros((BLOCK,), tl.float32)
    sz = tl.zeros((BLOCK,), tl.float32)
    for level in range(LEVEL0, LEVEL1):
        scale, res, start, size = _level(SCALES, RES, OFFSETS, level)
        x, y, z = _cell(X, i, m, scale, D, SMOOTH)
        gy = tl.load(GY + i[:, None] * E + C + level * F + f[None, :], mask=m[:, None], other=0.0)
        if SECOND:
            v = _tangent(V, i, m, scale, D)
        for c in tl.static_range(2**D):
            w = _weight(x, y, z, c & 1, (c >> 1) & 1, c >> 2, D)
            k = _entry(x, y, z, c & 1, (c >> 1) & 1, c >> 2, res, size, start, D, HASH)
            q = tl.sum(gy * tl.load(T + F * k[:, None] + f[None, :], mask=m[:, None], other=0.0), 1) * scale
            dx = x[2] if c & 1 else -x[2]  # derivative of the weight's factor along x
            dy = y[2] if (c >> 1) & 1 else -y[2]
            ex = x[3] if c & 1 else -x[3]
            ey = y[3] if (c >> 1) & 1 else -y[3]
            if D == 3:
                dz = z[2] if c >> 2 else -z[2]
                ez = z[3] if c >> 2 else -z[3]
            if SECOND:
                hx = v[0] * ex * w[1] * w[2] + v[1] * dx * dy * w[2]
                hy = v[1] * ey * w[0] * w[2] + v[0] * dx * dy * w[2]
                if D == 3:
                    hx += v[2] * dx * dz * w[1]
                    hy += v[2] * dy * dz * w[0]
                    sz += q * (v[2] * ez * w[0] * w[1] + v[0] * dx * dz * w[1] + v[1] * dy * dz * w[0])
                sx += q * hx
                sy += q * hy
            else:
                sx += q * dx * w[1] * w[2]
                sy += q * dy * w[0] * w[2]
                if D == 3:
                    sz += q * dz * w[0] * w[1]
    tl.store(GX + i * D, tl.load(GX + i * D, mask=m, other=0.0) + sx, mask=m)
    tl.store(GX + i * D + 1, tl.load(GX + i * D + 1, mask=m, other=0.0) + sy, mask=m)
    if D == 3:
        tl.store(GX + i * D + 2, tl.load(GX + i * D + 2, mask=m, other=0.0) + sz, mask=m)
