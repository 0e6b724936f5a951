/* Aligned memory, and what the system says about memory. Fresh memory is zeroed in parallel, unless
 * the caller asks for it as it comes: whole pages are first touched by the threads that will work
 * on them, which places them well on a machine of several sockets. */
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    ALIGNMENT = 64,
    LARGE = 16 << 20, /* from here on in huge pages: fewer misses, and pinned many times faster */
    HUGE_PAGE = 2 << 20,
    ZERO_BLOCK = 4 << 20
};

static void zero(char *memory, size_t bytes)
{
    if (bytes < 4 * (size_t)ZERO_BLOCK) {
        memset(memory, 0, bytes);
        return;
    }
    int64_t blocks = (int64_t)(bytes / ZERO_BLOCK), rest = (int64_t)(bytes % ZERO_BLOCK);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < blocks; b++) memset(memory + b * ZERO_BLOCK, 0, ZERO_BLOCK);
    memset(memory + blocks * ZERO_BLOCK, 0, (size_t)rest);
}

lloyd_status lloyd_alloc_uncleared(void *out, int64_t count, size_t size, const char *what)
{
    void *memory = NULL;
    size_t bytes;
    memcpy(out, &memory, sizeof memory);
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) ||
        bytes > (size_t)INT64_MAX) {
        return lloyd_fail(LLOYD_FAILED,
                          "cannot allocate %s: %lld elements of %zu bytes are more than any memory",
                          what, (long long)count, size);
    }
    size_t alignment = bytes >= LARGE ? HUGE_PAGE : ALIGNMENT;
    if (posix_memalign(&memory, alignment, bytes > 0 ? bytes : 1) != 0) {
        return lloyd_fail(
            LLOYD_FAILED,
            "cannot allocate %.3f GB for %s (%.3f GB are available); use more ranks or nodes, or a smaller "
            "--chunk-rows",
            (double)bytes / 1e9, what, (double)lloyd_memory_available() / 1e9);
    }
    if (bytes >= LARGE) (void)madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    memcpy(out, &memory, sizeof memory);
    return LLOYD_OK;
}

lloyd_status lloyd_alloc(void *out, int64_t count, size_t size, const char *what)
{
    void *memory;
    LLOYD_TRY(lloyd_alloc_uncleared(out, count, size, what));
    memcpy(&memory, out, sizeof memory);
    zero(memory, (size_t)count * size);
    return LLOYD_OK;
}

void lloyd_free(void *memory)
{
    free(memory);
}

/* The number after `key` in a file of "key value" or "key: value kB" lines, or -1; with an empty
 * key the file's only number. */
static int64_t read_number(const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    if (!file) return -1;
    char line[256];
    long long value = -1;
    size_t length = strlen(key);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) != 0) continue;
        char *end;
        errno = 0;
        value = strtoll(line + length, &end, 10);
        if (errno || end == line + length || value < 0) value = -1; /* "max": no limit */
        break;
    }
    fclose(file);
    return value;
}

static int64_t read_kilobytes(const char *path, const char *key)
{
    int64_t value = read_number(path, key);
    return value > 0 && value < INT64_MAX / 1024 ? value * 1024 : 0;
}

int64_t lloyd_memory_now(void)
{
    return read_kilobytes("/proc/self/status", "VmRSS:");
}

int64_t lloyd_memory_peak(void)
{
    return read_kilobytes("/proc/self/status", "VmHWM:");
}

int64_t lloyd_memory_space(int64_t *limit)
{
    struct rlimit space;
    if (limit) *limit = INT64_MAX;
    if (getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur > (rlim_t)INT64_MAX) return INT64_MAX;
    int64_t all = (int64_t)space.rlim_cur, used = read_kilobytes("/proc/self/status", "VmSize:");
    if (limit) *limit = all;
    return all > used ? all - used : 0;
}

/* The names in which the two versions of cgroups say the same. */
typedef struct cgroup_files {
    const char *root, *limit, *usage, *inactive, *active;
} cgroup_files;

static const cgroup_files cgroup_v2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                       "inactive_file ", "active_file "};
static const cgroup_files cgroup_v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                       "memory.usage_in_bytes", "total_inactive_file ",
                                       "total_active_file "};

/* What one cgroup leaves: its limit less its use, not counting the page cache, which gives way.
 * INT64_MAX without a limit. */
static int64_t cgroup_left(const cgroup_files *names, const char *group)
{
    char path[4608];
    snprintf(path, sizeof path, "%s%s/%s", names->root, group, names->limit);
    int64_t limit = read_number(path, "");
    if (limit < 0) return INT64_MAX;
    snprintf(path, sizeof path, "%s%s/%s", names->root, group, names->usage);
    int64_t used = read_number(path, "");
    snprintf(path, sizeof path, "%s%s/memory.stat", names->root, group);
    int64_t inactive = read_number(path, names->inactive),
            active = read_number(path, names->active);
    used -= (inactive > 0 ? inactive : 0) + (active > 0 ? active : 0);
    if (used < 0) used = 0;
    return limit > used ? limit - used : 0;
}

/* The least that this process's cgroup and those above it leave. */
static int64_t cgroups_left(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return INT64_MAX;
    int64_t least = INT64_MAX;
    char line[4096];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        controllers++;
        int v2 = *controllers == '\0';
        if (!v2 && !strstr(controllers, "memory")) continue;
        for (char *end = group + strlen(group);; end = strrchr(group, '/')) {
            if (!end) break;
            *end = '\0';
            int64_t left = cgroup_left(v2 ? &cgroup_v2 : &cgroup_v1, group);
            if (left < least) least = left;
        }
    }
    fclose(file);
    return least;
}

int64_t lloyd_memory_available(void)
{
    int64_t available = read_kilobytes("/proc/meminfo", "MemAvailable:"), left = cgroups_left();
    if (available <= 0) {
        long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
        available = pages > 0 && size > 0 ? (int64_t)pages * size : INT64_MAX;
    }
    return left < available ? left : available;
}
