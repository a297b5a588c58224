// update_occupancy, decay_occupancy, cells_seen: one thread per byte of the bitfield, per cell, per fresh value.
#include "cuda/thread.h"

#include "bodies/occupancy.h"

namespace formfield {

KERNEL pack_cells(int64_t bytes, const REAL* values, double threshold, uint8_t* bits) {
    const int64_t i = thread_x();
    if (i < bytes) bits[i] = occupied_byte(values + 8 * i, REAL(threshold));
}

// fresh may be null: the cells only decay
KERNEL decay_cells(int64_t cells, const REAL* fresh, double decay, REAL* values) {
    const int64_t i = thread_x();
    if (i < cells) values[i] = decayed(values[i], REAL(decay), fresh ? fresh[i] : REAL(-1));
}

// After the cells have decayed. The sign of a value says whether the cell is marked invisible, and never changes here.
KERNEL raise_cells(int64_t n, const REAL* fresh, const int64_t* indices, REAL* values) {
    const int64_t i = thread_x();
    if (i < n && fresh[i] > 0 && !(values[indices[i]] < 0)) shared_max(values + indices[i], fresh[i]);
}

KERNEL see_cells(int64_t cells, int64_t resolution, double size, double radius, const REAL* planes, int64_t views, uint8_t* seen) {
    const int64_t i = thread_x();
    if (i < cells) seen[i] = cell_seen(uint32_t(i), int32_t(resolution), REAL(size), REAL(radius), planes, views);
}

}  // namespace formfield
