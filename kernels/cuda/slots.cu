/* Rows on their way into the slots.
 *
 * A slot owns device memory and load() copies into it. Rows in pageable memory pass through two
 * pinned buffers, so that the host fills one while the other is on its way; rows in pinned memory
 * go directly. load_start() copies on a stream of its own: the copy waits for what was enqueued
 * before it, and what follows load_finish() waits for the copy.
 */
#include "kernels/cuda/slots.h"

#include "kernels/cuda/memory/keep.h"
#include "kernels/cuda/memory/memory.h"
#include "kernels/cuda/prune/needed.h"
#include "kernels/cuda/rows.h"

#include <algorithm>
#include <cassert>
#include <cstring>

static const int64_t STAGED_BYTES = 1 << 18, /* less than this is not worth the buffers */
    DIRECT_BYTES = 1 << 16,                  /* up to this is not worth their use */
    PIECE_BYTES = 1 << 20,                   /* that a thread copies at a time */
    KEPT_STAGING_BYTES =
        1 << 20; /* of a buffer where many threads have some: to pin more takes long */

struct cuda_staging {
    char *memory[2];
    int64_t bytes;       /* of each; 0 until both are there */
    cudaEvent_t sent[2]; /* what was in the buffer has left it */
    int next;
};

/* --- rows and other arrays on their way in --- */

/* Of a power of two bytes; smaller where there is less to copy. */
static lloyd_status new_staging(cuda_kernels *cuda, int64_t first)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const int64_t bytes =
        std::max(first, config->n_local * config->dim * (int64_t)lloyd_type_size(config->type));
    LLOYD_TRY(lloyd_alloc(&cuda->staging, 1, sizeof *cuda->staging, "copies to the GPU"));
    cuda_staging *staging = cuda->staging;
    int64_t size = STAGED_BYTES;
    const int64_t most = cuda->stock ? KEPT_STAGING_BYTES : CUDA_STAGING_BYTES;
    while (size < bytes && size < most) size *= 2;
    for (int b = 0; b < 2; b++) {
        void *memory = nullptr;
        CUDA_TRY(lloyd_cuda_take_pinned(cuda->stock, size, &memory),
                 "allocating pinned memory for copies");
        staging->memory[b] = static_cast<char *>(memory);
        CUDA_TRY(lloyd_cuda_take_event(cuda->stock, &staging->sent[b]),
                 "creating an event for copies");
    }
    staging->bytes = size; /* both are there */
    return LLOYD_OK;
}

void lloyd_cuda_free_staging(cuda_kernels *cuda)
{
    if (!cuda->staging) return;
    for (int b = 0; b < 2; b++) {
        lloyd_cuda_give_event(cuda->stock, cuda->staging->sent[b]);
        lloyd_cuda_give_pinned(cuda->stock, cuda->staging->memory[b]);
    }
    lloyd_free(cuda->staging);
    cuda->staging = nullptr;
}

/* memcpy() by several threads: one core copies slower than the bus. */
static void copy_on_host(char *to, const char *from, int64_t bytes, int threads)
{
    (void)threads; /* without OpenMP there is one */
#if defined(_OPENMP)
#pragma omp parallel for num_threads(threads) if (bytes > PIECE_BYTES)
#endif
    for (int64_t at = 0; at < bytes; at += PIECE_BYTES) {
        int64_t here = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        memcpy(to + at, from + at, (size_t)here);
    }
}

static lloyd_status copy_staged(cuda_kernels *cuda, char *to, const char *from, int64_t bytes)
{
    if (!cuda->staging) LLOYD_TRY(new_staging(cuda, bytes));
    cuda_staging *staging = cuda->staging;
    for (int64_t at = 0; at < bytes; at += staging->bytes) {
        int64_t here = bytes - at < staging->bytes ? bytes - at : staging->bytes;
        int b = staging->next;
        staging->next = 1 - b;
        CUDA_TRY(cudaEventSynchronize(staging->sent[b]), "waiting for a copy to the GPU");
        copy_on_host(staging->memory[b], from + at, here, cuda->base.config.threads);
        CUDA_TRY(cudaMemcpyAsync(to + at, staging->memory[b], (size_t)here, cudaMemcpyHostToDevice,
                                 cuda->stream),
                 "copying to the GPU");
        CUDA_TRY(cudaEventRecord(staging->sent[b], cuda->stream), "copying to the GPU");
    }
    return LLOYD_OK;
}

