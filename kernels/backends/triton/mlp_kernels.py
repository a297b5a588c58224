"""Triton kernels of the multilayer perceptron.

``mlp_forward`` takes a tile of rows through all layers without leaving the multiprocessor. The kernels with gradients work layer by layer
on chunks of rows: three matrix products whose operands are made from the stored pre-activations while they are loaded. (One kernel for
all of it would keep every layer of a tile in registers, far more than there are.)

Weights are row-major, out x in. Padded rows and columns of operands are zero.
"""

# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false, reportAssignmentType=false
# (what stands below is Triton's language, not Python)
import triton
import triton.language as tl


@triton.jit
def _phi(z, beta, ACT: tl.constexpr):
    if ACT == 1:
        return tl.maximum(z, 0.0)
    elif ACT == 2:
        return tl.maximum(z, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(beta * z))) / beta
    elif ACT == 3:
        return tl.sigmoid(z)
    else:
        return z


@triton.jit
def _phi1(z, beta, ACT: tl.constexpr):
    """First derivative."""
    if ACT == 1:
        return tl.where(z > 0.0, 1.0, 0.0)
    elif ACT == 2:
        return tl.sigmoid(beta * z)
    elif ACT == 3:
        s = tl.sigmoid(z)
        return s * (1.0 - s)
    else:
        return z * 0.0 + 1.0


@triton.jit
def _phi2(z, beta, ACT: tl.constexpr):
    """Second derivative."""
    if ACT == 2:
        s = tl.sigmoid(beta * z)
        return beta * s * (1.0 - s)
    elif ACT == 3:
        s = tl.sigmoid(z)
        return s * (1.0 - s) * (1.0 - 2.0 * s)
    else:
        return z * 0.0


@triton.jit
def _operand(A, U, i, k, N, beta, K: tl.constexpr, MODE: tl.constexpr, ACT: tl.constexpr):
    """Tile [i, k] of a layer's input: A itself (MODE 0), ``phi(A)`` (1), or the tangent ``phi'(A) U`` (2)."""
    mask = (i < N)[:, None] & (k < K)[None, :]
    p = i.to(tl.int64)[:, None] * K + k[None, :]
    a = tl.load(A + p, mask=mask, other=0.0)
    if MODE == 1:
        a = tl.where(mask, _phi(a, beta, ACT), 0.0)
    if MODE == 2:
        a = _phi1(a, beta, ACT) * tl.load(U + p, mask=mask, other=0.0)
    return a


