/* The program: parse, open the ranks, call the library, say what went wrong once, return the
 * status.
 *
 * MPI is started only where a launcher (mpirun, mpiexec, srun) has started this process: by itself,
 * `lloyd` runs on machines where MPI cannot. Under a launcher every rank starts MPI, also for a wrong
 * command line or for --help, and compares its command with that of the others: they may have
 * another one, and would wait forever for a rank that simply exited.
 */
#include "base/log.h"
#include "base/memory.h"
#include "job/agreement.h"
#include "job/backend.h"
#include "job/summary.h"
#include "lloyd/lloyd.h"
#include "program/cli.h"
#include "program/help.h"
#include "program/launch.h"
#include "program/quote.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Signals --------------------------------------------------------------------------- */

/* Those of a person, of schedulers before the time is up (Slurm, LSF and PBS send one of the USRs), of
 * a terminal that is closed, and of the limit on CPU time. */
static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};

/* The first signal asks the fit to stop; a second one of its kind ends the program as if nobody
 * handled it. Launchers often deliver one signal twice, to the group of processes and by forwarding
 * it, so what follows within a fifth of a second is the first one still. SIGXCPU comes again for every
 * second that is used, until the hard limit kills. */
static void on_signal(int signal)
{
    static volatile sig_atomic_t asked;
    static struct timespec first[NSIG];
    struct timespec now;
    int saved = errno;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double since = (double)(now.tv_sec - first[signal].tv_sec) +
                   1e-9 * (double)(now.tv_nsec - first[signal].tv_nsec);
    if (first[signal].tv_sec == 0) {
        first[signal] = now;
        if (!asked) lloyd_stop(signal);
        asked = 1;
    } else if (since > 0.2 && signal != SIGXCPU) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(signal, &action, NULL);
        raise(signal); /* delivered when this handler returns */
    }
    errno = saved;
}

/* Whether the program was started with this signal ignored, as nohup does with SIGHUP. */
static int is_ignored(int signal)
{
    struct sigaction action;
    return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static int keeps_checkpoint(const lloyd_cli *cli)
{
    if (cli->command == LLOYD_COMMAND_SPLIT) return cli->split.checkpoint && !cli->split.dry_run;
    return cli->command == LLOYD_COMMAND_FIT && cli->fit.checkpoint && !cli->fit.dry_run;
}

/* Installs the handlers that stop a job with a checkpoint gracefully. */
static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof stop_signals / sizeof *stop_signals; i++)
        sigaddset(&action.sa_mask, stop_signals[i]);
    for (size_t i = 0; i < sizeof stop_signals / sizeof *stop_signals; i++)
        if (stop_signals[i] != SIGHUP || !is_ignored(SIGHUP))
            sigaction(stop_signals[i], &action, NULL);
}

/* ---- Commands -------------------------------------------------------------------------- */

/* A program built with one MPI and started by another's launcher runs as many times as there
 * should be ranks, each alone: all would write the same output. */
static lloyd_status open_ranks(lloyd_launch launched, lloyd_comm **comm)
{
    if (!launched.found) return lloyd_comm_open_self(comm);
    LLOYD_TRY(lloyd_comm_open_world(comm));
    if (lloyd_comm_size(*comm) > 1 || launched.size <= 1) return LLOYD_OK;
    lloyd_comm_close(*comm);
    *comm = NULL;
    if (launched.rank != 0) return lloyd_fail(LLOYD_FAILED, "%s", "");
    return lloyd_fail(LLOYD_FAILED,
                      "%d ranks were started, but MPI connects none of them; use the launcher of "
                      "the MPI that lloyd "
                      "was built with (for srun, an --mpi type that it knows)",
                      launched.size);
}

/* Whether the reader of standard output sees Unicode's block characters. */
static int is_fancy(void)
{
    const char *locale = getenv("LC_ALL");
    if (locale == NULL || *locale == '\0') locale = getenv("LC_CTYPE");
    if (locale == NULL || *locale == '\0') locale = getenv("LANG");
    return locale != NULL && (strstr(locale, "UTF-8") != NULL || strstr(locale, "utf8") != NULL) &&
           isatty(STDOUT_FILENO);
}

