/* The CUDA kernels against the CPU kernels, function by function, bit for bit.
 *
 * A case is one problem (data, type, shape, metric, weights, the way rows are cut into slots). Both
 * kernels get the same calls of kernels.h, and every number that comes back is compared; only the
 * count of fallback rows may differ, since the filters do. A difference is printed with its place
 * and both values, and the next case follows, so that one run on a GPU tells everything. The cases
 * run in a child process: one that hangs, crashes or loses the device costs that case and no other.
 *
 *     test_cuda [--small] [--verbose] [--threads T] [--random N] [--seed S] [--case I] [--one-process]
 *
 * --small (or LLOYD_TEST_SMALL=1) is for slow tools: few and tiny cases, but every kernel. --case
 * repeats one case. Exit status 77 without a GPU.
 */
#include "case.h"
#include "differ.h"
#include "groups.h"
#include "moved.h"
#include "shapes.h"
#include "special.h"

#include "kernels/cuda/device.h"

#include <cuda_runtime_api.h>

#include <omp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SKIPPED = 77,      /* exit status */
    CASE_SECONDS = 30, /* then a case hangs */
    ALL_SECONDS = 300, /* then no further child takes over from one that was lost */
    MOST_THREADS = 16
};

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defects),   cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_reduction), cmocka_unit_test(test_predict),
        cmocka_unit_test(test_cone),      cmocka_unit_test(test_local_bound),
        cmocka_unit_test(test_aligned),   cmocka_unit_test(test_lossy),
        cmocka_unit_test(test_far),       cmocka_unit_test(test_rows),
        cmocka_unit_test(test_columns),   cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_clusters),  cmocka_unit_test(test_few_clusters),
        cmocka_unit_test(test_layouts),   cmocka_unit_test(test_large),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_moved),
        cmocka_unit_test(test_groups),
    };
    int devices = 0;
    if (lloyd_device_cuda.count(&devices) != LLOYD_OK) {
        print_error("test_cuda: %s\n", lloyd_message());
        return EXIT_FAILURE;
    }
    if (devices < 1) {
        print_error("SKIPPED test_cuda: NO GPU. NOTHING WAS TESTED.\n");
        return SKIPPED;
    }
    progress->next = 0;
    progress->here = 0;
    return cmocka_run_group_tests(tests, NULL, NULL) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Waits for a child. Returns its exit status, or LOST where it hangs or was ended by a signal. */
static int watch(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        time_t began = progress->began;
        if (began && time(NULL) - began > CASE_SECONDS) {
            print_error("DIFFERS %s\n        still running after %d seconds; ended\n",
                        progress->name, CASE_SECONDS);
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return LOST;
        }
        usleep(20000);
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    print_error("DIFFERS %s\n        ended by signal %d\n", progress->name, WTERMSIG(status));
    return LOST;
}

/* Children, until one of them has come to the end. */
static int supervise(void)
{
    int status = LOST;
    double start = seconds();
    while (status == LOST && seconds() - start < ALL_SECONDS) {
        (void)fflush(NULL);
        pid_t child = fork();
        if (child < 0) return EXIT_FAILURE;
        if (child == 0) {
            status = run_all();
            cudaDeviceReset();
            (void)fflush(NULL);
            _exit(status);
        }
        status = watch(child);
        if (status != LOST) break;
        progress->bad_cases++;
        progress->from = progress->next;
        progress->began = 0;
    }
    return status;
}

static int64_t number_after(int argc, char **argv, int *i)
{
    char *end = NULL;
    int64_t value = *i + 1 < argc ? strtoll(argv[*i + 1], &end, 10) : -1;
    if (value >= 0 && end && *end == 0) {
        ++*i;
        return value;
    }
    print_error("test_cuda: %s needs a number\n", argv[*i]);
    exit(2);
}

static void read_options(int argc, char **argv)
{
    const char *small = getenv("LLOYD_TEST_SMALL");
    options.small = small && strcmp(small, "0") != 0;
    options.override = "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--small") == 0)
            options.small = 1;
        else if (strcmp(argv[i], "--verbose") == 0)
            options.verbose = 1;
        else if (strcmp(argv[i], "--one-process") == 0)
            options.one_process = 1;
        else if (strcmp(argv[i], "--threads") == 0)
            options.threads = (int)number_after(argc, argv, &i);
        else if (strcmp(argv[i], "--override") == 0 && i + 1 < argc)
            options.override = argv[++i];
        else if (strcmp(argv[i], "--random") == 0)
            options.random = number_after(argc, argv, &i);
        else if (strcmp(argv[i], "--seed") == 0)
            options.seed = (uint64_t)number_after(argc, argv, &i);
        else if (strcmp(argv[i], "--case") == 0)
            options.only = (int)number_after(argc, argv, &i);
        else {
            print_error("test_cuda: no option %s\n", argv[i]);
            exit(2);
        }
    }
    int processors = omp_get_num_procs();
    if (options.threads < 1)
        options.threads = processors < MOST_THREADS ? processors : MOST_THREADS;
}

static void print_tally(void)
{
    for (int i = 0; i < TALLIES && progress->tally[i].what[0]; i++) {
        print_message("differs: %-40s", progress->tally[i].what);
        for (int type = 0; type < TYPES; type++)
            print_message("  %s %d", lloyd_type_name((lloyd_type)type),
                          progress->tally[i].count[type]);
        print_message("\n");
    }
}

int main(int argc, char **argv)
{
    double start = seconds();
    read_options(argc, argv);
    int flags = MAP_SHARED | MAP_ANONYMOUS;
    /* cppcheck-suppress invalidFunctionArg; as mmap(2) wants it */
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (progress == MAP_FAILED) return EXIT_FAILURE;
    int status = options.one_process ? run_all() : supervise();
    if (options.one_process) cudaDeviceReset();
    if (status == SKIPPED) return SKIPPED;
    print_tally();
    if (status == LOST) print_message("given up: too much time was lost\n");
    print_message("test_cuda: %d cases, %d of them differ, %.0f s\n", progress->cases,
                  progress->bad_cases, seconds() - start);
    return status || progress->bad_cases ? EXIT_FAILURE : EXIT_SUCCESS;
}
