/* See keep.h. */
#include "kernels/cuda/memory/keep.h"

extern "C" {
#include "kernels/cuda/device.h"
}
#include "kernels/cuda/memory/memory.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

namespace
{

/* A kind of memory. Small blocks are cut from slabs. */
struct memory_kind {
    cudaError_t (*allocate)(void **memory, size_t bytes);
    cudaError_t (*release)(void *memory);
    int64_t slab, small; /* bytes of a slab, and of the largest block that is cut from one */
};

const memory_kind of_gpu = {[](void **memory, size_t bytes) { return cudaMalloc(memory, bytes); },
                            [](void *memory) { return cudaFree(memory); }, CUDA_STOCK_BYTES,
                            2 << 20};
const memory_kind of_host = {[](void **memory, size_t bytes) {
                                 return cudaMallocHost(memory, bytes);
                             },
                             [](void *memory) { return cudaFreeHost(memory); }, CUDA_STOCK_PINNED,
                             1 << 20};

/* Bytes of a new block: few sizes, at most a quarter more than was asked for. */
int64_t rounded(int64_t bytes)
{
    int64_t step = 256;
    while (8 * step < bytes) step *= 2;
    return (bytes + step - 1) / step * step;
}

/* Blocks of one kind of memory: those that are free, by bytes, and all that there are. */
class blocks
{
  public:
    explicit blocks(const memory_kind &kind) : kind_(kind)
    {
    }
    blocks(const blocks &) = delete;
    blocks &operator=(const blocks &) = delete;
    ~blocks()
    {
        release_uncut();
        for (char *slab : slabs_) (void)kind_.release(slab);
    }

    cudaError_t take(int64_t bytes, void **memory)
    {
        *memory = find(bytes);
        if (*memory) return cudaSuccess;
        block got = {rounded(bytes), rounded(bytes) <= kind_.small};
        cudaError_t code =
            got.cut ? cut(got.bytes, memory) : kind_.allocate(memory, (size_t)got.bytes);
        if (code == cudaErrorMemoryAllocation) { /* then no more than what is needed */
            (void)cudaGetLastError();
            release_uncut();
            got = {bytes, false};
            code = kind_.allocate(memory, (size_t)bytes);
        }
        if (code == cudaSuccess) all_[*memory] = got;
        return code;
    }

    void give(void *memory)
    {
        free_.insert({all_.at(memory).bytes, memory});
    }

    /* Frees the blocks that are free and not cut from a slab. */
    void release_uncut()
    {
        for (auto at = free_.begin(); at != free_.end();) {
            const auto found = all_.find(at->second);
            if (found->second.cut) {
                ++at;
                continue;
            }
            (void)kind_.release(at->second);
            all_.erase(found);
            at = free_.erase(at);
        }
    }

  private:
    struct block {
        int64_t bytes;
        bool cut; /* from a slab */
    };

    /* A free block that is large enough, and not much too large; NULL if there is none. */
    void *find(int64_t bytes)
    {
        const auto found = free_.lower_bound(bytes);
        if (found == free_.end() || found->first > 2 * rounded(bytes)) return nullptr;
        void *memory = found->second;
        free_.erase(found);
        return memory;
    }

    cudaError_t cut(int64_t bytes, void **memory)
    {
        if (slabs_.empty() || cut_ + bytes > kind_.slab) {
            void *slab;
            const cudaError_t code = kind_.allocate(&slab, (size_t)kind_.slab);
            if (code != cudaSuccess) return code;
            slabs_.push_back(static_cast<char *>(slab));
            cut_ = 0;
        }
        *memory = slabs_.back() + cut_;
        cut_ += bytes;
        return cudaSuccess;
    }

    const memory_kind &kind_;
    std::multimap<int64_t, void *> free_;
    std::unordered_map<void *, block> all_;
    std::vector<char *> slabs_;
    int64_t cut_ = 0; /* bytes of the last slab that are blocks */
};

} // namespace

