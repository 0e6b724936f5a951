/* What kernels run on, apart from what they compute: its memory, its identity, and host memory that it copies from.
 *
 * All but host_alloc and host_free are of GPUs, and NULL for the CPU.
 */
#ifndef LLOYD_KERNELS_DEVICE_H
#define LLOYD_KERNELS_DEVICE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lloyd_device {
    const char *name; /* "cpu" or "cuda" */
    int64_t pinned;   /* bytes of host memory that kernels on it pin for copies, at most */

    /* *count = those this process may use; 0, without an error, where there is none or no driver. */
    lloyd_status (*count)(int *count);
    /* Memory of number `device`, in bytes. */
    lloyd_status (*memory)(int device, int64_t *free_bytes, int64_t *total_bytes);
    /* Which one a number stands for: numbers are per process, and two of them may be one GPU. *hash: of its UUID (of the MIG instance,
     * where it is divided), never 0. name[0 .. bytes): as the vendor calls it, "NVIDIA H200". Does not start work on the device. */
    lloyd_status (*identity)(int device, uint64_t *hash, char *name, size_t bytes);

    /* Host memory for `bytes` of rows, pinned where rows are copied from it. To be freed before the
     * kernels that copy from it are destroyed; NULL may be freed too. */
    lloyd_status (*host_alloc)(int64_t bytes, const char *what, void **memory);
    void (*host_free)(void *memory);

    /* The number that CUDA calls of this thread go to, -1 where it does not tell; and makes another one that. */
    int (*current)(void);
    void (*make_current)(int device);

    /* on = 1: memory of number `device`, and pinned memory, that kernels on it give back is kept for those that are created next, as for
     * many short fits; 0: no longer, and it is freed, after all kernels that were created meanwhile. */
    lloyd_status (*keep)(int device, int on);
    /* Bytes, of the device and of the host, that each of several kernels takes meanwhile beside what they need. */
    int64_t kept, kept_on_host;
} lloyd_device;

#endif
