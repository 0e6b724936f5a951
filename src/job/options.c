/* See options.h. */
#include "job/options.h"

#include "base/json.h"
#include "job/backend.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_one_of(const char *value, const char *const *choices)
{
    for (; *choices; choices++) {
        if (value && strcmp(value, *choices) == 0) return 1;
    }
    return 0;
}

static lloyd_status check_choice(const char *option, const char *value, const char *const *choices)
{
    if (is_one_of(value, choices)) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "%s cannot be '%s'; see lloyd --help", option,
                      value ? value : "");
}

/* A name of something: NULL where there need not be one. */
static lloyd_status check_name(const char *option, const char *value)
{
    if (!value || *value != '\0') return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "%s is empty; give a name, or leave it away", option);
}

static lloyd_status check_inputs(const char *const *inputs, int count, const char *what)
{
    if (count < 1 || !inputs)
        return lloyd_fail(LLOYD_USAGE, "--input is missing: name the dataset to %s", what);
    for (int i = 0; i < count; i++) {
        if (inputs[i] && *inputs[i] != '\0') continue;
        return lloyd_fail(LLOYD_USAGE, "--input number %d of %d is empty; name a file", i + 1,
                          count);
    }
    return LLOYD_OK;
}

static lloyd_status check_count(const char *option, int64_t value, int64_t least)
{
    if (value >= least) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "%s %lld: must be at least %lld", option, (long long)value,
                      (long long)least);
}

static lloyd_status check_timeout(double seconds)
{
    if (seconds > 0 && !isinf(seconds)) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "--timeout %g: must be finite and more than 0 seconds", seconds);
}

/* Threads without number would only be a lack of memory, or of threads, later on. */
lloyd_status lloyd_options_check_threads(void)
{
    const char *wanted = getenv("OMP_NUM_THREADS");
    long processors = sysconf(_SC_NPROCESSORS_ONLN),
         threads = wanted ? strtol(wanted, NULL, 10) : 0;
    long most = processors > 8 ? 8 * processors : 64;
    if (threads <= most) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "OMP_NUM_THREADS is %ld, but this machine has %ld processor%s; set it to the "
                      "number of cores of a rank, and to %ld at most",
                      threads, processors, processors == 1 ? "" : "s", most);
}

int lloyd_options_init_is_model(const lloyd_fit_options *o)
{
    static const char *const methods[] = {"random", "kmeans++", "kmeans-parallel", NULL};
    return !is_one_of(o->init, methods);
}

int lloyd_options_tries(const lloyd_fit_options *o)
{
    return strcmp(o->init, "kmeans++") == 0 || strcmp(o->init, "kmeans-parallel") == 0;
}

/* What seeding finds in 64 rows a cluster is as good as what it finds in all (docs/results/seeding.md). A
 * few heavy rows may be all that matters, so with weights it looks at all. */
int64_t lloyd_options_sample(const lloyd_fit_options *o, int64_t n, int weighted)
{
    enum { ROWS = 64, LEAST = 1 << 18, WORTH = 4 };
    int64_t some = (int64_t)ROWS * o->k > LEAST ? ROWS * o->k : LEAST;
    int64_t usual = weighted || some >= n / WORTH ? n : some;
    int64_t sample = o->init_sample > 0 ? o->init_sample : usual;
    return sample < n ? sample : n;
}

/* --- checkpoints --- */

/* Seconds of a unit of time, 0 for another text. */
static int seconds_of(const char *unit)
{
    if (strcmp(unit, "s") == 0) return 1;
    if (strcmp(unit, "m") == 0) return 60;
    return strcmp(unit, "h") == 0 ? 3600 : 0;
}