struct cuda_stock {
    blocks gpu{of_gpu}, host{of_host};
    std::vector<cudaStream_t> streams;
    std::vector<cudaEvent_t> events;

    ~cuda_stock()
    {
        for (cudaEvent_t event : events) (void)cudaEventDestroy(event);
        for (cudaStream_t stream : streams) (void)cudaStreamDestroy(stream);
    }
};

namespace
{

std::atomic<bool> keeps{false};
std::mutex lock;
std::vector<std::unique_ptr<cuda_stock>> idle; /* read and written under the lock */

/* The memory of a GPU has run out: idle stocks have some. */
void release_idle()
{
    std::lock_guard<std::mutex> guard(lock);
    idle.clear();
}

template <class Handle> bool take_kept(std::vector<Handle> *handles, Handle *handle)
{
    if (handles->empty()) return false;
    *handle = handles->back();
    handles->pop_back();
    return true;
}

} // namespace

lloyd_status lloyd_cuda_keep(int device, int on)
{
    const lloyd_status status = lloyd_cuda_select(device);
    keeps = on != 0 && status == LLOYD_OK; /* after a failure nobody calls it with 0 */
    if (!keeps) release_idle();
    return status;
}

bool lloyd_cuda_keeps()
{
    return keeps;
}

cuda_stock *lloyd_cuda_take_stock()
{
    if (!keeps) return nullptr;
    std::lock_guard<std::mutex> guard(lock);
    if (idle.empty()) return new (std::nothrow) cuda_stock;
    cuda_stock *stock = idle.back().release();
    idle.pop_back();
    return stock;
}

void lloyd_cuda_give_stock(cuda_stock *stock)
{
    std::unique_ptr<cuda_stock> given(stock);
    if (!given || !keeps) return;
    std::lock_guard<std::mutex> guard(lock);
    idle.push_back(std::move(given));
}

cudaError_t lloyd_cuda_take_memory(cuda_stock *stock, int64_t bytes, void **memory)
{
    cudaError_t code = stock ? stock->gpu.take(bytes, memory) : cudaMalloc(memory, (size_t)bytes);
    if (code != cudaErrorMemoryAllocation || !stock) return code;
    (void)cudaGetLastError();
    release_idle();
    return stock->gpu.take(bytes, memory);
}

void lloyd_cuda_give_memory(cuda_stock *stock, void *memory)
{
    if (stock)
        stock->gpu.give(memory);
    else
        (void)cudaFree(memory);
}

cudaError_t lloyd_cuda_take_pinned(cuda_stock *stock, int64_t bytes, void **memory)
{
    return stock ? stock->host.take(bytes, memory) : cudaMallocHost(memory, (size_t)bytes);
}

void lloyd_cuda_give_pinned(cuda_stock *stock, void *memory)
{
    if (!memory) return;
    if (stock)
        stock->host.give(memory);
    else
        (void)cudaFreeHost(memory);
}

cudaError_t lloyd_cuda_take_stream(cuda_stock *stock, cudaStream_t *stream)
{
    if (stock && take_kept(&stock->streams, stream)) return cudaSuccess;
    return cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
}

void lloyd_cuda_give_stream(cuda_stock *stock, cudaStream_t stream)
{
    if (!stream) return;
    if (stock)
        stock->streams.push_back(stream);
    else
        (void)cudaStreamDestroy(stream);
}

cudaError_t lloyd_cuda_take_event(cuda_stock *stock, cudaEvent_t *event)
{
    if (stock && take_kept(&stock->events, event)) return cudaSuccess;
    return cudaEventCreateWithFlags(event, cudaEventDisableTiming);
}

void lloyd_cuda_give_event(cuda_stock *stock, cudaEvent_t event)
{
    if (!event) return;
    if (stock)
        stock->events.push_back(event);
    else
        (void)cudaEventDestroy(event);
}
