// PatchMatch stereo for some pixels of one row at once (Bleyer et al. 2011; checkerboard propagation: Galliani et al. 2015, Xu and Tao
// 2019). Written over the types F (float), I (int32), U (uint32) and M (a mask), which are vectors on the CPU and scalars on a GPU.
//
// Included inside a namespace that has defined them, LANE_INLINE, LANE_CALL, LANE_UNROLL, and: lanes(float), lanes_int(int),
// lanes_unsigned(uint32_t), all_lanes(bool), pick(M, F or I, same), any(M), to_float(I), to_int(F) (towards zero), to_signed(U),
// to_unsigned(I), gather(const float* or const uint8_t*, I, M), scatter(float*, I, F, M), reciprocal(F) (23 bits or more), square_root(F),
// exp_negative(F), smaller(F, F), larger(F, F); quad_at(const PatchSource&, F u, F v, F& fu, F& fv), the four grey values about a place of a
// source and how far it lies to the right of and below the first, and quad_between<0 or 2>(U, F fu), what lies between two of them;
// best_of(const PatchJob&), its `best`, which a GPU's compiler must know.
// No include guard: each instruction set has its own copy.

struct Patch {
    F weight[PATCH_SAMPLES];   // sum 1
    F centred[PATCH_SAMPLES];  // weight times (grey - mean)
    F variance;
    I x, pixel;  // column, and index in the picture
    F rx, ry;    // the ray through the pixel's centre, (rx, ry, 1)
};

struct Plane {
    F z, nx, ny, nz;
};

LANE_INLINE F plane_dot(const Plane& p, F rx, F ry) { return p.nx * rx + p.ny * ry + p.nz; }

// The reference's window about pixels x of row y, weighted by likeness and nearness to its centre. Variance 0 where too little is left.
LANE_INLINE void patch_build(const PatchJob& job, I x, int y, M active, Patch& out) {
    out.x = x;
    out.pixel = lanes_int(y * job.width) + x;
    out.rx = (to_float(x) + (0.5f - job.cx)) * (1.f / job.fx);
    out.ry = lanes((float(y) + 0.5f - job.cy) / job.fy);
    const F middle = to_float(gather(job.grey, out.pixel, active));
    F total = lanes(0.f), mean = lanes(0.f);
    F grey[PATCH_SAMPLES];
    UNROLLED
    for (int k = 0; k < PATCH_SAMPLES; ++k) {
        const int dx = 2 * (k % PATCH_SIDE) - (PATCH_SIDE - 1), dy = 2 * (k / PATCH_SIDE) - (PATCH_SIDE - 1);
        const I column = x + dx;
        const bool row = y + dy >= 0 && y + dy < job.height;
        const M there = active & (column >= lanes_int(0)) & (column < lanes_int(job.width)) & all_lanes(row);
        const I index = pick(there, out.pixel + (dy * job.width + dx), out.pixel);
        const F value = to_float(gather(job.grey, index, there));
        const F unlike = value - middle;
        F w = exp_negative(unlike * unlike * (-1.f / (2.f * 51.f * 51.f)) - lanes(float(dx * dx + dy * dy) / 50.f));
        w = pick(there, w, lanes(0.f));
        if (job.mask) w = pick(gather(job.mask, index, there) > lanes_int(0), w, lanes(0.f));
        grey[k] = value;
        out.weight[k] = w;
        total += w;
        mean += w * value;
    }
    const M enough = total > lanes(PATCH_LEAST_WEIGHT);
    const F scale = pick(enough, reciprocal(pick(enough, total, lanes(1.f))), lanes(0.f));
    mean *= scale;
    out.variance = lanes(0.f);
    UNROLLED
    for (int k = 0; k < PATCH_SAMPLES; ++k) {
        out.weight[k] *= scale;
        out.centred[k] = out.weight[k] * (grey[k] - mean);
        out.variance += out.centred[k] * (grey[k] - mean);
    }
}

