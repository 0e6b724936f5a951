/* staging.h without CUDA: there are no device buffers. */
#include "comm/staging.h"

static lloyd_status no_cuda(void)
{
    return lloyd_fail(LLOYD_FAILED, "a buffer of GPU memory, but lloyd was built without CUDA; "
                                    "configure it with -DLLOYD_CUDA=ON");
}

lloyd_status lloyd_staging_wait(lloyd_buffer buffer)
{
    (void)buffer;
    return no_cuda();
}

lloyd_status lloyd_staging_sum(lloyd_staging **staging, lloyd_buffer buffer, int64_t count,
                               lloyd_staging_sum_host sum, void *context)
{
    (void)staging, (void)buffer, (void)count, (void)sum, (void)context;
    return no_cuda();
}

void lloyd_staging_free(lloyd_staging *staging)
{
    (void)staging;
}
