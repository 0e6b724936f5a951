/* The progress display and the log of a fit.
 *
 * Both are made of the same few calls. The display is one line that is redrawn (bar) or one line
 * per iteration (plain), and the bar is drawn at most every 50 ms: iterations of small runs take
 * less than the terminal needs to show them.
 */
#include "job/progress.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "io/writers/output.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef enum display { DISPLAY_NONE, DISPLAY_PLAIN, DISPLAY_BAR } display;

struct lloyd_progress {
    display display;
    FILE *log;
    char *log_path;
    int log_error; /* errno of the first failed write */
    double started, drawn;
    int open_line;                                      /* 1: the bar's line has no end yet */
    char bar[512];                                      /* the bar as it should be shown */
    double seeding;                                     /* when it began, by lloyd_seconds() */
    double seeding_last, seeding_shown, seeding_logged; /* when it was last reported, and so on */
    int64_t seeding_restart;
    const char *seeding_what; /* what was counted last, */
    double seeding_since;     /* and when that began */
    double previous;          /* inertia of the iteration before, in this restart */
    double balancing;         /* seconds of rounds of --max-size since a line was shown */
    double iterating;         /* seconds of all iterations so far */
    int64_t iterated;         /* how many */
    lloyd_progress_run run;
};

/* ---- The log --------------------------------------------------------------------------- */

static void log_text(lloyd_progress *p, const char *name, const char *value)
{
    fprintf(p->log, ",\"%s\":", name);
    lloyd_json_text(p->log, value);
}

static void log_whole(lloyd_progress *p, const char *name, int64_t value)
{
    fprintf(p->log, ",\"%s\":%lld", name, (long long)value);
}

static void log_real(lloyd_progress *p, const char *name, double value)
{
    fprintf(p->log, ",\"%s\":", name);
    lloyd_json_number(p->log, value);
}

/* Between these two, the fields of one event. */
static void log_open(lloyd_progress *p, const char *event)
{
    fprintf(p->log, "{\"event\":\"%s\"", event);
    log_real(p, "elapsed", lloyd_seconds() - p->started);
}

static void log_close(lloyd_progress *p)
{
    fputs("}\n", p->log);
    if ((fflush(p->log) != 0 || ferror(p->log)) && p->log_error == 0)
        p->log_error = errno != 0 ? errno : EIO;
}

static void log_begin(lloyd_progress *p, const lloyd_progress_run *run)
{
    char date[32];
    time_t seconds = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    log_open(p, "begin");
    log_text(p, "version", LLOYD_VERSION);
    log_text(p, "time", date);
    log_whole(p, "n", run->n);
    log_whole(p, "d", run->d);
    log_whole(p, "k", run->k);
    log_whole(p, "skipped", run->skipped);
    log_whole(p, "stored", run->stored);
    log_text(p, "subset", run->subset);
    log_text(p, "type", run->type);
    log_whole(p, "files", run->files);
    log_text(p, "first_file", run->first_file);
    log_whole(p, "ranks", run->ranks);
    log_whole(p, "threads", run->threads);
    log_text(p, "backend", run->backend);
    log_text(p, "gpu", run->gpu);
    log_text(p, "comm", run->comm);
    log_text(p, "filter", run->filter);
    log_text(p, "prune", run->prune);
    log_text(p, "init", run->init);
    fprintf(p->log, ",\"seed\":%llu", (unsigned long long)run->seed);
    log_whole(p, "n_init", run->n_init);
    log_whole(p, "max_iters", run->max_iters);
    log_whole(p, "memory", run->memory);
    log_whole(p, "gpu_memory", run->gpu_memory);
    log_close(p);
}

/* The seconds of each time share, on every rank. */
static void log_time_shares(lloyd_progress *p, const lloyd_progress_rank *of_ranks, int ranks)
{
    static const char *const names[LLOYD_TIME_SHARES] = LLOYD_TIME_SHARE_NAMES;
    fputs(",\"parts\":{", p->log);
    for (int share = 0; share < LLOYD_TIME_SHARES; share++) {
        fprintf(p->log, "%s\"%s\":[", share > 0 ? "," : "", names[share]);
        for (int i = 0; i < ranks; i++)
            fprintf(p->log, "%s%.6f", i > 0 ? "," : "",
                    1e-9 * (double)of_ranks[i].nanoseconds[share]);
        fputc(']', p->log);
    }
    fputc('}', p->log);
}

