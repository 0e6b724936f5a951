/* Arrays of device memory, and the lists of them that allocation, release and the plan share.
 *
 * A module that has device memory declares its arrays as cuda_array and lists them once, in a function
 *
 *     void list(cuda_buffers &buffer, my_state *s, ...sizes...)
 *     {
 *         buffer(s->name, elements, "what it is");
 *     }
 *
 * which is called to allocate, to release, and, with a state that holds nothing, to count bytes for the plan. There is no other way to
 * allocate, so nothing can be allocated that is not planned.
 */
#ifndef LLOYD_KERNELS_CUDA_MEMORY_MEMORY_H
#define LLOYD_KERNELS_CUDA_MEMORY_MEMORY_H

extern "C" {
#include "base/status.h"
}

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>

struct cuda_kernels;

/* data[count] on the device, or nothing (NULL, 0). */
template <class T> struct cuda_array {
    T *data;
    int64_t count;

    operator T *() const
    {
        return data;
    }
};

class cuda_buffers
{
  public:
    /* Makes room: an array that is large enough stays as it is, a smaller one is lost. status() tells how it went; after the first failure
     * nothing more is tried. */
    static cuda_buffers reserve(cuda_kernels *cuda)
    {
        return {cuda, RESERVE};
    }
    static cuda_buffers release(cuda_kernels *cuda)
    {
        return {cuda, RELEASE};
    }
    static cuda_buffers count()
    {
        return {nullptr, COUNT};
    }

    /* One array of a list: `count` elements, not initialised. A count of 0 gives a valid pointer too. */
    template <class T> void operator()(cuda_array<T> &array, int64_t count, const char *what)
    {
        void *data = array.data;
        lloyd_cuda_visit(*this, &data, &array.count, count, sizeof(T), what);
        array.data = static_cast<T *>(data);
    }

    /* One that is not always needed: released all the same. */
    template <class T>
    void optional(bool wanted, cuda_array<T> &array, int64_t count, const char *what)
    {
        if (wanted || work_ == RELEASE) (*this)(array, wanted ? count : 0, what);
    }

    lloyd_status status() const
    {
        return status_;
    }
    int64_t bytes() const
    {
        return bytes_;
    }

  private:
    enum work { RESERVE, RELEASE, COUNT };

    cuda_buffers(cuda_kernels *cuda, work w) : cuda_(cuda), work_(w)
    {
    }
    /* Not a member: names of the library begin with lloyd_. */
    friend void lloyd_cuda_visit(cuda_buffers &buffers, void **data, int64_t *held, int64_t count,
                                 size_t size, const char *what);

    cuda_kernels *cuda_;
    work work_;
    lloyd_status status_ = LLOYD_OK;
    int64_t bytes_ = 0;
};

/* LLOYD_FAILED with what CUDA says about `code`; `what` was being done. */
lloyd_status lloyd_cuda_check(cudaError_t code, const char *what);

/* Returns from the calling function if a CUDA call failed. */
#define CUDA_TRY(call, what) LLOYD_TRY(lloyd_cuda_check((call), (what)))
/* After a launch. */
#define CUDA_LAUNCHED(what) CUDA_TRY(cudaGetLastError(), what)

/* Copies `bytes` (<= CUDA_PINNED) of device memory to the host and waits. */
lloyd_status lloyd_cuda_fetch(const cuda_kernels *cuda, void *host, const void *device,
                              size_t bytes);

#endif