lloyd_status lloyd_options_every(const lloyd_fit_options *o, lloyd_every *every)
{
    const char *text = o->checkpoint_every ? o->checkpoint_every : "10m";
    size_t digits = strspn(text, "0123456789");
    long long count = digits > 0 && digits < 10 ? strtoll(text, NULL, 10) : 0;
    int unit = seconds_of(text + digits);
    if (count < 1 || (text[digits] != '\0' && unit == 0)) {
        return lloyd_fail(LLOYD_USAGE,
                          "--checkpoint-every '%s': give a number of iterations (5), or a time "
                          "(90s, 10m, 1h)",
                          text);
    }
    *every = (lloyd_every){.iterations = unit == 0 ? count : 0, .seconds = (double)(count * unit)};
    return LLOYD_OK;
}

static lloyd_status check_checkpoint(const lloyd_fit_options *o)
{
    lloyd_every every;
    if (!o->checkpoint && (o->resume || o->checkpoint_every)) {
        return lloyd_fail(LLOYD_USAGE, "%s needs --checkpoint FILE: which file is it",
                          o->resume ? "--resume" : "--checkpoint-every");
    }
    return lloyd_options_every(o, &every);
}

/* --- the list of a fit's options --- */

/* What an option is for. A row of the list without one does not compile. */
typedef enum option_role {
    DECIDES, /* the result: it must be the same on all ranks, and in a fit that is resumed */
    ALIKE, /* which collective calls are made, or which files are written: the same on all ranks */
    OWN    /* each rank, or part of a resumed fit, may have its own */
} option_role;

typedef enum option_kind {
    INPUTS,
    TEXT,   /* const char *, NULL where it is not given */
    METHOD, /* the same, a method or a model file */
    WHOLE,  /* int64_t */
    SOME,   /* the same, 0 where it is not given */
    SEED,   /* uint64_t */
    REAL,   /* double */
    FLAG    /* int */
} option_kind;

typedef struct fit_option {
    const char *name; /* without hyphens */
    option_kind kind;
    option_role role;
    int kept; /* 1: the model has it, in its attribute `options` */
    size_t offset;
} fit_option;

#define FIELD(name) offsetof(lloyd_fit_options, name)

/* All options of `lloyd fit`, in the order in which models and checkpoints list them: what decides the result,
 * what must be the same on all ranks and what a model records follows from this table.
 * tests/e2e/test_options.py compares it with the command line's. */
static const fit_option fit_options[] = {
    {"input", INPUTS, OWN, 1, FIELD(inputs)},
    {"dataset", TEXT, OWN, 1, FIELD(dataset)},
    {"k", WHOLE, DECIDES, 1, FIELD(k)},
    {"output", TEXT, ALIKE, 1, FIELD(output)},
    {"init", METHOD, DECIDES, 1, FIELD(init)},
    {"init-trials", SOME, DECIDES, 1, FIELD(init_trials)},
    {"init-sample", SOME, DECIDES, 1, FIELD(init_sample)},
    {"seed", SEED, DECIDES, 1, FIELD(seed)},
    {"n-init", WHOLE, DECIDES, 1, FIELD(n_init)},
    {"max-iters", WHOLE, ALIKE, 1, FIELD(max_iters)},
    {"tol", REAL, DECIDES, 1, FIELD(tol)},
    {"metric", TEXT, DECIDES, 1, FIELD(metric)},
    {"weights", TEXT, DECIDES, 1, FIELD(weights)},
    {"empty", TEXT, DECIDES, 1, FIELD(empty)},
    {"skip-bad-rows", FLAG, DECIDES, 1, FIELD(skip_bad_rows)},
    {"backend", TEXT, ALIKE, 1, FIELD(backend)},
    {"comm", TEXT, ALIKE, 1, FIELD(comm)},
    {"checkpoint", TEXT, ALIKE, 1, FIELD(checkpoint)},
    {"checkpoint-every", TEXT, ALIKE, 1, FIELD(checkpoint_every)},
    {"log", TEXT, ALIKE, 1, FIELD(log)},
    {"resume", FLAG, ALIKE, 1, FIELD(resume)},
    {"chunk-rows", WHOLE, OWN, 1, FIELD(chunk_rows)},
    {"max-host-memory", WHOLE, OWN, 1, FIELD(max_host_memory)},
    {"max-device-memory", WHOLE, OWN, 1, FIELD(max_device_memory)},
    {"no-labels", FLAG, ALIKE, 1, FIELD(no_labels)},
    {"force", FLAG, OWN, 1, FIELD(force)},
    {"progress", TEXT, OWN, 0, FIELD(progress)},
    {"dry-run", FLAG, ALIKE, 0, FIELD(dry_run)},
    {"timeout", REAL, OWN, 0, FIELD(timeout)},
};