@triton.jit
def mlp_forward(
    X, P, Y, N, beta,
    W: tl.constexpr, V: tl.constexpr, O: tl.constexpr, ACT: tl.constexpr, OUT: tl.constexpr, BIAS: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``Y = mlp(X)``, all layers at once; W: widths, V: widths padded to powers of two >= 16, O: start of each layer's parameters in P."""
    LAST: tl.constexpr = len(W) - 2
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    h = _operand(X, X, i, tl.arange(0, V[0]), N, beta, W[0], 0, ACT)
    for l in tl.static_range(LAST + 1):
        ki = tl.arange(0, V[l])
        ko = tl.arange(0, V[l + 1])
        w = tl.load(P + O[l] + ko[None, :] * W[l] + ki[:, None], mask=(ko[None, :] < W[l + 1]) & (ki[:, None] < W[l]), other=0.0)
        z = tl.dot(h, w, input_precision=PRECISION)
        if BIAS:
            z += tl.load(P + O[l] + W[l] * W[l + 1] + ko, mask=ko < W[l + 1], other=0.0)[None, :]
        h = _phi(z, beta, OUT if l == LAST else ACT)
    o = tl.arange(0, V[LAST + 1])
    tl.store(Y + i.to(tl.int64)[:, None] * W[LAST + 1] + o[None, :], h, mask=(i < N)[:, None] & (o[None, :] < W[LAST + 1]))


@triton.jit
def layer_forward(
    A, U, WEIGHT, BIAS, Z, N, beta,
    KI: tl.constexpr, KO: tl.constexpr, MODE: tl.constexpr, ACT: tl.constexpr, HAS_BIAS: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """``Z = operand(A, U) WEIGHT^T (+ BIAS)``. Programs: (rows, outputs)."""
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, KI, BK):
        k = start + tl.arange(0, BK)
        a = _operand(A, U, i, k, N, beta, KI, MODE, ACT)
        w = tl.load(WEIGHT + o[None, :] * KI + k[:, None], mask=(o[None, :] < KO) & (k[:, None] < KI), other=0.0)
        acc = tl.dot(a, w, acc, input_precision=PRECISION)
    if HAS_BIAS:
        acc += tl.load(BIAS + o, mask=o < KO, other=0.0)[None, :]
    tl.store(Z + i.to(tl.int64)[:, None] * KO + o[None, :], acc, mask=(i < N)[:, None] & (o[None, :] < KO))


@triton.jit
def layer_pull(
    G, GT, WEIGHT, Z, U, H, HT, N, beta,
    KI: tl.constexpr, KO: tl.constexpr, ACT: tl.constexpr, FIRST: tl.constexpr, JET: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Gradient G of a layer's output to that of the pre-activation Z before it: ``H = phi'(Z) (G WEIGHT)``.

    With JET also for the tangent, ``HT = phi'(Z) (GT WEIGHT)``, and H gains ``phi''(Z) U (GT WEIGHT)``, U the tangent of Z.
    FIRST: there is no activation before this layer. Programs: (rows, inputs).
    """
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    k = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    acct = tl.zeros((BM, BN), tl.float32)
    for start in range(0, KO, BK):
        o = start + tl.arange(0, BK)
        w = tl.load(WEIGHT + o[:, None] * KI + k[None, :], mask=(o[:, None] < KO) & (k[None, :] < KI), other=0.0)
        acc = tl.dot(_operand(G, G, i, o, N, beta, KO, 0, 0), w, acc, input_precision=PRECISION)
        if JET:
            acct = tl.dot(_operand(GT, GT, i, o, N, beta, KO, 0, 0), w, acct, input_precision=PRECISION)
    mask = (i < N)[:, None] & (k[None, :] < KI)
    p = i.to(tl.int64)[:, None] * KI + k[None, :]
    if not FIRST:
        z = tl.load(Z + p, mask=mask, other=0.0)
        d = _phi1(z, beta, ACT)
        acc *= d
        if JET:
            acc += _phi2(z, beta, ACT) * tl.load(U + p, mask=mask, other=0.0) * acct
            acct *= d
    tl.store(H + p, acc, mask=mask)
    if JET:
        tl.store(HT + p, acct, mask=mask)


@triton.jit
def layer_weights(
    G, GT, A, U, S, N, rows, stride, beta,
    KI: tl.constexpr, KO: tl.constexpr, MODE: tl.constexpr, ACT: tl.constexpr, JET: tl.constexpr, HAS_BIAS: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BO: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Parameter gradient of a layer: ``S[split] += G^T a``, with JET ``+ GT^T t``, over the split's own rows; then the sums of G.

    MODE says how the input a comes from A; the tangent t comes from A and U (MODE 1) or is U itself (MODE 0).
    Programs: (splits, tiles of the weight matrix).
    """
    split = tl.program_id(0)
    o = (tl.program_id(1) // tl.cdiv(KI, BK)) * BO + tl.arange(0, BO)
    k = (tl.program_id(1) % tl.cdiv(KI, BK)) * BK + tl.arange(0, BK)
    acc = tl.zeros((BO, BK), tl.float32)
    sums = tl.zeros((BO,), tl.float32)
    end = tl.minimum(N, (split + 1) * rows)
    for start in range(split * rows, end, BM):
        i = start + tl.arange(0, BM)
        g = _operand(G, G, i, o, end, beta, KO, 0, 0)
        a = _operand(A, A, i, k, end, beta, KI, MODE, ACT)
        acc = tl.dot(tl.trans(g), a, acc, input_precision=PRECISION)
        sums += tl.sum(g, 0)
        if JET:
            gt = _operand(GT, GT, i, o, end, beta, KO, 0, 0)
            if MODE == 1:
                t = _operand(A, U, i, k, end, beta, KI, 2, ACT)
            else:
                t = _operand(U, U, i, k, end, beta, KI, 0, ACT)
            acc = tl.dot(tl.trans(gt), t, acc, input_precision=PRECISION)
    S += split.to(tl.int64) * stride
    p = S + o[:, None] * KI + k[None, :]
    mask = (o[:, None] < KO) & (k[None, :] < KI)
    tl.store(p, tl.load(p, mask=mask, other=0.0) + acc, mask=mask)
    if HAS_BIAS and tl.program_id(1) % tl.cdiv(KI, BK) == 0:
        b = S + KI * KO + o
        tl.store(b, tl.load(b, mask=o < KO, other=0.0) + sums, mask=o < KO)
