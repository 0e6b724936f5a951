/* The names of partial files. Every job has its own, so that two jobs with one output never write
 * into one file: the last to complete its file stays. The name says which process has made it, so
 * that what a killed job has left can be distinguished from what a running one still writes. */
#include "io/writers/partial_name.h"

#include "base/hash.h"
#include "base/log.h"
#include "io/path.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HOST = 32, OLD_SECONDS = 24 * 3600 };

static const char ending[] = ".part";

/* ---- Names ---------------------------------------------------------------------------------- */

/* The host's name without its domain, of letters that mean nothing to a shell. */
static void host_name(char host[HOST])
{
    char whole[256] = "";
    size_t used = 0;
    if (gethostname(whole, sizeof whole - 1) != 0) whole[0] = '\0';
    for (const char *c = whole; *c && *c != '.' && used + 1 < HOST; c++)
        host[used++] = (char)(isalnum((unsigned char)*c) ? *c : '-');
    if (used == 0) host[used++] = 'x';
    host[used] = '\0';
}

/* A number of processes is one of this host since it was started, in this namespace of processes: a
 * container may have the host's name and other numbers. 0 where the system does not say. */
static uint32_t pid_place(void)
{
    char boot[64] = "", host[HOST];
    struct stat space;
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, boot, sizeof boot);
    if (file >= 0) close(file);
    if (length <= 0 || stat("/proc/self/ns/pid", &space) != 0) return 0;
    host_name(host);
    uint64_t hash = lloyd_hash((uint64_t)space.st_ino, boot, (size_t)length);
    hash = lloyd_hash(hash, host, strlen(host));
    return (uint32_t)(hash >> 32) | 1U;
}

static uint32_t draw(void)
{
    uint32_t bits;
    struct timespec now;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits) return bits;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(lloyd_hash_word((uint64_t)now.tv_nsec, (uint64_t)now.tv_sec) >> 32);
}

/* How much of an output's name its partial files begin with: names have a limit. */
static int stem(const char *name)
{
    enum { REST = HOST + 40 };
    size_t length = strlen(name), most = NAME_MAX - REST;
    return (int)(length < most ? length : most);
}

char *lloyd_partial_name(const char *target)
{
    char host[HOST], *part;
    const char *name = lloyd_path_name(target);
    int length = (int)(name - target) + stem(name);
    host_name(host);
    if (asprintf(&part, "%.*s.%s-%ld-%08x-%08x%s", length, target, host, (long)getpid(),
                 (unsigned)pid_place(), (unsigned)draw(), ending) < 0)
        return NULL;
    return part;
}

int lloyd_partial_is_of(const char *name, const char *of)
{
    size_t length = strlen(name), begin = (size_t)stem(of), end = sizeof ending - 1;
    return length >= begin + end && strncmp(name, of, begin) == 0 && name[begin] == '.' &&
           strcmp(name + length - end, ending) == 0;
}

/* ---- What killed jobs have left ------------------------------------------------------------- */

/* Who has made a partial file. */
typedef struct maker {
    char host[HOST];
    long pid;
    uint32_t place;
} maker;

static lloyd_status no_memory(const char *path)
{
    return lloyd_fail(LLOYD_FAILED, "cannot look for what is left of %s: out of memory", path);
}

/* What is before the last '-' of text[0 .. *length) stays, what is after it is a number. */
static int take_number(const char *text, size_t *length, int base, unsigned long *value)
{
    char digits[24], *end;
    size_t begin = *length;
    while (begin > 0 && text[begin - 1] != '-') begin--;
    size_t count = *length - begin;
    if (begin == 0 || count == 0 || count >= sizeof digits) return 0;
    memcpy(digits, text + begin, count);
    digits[count] = '\0';
    *value = strtoul(digits, &end, base);
    *length = begin - 1;
    return *end == '\0' && isxdigit((unsigned char)digits[0]);
}

/* Whether `name` is one that lloyd_partial_name() makes for the output `of`. */
static int read_name(const char *name, const char *of, maker *m)
{
    unsigned long random, place, pid;
    if (!lloyd_partial_is_of(name, of)) return 0;
    const char *text = name + stem(of) + 1;
    size_t length = strlen(name) - (size_t)(text - name);
    if (length < sizeof ending) return 0;
    length -= sizeof ending - 1;
    if (!take_number(text, &length, 16, &random) || !take_number(text, &length, 16, &place) ||
        !take_number(text, &length, 10, &pid) || length == 0 || length >= HOST || pid == 0 ||
        pid > INT_MAX)
        return 0;
    memcpy(m->host, text, length);
    m->host[length] = '\0';
    m->pid = (long)pid;
    m->place = (uint32_t)place;
    return 1;
}

/* It has certainly ended: its number is one of this system's processes, and there is none. */
static int has_ended(const maker *m)
{
    return m->place != 0 && m->place == pid_place() && kill((pid_t)m->pid, 0) != 0 &&
           errno == ESRCH;
}

static void look_at(const char *path, const maker *m)
{
    struct stat info;
    if (lstat(path, &info) != 0 || !(S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))) return;
    double age = difftime(time(NULL), info.st_mtime);
    if (has_ended(m)) {
        if (lloyd_path_remove(path) == 0)
            lloyd_note("removed %s, which a job that was killed had left (process %ld)", path,
                       m->pid);
    } else if (age > OLD_SECONDS) {
        lloyd_note("%s is %.0f days old and may be left from a job that was killed (process %ld on "
                   "%s); remove it if that job has ended",
                   path, age / 86400, m->pid, m->host);
    }
}

/* One entry of the folder of this output. */
static lloyd_status look_at_entry(const lloyd_output *output, const char *entry)
{
    maker m;
    char *path;
    const char *name = lloyd_path_name(output->target);
    if (!read_name(entry, name, &m)) return LLOYD_OK;
    if (asprintf(&path, "%.*s%s", (int)(name - output->target), output->target, entry) < 0)
        return no_memory(output->path);
    if (strcmp(path, output->part) != 0) look_at(path, &m);
    free(path);
    return LLOYD_OK;
}

lloyd_status lloyd_partial_tidy(const lloyd_output *output)
{
    char *folder = lloyd_path_folder(output->target);
    if (!folder) return no_memory(output->path);
    DIR *entries = opendir(folder);
    free(folder);
    struct dirent *entry;
    lloyd_status status = LLOYD_OK;
    /* safe with a stream of one's own */
    /* cppcheck-suppress readdirCalled */
    while (entries && status == LLOYD_OK && (entry = readdir(entries)) != NULL)
        status = look_at_entry(output, entry->d_name);
    if (entries) closedir(entries);
    return status;
}
