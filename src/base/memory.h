/* Memory for arrays whose size comes from the data. */
#ifndef LLOYD_BASE_MEMORY_H
#define LLOYD_BASE_MEMORY_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* *out = `count` zeroed elements of `size` bytes, aligned to 64 bytes (large arrays: to huge pages),
 * for `what` (named in the error message). A count of 0 gives a valid pointer too. Free with lloyd_free(). Fails on overflow and
 * when the memory is not to be had. */
lloyd_status lloyd_alloc(void *out, int64_t count, size_t size, const char *what);

/* The same, but the elements have any value: for large arrays of which each element is certain to be written before it is
 * read. Their pages are first touched by whoever writes them. */
lloyd_status lloyd_alloc_uncleared(void *out, int64_t count, size_t size, const char *what);

void lloyd_free(void *memory);

/* Bytes of memory this process holds now and at its peak (VmRSS, VmHWM); 0 where the system does
 * not report it. */
int64_t lloyd_memory_now(void);
int64_t lloyd_memory_peak(void);

/* Bytes of address space that the process's limit (ulimit -v) leaves it now, INT64_MAX without a
 * limit; *limit (or NULL) = the limit. */
int64_t lloyd_memory_space(int64_t *limit);

/* Bytes a new process may use on this machine: the smaller of available physical memory and the
 * cgroup's limit. */
int64_t lloyd_memory_available(void);

#endif
