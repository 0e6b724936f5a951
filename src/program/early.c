/* What must happen before the libraries start.
 *
 * OpenBLAS takes memory when it is loaded, for each of its threads, and where the limit on address space
 * (ulimit -v) leaves none it asks for it again and again, forever. So before any library is
 * initialised, this makes it have one thread, which is all that is used of it (the threads are
 * OpenMP's, and each calls it for itself), and looks whether there is room.
 *
 * A standard stream that is closed would be the first file that somebody opens: what is meant for a
 * person would go into a log.
 */
#include "program/early.h"
#include "kernels/blas.h"
#include "program/launch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Bytes of address space that are in use, 0 where the system does not report it. */
LLOYD_EARLY static long long used_space(void)
{
    char text[64] = "";
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    long long pages = 0;
    for (ssize_t i = 0; i < count && text[i] >= '0' && text[i] <= '9'; i++)
        pages = 10 * pages + (text[i] - '0');
    return pages * sysconf(_SC_PAGESIZE);
}

/* Starts this program anew with one more variable. Returns where that fails. */
LLOYD_EARLY static void start_with(char *variable, char **argv, char **envp)
{
    size_t count = 0, at = 0, name = strcspn(variable, "=") + 1;
    while (envp[count]) count++;
    char *more[count + 2];
    for (size_t i = 0; i < count; i++)
        if (strncmp(envp[i], variable, name) != 0) more[at++] = envp[i];
    more[at++] = variable;
    more[at] = NULL;
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return;
    program[length] = '\0';
    (void)execve(program, argv, more);
}

LLOYD_EARLY static int has(const char *variable, char *const *envp)
{
    for (; *envp; envp++)
        if (strcmp(*envp, variable) == 0) return 1;
    return 0;
}

/* With files that can be used no more than closed ones: a summary that nobody can read is an error. */
LLOYD_EARLY static void occupy_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0)
            (void)!open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* Address space for MPI to start in, where a launcher wants ranks: without it, it ends with messages
 * about something else. Open MPI 4.1 takes 31 MB for one rank, 89, 105, 138 and 204 MB on a node with 4,
 * 8, 16 and 32. */
LLOYD_EARLY static long long space_of_mpi(lloyd_launch launched)
{
    int ranks = launched.local_size > 0 ? launched.local_size : launched.size;
    return launched.found ? (80LL + 5 * ranks) << 20 : 0;
}

/* The first rank of the node says it; a launcher that sees any rank end may end that one before it has. */
LLOYD_EARLY static void end_after_first(void)
{
    enum { LONG_ENOUGH = 2 }; /* seconds */
    (void)sleep(LONG_ENOUGH);
    _exit(1);
}

LLOYD_EARLY static void check_space(char **argv, char **envp)
{
    static char one_thread[] = "OPENBLAS_NUM_THREADS=1";
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    if (!lloyd_blas_is_greedy()) return;
    if (!has(one_thread, envp)) start_with(one_thread, argv, envp);
    lloyd_launch launched = lloyd_find_launch(envp);
    long long allowed = (long long)limit.rlim_cur, wanted = used_space();
    wanted += lloyd_blas_start() + space_of_mpi(launched);
    if (wanted <= allowed) return;
    if (launched.local_rank > 0) end_after_first();
    char text[256];
    int length = snprintf(text, sizeof text,
                          "lloyd: the limit on address space (ulimit -v) allows %lld MB, but %lld "
                          "MB are needed to begin with; raise it\n",
                          allowed / 1000000, (wanted + 999999) / 1000000);
    if (length > 0 && write(STDERR_FILENO, text, (size_t)length) < 0) _exit(1);
    _exit(1);
}

LLOYD_EARLY static void begin(int argc, char **argv, char **envp)
{
    (void)argc;
    occupy_streams();
    check_space(argv, envp);
}

__attribute__((section(".preinit_array"), used)) static void (*const early)(int, char **,
                                                                            char **) = begin;