static void log_end(lloyd_progress *p, const lloyd_fit_result *result,
                    const lloyd_progress_rank *of_ranks, int ranks, int timed)
{
    log_open(p, "end");
    log_whole(p, "iterations", result->iterations);
    fprintf(p->log, ",\"converged\":%s", result->converged ? "true" : "false");
    log_real(p, "inertia", result->inertia);
    if (result->largest_allowed > 0) {
        log_whole(p, "largest_allowed", result->largest_allowed);
        log_whole(p, "moved_rows", result->moved_rows);
        log_real(p, "inertia_before", result->inertia_before);
    }
    log_whole(p, "smallest", result->smallest);
    log_whole(p, "largest", result->largest);
    log_whole(p, "empty", result->empty_clusters);
    log_real(p, "seconds", result->seconds);
    fputs(",\"memory_peak\":[", p->log);
    for (int i = 0; i < ranks; i++)
        fprintf(p->log, "%s%lld", i > 0 ? "," : "", (long long)of_ranks[i].memory_peak);
    fputc(']', p->log);
    if (timed) log_time_shares(p, of_ranks, ranks);
    log_close(p);
}

/* A log replaces a log, but never data: `--log` before the name of an input must not destroy it. */
static lloyd_status open_log(lloyd_progress *p, const char *path, int append)
{
    struct stat file;
    int there = stat(path, &file) == 0;
    if (!there && errno != ENOENT)
        return lloyd_fail(LLOYD_FAILED, "cannot create the log file %s: %s", path, strerror(errno));
    if (there && S_ISREG(file.st_mode) && file.st_size > 0) {
        FILE *old = fopen(path, "re");
        int first = old != NULL ? fgetc(old) : EOF;
        if (old != NULL) fclose(old);
        if (first != '{')
            return lloyd_fail(
                LLOYD_USAGE,
                "the log file %s exists and is not a log; remove it or choose another --log", path);
    }
    p->log_path = strdup(path);
    if (p->log_path == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the log file's name");
    /* A new file, so that a job that still writes the old one does not write into it. */
    int in_place = append || (there && !S_ISREG(file.st_mode));
    if (!in_place) {
        p->log = lloyd_output_stream(path);
        in_place = p->log == NULL && (errno == EACCES || errno == EPERM || errno == EROFS);
    }
    /* A folder that takes no new files may have one that can be written. */
    if (in_place) p->log = fopen(path, append ? "ae" : "we");
    if (p->log == NULL)
        return lloyd_fail(LLOYD_FAILED, "cannot create the log file %s: %s", path, strerror(errno));
    return LLOYD_OK;
}

/* ---- Display --------------------------------------------------------------------------- */

static int is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

static int terminal_width(void)
{
    struct winsize size;
    int columns = 0;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
    const char *given = getenv("COLUMNS");
    if (columns <= 0 && given != NULL) columns = (int)strtol(given, NULL, 10);
    if (columns <= 0) columns = 80;
    return columns < 20 ? 20 : columns > 400 ? 400 : columns;
}

/* Draws the bar's line anew, padded to the width so that nothing of the last one is left. */
static void draw(lloyd_progress *p)
{
    int width = terminal_width() - 1; /* the last column would wrap */
    fprintf(stderr, "\r%-*.*s", width, width, p->bar);
    fflush(stderr);
    p->open_line = 1;
    p->drawn = lloyd_seconds();
}

static void finish_line(lloyd_progress *p)
{
    if (!p->open_line) return;
    draw(p); /* what throttling has left out */
    fputc('\n', stderr);
    p->open_line = 0;
}

/* One line that stays. */
static void say(lloyd_progress *p, const char *format, ...) LLOYD_PRINTF(2, 3);

static void say(lloyd_progress *p, const char *format, ...)
{
    if (p->display == DISPLAY_NONE) return;
    finish_line(p);
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "%s\n", line);
}

/* "1:02:03", "2:03" */
static const char *clock_time(double seconds, char *text, size_t bytes)
{
    long long whole = seconds < 1e9 ? (long long)ceil(seconds) : 999999999;
    if (whole >= 3600)
        snprintf(text, bytes, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, bytes, "%lld:%02lld", whole / 60, whole % 60);
    return text;
}

/* The time that is left if every restart takes all its iterations: an upper bound, since a run
 * may converge. */
