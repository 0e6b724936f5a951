/* See seal.h. */
#include "io/writers/seal.h"

#include "base/hash.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

lloyd_status lloyd_seal_damaged(const char *path, const char *what)
{
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s is no whole checkpoint (%s); restore it from a copy, or remove it to "
                      "start anew",
                      path, what);
}

lloyd_status lloyd_seal_unreadable(const char *path, const char *why)
{
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s: %s; check its permissions and its disk",
                      path, why);
}

enum { BLOCK = 1 << 20 };
static const char seal_begin[] = "lloyd checkpoint, ";

static void print_seal(long long bytes, uint64_t hash, char *text)
{
    memset(text, 0, LLOYD_SEAL);
    snprintf(text, LLOYD_SEAL, "%s%lld bytes of HDF5 follow, hash %016llx\n", seal_begin, bytes,
             (unsigned long long)hash);
}

/* The line for the bytes after the seal, in text[LLOYD_SEAL]; *failed = 0, or the error of a
 * read. */
static lloyd_status make_seal(int descriptor, char *text, int *failed)
{
    char *block;
    uint64_t hash = 0;
    long long total = 0;
    ssize_t count;
    LLOYD_TRY(lloyd_alloc(&block, BLOCK, 1, "a part of the checkpoint"));
    /* blocks are full but for the last: they are part of what the hash is */
    while ((count = pread(descriptor, block, BLOCK, (off_t)(LLOYD_SEAL + total))) > 0) {
        hash = lloyd_hash(hash, block, (size_t)count);
        total += count;
    }
    *failed = count < 0 ? errno : 0;
    lloyd_free(block);
    print_seal(total, hash, text);
    return LLOYD_OK;
}

void lloyd_seal_make(const char *bytes, int64_t count, char *text)
{
    uint64_t hash = 0;
    for (int64_t at = LLOYD_SEAL; at < count; at += BLOCK)
        hash = lloyd_hash(hash, bytes + at, (size_t)(count - at < BLOCK ? count - at : BLOCK));
    print_seal((long long)count - LLOYD_SEAL, hash, text);
}

/* *sealed = whether the file of this descriptor begins with a seal, which is then in
 * text[LLOYD_SEAL]. A file that cannot be read is an error: it may be a checkpoint, and must not be
 * removed. */
static lloyd_status read_seal(const char *path, int descriptor, char *text, int *sealed)
{
    ssize_t count = pread(descriptor, text, LLOYD_SEAL, 0);
    int failed = count < 0 ? errno : 0;
    if (failed == EISDIR || failed == ESPIPE) failed = 0; /* nothing that holds bytes */
    *sealed = count == LLOYD_SEAL && strncmp(text, seal_begin, sizeof seal_begin - 1) == 0;
    return failed ? lloyd_seal_unreadable(path, strerror(failed)) : LLOYD_OK;
}

static lloyd_status compare_seal(const char *path, int descriptor)
{
    char text[LLOYD_SEAL], expected[LLOYD_SEAL];
    int sealed, failed;
    LLOYD_TRY(read_seal(path, descriptor, text, &sealed));
    if (!sealed) return lloyd_seal_damaged(path, "it does not begin as one");
    LLOYD_TRY(make_seal(descriptor, expected, &failed));
    if (failed) return lloyd_seal_unreadable(path, strerror(failed));
    if (memcmp(text, expected, LLOYD_SEAL) == 0) return LLOYD_OK;
    return lloyd_seal_damaged(path, "its bytes are not those written");
}

/* A descriptor for reading: a pipe is not waited for. */
static lloyd_status open_descriptor(const char *path, int *descriptor)
{
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return *descriptor < 0 ? lloyd_seal_unreadable(path, strerror(errno)) : LLOYD_OK;
}

lloyd_status lloyd_seal_find(const char *path, int *sealed)
{
    char text[LLOYD_SEAL];
    int descriptor;
    *sealed = 0;
    LLOYD_TRY(open_descriptor(path, &descriptor));
    lloyd_status status = read_seal(path, descriptor, text, sealed);
    close(descriptor);
    return status;
}

lloyd_status lloyd_seal_check(const char *path)
{
    int descriptor;
    LLOYD_TRY(open_descriptor(path, &descriptor));
    lloyd_status status = compare_seal(path, descriptor);
    close(descriptor);
    return status;
}