enum { FIT_OPTIONS = sizeof fit_options / sizeof *fit_options };

/* The value of an option, copied to *value, which has its type. */
static void get(const lloyd_fit_options *o, const fit_option *option, void *value, size_t size)
{
    memcpy(value, (const char *)o + option->offset, size);
}

/* "--name value", or "no --name" where it is not given. `init`: as for lloyd_options_deciding(). */
static void put_line(FILE *out, const lloyd_fit_options *o, const fit_option *option, uint64_t init)
{
    const char *hyphens = option->name[1] == '\0' ? "-" : "--", *text = NULL;
    int64_t whole = 0;
    uint64_t seed = 0;
    double real = 0;
    int flag = 0;
    switch (option->kind) {
    case INPUTS: return;
    case TEXT:
    case METHOD:
        get(o, option, &text, sizeof text);
        if (option->kind == METHOD && lloyd_options_init_is_model(o)) text = "MODEL";
        fprintf(out, "%s%s%s%s%s", text ? "" : "no ", hyphens, option->name, text ? " " : "",
                text ? text : "");
        if (option->kind == METHOD && lloyd_options_init_is_model(o) && init != 0)
            fprintf(out, " (with the centroids %016llx)", (unsigned long long)init);
        break;
    case WHOLE:
    case SOME:
        get(o, option, &whole, sizeof whole);
        if (option->kind == SOME && whole == 0)
            fprintf(out, "no %s%s", hyphens, option->name);
        else
            fprintf(out, "%s%s %lld", hyphens, option->name, (long long)whole);
        break;
    case SEED:
        get(o, option, &seed, sizeof seed);
        fprintf(out, "%s%s %llu", hyphens, option->name, (unsigned long long)seed);
        break;
    case REAL:
        get(o, option, &real, sizeof real);
        fprintf(out, "%s%s ", hyphens, option->name);
        lloyd_json_number(out, real);
        break;
    case FLAG:
        get(o, option, &flag, sizeof flag);
        fprintf(out, "%s%s%s", flag ? "" : "no ", hyphens, option->name);
        break;
    }
    fputc('\n', out);
}

/* The lines of all options with this role, in *lines; free() it. */
static lloyd_status list_options(const lloyd_fit_options *o, option_role role, uint64_t init,
                                 char **lines)
{
    size_t bytes = 0;
    FILE *out = open_memstream(lines, &bytes);
    if (!out) return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
    for (int i = 0; i < FIT_OPTIONS; i++)
        if (fit_options[i].role == role) put_line(out, o, &fit_options[i], init);
    if (fclose(out) == 0) return LLOYD_OK;
    free(*lines);
    *lines = NULL;
    return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
}

lloyd_status lloyd_options_deciding(const lloyd_fit_options *o, uint64_t init, char **lines)
{
    return list_options(o, DECIDES, init, lines);
}

static void put_inputs(FILE *out, const lloyd_fit_options *o)
{
    fputc('[', out);
    for (int i = 0; i < o->input_count; i++) {
        if (i > 0) fputc(',', out);
        lloyd_json_text(out, o->inputs[i]);
    }
    fputc(']', out);
}