// 1 - NCC with one source over the window that the plane's homography maps there, 0 to 2; plus the geometric term.
LANE_CALL F patch_cost(const PatchJob& job, const Patch& patch, const PatchSource& s, const Plane& plane, M active) {
    const F per_z = reciprocal(plane.z);
    const F m = reciprocal(plane_dot(plane, patch.rx, patch.ry)) * per_z;
    const F mx = plane.nx * m, my = plane.ny * m;
    F p[3], right[3], down[3];
    for (int k = 0; k < 3; ++k) {
        p[k] = s.a[3 * k] * patch.rx + s.a[3 * k + 1] * patch.ry + s.a[3 * k + 2] + s.b[k] * per_z;
        right[k] = (s.a[3 * k] + s.b[k] * mx) * (2.f / job.fx);
        down[k] = (s.a[3 * k + 1] + s.b[k] * my) * (2.f / job.fy);
    }
    // The window's image is a convex quadrilateral if it lies ahead: its corners tell whether all of it is inside.
    constexpr float half = 0.5f * (PATCH_SIDE - 1);
    const float last_column = float(s.width - 1), last_row = float(s.height - 1);
    M valid = active;
    for (int corner = 0; corner < 4; ++corner) {
        const float i = corner & 1 ? half : -half, j = corner & 2 ? half : -half;
        const F x = p[0] + right[0] * i + down[0] * j, y = p[1] + right[1] * i + down[1] * j, z = p[2] + right[2] * i + down[2] * j;
        valid = valid & (z > lanes(1e-3f)) & (x >= lanes(0.f)) & (x <= z * last_column) & (y >= lanes(0.f)) & (y <= z * last_row);
    }
    const bool geometric = s.depth && job.geometric > 0.f;
    F error = lanes(geometric ? 3.f : 0.f);
    if (!any(valid)) return PATCH_WORST + job.geometric * error;
    if (s.mask || geometric) {
        const F per_w = reciprocal(pick(valid, p[2], lanes(1.f)));
        const I column = to_int(pick(valid, p[0] * per_w + 0.5f, lanes(0.f))), row = to_int(pick(valid, p[1] * per_w + 0.5f, lanes(0.f)));
        const I index = row * s.width + column;
        if (s.mask) valid = valid & (gather(s.mask, index, valid) > lanes_int(0));
        if (geometric) {
            // Where the source's depth k times as far as this plane puts the point, as the reference sees it.
            const F k = gather(s.depth, index, valid) * per_z * per_w;
            const F keep = 1.f - k;
            const F along = k * plane.z + s.center[2] * keep;
            const M known = (k > lanes(0.f)) & (along > 1e-3f * plane.z);
            const F per_along = reciprocal(pick(known, along, lanes(1.f)));
            const F du = ((k * plane.z * patch.rx + s.center[0] * keep) * per_along - patch.rx) * job.fx;
            const F dv = ((k * plane.z * patch.ry + s.center[1] * keep) * per_along - patch.ry) * job.fy;
            error = pick(known, smaller(square_root(du * du + dv * dv), lanes(3.f)), lanes(3.f));
        }
    }
    F x0 = p[0] - (right[0] + down[0]) * half, y0 = p[1] - (right[1] + down[1]) * half, z0 = p[2] - (right[2] + down[2]) * half;
    x0 = pick(valid, x0, lanes(0.f)), y0 = pick(valid, y0, lanes(0.f)), z0 = pick(valid, z0, lanes(1.f));
    for (int k = 0; k < 3; ++k) right[k] = pick(valid, right[k], lanes(0.f)), down[k] = pick(valid, down[k], lanes(0.f));
    F sum = lanes(0.f), squares = lanes(0.f), cross = lanes(0.f);
    UNROLLED
    for (int j = 0; j < PATCH_SIDE; ++j) {
        F x = x0, y = y0, z = z0;
        LANE_UNROLL for (int i = 0; i < PATCH_SIDE; ++i) {
            const F per = reciprocal(z);
            F fu, fv;
            const U quad = quad_at(s, x * per, y * per, fu, fv);
            const F above = quad_between<0>(quad, fu), below = quad_between<2>(quad, fu);
            const F value = above + fv * (below - above);
            const F weighted = patch.weight[j * PATCH_SIDE + i] * value;
            sum += weighted;
            squares += weighted * value;
            cross += patch.centred[j * PATCH_SIDE + i] * value;
            x += right[0], y += right[1], z += right[2];
        }
        x0 += down[0], y0 += down[1], z0 += down[2];
    }
    const F variance = squares - sum * sum;
    const M textured = valid & (variance >= lanes(job.variance)) & (patch.variance >= lanes(job.variance));
    const F ncc = cross * reciprocal(square_root(pick(textured, variance * patch.variance, lanes(1.f))));
    const F cost = pick(textured, smaller(larger(1.f - ncc, lanes(0.f)), lanes(PATCH_WORST)), lanes(PATCH_WORST));
    return cost + job.geometric * error;
}