static double time_left(const lloyd_progress *p, const lloyd_iteration *i)
{
    int64_t restarts = p->run.n_init - 1 - i->restart;
    double left = (double)(p->run.max_iters - i->iteration) +
                  (double)(restarts > 0 ? restarts : 0) * (double)p->run.max_iters;
    return left * p->iterating / (double)p->iterated;
}

/* The figures of an iteration, which both displays show; in 80 columns with a bar, fewer digits. */
static void describe(const lloyd_progress *p, const lloyd_iteration *i, int narrow, char *text,
                     size_t bytes)
{
    char change[24] = "", moved[64] = "", count[32], all[32], rate[32], left[32];
    double fall = lloyd_text_change(p->previous, i->inertia);
    if (isfinite(fall) && p->run.k < p->run.n) {
        int digits = narrow ? 2 : 3;
        int is_shown = fall == 0 || fabs(fall) >= 0.5 * pow(10, -digits);
        snprintf(change, sizeof change, is_shown ? "%+.*f %%" : "%+.*e %%", is_shown ? digits : 0,
                 fall); /* no "-0.000 %" */
    }
    if (!narrow)
        snprintf(moved, sizeof moved, "%*s ",
                 (int)strlen(lloyd_text_count(p->run.n, all, sizeof all)),
                 lloyd_text_count(i->moved, count, sizeof count));
    double percent = p->run.n > 0 ? 100 * (double)i->moved / (double)p->run.n : 0;
    lloyd_text_scaled(i->seconds > 0 ? (double)p->run.n / i->seconds : 0, "rows/s", rate,
                      sizeof rate);
    clock_time(time_left(p, i), left, sizeof left);
    const char *gap = narrow ? "" : " ";
    snprintf(text, bytes, "inertia %.*e %*s%s moved %s%5.1f %%%s %s%s ETA %s", narrow ? 4 : 6,
             i->inertia, narrow ? 8 : 9, change, gap, moved, percent, gap, rate, gap, left);
}

/* "run 2/3 " where there is more than one, and "  7/25". */
static void count(const lloyd_progress *p, const lloyd_iteration *i, char *text, size_t bytes)
{
    char run[56] = "";
    if (p->run.n_init > 1)
        snprintf(run, sizeof run, "run %lld/%lld ", (long long)i->restart + 1,
                 (long long)p->run.n_init);
    int digits = snprintf(NULL, 0, "%lld", (long long)p->run.max_iters);
    snprintf(text, bytes, "%s%*lld/%lld", run, digits, (long long)i->iteration,
             (long long)p->run.max_iters);
}

/* The bar takes what the figures leave of the line, and is left out where that is little. */
static void set_bar(lloyd_progress *p, const char *counter, const char *figures, double done)
{
    enum { BAR_LEAST = 5, BAR_MOST = 30 };
    int cells = terminal_width() - 1 - (int)(strlen(counter) + strlen(figures)) - 5;
    if (cells < BAR_LEAST) {
        snprintf(p->bar, sizeof p->bar, "%s  %s", counter, figures);
        return;
    }
    if (cells > BAR_MOST) cells = BAR_MOST;
    char bar[BAR_MOST + 1];
    int full = (int)(done * cells);
    memset(bar, '.', sizeof bar);
    memset(bar, '#', (size_t)(full < 0 ? 0 : full > cells ? cells : full));
    bar[cells] = '\0';
    snprintf(p->bar, sizeof p->bar, "%s [%s]  %s", counter, bar, figures);
}

/* ---- The interface --------------------------------------------------------------------- */