static void put_json(FILE *out, const lloyd_fit_options *o, const fit_option *option)
{
    const char *text;
    int64_t whole;
    uint64_t seed;
    double real;
    int flag;
    switch (option->kind) {
    case INPUTS: put_inputs(out, o); break;
    case TEXT:
    case METHOD:
        get(o, option, &text, sizeof text);
        lloyd_json_text(out, text);
        break;
    case WHOLE:
    case SOME:
        get(o, option, &whole, sizeof whole);
        fprintf(out, "%lld", (long long)whole);
        break;
    case SEED:
        get(o, option, &seed, sizeof seed);
        fprintf(out, "%llu", (unsigned long long)seed);
        break;
    case REAL:
        get(o, option, &real, sizeof real);
        lloyd_json_number(out, real);
        break;
    case FLAG:
        get(o, option, &flag, sizeof flag);
        fputs(flag ? "true" : "false", out);
        break;
    }
}

lloyd_status lloyd_options_json(const lloyd_fit_options *o, char **json)
{
    size_t bytes = 0;
    FILE *out = open_memstream(json, &bytes);
    if (!out) return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
    for (int i = 0; i < FIT_OPTIONS; i++) {
        if (!fit_options[i].kept) continue;
        fprintf(out, "%s\"%s\":", i > 0 ? "," : "{", fit_options[i].name);
        put_json(out, o, &fit_options[i]);
    }
    fputc('}', out);
    if (fclose(out) == 0) return LLOYD_OK;
    free(*json);
    *json = NULL;
    return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
}

/* --- what all ranks must have alike --- */

static void add_flag(lloyd_facts *facts, const char *option, int given)
{
    lloyd_facts_add(facts, "%s%s", given ? "" : "no ", option);
}

/* Each line of `lines` is a fact. */
static void add_lines(lloyd_facts *facts, const char *lines)
{
    while (*lines != '\0') {
        int length = (int)strcspn(lines, "\n");
        lloyd_facts_add(facts, "%.*s", length, lines);
        lines += length + (lines[length] == '\n');
    }
}

lloyd_status lloyd_options_facts_fit(const lloyd_fit_options *o, lloyd_facts *facts)
{
    const option_role roles[] = {DECIDES, ALIKE};
    for (int i = 0; i < 2; i++) {
        char *lines = NULL;
        LLOYD_TRY(list_options(o, roles[i], 0, &lines));
        add_lines(facts, lines);
        free(lines);
    }
    return LLOYD_OK;
}

void lloyd_options_facts_predict(const lloyd_predict_options *o, lloyd_facts *facts)
{
    lloyd_facts_option(facts, "--output", o->output);
    lloyd_facts_option(facts, "--backend", o->backend);
    add_flag(facts, "--distances", o->distances);
    add_flag(facts, "--skip-bad-rows", o->skip_bad_rows);
}

/* --- all of them --- */

/* An option of the methods that choose by distances. */
static lloyd_status check_method_has(const char *option, int64_t value, const lloyd_fit_options *o)
{
    if (value == 0 || lloyd_options_tries(o)) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_USAGE,
        "%s is for --init kmeans++ and kmeans-parallel, not for --init %s; leave %s out", option,
        o->init, option);
}