/* Commands for the reader to copy. */
static lloyd_status print_next(const lloyd_cli *cli)
{
    char *program = NULL, *model = NULL;
    lloyd_status status = lloyd_quote(cli->program, &program);
    if (status == LLOYD_OK) status = lloyd_quote(cli->fit.output, &model);
    if (status == LLOYD_OK) {
        printf("\nNext:\n  %s info %s\n", program, model);
        printf("  %s report %s -o report.html\n", program, model);
        printf("  %s predict --model %s --input NEW.h5 --output labels.h5\n", program, model);
    }
    free(program);
    free(model);
    return status;
}

static lloyd_status fit(lloyd_comm *comm, const lloyd_cli *cli)
{
    lloyd_fit_result result = {0};
    LLOYD_TRY(lloyd_fit(comm, &cli->fit, &result));
    int silent = cli->fit.dry_run || strcmp(cli->fit.progress, "none") == 0;
    if (lloyd_comm_rank(comm) != 0 || silent) return LLOYD_OK;
    lloyd_summary_print(stdout, &cli->fit, &result, lloyd_comm_size(comm), is_fancy());
    return print_next(cli);
}

static lloyd_status predict(lloyd_comm *comm, const lloyd_cli *cli)
{
    lloyd_predict_result result = {0};
    LLOYD_TRY(lloyd_predict(comm, &cli->predict, &result));
    if (lloyd_comm_rank(comm) == 0 && !cli->predict.dry_run)
        lloyd_summary_print_prediction(stdout, &cli->predict, &result, lloyd_comm_size(comm));
    return LLOYD_OK;
}

static lloyd_status report(lloyd_comm *comm, const lloyd_cli *cli)
{
    LLOYD_TRY(lloyd_report(comm, &cli->report));
    if (lloyd_comm_rank(comm) == 0)
        printf("%s: a page about %s; open it in a browser\n", cli->report.output,
               cli->report.model);
    return LLOYD_OK;
}

static lloyd_status choose_rows(lloyd_comm *comm, const lloyd_cli *cli)
{
    lloyd_select_result result = {0};
    LLOYD_TRY(lloyd_select(comm, &cli->select, &result));
    if (lloyd_comm_rank(comm) == 0) lloyd_summary_print_selection(stdout, &cli->select, &result);
    return LLOYD_OK;
}

static lloyd_status split(lloyd_comm *comm, const lloyd_cli *cli)
{
    lloyd_split_result result = {0};
    LLOYD_TRY(lloyd_split(comm, &cli->split, &result));
    if (lloyd_comm_rank(comm) == 0 && !cli->split.dry_run)
        lloyd_summary_print_split(stdout, &cli->split, &result, lloyd_comm_size(comm));
    return LLOYD_OK;
}

/* What needs no ranks. */
static void show(const lloyd_cli *cli)
{
    if (cli->command == LLOYD_COMMAND_HELP)
        lloyd_help(stdout, cli->topic);
    else
        printf("lloyd " LLOYD_VERSION " (%s)\n", lloyd_backend_features());
}

/* The first thing that ranks do in a command is to compare it. Where there is none to run, here. */
static lloyd_status compare_commands(lloyd_comm *comm, lloyd_status parsed, const char *command)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, command);
    return lloyd_agreement_compare(comm, parsed, &agreement, &lloyd_differing_options);
}

static lloyd_status show_once(lloyd_comm *comm, const lloyd_cli *cli)
{
    LLOYD_TRY(compare_commands(comm, LLOYD_OK,
                               cli->command == LLOYD_COMMAND_HELP ? "help" : "--version"));
    if (lloyd_comm_rank(comm) == 0) show(cli);
    return LLOYD_OK;
}

