/* The choice of a fused kernel; see shape.h.
 *
 * Rows of up to 256 columns stay in registers.
 */
#include "kernels/cuda/assign/shape.h"

/* From MANY centroids on so few products matter that it pays to look for them; with long rows, whose
 * products take more of the time, from fewer on. Gaussian rows would gain 4 to 12 % from 8192 centroids
 * on, but photographs' descriptors, of nearly equal lengths, would lose more. */
enum { FEW = 4, MANY = 16384, MANY_LONG = 4096, LONG_STEPS = 12, STEP = 16, TILE = 128 };

/* Rows of up to 128 columns, and 224 KiB of centroids. */
enum { RESIDENT_STEPS = 8, RESIDENT_BYTES = 224 << 10 };

/* Steps that the kernels in registers are compiled for. */
static const int compiled[] = {1, 2, 4, 6, 8, 12, 16};

static int padded_steps(int64_t dim)
{
    int64_t steps = (dim + STEP - 1) / STEP;
    for (unsigned i = 0; i < sizeof compiled / sizeof *compiled; i++) {
        if (compiled[i] >= steps) return compiled[i];
    }
    return 0;
}

/* All centroids fit the shared memory, and few are compared with a row: its loading weighs more. */
static int is_resident(int64_t set, int steps)
{
    int64_t padded = (set + TILE - 1) / TILE * TILE, row = (steps + 1) * STEP * 2;
    return steps <= RESIDENT_STEPS && padded * row <= RESIDENT_BYTES;
}

lloyd_flash_shape lloyd_flash_choose(int64_t set, int64_t dim, lloyd_type type, int capability)
{
    lloyd_flash_shape shape = {.path = LLOYD_FLASH_SM80, .width = TILE};
    shape.vector = dim * (int64_t)lloyd_type_size(type) % 16 == 0;
    shape.steps = (int)((dim + STEP - 1) / STEP);
    if (set <= FEW) {
        shape.path = LLOYD_FLASH_FEW;
    } else if (capability == 90 && dim <= 256) {
        shape.path = LLOYD_FLASH_SM90;
        shape.steps = padded_steps(dim);
        shape.sift = set >= (shape.steps < LONG_STEPS ? MANY : MANY_LONG);
        if (is_resident(set, shape.steps)) shape.path = LLOYD_FLASH_RESIDENT, shape.sift = 0;
    } else if (capability == 90) {
        shape.path = LLOYD_FLASH_WIDE;
        shape.steps = (shape.steps + 1) / 2 * 2; /* it takes two at a time */
        shape.width = 256;
    }
    return shape;
}
