/* See runlog.h. Lines that are no JSON are passed over: a job that was killed may have left half a
 * one, and more fields and events may be added by later versions. */
#include "report/runlog.h"

#include "base/json.h"
#include "base/memory.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const lloyd_phase_names[LLOYD_PHASES] = {"read",       "seed",
                                                     "iterations", "final assignment",
                                                     "checkpoint", "distances",
                                                     "members",    "write"};

/* The numbers that events have. */
typedef enum number {
    ELAPSED,
    SECONDS,
    N,
    D,
    K,
    ITERATION,
    ITERATIONS,
    INERTIA,
    MOVED,
    VERIFIED,
    INT8,
    INT8_VERIFIED,
    INT8_CANDIDATES,
    PRUNED,
    COMPARED,
    THREADS,
    CANDIDATES,
    NUMBERS
} number;

static const char *const number_names[NUMBERS] =
    {"elapsed",         "seconds", "n",        "d",        "k",         "iteration",
     "iterations",      "inertia", "moved",    "verified", "int8",      "int8_verified",
     "int8_candidates", "pruned",  "compared", "threads",  "candidates"};

/* One line. */
typedef struct event {
    char name[16], phase[32];
    char time[32], type[16], gpu[96], comm[16];
    double number[NUMBERS]; /* NAN: not there */
    double peak;
    int shares; /* how many of them */
    double part_mean[LLOYD_TIME_SHARES], part_most[LLOYD_TIME_SHARES];
} event;

/* What is known while the log is read. */
typedef struct reader {
    const lloyd_model *model;
    lloyd_runlog *log;
    event begin, end; /* the last ones */
    double elapsed;   /* of the last event since the last begin */
} reader;

/* The largest number of a list, and the mean. */
static double largest(const char *list, size_t length, double *mean)
{
    double most = 0, sum = 0;
    int64_t count = 0;
    for (const char *at = list, *stop = list + length; at < stop;) {
        char *after;
        double one = strtod(at, &after);
        if (after > at && one > most) most = one;
        if (after > at) {
            sum += one;
            count++;
        }
        at = after > at ? after : at + 1;
    }
    *mean = count > 0 ? sum / (double)count : 0;
    return most;
}

/* {"rows":[...],...}, as lloyd writes it */
static void take_time_shares(event *e, const lloyd_json_field *shares)
{
    static const char *const names[LLOYD_TIME_SHARES] = LLOYD_TIME_SHARE_NAMES;
    const char *stop = shares->value + shares->length;
    for (int p = 0; p < LLOYD_TIME_SHARES; p++) {
        char key[16];
        int length = snprintf(key, sizeof key, "\"%s\":[", names[p]);
        const char *list = memmem(shares->value, shares->length, key, (size_t)length);
        const char *end = list ? memchr(list, ']', (size_t)(stop - list)) : NULL;
        if (!end) continue;
        list += length;
        e->part_most[p] = largest(list, (size_t)(end - list), &e->part_mean[p]);
        e->shares++;
    }
}

static void take_field(event *e, const lloyd_json_field *field)
{
    const struct {
        const char *name;
        char *to;
        size_t bytes;
    } texts[] = {{"event", e->name, sizeof e->name}, {"phase", e->phase, sizeof e->phase},
                 {"time", e->time, sizeof e->time},  {"type", e->type, sizeof e->type},
                 {"gpu", e->gpu, sizeof e->gpu},     {"comm", e->comm, sizeof e->comm}};
    for (size_t i = 0; field->kind == LLOYD_JSON_TEXT && i < sizeof texts / sizeof *texts; i++)
        if (strcmp(field->name, texts[i].name) == 0)
            snprintf(texts[i].to, texts[i].bytes, "%s", field->value);
    for (int i = 0; field->kind == LLOYD_JSON_NUMBER && i < NUMBERS; i++)
        if (strcmp(field->name, number_names[i]) == 0) e->number[i] = field->number;
    double mean;
    if (field->kind == LLOYD_JSON_LIST && strcmp(field->name, "memory_peak") == 0)
        e->peak = largest(field->value, field->length, &mean);
    if (field->kind == LLOYD_JSON_LIST && strcmp(field->name, "parts") == 0)
        take_time_shares(e, field);
}

/* 1 if the line is an event. */
static int parse(char *line, event *e)
{
    lloyd_json_field field;
    int more;
    *e = (event){.name = ""};
    for (int i = 0; i < NUMBERS; i++) e->number[i] = NAN;
    if (!lloyd_json_open(&line)) return 0;
    while ((more = lloyd_json_next(&line, &field)) > 0) take_field(e, &field);
    return more == 0 && e->name[0] != '\0';
}

static double or_zero(double value)
{
    return isfinite(value) && value > 0 ? value : 0;
}

/* An iteration is the model's if it has its inertia and its moved labels: of several starts only
 * one was kept, and a resumed fit has one iteration twice. */
static void take_iteration(reader *r, const event *e)
{
    const lloyd_model *m = r->model;
    r->log->iterations++;
    r->log->seconds[LLOYD_PHASE_ITERATIONS] += or_zero(e->number[SECONDS]);
    double t = e->number[ITERATION];
    if (!(t >= 1 && t <= (double)m->iterations) || m->inertia == NULL) return;
    int64_t i = (int64_t)t - 1;
    if (m->inertia[i] != e->number[INERTIA]) return;
    if (m->moved != NULL && (double)m->moved[i] != e->number[MOVED]) return;
    r->log->found[i] =
        (lloyd_runlog_iteration){e->number[VERIFIED],      e->number[INT8],
                                 e->number[INT8_VERIFIED], e->number[INT8_CANDIDATES],
                                 e->number[PRUNED],        e->number[COMPARED]};
}