static lloyd_status run(lloyd_comm *comm, const lloyd_cli *cli)
{
    switch (cli->command) {
    case LLOYD_COMMAND_FIT: return fit(comm, cli);
    case LLOYD_COMMAND_PREDICT: return predict(comm, cli);
    case LLOYD_COMMAND_INFO: return lloyd_info_file(comm, &cli->info);
    case LLOYD_COMMAND_REPORT: return report(comm, cli);
    case LLOYD_COMMAND_EXPORT: return lloyd_export(comm, &cli->export);
    case LLOYD_COMMAND_SELECT: return choose_rows(comm, cli);
    case LLOYD_COMMAND_SPLIT: return split(comm, cli);
    case LLOYD_COMMAND_WRAP: return lloyd_wrap(comm, &cli->wrap);
    case LLOYD_COMMAND_SYNTH: return lloyd_synth(comm, &cli->synth);
    case LLOYD_COMMAND_HELP:
    case LLOYD_COMMAND_VERSION: return show_once(comm, cli);
    }
    return LLOYD_OK;
}

/* A summary that did not reach its reader (a full disk behind a redirection) is a failure. */
static lloyd_status flush_output(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "cannot write to standard output: %s",
                      errno != 0 ? strerror(errno) : "write error");
}

/* Where there are no ranks: what can be reported without them. */
static lloyd_status run_alone(lloyd_launch launched, lloyd_status parsed, const char *message,
                              lloyd_status status, const lloyd_cli *cli)
{
    if (parsed != LLOYD_OK) {
        status = lloyd_fail(parsed, "%s", launched.rank == 0 ? message : "");
    } else if (cli->command == LLOYD_COMMAND_HELP || cli->command == LLOYD_COMMAND_VERSION) {
        if (launched.rank == 0) show(cli);
        status = flush_output();
    }
    if (status != LLOYD_OK) lloyd_complain();
    return status;
}

/* `parsed`, with its message stored: LLOYD_OK, or why there is no command to run. */
static lloyd_status run_on_ranks(lloyd_launch launched, lloyd_status parsed, const lloyd_cli *cli)
{
    lloyd_comm *comm = NULL;
    char message[LLOYD_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", lloyd_message());
    lloyd_status status = open_ranks(launched, &comm);
    if (status != LLOYD_OK) return run_alone(launched, parsed, message, status, cli);
    lloyd_log_quiet(lloyd_comm_rank(comm) != 0);
    if (parsed != LLOYD_OK) {
        (void)lloyd_fail(parsed, "%s", message);
        status = compare_commands(comm, parsed, "");
    } else {
        status = run(comm, cli);
        if (status == LLOYD_OK) status = flush_output();
    }
    if (status != LLOYD_OK) lloyd_complain();
    lloyd_comm_close(comm);
    return status;
}

/* The allocator of C sets address space aside for every thread: too much where it is limited. */
static void save_space(void)
{
#ifdef M_ARENA_MAX
    if (lloyd_memory_space(NULL) != INT64_MAX) (void)mallopt(M_ARENA_MAX, 1);
#endif
}

/* CUDA would load each kernel when it is first launched, which costs the first iteration several milliseconds. All at once they take
 * no longer, while the ranks open the dataset. The user's own choice stays. */
static void load_kernels_early(void)
{
    (void)setenv("CUDA_MODULE_LOADING", "EAGER", 0);
}

int main(int argc, char **argv)
{
    lloyd_cli cli;
    save_space();
    load_kernels_early();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of the write, which says so */
    lloyd_launch launched = lloyd_find_launch(environ);
    lloyd_status status = lloyd_cli_parse(argc, argv, &cli);
    if (status != LLOYD_OK) return (int)run_on_ranks(launched, status, &cli);
    if (keeps_checkpoint(&cli)) watch_signals();
    status = run_on_ranks(launched, LLOYD_OK, &cli);
    lloyd_cli_free(&cli);
    return (int)status;
}
