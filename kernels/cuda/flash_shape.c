/* The choice of a fused kernel; see flash_shape.h.
 *
 * Rows of up to 256 columns stay in registers. A tile is as wide as the accumulators of a warpgroup
 * may be beside them; wider tiles hand over the tensor cores less often and read less, narrower ones
 * waste less where K is no multiple of them.
 */
#include "kernels/cuda/flash_shape.h"

enum { FEW = 4, STEP = 16 };

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

/* A tile of 192 costs about 5 % less per centroid than one of 128; what the last tile wastes comes
 * on top. */
static int choose_width(int64_t set, int steps)
{
    if (steps != 6 && steps != 8) return 128;
    double narrow = (double)((set + 127) / 128 * 128), wide = (double)((set + 191) / 192 * 192);
    return wide * 0.95 < narrow ? 192 : 128;
}

lloyd_flash_shape lloyd_flash_choose(int64_t set, int64_t dim, lloyd_type type, int capability)
{
    lloyd_flash_shape shape = {.path = LLOYD_FLASH_SM80, .width = 128};
    shape.vector = dim * (int64_t)lloyd_type_size(type) % 16 == 0;
    shape.steps = (int)((dim + STEP - 1) / STEP);
    if (set <= FEW) {
        shape.path = LLOYD_FLASH_FEW;
    } else if (capability == 90 && dim <= 256) {
        shape.path = LLOYD_FLASH_SM90;
        shape.steps = padded_steps(dim);
        shape.width = choose_width(set, shape.steps);
    } else if (capability == 90) {
        shape.path = LLOYD_FLASH_WIDE;
        shape.steps = (shape.steps + 3) / 4 * 4; /* it takes four at a time */
        shape.width = 192;
    }
    return shape;
}