// Mean of the costs with the best sources. Where it cannot be below `limit`, it may be anything that is not either.
LANE_INLINE F patch_costs(const PatchJob& job, const Patch& patch, const Plane& plane, M active, F limit) {
    F best[PATCH_MAX_BEST];
    UNROLLED
    for (int k = 0; k < best_of(job); ++k) best[k] = lanes(PATCH_WORST + 3.f * job.geometric);
    const float share = 1.f / float(best_of(job));
    ONE_BY_ONE
    for (int i = 0; i < job.count; ++i) {
        const int left = job.count - i;  // sources not looked at yet can at best cost nothing
        if (left < best_of(job)) {
            F least = lanes(0.f);
            UNROLLED
            for (int k = 0; k < best_of(job); ++k)
                if (k < best_of(job) - left) least += best[k];
            active = active & (least * share < limit);
            if (!any(active)) return limit;
        }
        F cost = patch_cost(job, patch, job.sources[i], plane, active);
        UNROLLED
        for (int k = 0; k < best_of(job); ++k) {
            const F low = smaller(best[k], cost);
            cost = larger(best[k], cost);
            best[k] = low;
        }
    }
    F sum = lanes(0.f);
    UNROLLED
    for (int k = 0; k < best_of(job); ++k) sum += best[k];
    return sum * share;
}

// Numbers in [0, 1) that depend on the pass, the pixel and the draw's number only.
LANE_INLINE F patch_random(const PatchJob& job, const Patch& patch, uint32_t draw) {
    U h = to_unsigned(patch.pixel) + lanes_unsigned(job.seed + draw * 0x9e3779b9u);
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15)) * 0x846ca68bu;
    h = h ^ (h >> 16);
    return to_float(to_signed(h >> 8)) * (1.f / 16777216.f);
}

LANE_INLINE void plane_normalise(Plane& p) {
    const F scale = reciprocal(square_root(p.nx * p.nx + p.ny * p.ny + p.nz * p.nz + 1e-20f));
    p.nx *= scale, p.ny *= scale, p.nz *= scale;
}

// A direction towards the camera, at least 0.1 of it along the ray.
LANE_INLINE void plane_random_normal(const PatchJob& job, const Patch& patch, uint32_t draw, Plane& p) {
    p.nx = 2.f * patch_random(job, patch, draw) - 1.f;
    p.ny = 2.f * patch_random(job, patch, draw + 1) - 1.f;
    p.nz = 2.f * patch_random(job, patch, draw + 2) - 1.f;
    plane_normalise(p);
    const F sign = pick(plane_dot(p, patch.rx, patch.ry) > lanes(0.f), lanes(-1.f), lanes(1.f));
    const F tilt = 0.1f * reciprocal(square_root(patch.rx * patch.rx + patch.ry * patch.ry + 1.f));
    p.nx = p.nx * sign - tilt * patch.rx, p.ny = p.ny * sign - tilt * patch.ry, p.nz = p.nz * sign - tilt;
    plane_normalise(p);
}

// Uniform in 1 / z.
LANE_INLINE F plane_random_depth(const PatchJob& job, const Patch& patch, uint32_t draw) {
    const float low = 1.f / job.farthest, high = 1.f / job.nearest;
    return reciprocal(low + (high - low) * patch_random(job, patch, draw));
}

LANE_INLINE M plane_allowed(const PatchJob& job, const Patch& patch, const Plane& p, M active) {
    return active & (p.z >= lanes(job.nearest)) & (p.z <= lanes(job.farthest)) & (plane_dot(p, patch.rx, patch.ry) < lanes(-0.05f));
}

