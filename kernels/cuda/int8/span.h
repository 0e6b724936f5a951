/* How long the stream takes from one point to another. */
#ifndef LLOYD_KERNELS_CUDA_INT8_SPAN_H
#define LLOYD_KERNELS_CUDA_INT8_SPAN_H

#include "kernels/cuda/memory/memory.h"

/* Zeros: nothing was measured yet. */
struct cuda_span {
    cudaEvent_t begin, end; /* NULL until the first measurement */
    bool ended;             /* both are on the stream, and were not read yet */
    int64_t rows;           /* that were worked on */
};

lloyd_status lloyd_cuda_span_begin(cuda_kernels *cuda, cuda_span *span);
lloyd_status lloyd_cuda_span_end(cuda_kernels *cuda, cuda_span *span, int64_t rows);
/* Never waits. Nanoseconds; 0: nothing was measured, or the stream has not come to the end. Another measurement may follow. */
lloyd_status lloyd_cuda_span_read(cuda_span *span, double *ns);
void lloyd_cuda_span_free(cuda_span *span);

#endif