lloyd_status lloyd_progress_open(const char *mode, const char *log, int append,
                                 lloyd_progress **progress)
{
    *progress = NULL;
    lloyd_progress *p = calloc(1, sizeof *p);
    if (p == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the progress display");
    p->started = lloyd_seconds();
    p->previous = NAN;
    lloyd_status status = LLOYD_OK;
    if (mode == NULL || strcmp(mode, "auto") == 0)
        p->display = is_terminal() ? DISPLAY_BAR : DISPLAY_PLAIN;
    else if (strcmp(mode, "bar") == 0)
        p->display = DISPLAY_BAR;
    else if (strcmp(mode, "plain") == 0)
        p->display = DISPLAY_PLAIN;
    else if (strcmp(mode, "none") != 0)
        status = lloyd_fail(LLOYD_USAGE, "there is no progress display '%s'", mode);
    if (status == LLOYD_OK && log != NULL) status = open_log(p, log, append);
    if (status != LLOYD_OK) {
        free(p->log_path);
        free(p);
        return status;
    }
    *progress = p;
    return LLOYD_OK;
}

void lloyd_progress_begin(lloyd_progress *p, const lloyd_progress_run *run)
{
    if (p == NULL) return;
    char rows[32], columns[32], clusters[32];
    char memory[24], more[40] = "", gpu[320] = "", on_gpu[24], gpu_memory[48] = "";
    p->run = *run;
    if (run->files > 1) snprintf(more, sizeof more, " and %d more", run->files - 1);
    say(p, "%s rows x %s columns of %s from %s%s into %s clusters",
        lloyd_text_count(run->n, rows, sizeof rows),
        lloyd_text_count(run->d, columns, sizeof columns), run->type, run->first_file, more,
        lloyd_text_count(run->k, clusters, sizeof clusters));
    if (run->gpu != NULL) {
        snprintf(gpu, sizeof gpu, " (%s%s%s)", run->gpu, run->ranks > 1 ? ", sums by " : "",
                 run->ranks > 1 ? run->comm : "");
        snprintf(gpu_memory, sizeof gpu_memory, " and %s of its GPU",
                 lloyd_text_bytes(run->gpu_memory, on_gpu, sizeof on_gpu));
    }
    say(p, "%d rank%s x %d thread%s, %s%s, init %s, seed %llu, %s%s per rank", run->ranks,
        run->ranks == 1 ? "" : "s", run->threads, run->threads == 1 ? "" : "s", run->backend, gpu,
        run->init, (unsigned long long)run->seed,
        lloyd_text_bytes(run->memory, memory, sizeof memory), gpu_memory);
    if (p->log != NULL) log_begin(p, run);
    p->run.type = p->run.backend = p->run.gpu = p->run.comm = NULL; /* borrowed */
    p->run.filter = p->run.prune = p->run.init = p->run.first_file = NULL;
}

void lloyd_progress_phase(lloyd_progress *p, const char *phase, double seconds)
{
    char text[32];
    if (p == NULL) return;
    say(p, "%s: %s", phase, lloyd_text_seconds(seconds, text, sizeof text));
    if (p->log == NULL) return;
    log_open(p, "phase");
    log_text(p, "phase", phase);
    log_real(p, "seconds", seconds);
    log_close(p);
}

void lloyd_progress_seed(lloyd_progress *p, int64_t restart)
{
    if (p == NULL) return;
    p->seeding = p->seeding_last = p->seeding_shown = p->seeding_logged = lloyd_seconds();
    p->seeding_restart = restart;
    p->seeding_what = NULL;
}

static void log_seeding(lloyd_progress *p, const lloyd_seed_step *s, double now)
{
    log_open(p, "seeding");
    log_whole(p, "restart", p->seeding_restart);
    log_text(p, "counted", s->what);
    log_whole(p, "done", s->done);
    log_whole(p, "of", s->all);
    log_whole(p, "candidates", s->candidates);
    log_real(p, "potential", s->potential);
    log_real(p, "seconds", now - p->seeding);
    log_close(p);
    p->seeding_logged = now;
}

static void show_seeding(lloyd_progress *p, const lloyd_seed_step *s, double now)
{
    char candidates[32], counter[64], figures[128], left[32], done[32], all[32];
    double each = (now - p->seeding_since) / (double)s->done;
    snprintf(counter, sizeof counter, "seeding: %s/%s %s",
             lloyd_text_count(s->done, done, sizeof done),
             lloyd_text_count(s->all, all, sizeof all), s->what);
    int used = 0;
    if (s->candidates > 0)
        used = snprintf(figures, sizeof figures, "%s candidates  ",
                        lloyd_text_count(s->candidates, candidates, sizeof candidates));
    snprintf(figures + used, sizeof figures - (size_t)used, "ETA %s",
             clock_time(each * (double)(s->all - s->done), left, sizeof left));
    if (p->display == DISPLAY_PLAIN) {
        say(p, "%s  %s", counter, figures);
    } else {
        set_bar(p, counter, figures, (double)s->done / (double)s->all);
        draw(p);
    }
    p->seeding_shown = now;
}

void lloyd_progress_seeding(lloyd_progress *p, const lloyd_seed_step *s)
{
    enum { QUIET = 2, SHOWN = 5 }; /* seconds before the first line, and between two */
    if (p == NULL) return;
    double now = lloyd_seconds();
    int is_new = p->seeding_what == NULL || strcmp(p->seeding_what, s->what) != 0;
    if (is_new) p->seeding_since = p->seeding_last;
    p->seeding_what = s->what, p->seeding_last = now;
    double pause = p->display == DISPLAY_BAR ? 0.05 : SHOWN;
    int is_time = now - p->seeding >= QUIET && now - p->seeding_shown >= pause;
    if (p->display != DISPLAY_NONE && is_time) show_seeding(p, s, now);
    if (p->log == NULL) return;
    int is_round = strcmp(s->what, "rounds") == 0;
    if (is_new || is_round || s->done == s->all || now - p->seeding_logged >= 0.5)
        log_seeding(p, s, now);
}

void lloyd_progress_balance(lloyd_progress *p, int64_t round, int64_t rows, int64_t open,
                            double seconds)
{
    enum { SHOWN = 3 }; /* seconds between two lines */
    char left[32], number[32], clusters[32];
    if (p == NULL) return;
    p->balancing += seconds;
    if (p->balancing >= SHOWN) {
        say(p, "max size: after round %s %s rows are left for %s clusters",
            lloyd_text_count(round, number, sizeof number),
            lloyd_text_count(rows, left, sizeof left),
            lloyd_text_count(open, clusters, sizeof clusters));
        p->balancing = 0;
    }
    if (p->log == NULL) return;
    log_open(p, "balance");
    log_whole(p, "round", round);
    log_whole(p, "rows", rows);
    log_whole(p, "open", open);
    log_real(p, "seconds", seconds);
    log_close(p);
}

void lloyd_progress_warn(lloyd_progress *p, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (p != NULL) finish_line(p);
    lloyd_note("%s", text);
}

void lloyd_progress_iteration(lloyd_progress *p, const lloyd_iteration *i)
{
    if (p == NULL) return;
    p->iterating += i->seconds;
    p->iterated++;
    if (i->iteration == 1) p->previous = NAN;
    if (p->display != DISPLAY_NONE) {
        char counter[128], figures[256];
        count(p, i, counter, sizeof counter);
        describe(p, i, p->display == DISPLAY_BAR && terminal_width() < 100, figures,
                 sizeof figures);
        if (p->display == DISPLAY_PLAIN) {
            say(p, "%s  %s", counter, figures);
        } else {
            set_bar(p, counter, figures,
                    p->run.max_iters > 0 ? (double)i->iteration / (double)p->run.max_iters : 1);
            if (!p->open_line || lloyd_seconds() - p->drawn > 0.05) draw(p);
        }
    }
    p->previous = i->inertia;
    if (p->log == NULL) return;
    log_open(p, "iteration");
    log_whole(p, "restart", i->restart);
    log_whole(p, "iteration", i->iteration);
    log_real(p, "inertia", i->inertia);
    log_whole(p, "moved", i->moved);
    log_whole(p, "verified", i->fallback_rows);
    log_whole(p, "int8", i->int8_rows);
    log_whole(p, "int8_verified", i->int8_fallback_rows);
    log_whole(p, "int8_candidates", i->int8_candidates);
    log_whole(p, "pruned", i->pruned_rows);
    log_whole(p, "compared", i->compared);
    log_whole(p, "not_copied", i->left_out);
    log_whole(p, "empty", i->empty);
    log_real(p, "seconds", i->seconds);
    log_close(p);
}

void lloyd_progress_end(lloyd_progress *p, const lloyd_fit_result *result,
                        const lloyd_progress_rank *of_ranks, int ranks, int timed)
{
    if (p == NULL) return;
    char text[24], time[32];
    int64_t most = 0;
    for (int i = 0; i < ranks; i++)
        if (of_ranks[i].memory_peak > most) most = of_ranks[i].memory_peak;
    say(p, "done in %s, peak memory %s in one rank",
        lloyd_text_seconds(result->seconds, time, sizeof time),
        lloyd_text_bytes(most, text, sizeof text));
    if (p->log != NULL) log_end(p, result, of_ranks, ranks, timed);
}

lloyd_status lloyd_progress_close(lloyd_progress *p)
{
    if (p == NULL) return LLOYD_OK;
    lloyd_status status = LLOYD_OK;
    finish_line(p);
    if (p->log != NULL && fclose(p->log) != 0 && p->log_error == 0) p->log_error = errno;
    if (p->log_error != 0)
        status = lloyd_fail(LLOYD_FAILED, "cannot write the log file %s: %s", p->log_path,
                            strerror(p->log_error));
    free(p->log_path);
    free(p);
    return status;
}