static void take_event(reader *r, const event *e)
{
    if (strcmp(e->name, "begin") == 0) {
        r->log->begins++;
        r->log->total += r->elapsed;
        r->elapsed = 0;
        r->begin = *e;
        r->end.name[0] = '\0';
    } else if (strcmp(e->name, "iteration") == 0) {
        take_iteration(r, e);
    } else if (strcmp(e->name, "seeding") == 0) {
        r->log->candidates = fmax(r->log->candidates, or_zero(e->number[CANDIDATES]));
    } else if (strcmp(e->name, "end") == 0) {
        r->end = *e;
    } else if (strcmp(e->name, "phase") == 0) {
        for (int p = 0; p < LLOYD_PHASES; p++)
            if (strcmp(e->phase, lloyd_phase_names[p]) == 0)
                r->log->seconds[p] += or_zero(e->number[SECONDS]);
    }
    if (e->number[ELAPSED] > r->elapsed) r->elapsed = e->number[ELAPSED];
}

static lloyd_status read_lines(const char *path, FILE *file, reader *r)
{
    char *line = NULL;
    size_t bytes = 0;
    lloyd_status status = LLOYD_OK;
    event e;
    errno = 0;
    while (status == LLOYD_OK && getline(&line, &bytes, file) >= 0) {
        if (parse(line, &e) && (r->log->begins > 0 || strcmp(e.name, "begin") == 0))
            take_event(r, &e);
        else if (r->log->begins == 0)
            status = lloyd_fail(LLOYD_BAD_INPUT,
                                "%s is not the log of a fit; it is what --log of 'lloyd fit' names",
                                path);
    }
    if (status == LLOYD_OK && !feof(file))
        status = lloyd_fail(errno == ENOMEM ? LLOYD_FAILED : LLOYD_BAD_INPUT,
                            "cannot read the log %s: %s", path, strerror(errno));
    free(line);
    return status;
}

static lloyd_status differ(const char *path, const char *what, double log, double model)
{
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s is the log of another fit: its %s is %.17g, that of the model %.17g",
                      path, what, log, model);
}

/* Whether the log ends with the model. */
static lloyd_status check(const char *path, const reader *r)
{
    const lloyd_model *m = r->model;
    const event *begin = &r->begin, *end = &r->end;
    if (r->log->begins == 0)
        return lloyd_fail(LLOYD_BAD_INPUT, "the log %s is empty; name the log of the fit", path);
    if (begin->number[N] != (double)m->n)
        return differ(path, "number of rows", begin->number[N], (double)m->n);
    if (begin->number[D] != (double)m->d)
        return differ(path, "number of columns", begin->number[D], (double)m->d);
    if (begin->number[K] != (double)m->k)
        return differ(path, "number of clusters", begin->number[K], (double)m->k);
    if (end->name[0] == '\0')
        return lloyd_fail(LLOYD_BAD_INPUT, "the log %s has no end: that fit failed, or still runs",
                          path);
    if (end->number[ITERATIONS] != (double)m->iterations)
        return differ(path, "number of iterations", end->number[ITERATIONS], (double)m->iterations);
    if (end->number[INERTIA] != m->final_inertia)
        return differ(path, "final inertia", end->number[INERTIA], m->final_inertia);
    return LLOYD_OK;
}

static lloyd_status read_file(const char *path, reader *r)
{
    struct stat info;
    FILE *file = stat(path, &info) == 0 ? fopen(path, "re") : NULL;
    if (file == NULL)
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot read the log %s: %s", path, strerror(errno));
    lloyd_status status = read_lines(path, file, r);
    fclose(file);
    return status;
}

lloyd_status lloyd_runlog_read(const char *path, const lloyd_model *model, lloyd_runlog *log)
{
    reader r = {.model = model, .log = log};
    *log = (lloyd_runlog){0};
    LLOYD_TRY(
        lloyd_alloc(&log->found, model->iterations, sizeof *log->found, "the iterations of a log"));
    for (int64_t t = 0; t < model->iterations; t++)
        log->found[t] = (lloyd_runlog_iteration){NAN, NAN, NAN, NAN, NAN, NAN};
    LLOYD_TRY(read_file(path, &r));
    LLOYD_TRY(check(path, &r));
    log->total += r.elapsed;
    log->threads = (int64_t)or_zero(fmin(r.begin.number[THREADS], 1e9));
    log->peak = r.end.peak;
    log->has_time_shares = r.end.shares == LLOYD_TIME_SHARES;
    memcpy(log->part_mean, r.end.part_mean, sizeof log->part_mean);
    memcpy(log->part_most, r.end.part_most, sizeof log->part_most);
    memcpy(log->time, r.begin.time, sizeof log->time);
    memcpy(log->type, r.begin.type, sizeof log->type);
    memcpy(log->gpu, r.begin.gpu, sizeof log->gpu);
    memcpy(log->comm, r.begin.comm, sizeof log->comm);
    return LLOYD_OK;
}

void lloyd_runlog_free(lloyd_runlog *log)
{
    lloyd_free(log->found);
    log->found = NULL;
}
