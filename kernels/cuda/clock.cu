/* The time that each kind of work takes on the GPU: events on the stream between one kind of work and
 * the next, read when the host has waited for the inertia anyway. Each costs the stream about as
 * much as an empty kernel, so there are none unless somebody wants to know (config.timed).
 */
#include "kernels/cuda/clock.h"

#include "kernels/cuda/memory/memory.h"

#include <algorithm>

struct cuda_clock {
    cudaEvent_t *event; /* [capacity], NULL where none was created yet */
    int *work;          /* [capacity] what the time from the mark before to this one belongs to */
    int64_t count, capacity;
};

/* The same marks in a longer list. */
static lloyd_status grow(cuda_clock *clock)
{
    const char *what = "marks of the GPU's clock";
    int64_t capacity = clock->capacity ? 2 * clock->capacity : 64;
    cudaEvent_t *event;
    int *work;
    LLOYD_TRY(lloyd_alloc(&event, capacity, sizeof *event, what));
    lloyd_status status = lloyd_alloc(&work, capacity, sizeof *work, what);
    if (status != LLOYD_OK) {
        lloyd_free(event);
        return status;
    }
    std::copy_n(clock->event, clock->capacity, event);
    std::copy_n(clock->work, clock->capacity, work);
    lloyd_free(clock->event);
    lloyd_free(clock->work);
    clock->event = event;
    clock->work = work;
    clock->capacity = capacity;
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_mark(cuda_kernels *cuda, int work)
{
    const char *what = "timing an iteration";
    if (!cuda->base.config.timed) return LLOYD_OK;
    if (!cuda->clock)
        LLOYD_TRY(lloyd_alloc(&cuda->clock, 1, sizeof *cuda->clock, "the GPU's clock"));
    cuda_clock *clock = cuda->clock;
    if (clock->count == clock->capacity) LLOYD_TRY(grow(clock));
    cudaEvent_t *event = &clock->event[clock->count];
    if (!*event) CUDA_TRY(cudaEventCreateWithFlags(event, cudaEventDefault), what);
    CUDA_TRY(cudaEventRecord(*event, cuda->stream), what);
    clock->work[clock->count++] = work;
    return LLOYD_OK;
}

int64_t lloyd_cuda_marks(const cuda_kernels *cuda)
{
    return cuda->clock ? cuda->clock->count : 0;
}

lloyd_status lloyd_cuda_read_clock(cuda_kernels *cuda, int64_t marks)
{
    cuda_clock *clock = cuda->clock;
    if (marks < 2) return LLOYD_OK;
    for (int64_t i = 1; i < marks; i++) {
        float ms = 0;
        if (clock->work[i] == CUDA_UNTIMED) continue;
        CUDA_TRY(cudaEventElapsedTime(&ms, clock->event[i - 1], clock->event[i]),
                 "timing an iteration");
        cuda->base.seconds[clock->work[i]] += 1e-3 * (double)ms;
    }
    /* What comes next begins at the last of these; the others are used again. */
    std::rotate(clock->event, clock->event + marks - 1, clock->event + clock->count);
    std::rotate(clock->work, clock->work + marks - 1, clock->work + clock->count);
    clock->count -= marks - 1;
    return LLOYD_OK;
}

void lloyd_cuda_forget_marks(cuda_kernels *cuda)
{
    if (cuda->clock) cuda->clock->count = 0;
}

void lloyd_cuda_clock_free(cuda_kernels *cuda)
{
    cuda_clock *clock = cuda->clock;
    if (!clock) return;
    for (int64_t i = 0; i < clock->capacity; i++)
        if (clock->event[i]) (void)cudaEventDestroy(clock->event[i]);
    lloyd_free(clock->event);
    lloyd_free(clock->work);
    lloyd_free(clock);
    cuda->clock = nullptr;
}
