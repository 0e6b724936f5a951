/* See image.h. */
#include "io/writers/image.h"

#include "base/memory.h"
#include "base/threads.h"
#include "io/writers/output.h"
#include "io/writers/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static lloyd_status no_room(const char *path, int error)
{
    return lloyd_fail(LLOYD_FAILED, "cannot write %s: %s; make room there, or choose another place",
                      path, strerror(error));
}

/* Returns the error; a file system that cannot reserve room has none. */
static int allocate(int descriptor, int64_t bytes)
{
    int error;
    do {
        error = posix_fallocate(descriptor, 0, (off_t)bytes);
    } while (error == EINTR);
    return error == EINVAL || error == EOPNOTSUPP ? 0 : error;
}

/* Makes the partial file with that many bytes. */
static lloyd_status reserve(const lloyd_output *output, int64_t bytes)
{
    int descriptor = open(output->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int error = descriptor < 0 ? errno : allocate(descriptor, bytes);
    if (descriptor >= 0 && close(descriptor) != 0 && error == 0) error = errno;
    return error == 0 ? LLOYD_OK : no_room(output->path, error);
}

/* fsync() in a thread of its own, so that it need not be waited for. */
typedef struct syncing {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int descriptor; /* a duplicate */
    int error;      /* of fsync(), 0 without */
    int done, left; /* left: nobody waits */
} syncing;

static void free_syncing(syncing *s)
{
    close(s->descriptor);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    lloyd_free(s);
}

static int sync_error(int descriptor)
{
    if (fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP) return 0;
    return errno;
}

static void *run_sync(void *context)
{
    syncing *s = context;
    int error = sync_error(s->descriptor);
    pthread_mutex_lock(&s->lock);
    s->error = error;
    s->done = 1;
    int left = s->left;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (left) free_syncing(s);
    return NULL;
}

/* Waits until it is done, or there is a hurry: the system writes what a killed process has left,
 * but nobody renames its file. Returns the error. */
static int wait_for_sync(syncing *s, const atomic_int *hurry)
{
    enum { STEP = 20000000 }; /* nanoseconds */
    pthread_mutex_lock(&s->lock);
    while (!s->done && atomic_load(hurry) == 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += STEP;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&s->changed, &s->lock, &until);
    }
    int done = s->done, error = s->error;
    s->left = !done;
    pthread_mutex_unlock(&s->lock);
    if (done) free_syncing(s);
    return error;
}

/* Syncs the file, and returns the error; in a hurry only begins to. */
static int sync_soon(int descriptor, const atomic_int *hurry)
{
    syncing *s = NULL;
    pthread_t thread;
    int duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0 || lloyd_alloc(&s, 1, sizeof *s, "a sync") != LLOYD_OK) {
        if (duplicate >= 0) close(duplicate);
        return sync_error(descriptor);
    }
    *s = (syncing){.descriptor = duplicate};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (lloyd_thread_start(&thread, run_sync, s) != 0) {
        free_syncing(s);
        return sync_error(descriptor);
    }
    pthread_detach(thread);
    return wait_for_sync(s, hurry);
}

/* Returns the error. */
static int write_bytes(int descriptor, const char *bytes, int64_t count, off_t at)
{
    enum { PIECE = 1 << 26 };
    while (count > 0) {
        ssize_t written = pwrite(descriptor, bytes, (size_t)(count < PIECE ? count : PIECE), at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return written < 0 ? errno : EIO;
        bytes += written, count -= written, at += written;
    }
    return 0;
}

static int write_image(int descriptor, const lloyd_saved_image *image, const atomic_int *hurry)
{
    char text[LLOYD_SEAL];
    lloyd_seal_make(image->bytes, image->count, text);
    int error = allocate(descriptor, image->count);
    if (error == 0) error = write_bytes(descriptor, text, LLOYD_SEAL, 0);
    if (error == 0)
        error = write_bytes(descriptor, image->bytes + LLOYD_SEAL, image->count - LLOYD_SEAL,
                            LLOYD_SEAL);
    /* in a hurry not even begun: a sync holds up the renaming */
    return error != 0 || atomic_load(hurry) != 0 ? error : sync_soon(descriptor, hurry);
}

static lloyd_status write_part(const lloyd_output *output, const lloyd_saved_image *image,
                               const atomic_int *hurry)
{
    int descriptor = open(output->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int error = descriptor < 0 ? errno : write_image(descriptor, image, hurry);
    /* A network file system may say only now that something was not written. */
    if (descriptor >= 0 && close(descriptor) != 0 && error == 0) error = errno;
    return error == 0 ? LLOYD_OK : no_room(output->path, error);
}

lloyd_status lloyd_saved_store(const char *path, const lloyd_saved_image *image,
                               const atomic_int *hurry)
{
    lloyd_output output;
    LLOYD_TRY(lloyd_output_open(path, 1, &output));
    lloyd_status status = write_part(&output, image, hurry);
    if (status == LLOYD_OK) status = lloyd_output_rename(&output, atomic_load(hurry) != 0);
    if (status != LLOYD_OK) lloyd_output_discard(&output);
    lloyd_output_close(&output);
    return status;
}

lloyd_status lloyd_saved_sync(const char *path)
{
    return lloyd_output_sync(path);
}

void lloyd_saved_discard(lloyd_saved_image *image)
{
    lloyd_free(image->bytes);
    image->bytes = NULL;
    image->count = image->room = 0;
}

lloyd_status lloyd_saved_check_writable(const char *path)
{
    lloyd_output output;
    LLOYD_TRY(lloyd_output_open(path, 1, &output));
    lloyd_status status = lloyd_output_tidy(&output);
    if (status == LLOYD_OK) status = reserve(&output, LLOYD_SEAL);
    lloyd_output_discard(&output);
    lloyd_output_close(&output);
    return status;
}
