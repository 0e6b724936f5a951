/* Linked into a copy of the program: makes the n-th call of a kind fail, or holds the run at an event.
 *
 *     LLOYD_FAULT=KIND:N[:RANK]   KIND: alloc, read, write, rename, mpi, cuda or nccl; on RANK, or on all ranks
 *     LLOYD_FAULT=none            none fails; the log gets a line "call KIND N RANK CALL PLACES" for each
 *     LLOYD_FAULT_LOG=FILE        gets a line "fault KIND N RANK CALL PLACES" when that happens (addresses
 *                                 for addr2line, of the call and of those that led to it, with
 *                                 commas), and "calls KIND COUNT RANK" for every kind when a rank ends
 *                                 in good order
 *     LLOYD_HOLD=FILE             FILE holds a text: rank 0 waits at the event whose line in its log has this
 *                                 text, until FILE is gone or holds another
 *
 * The linker sends the calls of calls.h here (--wrap), those of our own objects only: what HDF5 or MPI
 * do inside is theirs. So nothing of it is in the code that is tested.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <hdf5.h>
#include <mpi.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#ifdef LLOYD_HAVE_CUDA
#include <cuda_runtime_api.h>
#endif
#ifdef LLOYD_HAVE_NCCL
#include <nccl.h>
#endif

typedef enum kind { ALLOC, READ, WRITE, RENAME, MPI, CUDA, NCCL, KINDS } kind;

static const char *const names[KINDS] = {"alloc", "read", "write", "rename", "mpi", "cuda", "nccl"};

static atomic_llong calls[KINDS];
static int failing = KINDS; /* the kind that fails; KINDS: none */
static long long failing_at;
static int telling; /* of every call */

enum { FRAMES = 32, PLACES = 4 };

/* Ours, for files of our own. */
ssize_t __real_pread(int file, void *data, size_t bytes, off_t at);
ssize_t __real_write(int file, const void *data, size_t bytes);
int __real_close(int file);
int __real_open(const char *path, int flags, ...);

static int rank(void)
{
    static const char *const known[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK",
                                        "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *value = getenv(known[i]);
        if (value) return (int)strtol(value, NULL, 10);
    }
    return 0;
}

static void tell(const char *line)
{
    const char *path = getenv("LLOYD_FAULT_LOG");
    int file = path ? __real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (file < 0) return;
    if (__real_write(file, line, strlen(line)) < 0) abort();
    __real_close(file);
}

__attribute__((constructor)) static void begin(void)
{
    const char *fault = getenv("LLOYD_FAULT");
    const char *colon = fault ? strchr(fault, ':') : NULL;
    telling = fault && strcmp(fault, "none") == 0;
    if (!colon) return;
    char *end;
    failing_at = strtoll(colon + 1, &end, 10);
    if (*end == ':' && (int)strtol(end + 1, NULL, 10) != rank()) return;
    for (int k = 0; k < KINDS; k++) {
        if (strlen(names[k]) == (size_t)(colon - fault) &&
            strncmp(names[k], fault, (size_t)(colon - fault)) == 0)
            failing = k;
    }
}

__attribute__((destructor)) static void finish(void)
{
    for (int k = 0; k < KINDS; k++) {
        char line[80];
        snprintf(line, sizeof line, "calls %s %lld %d\n", names[k], atomic_load(&calls[k]), rank());
        tell(line);
    }
}

extern const char __executable_start[], etext[]; /* by the linker */

/* At most so many addresses in this program from `place` on, of calls within each other. */
static void find_places(char *text, size_t bytes, const void *place, int most)
{
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES), first = 0, written = 0;
    while (first < count && frames[first] != place) first++;
    for (int i = first; i < count && written < most; i++) {
        const char *at = frames[i];
        size_t length = strlen(text);
        if (at < __executable_start || at >= etext) continue;
        snprintf(text + length, bytes - length, "%s0x%tx", written++ ? "," : "",
                 at - __executable_start - 1);
    }
}

/* Whether this call, made before `place`, is the one. */
static int fails(kind k, const char *name, const void *place)
{
    long long call = atomic_fetch_add(&calls[k], 1) + 1;
    int now = (int)k == failing && call == failing_at;
    if (!now && !telling) return 0;
    char places[FRAMES * 20] = "", line[sizeof places + 120];
    find_places(places, sizeof places, place, telling ? FRAMES : PLACES);
    snprintf(line, sizeof line, "%s %s %lld %d %s %s\n", now ? "fault" : "call", names[k], call,
             rank(), name, places);
    tell(line);
    return now;
}

