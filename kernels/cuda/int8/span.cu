/* How long the stream takes from one point to another, whether config.timed or not (clock.cu). */
#include "kernels/cuda/int8/span.h"

#include "kernels/cuda/state.h"

static const char *const what = "timing a filter";

static lloyd_status record(cuda_kernels *cuda, cudaEvent_t *event)
{
    if (!*event) CUDA_TRY(cudaEventCreateWithFlags(event, cudaEventDefault), what);
    return lloyd_cuda_check(cudaEventRecord(*event, cuda->stream), what);
}

lloyd_status lloyd_cuda_span_begin(cuda_kernels *cuda, cuda_span *span)
{
    span->ended = false;
    return record(cuda, &span->begin);
}

lloyd_status lloyd_cuda_span_end(cuda_kernels *cuda, cuda_span *span, int64_t rows)
{
    LLOYD_TRY(record(cuda, &span->end));
    span->rows = rows;
    span->ended = true;
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_span_read(cuda_span *span, double *ns)
{
    float ms = 0;
    *ns = 0;
    if (!span->ended) return LLOYD_OK;
    span->ended = false;
    const cudaError_t code = cudaEventElapsedTime(&ms, span->begin, span->end);
    if (code == cudaErrorNotReady) {
        (void)cudaGetLastError();
        return LLOYD_OK;
    }
    CUDA_TRY(code, what);
    *ns = 1e6 * (double)ms;
    return LLOYD_OK;
}

void lloyd_cuda_span_free(cuda_span *span)
{
    if (span->begin) (void)cudaEventDestroy(span->begin);
    if (span->end) (void)cudaEventDestroy(span->end);
    *span = {};
}