/* Memory CUDA knows (pinned, managed, of a device) is copied from where it is. */
static bool is_known(const void *memory)
{
    cudaPointerAttributes attributes;
    if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    return attributes.type != cudaMemoryTypeUnregistered;
}

/* Copies into device memory, in the order of the stream. `from` is free again on return. */
lloyd_status lloyd_cuda_copy_in(cuda_kernels *cuda, void *to, const void *from, int64_t bytes)
{
    if (bytes == 0) return LLOYD_OK;
    if (bytes >= (cuda->staging ? DIRECT_BYTES : STAGED_BYTES) && !is_known(from))
        return copy_staged(cuda, (char *)to, (const char *)from, bytes);
    CUDA_TRY(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDefault, cuda->stream),
             "copying to the GPU");
    return lloyd_cuda_check(cudaStreamSynchronize(cuda->stream), "copying to the GPU");
}

/* Through pinned memory, as much at a time as there is of it. */
static lloyd_status copy_out_staged(const cuda_kernels *cuda, char *to, const char *from,
                                    int64_t bytes)
{
    if (bytes <= CUDA_PINNED) return lloyd_cuda_fetch(cuda, to, from, (size_t)bytes);
    char *memory = cuda->staging->memory[0]; /* what is sent from there goes before */
    for (int64_t at = 0; at < bytes; at += cuda->staging->bytes) {
        const int64_t here = std::min(bytes - at, cuda->staging->bytes);
        CUDA_TRY(cudaMemcpyAsync(memory, from + at, (size_t)here, cudaMemcpyDeviceToHost,
                                 cuda->stream),
                 "copying results");
        CUDA_TRY(cudaStreamSynchronize(cuda->stream), "copying results");
        copy_on_host(to + at, memory, here, cuda->base.config.threads);
    }
    return LLOYD_OK;
}

/* A copy into pageable memory keeps all other threads from getting anything done, while it waits for the work before it too: so it
 * is avoided where it is short or there are such threads, and else that work is waited for first. */
lloyd_status lloyd_cuda_copy_out(const cuda_kernels *cuda, void *to, const void *from,
                                 int64_t bytes)
{
    if (bytes == 0) return LLOYD_OK;
    const bool staging = cuda->staging && cuda->staging->bytes > 0;
    const int64_t staged = !staging      ? (int64_t)CUDA_PINNED
                           : cuda->stock ? INT64_MAX
                                         : cuda->staging->bytes;
    if (bytes <= staged && !is_known(to))
        return copy_out_staged(cuda, static_cast<char *>(to), static_cast<const char *>(from),
                               bytes);
    CUDA_TRY(cudaStreamSynchronize(cuda->stream), "waiting for results");
    CUDA_TRY(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDefault, cuda->stream),
             "copying results");
    return lloyd_cuda_check(cudaStreamSynchronize(cuda->stream), "copying results");
}

/* --- slots --- */

static int64_t row_bytes(const lloyd_kernels_config *config)
{
    return config->dim * (int64_t)lloyd_type_size(config->type);
}

/* The plan counts these by the layout of the rows (kernels.h). */
static void list_slot(cuda_buffers &buffer, cuda_slot *slot, int64_t bytes)
{
    buffer(slot->rows, bytes, "the rows of this rank");
}

/* Memory for `count` rows. What comes and goes through a slot is mostly as large as before. */
static lloyd_status reserve(cuda_kernels *cuda, cuda_slot *slot, int64_t count)
{
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_slot(reserve, slot, count * row_bytes(&cuda->base.config));
    return reserve.status();
}

void lloyd_cuda_free_slot(cuda_kernels *cuda, cuda_slot *slot)
{
    cuda_buffers release = cuda_buffers::release(cuda);
    list_slot(release, slot, 0);
    lloyd_cuda_give_event(cuda->stock, slot->copied);
}

