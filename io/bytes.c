/* See bytes.h. */
#include "io/bytes.h"

#include <errno.h>
#include <unistd.h>

ssize_t lloyd_bytes_read(int descriptor, off_t at, void *out, size_t count)
{
    size_t done = 0;
    while (done < count) {
        ssize_t got = pread(descriptor, (char *)out + done, count - done, at + (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}
