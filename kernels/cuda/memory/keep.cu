/* See keep.h. */
#include "kernels/cuda/memory/keep.h"

#include "kernels/cuda/memory/memory.h"

#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace
{

std::mutex lock;
bool keeps; /* these and all below are read and written under the lock */

struct block {
    int64_t bytes;
    bool cut; /* from a slab */
};

/* Blocks of one kind of memory: those that are free, by bytes, and all that there are. Small ones are cut from slabs, since threads that
 * allocate wait for each other. */
struct blocks {
    cudaError_t (*allocate)(void **memory, size_t bytes);
    cudaError_t (*release)(void *memory);
    int64_t slab; /* bytes of one */
    std::multimap<int64_t, void *> free;
    std::unordered_map<void *, block> all;
    std::vector<char *> slabs;
    int64_t cut; /* bytes of the last slab that are blocks */
};

blocks of_gpu = {[](void **memory, size_t bytes) { return cudaMalloc(memory, bytes); },
                 [](void *memory) { return cudaFree(memory); },
                 64 << 20,
                 {},
                 {},
                 {},
                 0};
blocks of_host = {[](void **memory, size_t bytes) { return cudaMallocHost(memory, bytes); },
                  [](void *memory) { return cudaFreeHost(memory); },
                  4 << 20,
                  {},
                  {},
                  {},
                  0};
std::vector<cudaStream_t> streams;
std::vector<cudaEvent_t> events;

/* Bytes of a new block: few sizes, at most a quarter more than was asked for. */
int64_t rounded(int64_t bytes)
{
    int64_t step = 256;
    while (8 * step < bytes) step *= 2;
    return (bytes + step - 1) / step * step;
}

/* Frees the blocks that are free and not cut from a slab. */
void release_uncut(blocks *b)
{
    for (auto at = b->free.begin(); at != b->free.end();) {
        const auto found = b->all.find(at->second);
        if (found->second.cut) {
            ++at;
            continue;
        }
        (void)b->release(at->second);
        b->all.erase(found);
        at = b->free.erase(at);
    }
}

void release_all(blocks *b)
{
    release_uncut(b);
    for (char *slab : b->slabs) (void)b->release(slab);
    b->slabs.clear();
    b->free.clear();
    b->all.clear();
    b->cut = 0;
}

/* A free block that is large enough, and not much too large; NULL if there is none. */
void *find(blocks *b, int64_t bytes)
{
    const auto found = b->free.lower_bound(bytes);
    if (found == b->free.end() || found->first > 2 * rounded(bytes)) return nullptr;
    void *memory = found->second;
    b->free.erase(found);
    return memory;
}

cudaError_t cut(blocks *b, int64_t bytes, void **memory)
{
    if (b->slabs.empty() || b->cut + bytes > b->slab) {
        void *slab;
        const cudaError_t code = b->allocate(&slab, (size_t)b->slab);
        if (code != cudaSuccess) return code;
        b->slabs.push_back(static_cast<char *>(slab));
        b->cut = 0;
    }
    *memory = b->slabs.back() + b->cut;
    b->cut += bytes;
    return cudaSuccess;
}

cudaError_t take(blocks *b, int64_t bytes, void **memory)
{
    if (!lloyd_cuda_keeps()) return b->allocate(memory, (size_t)bytes);
    std::lock_guard<std::mutex> guard(lock);
    *memory = find(b, bytes);
    if (*memory) return cudaSuccess;
    block got = {rounded(bytes), rounded(bytes) <= b->slab / 8};
    cudaError_t code = got.cut ? cut(b, got.bytes, memory) : b->allocate(memory, (size_t)got.bytes);
    if (code == cudaErrorMemoryAllocation) { /* then no more than what is needed */
        (void)cudaGetLastError();
        release_uncut(b);
        got = {bytes, false};
        code = b->allocate(memory, (size_t)bytes);
    }
    if (code == cudaSuccess) b->all[*memory] = got;
    return code;
}

/* Whether it is a block that was taken to be kept: then it is free now. */
bool kept(blocks *b, void *memory)
{
    std::lock_guard<std::mutex> guard(lock);
    const auto found = b->all.find(memory);
    if (found == b->all.end()) return false;
    b->free.insert({found->second.bytes, memory});
    return true;
}

template <class Handle> bool take_kept(std::vector<Handle> *handles, Handle *handle)
{
    std::lock_guard<std::mutex> guard(lock);
    if (handles->empty()) return false;
    *handle = handles->back();
    handles->pop_back();
    return true;
}

template <class Handle> bool give_kept(std::vector<Handle> *handles, Handle handle)
{
    std::lock_guard<std::mutex> guard(lock);
    if (keeps) handles->push_back(handle);
    return keeps;
}

} // namespace

lloyd_status lloyd_cuda_keep(int device, int on)
{
    std::lock_guard<std::mutex> guard(lock);
    keeps = on != 0;
    CUDA_TRY(cudaSetDevice(device), "selecting the GPU");
    if (keeps) return LLOYD_OK;
    release_all(&of_gpu);
    release_all(&of_host);
    for (cudaEvent_t event : events) (void)cudaEventDestroy(event);
    for (cudaStream_t stream : streams) (void)cudaStreamDestroy(stream);
    events.clear();
    streams.clear();
    return LLOYD_OK;
}

bool lloyd_cuda_keeps()
{
    std::lock_guard<std::mutex> guard(lock);
    return keeps;
}

cudaError_t lloyd_cuda_take_memory(int64_t bytes, void **memory)
{
    return take(&of_gpu, bytes, memory);
}

void lloyd_cuda_give_memory(void *memory)
{
    if (!kept(&of_gpu, memory)) (void)cudaFree(memory);
}

cudaError_t lloyd_cuda_take_pinned(int64_t bytes, void **memory)
{
    return take(&of_host, bytes, memory);
}

void lloyd_cuda_give_pinned(void *memory)
{
    if (memory && !kept(&of_host, memory)) (void)cudaFreeHost(memory);
}

cudaError_t lloyd_cuda_take_stream(cudaStream_t *stream)
{
    if (take_kept(&streams, stream)) return cudaSuccess;
    return cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
}

void lloyd_cuda_give_stream(cudaStream_t stream)
{
    if (stream && !give_kept(&streams, stream)) (void)cudaStreamDestroy(stream);
}

cudaError_t lloyd_cuda_take_event(cudaEvent_t *event)
{
    if (take_kept(&events, event)) return cudaSuccess;
    return cudaEventCreateWithFlags(event, cudaEventDisableTiming);
}

void lloyd_cuda_give_event(cudaEvent_t event)
{
    if (event && !give_kept(&events, event)) (void)cudaEventDestroy(event);
}
