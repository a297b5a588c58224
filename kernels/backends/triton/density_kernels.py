"""Triton kernels of VolSDF's density, its error bound, and inverse transform sampling."""

# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# (what stands below is Triton's language, not Python)
import triton
import triton.language as tl

from .composite_kernels import _last, minus_expm1


@triton.jit
def _laplace(f, beta):
    half = 0.5 * tl.exp(-tl.abs(f) / beta)
    return tl.where(f >= 0.0, half, 1.0 - half) / beta


@triton.jit
def laplace_forward(SDF, BETA, OUT, N, PER_SAMPLE: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < N
    beta = tl.load(BETA + i * PER_SAMPLE, mask=m, other=1.0)
    tl.store(OUT + i, _laplace(tl.load(SDF + i, mask=m, other=0.0), beta), mask=m)


@triton.jit
def laplace_backward(SDF, BETA, G, GS, GB, N, PER_SAMPLE: tl.constexpr, BLOCK: tl.constexpr):
    """GS: gradient to the distance. GB: gradient to beta, per sample."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < N
    f = tl.load(SDF + i, mask=m, other=0.0)
    beta = tl.load(BETA + i * PER_SAMPLE, mask=m, other=1.0)
    g = tl.load(G + i, mask=m, other=0.0)
    d = tl.abs(f) / beta
    half = 0.5 * tl.exp(-d)
    tl.store(GS + i, -g * half / (beta * beta), mask=m)
    by_beta = tl.where(f >= 0.0, half * (d - 1.0), half * (1.0 - d) - 1.0) / (beta * beta)
    tl.store(GB + i, g * by_beta, mask=m)


@triton.jit
def _distance(f, following, delta):
    """Lower bound of the distance from an interval to the surface (triangle rule); 0 where the signs differ."""
    a = delta
    b = tl.abs(f)
    c = tl.abs(following)
    s = 0.5 * (a + b + c)
    area2 = tl.maximum(s * (s - a) * (s - b) * (s - c), 0.0)
    height = tl.where(b + c > a, 2.0 * tl.sqrt_rn(area2) / tl.maximum(a, 1.1754944e-38), 0.0)
    d = tl.where(a * a + b * b <= c * c, b, tl.where(a * a + c * c <= b * b, c, height))
    return tl.where(((f > 0) & (following > 0)) | ((f < 0) & (following < 0)), d, 0.0)


@triton.jit
def _bound(SDF, T, ERRORS, begin, n, beta, STORE: tl.constexpr, BLOCK: tl.constexpr):
    """The largest bound of a ray's intervals; STORE writes each one."""
    largest = 0.0
    error = 0.0
    depth = 0.0
    for b in range(0, n, BLOCK):
        j = b + tl.arange(0, BLOCK)
        m = j < n
        inside = j + 1 < n
        q = begin + j
        f = tl.load(SDF + q, mask=m, other=0.0)
        following = tl.load(SDF + q + 1, mask=inside, other=0.0)
        delta = tl.where(inside, tl.load(T + q + 1, mask=inside, other=0.0) - tl.load(T + q, mask=m, other=0.0), 0.0)
        e = tl.where(inside, delta * delta / (4.0 * beta * beta) * tl.exp(-_distance(f, following, delta) / beta), 0.0)
        earlier = m & (j > 0)
        before = tl.load(T + q, mask=earlier, other=0.0) - tl.load(T + q - 1, mask=earlier, other=0.0)
        r_from = depth + tl.cumsum(tl.where(earlier, _laplace(tl.load(SDF + q - 1, mask=earlier, other=0.0), beta) * before, 0.0), 0)
        e_to = error + tl.cumsum(e, 0)
        small = -tl.exp(-r_from) * minus_expm1(-tl.minimum(e_to, 1.0))
        large = tl.exp(tl.minimum(e_to - r_from, 13.815510557964274)) - tl.exp(-r_from)
        bound = tl.where(inside, tl.where(e_to < 1.0, small, large), 0.0)
        if STORE:
            tl.store(ERRORS + q, bound, mask=m)
        largest = tl.maximum(largest, tl.max(bound, 0))
        error = _last(e_to, BLOCK)
        depth = _last(r_from, BLOCK)
    return largest


@triton.jit
def ray_errors(SDF, T, OFFSETS, BETA, ERRORS, LARGEST, PER_RAY: tl.constexpr, STORE: tl.constexpr, BLOCK: tl.constexpr):
    """ERRORS of all intervals (STORE), else the LARGEST of each ray."""
    r = tl.program_id(0).to(tl.int64)
    begin = tl.load(OFFSETS + r)
    n = (tl.load(OFFSETS + r + 1) - begin).to(tl.int32)
    largest = _bound(SDF, T, ERRORS, begin, n, tl.load(BETA + r * PER_RAY), STORE, BLOCK)
    if not STORE:
        tl.store(LARGEST + r, largest)


@triton.jit
def ray_beta(SDF, T, OFFSETS, BETA, RESULT, epsilon, four_log, iterations, PER_RAY: tl.constexpr, BLOCK: tl.constexpr):
    """Bisection for the smallest beta whose bound is at most epsilon. four_log: 4 log(1 + epsilon)."""
    r = tl.program_id(0).to(tl.int64)
    begin = tl.load(OFFSETS + r)
    n = (tl.load(OFFSETS + r + 1) - begin).to(tl.int32)
    low = tl.load(BETA + r * PER_RAY)
    squares = 0.0
    for b in range(0, n, BLOCK):
        q = begin + b + tl.arange(0, BLOCK)
        inside = b + tl.arange(0, BLOCK) + 1 < n
        delta = tl.load(T + q + 1, mask=inside, other=0.0) - tl.load(T + q, mask=inside, other=0.0)
        squares += tl.sum(delta * delta, 0)
    high = tl.maximum(tl.sqrt_rn(squares / four_log), low)
    high = tl.where(_bound(SDF, T, RESULT, begin, n, low, False, BLOCK) <= epsilon, low, high)
    for _ in range(0, iterations):
        middle = 0.5 * (low + high)
        good = _bound(SDF, T, RESULT, begin, n, middle, False, BLOCK) <= epsilon
        low = tl.where(good, low, middle)
        high = tl.where(good, middle, high)
    tl.store(RESULT + r, high)


@triton.jit
def ray_cdf(BINS, WEIGHTS, OFFSETS, MASS, CDF, BLOCK: tl.constexpr):
    """Interval masses and their running sums; where a ray has no weight, the lengths of its intervals."""
    r = tl.program_id(0).to(tl.int64)
    begin = tl.load(OFFSETS + r)
    n = (tl.load(OFFSETS + r + 1) - begin).to(tl.int32)
    total = 0.0
    for b in range(0, n, BLOCK):
        j = b + tl.arange(0, BLOCK)
        total += tl.sum(tl.load(WEIGHTS + begin + j, mask=j + 1 < n, other=0.0), 0)
    carry = 0.0
    for b in range(0, n, BLOCK):
        j = b + tl.arange(0, BLOCK)
        q = begin + j
        w = tl.load(WEIGHTS + q, mask=j + 1 < n, other=0.0)
        span = tl.load(BINS + q + 1, mask=j + 1 < n, other=0.0) - tl.load(BINS + q, mask=j + 1 < n, other=0.0)
        w = tl.where(total <= 0.0, span, w)
        tl.store(MASS + q, w, mask=j < n)
        tl.store(CDF + q, carry + tl.cumsum(w, 0), mask=j < n)
        carry += tl.sum(w, 0)


@triton.jit
def invert_cdf(BINS, MASS, CDF, U, OFFSETS, OUT, N, S, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """One lane per number of U [R, S]: binary search for its interval, then linear inside. STEPS >= log2(longest ray) + 1."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m = i < N
    r = i // S
    begin = tl.load(OFFSETS + r, mask=m, other=0)
    n = tl.load(OFFSETS + r + 1, mask=m, other=0) - begin
    some = m & (n > 0)
    last = tl.maximum(n - 1, 0)
    target = tl.load(U + i, mask=m, other=0.0) * tl.load(CDF + begin + last, mask=some, other=0.0)
    low = begin * 0
    high = n
    for _ in range(0, STEPS):  # first interval whose running sum exceeds the target
        middle = (low + high) // 2
        searching = low < high
        above = tl.load(CDF + begin + middle, mask=some & searching, other=0.0) > target
        high = tl.where(searching & above, middle, high)
        low = tl.where(searching & (above == 0), middle + 1, low)
    k = tl.minimum(low, tl.maximum(last - 1, 0))
    inside = tl.load(MASS + begin + k, mask=some, other=0.0)
    before = tl.load(CDF + begin + k, mask=some, other=0.0) - inside
    fraction = tl.where(inside > 0.0, (target - before) / tl.where(inside > 0.0, inside, 1.0), 0.0)
    fraction = tl.minimum(tl.maximum(fraction, 0.0), 1.0)
    lo = tl.load(BINS + begin + k, mask=some, other=0.0)
    hi = tl.load(BINS + begin + tl.minimum(k + 1, last), mask=some, other=0.0)
    tl.store(OUT + i, tl.where(n > 0, lo + fraction * (hi - lo), float("nan")), mask=m)