#define HERE __builtin_return_address(0)

#define CALL(kind, error, type, failure, name, parameters, arguments)                              \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (!fails(kind, #name, HERE)) return __real_##name arguments;                             \
        if ((error) != 0) errno = (error);                                                         \
        return failure;                                                                            \
    }

#include "calls.h"

/* --- a variable number of arguments; reading or writing --- */

int __wrap_asprintf(char **out, const char *format, ...);
int __wrap_asprintf(char **out, const char *format, ...)
{
    if (fails(ALLOC, "asprintf", HERE)) {
        errno = ENOMEM;
        return -1;
    }
    /* not by vasprintf(), by whose name lsan_fast.supp knows strings of MPI */
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    *out = length < 0 ? NULL : __real_malloc((size_t)length + 1);
    if (*out != NULL) (void)vsnprintf(*out, (size_t)length + 1, format, again);
    va_end(again);
    return *out != NULL ? length : -1;
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    int writes = (flags & O_ACCMODE) != O_RDONLY, mode = 0;
    if (fails(writes ? WRITE : READ, "open", HERE)) {
        errno = writes ? ENOSPC : EIO;
        return -1;
    }
    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, int);
        va_end(args);
    }
    return __real_open(path, flags, mode);
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
    int reads = mode[0] == 'r';
    if (!fails(reads ? READ : WRITE, "fopen", HERE)) return __real_fopen(path, mode);
    errno = reads ? EIO : ENOSPC;
    return NULL;
}

/* --- closing: the work is done, and then reported as failed; not where a file was only read, which
 * loses nothing --- */

static int is_written(int file)
{
    int flags = fcntl(file, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

int __wrap_close(int file);
int __wrap_close(int file)
{
    int written = is_written(file), result = __real_close(file);
    if (!written || !fails(WRITE, "close", HERE)) return result;
    errno = EIO;
    return -1;
}

int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);
int __wrap_fclose(FILE *file)
{
    int number = fileno(file), written = number < 0 || is_written(number);
    int result = __real_fclose(file);
    if (!written || !fails(number < 0 ? ALLOC : WRITE, "fclose", HERE)) return result;
    errno = number < 0 ? ENOMEM : ENOSPC;
    return EOF;
}

herr_t __real_H5Fclose(hid_t file);
herr_t __wrap_H5Fclose(hid_t file);
herr_t __wrap_H5Fclose(hid_t file)
{
    unsigned intent = H5F_ACC_RDONLY;
    int written = H5Fget_intent(file, &intent) >= 0 && (intent & H5F_ACC_RDWR) != 0;
    herr_t result = __real_H5Fclose(file);
    return written && fails(WRITE, "H5Fclose", HERE) ? -1 : result;
}

/* Reads what a file has from `at` on, no more than fits; 0 where there is nothing. */
static int read_text(const char *path, long long at, char *text, size_t bytes)
{
    int file = __real_open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = __real_pread(file, text, bytes - 1, at);
    __real_close(file);
    if (count <= 0) return 0;
    text[count] = '\0';
    return 1;
}

/* --- an event is written to the log: the run is held there --- */

int __real_fflush(FILE *file);
int __wrap_fflush(FILE *file);
int __wrap_fflush(FILE *file)
{
    int result = __real_fflush(file);
    const char *path = getenv("LLOYD_HOLD");
    struct stat status;
    if (!path || fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode) || file == stderr)
        return result;
    char line[2048], own[40], wanted[200];
    snprintf(own, sizeof own, "/proc/self/fd/%d",
             fileno(file)); /* the log is open for writing only */
    long long end = status.st_size;
    long long begin = end < (long long)sizeof line ? 0 : end - (long long)sizeof line + 1;
    if (!read_text(own, begin, line, sizeof line)) return result;
    size_t length = strlen(line);
    if (length > 0) line[length - 1] = '\0'; /* the end of the last line */
    const char *last = strrchr(line, '\n');
    while (read_text(path, 0, wanted, sizeof wanted) && strstr(last ? last : line, wanted))
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    return result;
}
