/* The table of assignment kernels; see registry.h. */
#include "kernels/cuda/assign/registry.h"

#include "kernels/cuda/assign/operands.cuh"
#include "kernels/cuda/memory/memory.h"

#include <cstring>

/* The order is that of preference. */
#define CUDA_ASSIGN_KERNELS(row) row(sm90_resident) row(sm90) row(sm90_wide) row(sm80)

#define CUDA_DECLARE(name) extern const cuda_assign_kernel lloyd_cuda_assign_##name;
CUDA_ASSIGN_KERNELS(CUDA_DECLARE)
#undef CUDA_DECLARE

#define CUDA_ADDRESS(name) &lloyd_cuda_assign_##name,
static const cuda_assign_kernel *const kernels[] = {CUDA_ASSIGN_KERNELS(CUDA_ADDRESS)};
#undef CUDA_ADDRESS

static const cuda_assign_kernel *choose(const cuda_gpu &gpu, const cuda_assign_shape &shape,
                                        const cuda_assign_kernel *wanted)
{
    if (wanted && wanted->supports(gpu, shape)) return wanted;
    for (const cuda_assign_kernel *kernel : kernels)
        if (kernel->supports(gpu, shape)) return kernel;
    return nullptr;
}

lloyd_status lloyd_cuda_choose_assign(const cuda_gpu &gpu, const cuda_assign_shape &shape,
                                      const cuda_assign_override &wanted,
                                      cuda_assign_config *config)
{
    *config = {};
    config->vector = shape.dim * (int64_t)lloyd_type_size(shape.type) % 16 == 0;
    if (shape.set <= FLASH_FEW) return LLOYD_OK;
    config->kernel = choose(gpu, shape, wanted.kernel);
    if (!config->kernel) {
        return lloyd_fail(
            LLOYD_FAILED,
            "no assignment kernel supports %lld centroids of %lld columns on compute capability %d.%d; "
            "--backend cpu gives the same results without a GPU",
            (long long)shape.set, (long long)shape.dim, gpu.capability / 10, gpu.capability % 10);
    }
    config->kernel->configure(shape, config);
    if (wanted.other_pruning && config->kernel->can_prune) config->prune = !config->prune;
    return LLOYD_OK;
}

const cuda_assign_kernel *lloyd_cuda_find_assign(const char *name)
{
    for (const cuda_assign_kernel *kernel : kernels)
        if (strcmp(kernel->name, name) == 0) return kernel;
    return nullptr;
}
