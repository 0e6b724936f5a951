/* staging.h by the CUDA runtime. A sum goes piece by piece: device to pinned memory, sum, back.
 * Copies are not overlapped with the sums, since moving 16 MiB between device and host takes a
 * small part of the time that any network takes to sum them.
 */
#include "comm/staging.h"

#include "base/memory.h"

#include <cuda_runtime_api.h>
#include <stddef.h>

enum { PIECE = 2 << 20 }; /* elements: 16 MiB */

struct lloyd_staging {
    int64_t *values; /* [PIECE], pinned */
};

static lloyd_status check(cudaError_t code, const char *what)
{
    if (code == cudaSuccess) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "CUDA failed in %s: %s; look at the GPU with nvidia-smi", what,
                      cudaGetErrorString(code));
}

static lloyd_status wait(cudaStream_t stream, const char *what)
{
    return check(cudaStreamSynchronize(stream), what);
}

lloyd_status lloyd_staging_wait(lloyd_buffer buffer)
{
    return wait(buffer.stream, "the work before a sum over ranks");
}

static lloyd_status new_staging(lloyd_staging **staging)
{
    LLOYD_TRY(lloyd_alloc(staging, 1, sizeof **staging, "sums on their way between GPU and MPI"));
    lloyd_status status = check(cudaHostAlloc((void **)&(*staging)->values, PIECE * sizeof(int64_t),
                                              cudaHostAllocPortable),
                                "getting 16 MiB of pinned memory for sums over ranks");
    if (status == LLOYD_OK) return LLOYD_OK;
    lloyd_free(*staging);
    *staging = NULL;
    return status;
}

static lloyd_status sum_piece(lloyd_staging *staging, int64_t *device, int64_t count,
                              cudaStream_t stream, lloyd_staging_sum_host sum, void *context)
{
    size_t bytes = (size_t)count * sizeof *device;
    const char *what = "copying sums between GPU and host";
    LLOYD_TRY(check(cudaMemcpyAsync(staging->values, device, bytes, cudaMemcpyDeviceToHost, stream),
                    what));
    LLOYD_TRY(wait(stream, what));
    LLOYD_TRY(sum(context, staging->values, count));
    LLOYD_TRY(check(cudaMemcpyAsync(device, staging->values, bytes, cudaMemcpyHostToDevice, stream),
                    what));
    return wait(stream, what);
}

lloyd_status lloyd_staging_sum(lloyd_staging **staging, lloyd_buffer buffer, int64_t count,
                               lloyd_staging_sum_host sum, void *context)
{
    int64_t *device = buffer.data;
    if (!*staging) LLOYD_TRY(new_staging(staging));
    for (int64_t at = 0; at < count; at += PIECE) {
        int64_t here = count - at < PIECE ? count - at : PIECE;
        LLOYD_TRY(sum_piece(*staging, device + at, here, buffer.stream, sum, context));
    }
    return LLOYD_OK;
}

void lloyd_staging_free(lloyd_staging *staging)
{
    if (!staging) return;
    (void)cudaFreeHost(staging->values);
    lloyd_free(staging);
}