/* The slot becomes rows [first, first + count), which are not in it yet. */
static lloyd_status assign_slot(cuda_kernels *cuda, cuda_slot *slot, int64_t first, int64_t count)
{
    const char *before = slot->rows;
    slot->described = slot->encoded = slot->partial = false;
    slot->first = first;
    slot->count = 0;
    LLOYD_TRY(reserve(cuda, slot, count));
    if (slot->rows != before) slot->filled = 0;
    slot->count = count;
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_fill(lloyd_kernels *kernels, int slot_number, int64_t at, int64_t count,
                             const void *rows)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_slot *slot = &cuda->slots[slot_number];
    int64_t bytes = row_bytes(&kernels->config);
    assert(at >= 0 && count >= 0 && at + count <= slot->count);
    slot->described = slot->encoded = false;
    LLOYD_TRY(lloyd_cuda_copy_in(cuda, slot->rows + at * bytes, rows, count * bytes));
    return kernels->config.cosine ? lloyd_cuda_lengths(cuda, slot_number, at, count) : LLOYD_OK;
}

lloyd_status lloyd_cuda_load(lloyd_kernels *kernels, int slot_number, int64_t first, int64_t count,
                             const void *rows)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_slot *slot = &cuda->slots[slot_number];
    if (slot->copied)
        CUDA_TRY(cudaStreamWaitEvent(cuda->stream, slot->copied, 0), "ordering a copy to the GPU");
    LLOYD_TRY(assign_slot(cuda, slot, first, count));
    return rows ? lloyd_cuda_fill(kernels, slot_number, 0, count, rows) : LLOYD_OK;
}

/* --- copies beside the computing --- */

static lloyd_status open_copies(cuda_kernels *cuda)
{
    const char *what = "preparing copies to the GPU";
    CUDA_TRY(lloyd_cuda_take_event(cuda->stock, &cuda->asked), what);
    return lloyd_cuda_check(lloyd_cuda_take_stream(cuda->stock, &cuda->copies), what);
}

/* Whatever reads the slot is on the stream by now, so the copy waits for the stream as it is. */
lloyd_status lloyd_cuda_load_start(lloyd_kernels *kernels, int slot_number, int64_t first,
                                   int64_t count, const void *rows, lloyd_load_need need)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_slot *slot = &cuda->slots[slot_number];
    const char *what = "starting a copy to the GPU";
    bool done = false;
    size_t bytes = (size_t)(count * row_bytes(&kernels->config));
    if (!cuda->copies) LLOYD_TRY(open_copies(cuda));
    if (!slot->copied) CUDA_TRY(lloyd_cuda_take_event(cuda->stock, &slot->copied), what);
    LLOYD_TRY(assign_slot(cuda, slot, first, count));
    CUDA_TRY(cudaEventRecord(cuda->asked, cuda->stream), what);
    CUDA_TRY(cudaStreamWaitEvent(cuda->copies, cuda->asked, 0), what);
    if (need == LLOYD_ROWS_TO_LABEL)
        LLOYD_TRY(lloyd_cuda_bring_needed(cuda, slot_number, rows, &done));
    if (!done) {
        CUDA_TRY(cudaMemcpyAsync(slot->rows, rows, bytes, cudaMemcpyHostToDevice, cuda->copies),
                 what);
        slot->filled = std::max(slot->filled, count);
    }
    return lloyd_cuda_check(cudaEventRecord(slot->copied, cuda->copies), what);
}

lloyd_status lloyd_cuda_load_finish(lloyd_kernels *kernels, int slot_number)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    const cuda_slot *slot = &cuda->slots[slot_number];
    CUDA_TRY(cudaStreamWaitEvent(cuda->stream, slot->copied, 0), "ordering a copy to the GPU");
    return kernels->config.cosine ? lloyd_cuda_lengths(cuda, slot_number, 0, slot->count)
                                  : LLOYD_OK;
}

lloyd_status lloyd_cuda_loaded(lloyd_kernels *kernels, int slot)
{
    cudaEvent_t copied = lloyd_cuda(kernels)->slots[slot].copied;
    return copied ? lloyd_cuda_check(cudaEventSynchronize(copied), "copying rows to the GPU")
                  : LLOYD_OK;
}