// The plane through a pixel's neighbour, where the pixel's own ray meets it; the neighbour has one for lanes of the mask returned.
LANE_INLINE M plane_of_neighbor(const PatchJob& job, const Patch& patch, I dx, I dy, M active, Plane& out) {
    const I index = patch.pixel + dy * job.width + dx;
    out.z = gather(job.planes, index * 4, active);
    out.nx = gather(job.planes, index * 4 + 1, active);
    out.ny = gather(job.planes, index * 4 + 2, active);
    out.nz = gather(job.planes, index * 4 + 3, active);
    const F there = plane_dot(out, patch.rx + to_float(dx) * (1.f / job.fx), patch.ry + to_float(dy) * (1.f / job.fy));
    const F here = plane_dot(out, patch.rx, patch.ry);
    const M usable = active & (out.z > lanes(0.f)) & (here < lanes(-0.05f));
    out.z = pick(usable, out.z * there * reciprocal(pick(usable, here, lanes(-1.f))), lanes(0.f));
    return plane_allowed(job, patch, out, usable);
}

// The cheapest of the pixels at some offsets. Offsets reach pixels of the other colour only.
struct Cheapest {
    F cost;
    I dx, dy;
};
LANE_INLINE void cheapest_at(const PatchJob& job, const Patch& patch, int y, int dx, int dy, M active, Cheapest& found) {
    if (y + dy < 0 || y + dy >= job.height) return;
    const I column = patch.x + dx;
    const M there = active & (column >= lanes_int(0)) & (column < lanes_int(job.width));
    const I index = pick(there, patch.pixel + (dy * job.width + dx), patch.pixel);
    const F cost = pick(there, gather(job.costs, index, there), lanes(1e9f));
    const M better = cost < found.cost;
    found.cost = pick(better, cost, found.cost);
    found.dx = pick(better, lanes_int(dx), found.dx);
    found.dy = pick(better, lanes_int(dy), found.dy);
}

LANE_INLINE void patch_try(const PatchJob& job, const Patch& patch, const Plane& plane, M allowed, Plane& kept, F& cost) {
    if (!any(allowed)) return;
    const F other = patch_costs(job, patch, plane, allowed, cost);
    const M better = allowed & (other < cost);
    kept.z = pick(better, plane.z, kept.z);
    kept.nx = pick(better, plane.nx, kept.nx);
    kept.ny = pick(better, plane.ny, kept.ny);
    kept.nz = pick(better, plane.nz, kept.nz);
    cost = pick(better, other, cost);
}

LANE_INLINE void plane_load(const PatchJob& job, const Patch& patch, M active, Plane& p) {
    p.z = gather(job.planes, patch.pixel * 4, active);
    p.nx = gather(job.planes, patch.pixel * 4 + 1, active);
    p.ny = gather(job.planes, patch.pixel * 4 + 2, active);
    p.nz = gather(job.planes, patch.pixel * 4 + 3, active);
}

LANE_INLINE void plane_store(const PatchJob& job, const Patch& patch, M active, const Plane& p, F cost) {
    scatter(job.planes, patch.pixel * 4, p.z, active);
    scatter(job.planes, patch.pixel * 4 + 1, p.nx, active);
    scatter(job.planes, patch.pixel * 4 + 2, p.ny, active);
    scatter(job.planes, patch.pixel * 4 + 3, p.nz, active);
    scatter(job.costs, patch.pixel, cost, active);
}

// A first plane per pixel: the one that is there already if it is possible, else a random one; none where there is no texture.
LANE_INLINE void patch_start(const PatchJob& job, I x, int y, M active) {
    Patch patch;
    patch_build(job, x, y, active, patch);
    Plane p, drawn;
    plane_load(job, patch, active, p);
    drawn.z = plane_random_depth(job, patch, 0);
    plane_random_normal(job, patch, 1, drawn);
    M usable = active & (patch.variance >= lanes(job.variance));
    if (job.mask) usable = usable & (gather(job.mask, patch.pixel, active) > lanes_int(0));
    const M given = plane_allowed(job, patch, p, usable);
    p.z = pick(usable, pick(given, p.z, drawn.z), lanes(0.f));
    p.nx = pick(usable, pick(given, p.nx, drawn.nx), lanes(0.f));
    p.ny = pick(usable, pick(given, p.ny, drawn.ny), lanes(0.f));
    p.nz = pick(usable, pick(given, p.nz, drawn.nz), lanes(0.f));
    F cost = lanes(1e9f);
    if (any(usable)) {
        Plane safe = p;
        safe.z = pick(usable, p.z, lanes(job.nearest)), safe.nz = pick(usable, p.nz, lanes(-1.f));
        cost = pick(usable, patch_costs(job, patch, safe, usable, cost), lanes(1e9f));
    }
    plane_store(job, patch, active, p, cost);
}