/* What does not depend on where the rows are. */
static lloyd_status check_method(const lloyd_fit_options *o)
{
    static const char *const metrics[] = {"l2", "cosine", NULL}, *const rules[] = {"relocate",
                                                                                   "keep", NULL};
    static const char *const displays[] = {"auto", "bar", "plain", "none", NULL};
    if (!o->init || *o->init == '\0')
        return lloyd_fail(LLOYD_USAGE,
                          "--init is missing: random, kmeans++, kmeans-parallel or a model file");
    LLOYD_TRY(check_count("-k", o->k, 1));
    if (o->k > INT32_MAX)
        return lloyd_fail(LLOYD_USAGE, "-k %lld: labels are 32-bit integers, at most %d",
                          (long long)o->k, INT32_MAX);
    LLOYD_TRY(check_count("--n-init", o->n_init, 1));
    if (o->n_init > 1 && lloyd_options_init_is_model(o)) {
        return lloyd_fail(LLOYD_USAGE,
                          "--n-init %lld with --init %s would do the same fit %lld times, since "
                          "every run begins with the same centroids; leave --n-init out",
                          (long long)o->n_init, o->init, (long long)o->n_init);
    }
    LLOYD_TRY(check_count("--init-trials", o->init_trials, 0));
    if (o->init_trials > LLOYD_MOST_TRIALS)
        return lloyd_fail(LLOYD_USAGE, "--init-trials %lld: at most %d are tried",
                          (long long)o->init_trials, LLOYD_MOST_TRIALS);
    LLOYD_TRY(check_method_has("--init-trials", o->init_trials, o));
    LLOYD_TRY(check_count("--init-sample", o->init_sample, 0));
    LLOYD_TRY(check_method_has("--init-sample", o->init_sample, o));
    LLOYD_TRY(check_count("--max-iters", o->max_iters, 0));
    LLOYD_TRY(check_count("--chunk-rows", o->chunk_rows, 0));
    LLOYD_TRY(check_count("--max-host-memory", o->max_host_memory, 0));
    LLOYD_TRY(check_count("--max-device-memory", o->max_device_memory, 0));
    if (!(o->tol >= 0) || isinf(o->tol))
        return lloyd_fail(LLOYD_USAGE, "--tol %g: must be finite and not negative", o->tol);
    LLOYD_TRY(check_timeout(o->timeout));
    LLOYD_TRY(check_choice("--metric", o->metric, metrics));
    LLOYD_TRY(check_choice("--empty", o->empty, rules));
    LLOYD_TRY(check_choice("--progress", o->progress, displays));
    LLOYD_TRY(check_name("--log", o->log));
    LLOYD_TRY(lloyd_options_check_threads());
    return lloyd_backend_check(o->backend, o->comm ? o->comm : "");
}

lloyd_status lloyd_options_check_fit(const lloyd_fit_options *o)
{
    LLOYD_TRY(check_inputs(o->inputs, o->input_count, "cluster"));
    if (!o->output)
        return lloyd_fail(LLOYD_USAGE, "--output is missing: name the model file to write");
    LLOYD_TRY(check_name("--output", o->output));
    LLOYD_TRY(check_name("--weights", o->weights));
    LLOYD_TRY(check_name("--checkpoint", o->checkpoint));
    LLOYD_TRY(check_method(o));
    return check_checkpoint(o);
}

lloyd_status lloyd_options_check_fit_rows(const lloyd_fit_options *o)
{
    if (o->inputs || o->input_count || o->dataset || o->skip_bad_rows || o->output || o->weights ||
        o->checkpoint || o->checkpoint_every || o->resume || o->dry_run || o->no_labels ||
        o->force || o->chunk_rows) {
        return lloyd_fail(
            LLOYD_USAGE,
            "a fit of rows in memory has no files: leave inputs, dataset, skip_bad_rows, "
            "output, weights, checkpoint, checkpoint_every, resume, dry_run, no_labels, force and "
            "chunk_rows as lloyd_fit_defaults() sets them");
    }
    return check_method(o);
}

lloyd_status lloyd_options_check_predict(const lloyd_predict_options *o)
{
    if (!o->model)
        return lloyd_fail(LLOYD_USAGE, "--model is missing: name the model file to label with");
    LLOYD_TRY(check_inputs(o->inputs, o->input_count, "label"));
    if (!o->output)
        return lloyd_fail(LLOYD_USAGE, "--output is missing: name the labels file to write");
    LLOYD_TRY(check_name("--model", o->model));
    LLOYD_TRY(check_name("--output", o->output));
    LLOYD_TRY(lloyd_options_check_threads());
    LLOYD_TRY(check_count("--chunk-rows", o->chunk_rows, 0));
    LLOYD_TRY(check_timeout(o->timeout));
    return lloyd_backend_check(o->backend, NULL);
}