// The plane of the cheapest pixel of an area: 0 to 3 are fans of seven to the left, right, above and below, 4 to 7 lines there.
LANE_INLINE M plane_of_area(const PatchJob& job, const Patch& patch, int y, int area, M active, Plane& plane) {
    const int side = area & 3, ax = side == 0 ? -1 : side == 1 ? 1 : 0, ay = side == 2 ? -1 : side == 3 ? 1 : 0;
    Cheapest found = {lanes(1e8f), lanes_int(0), lanes_int(0)};
    if (area < 4) {
        cheapest_at(job, patch, y, ax, ay, active, found);
        for (int i = 1; i <= 3; ++i)
            for (int turn = -1; turn <= 1; turn += 2)
                cheapest_at(job, patch, y, ax * (1 + i) + ay * turn * i, ay * (1 + i) + ax * turn * i, active, found);
    } else {
        for (int reach = 3; reach <= 23; reach += 2) cheapest_at(job, patch, y, ax * reach, ay * reach, active, found);
    }
    const M there = active & (found.cost < lanes(1e8f));
    if (!any(there)) return there;
    return plane_of_neighbor(job, patch, found.dx, found.dy, there, plane);
}

// A random change of a plane: 0 new depth, 1 new normal, 2 both, 3 depth a little, 4 normal a little.
LANE_INLINE M plane_changed(const PatchJob& job, const Patch& patch, int change, const Plane& kept, M active, Plane& plane) {
    const uint32_t draw = 8u * uint32_t(change);
    plane = kept;
    if (change == 0 || change == 2) plane.z = plane_random_depth(job, patch, draw);
    if (change == 1 || change == 2) plane_random_normal(job, patch, draw + 1, plane);
    if (change == 3) plane.z *= 1.f + job.perturbation * (2.f * patch_random(job, patch, draw) - 1.f);
    if (change == 4) {
        const float angle = 3.14159265f * job.perturbation;
        plane.nx += angle * (2.f * patch_random(job, patch, draw) - 1.f);
        plane.ny += angle * (2.f * patch_random(job, patch, draw + 1) - 1.f);
        plane.nz += angle * (2.f * patch_random(job, patch, draw + 2) - 1.f);
        plane_normalise(plane);
    }
    return plane_allowed(job, patch, plane, active);
}

// One iteration for pixels that have a plane: the best of eight areas of neighbours, then five changes of what is best so far.
LANE_INLINE void patch_update(const PatchJob& job, I x, int y, M active) {
    Patch patch;
    patch_build(job, x, y, active, patch);
    Plane kept;
    plane_load(job, patch, active, kept);
    F cost = pick(active, gather(job.costs, patch.pixel, active), lanes(0.f));
    ONE_BY_ONE
    for (int offer = 0; offer < 13; ++offer) {  // in one loop: what a cost is made by is long where it is written out
        Plane plane = kept;
        const M allowed = offer < 8 ? plane_of_area(job, patch, y, offer, active, plane)
                                    : plane_changed(job, patch, offer - 8, kept, active, plane);
        patch_try(job, patch, plane, allowed, kept, cost);
    }
    plane_store(job, patch, active, kept, cost);
}

// The cost with every source of the planes that are there: out[source * stride + pixel].
LANE_INLINE void patch_compare(const PatchJob& job, I x, int y, M active, float* out, int64_t stride) {
    Patch patch;
    Plane plane;
    patch_build(job, x, y, active, patch);
    plane_load(job, patch, active, plane);
    const M usable = active & (plane.z > lanes(0.f)) & (plane_dot(plane, patch.rx, patch.ry) < lanes(0.f));
    plane.z = pick(usable, plane.z, lanes(1.f)), plane.nz = pick(usable, plane.nz, lanes(-1.f));
    ONE_BY_ONE
    for (int s = 0; s < job.count; ++s) {
        const F cost = any(usable) ? patch_cost(job, patch, job.sources[s], plane, usable) : lanes(PATCH_WORST);
        scatter(out + s * stride, patch.pixel, pick(usable, cost, lanes(PATCH_WORST)), active);
    }
}
