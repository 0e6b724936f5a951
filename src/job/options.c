/* See options.h. */
#include "job/options.h"

#include "job/backend.h"
#include "job/progress.h"

#include <math.h>
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

/* A line for an option that is 0 where it is not given. */
static void put_count(FILE *out, const char *option, int64_t count)
{
    if (count > 0)
        fprintf(out, "%s %lld\n", option, (long long)count);
    else
        fprintf(out, "no %s\n", option);
}

lloyd_status lloyd_options_deciding(const lloyd_fit_options *o, uint64_t init, char **lines)
{
    size_t bytes = 0;
    FILE *out = open_memstream(lines, &bytes);
    if (!out) return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
    fprintf(out, "-k %lld\n", (long long)o->k);
    if (lloyd_options_init_is_model(o) && init == 0)
        fprintf(out, "--init MODEL\n");
    else if (lloyd_options_init_is_model(o))
        fprintf(out, "--init MODEL (with the centroids %016llx)\n", (unsigned long long)init);
    else
        fprintf(out, "--init %s\n", o->init);
    put_count(out, "--init-trials", o->init_trials);
    put_count(out, "--init-sample", o->init_sample);
    fprintf(out, "--seed %llu\n--n-init %lld\n--tol ", (unsigned long long)o->seed,
            (long long)o->n_init);
    lloyd_json_number(out, o->tol);
    fprintf(out, "\n--metric %s\n%s%s\n--empty %s\n%s--skip-bad-rows\n", o->metric,
            o->weights ? "--weights " : "no --weights", o->weights ? o->weights : "", o->empty,
            o->skip_bad_rows ? "" : "no ");
    if (fclose(out) == 0) return LLOYD_OK;
    free(*lines);
    *lines = NULL;
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
    char *deciding = NULL;
    LLOYD_TRY(lloyd_options_deciding(o, 0, &deciding));
    if (deciding) add_lines(facts, deciding);
    free(deciding);
    lloyd_facts_add(facts, "--max-iters %lld", (long long)o->max_iters);
    lloyd_facts_option(facts, "--output", o->output);
    lloyd_facts_option(facts, "--backend", o->backend);
    lloyd_facts_option(facts, "--comm", o->comm);
    lloyd_facts_option(facts, "--checkpoint", o->checkpoint);
    lloyd_facts_option(facts, "--checkpoint-every", o->checkpoint_every);
    lloyd_facts_option(facts, "--log", o->log);
    add_flag(facts, "--resume", o->resume);
    add_flag(facts, "--no-labels", o->no_labels);
    add_flag(facts, "--dry-run", o->dry_run);
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

static void put(FILE *out, const char *key, const char *value)
{
    fprintf(out, ",\"%s\":", key);
    lloyd_json_text(out, value);
}

lloyd_status lloyd_options_json(const lloyd_fit_options *o, char **json)
{
    size_t bytes = 0;
    FILE *out = open_memstream(json, &bytes);
    if (!out) return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
    fprintf(out, "{\"input\":[");
    for (int i = 0; i < o->input_count; i++) {
        if (i > 0) fputc(',', out);
        lloyd_json_text(out, o->inputs[i]);
    }
    fputc(']', out);
    put(out, "dataset", o->dataset);
    fprintf(out, ",\"skip-bad-rows\":%s,\"k\":%lld", o->skip_bad_rows ? "true" : "false",
            (long long)o->k);
    put(out, "output", o->output);
    put(out, "init", o->init);
    fprintf(out, ",\"init-trials\":%lld,\"init-sample\":%lld", (long long)o->init_trials,
            (long long)o->init_sample);
    fprintf(out, ",\"seed\":%llu,\"n-init\":%lld,\"max-iters\":%lld,\"tol\":",
            (unsigned long long)o->seed, (long long)o->n_init, (long long)o->max_iters);
    lloyd_json_number(out, o->tol);
    put(out, "metric", o->metric);
    put(out, "weights", o->weights);
    put(out, "empty", o->empty);
    put(out, "backend", o->backend);
    put(out, "comm", o->comm);
    put(out, "checkpoint", o->checkpoint);
    put(out, "checkpoint-every", o->checkpoint_every);
    put(out, "log", o->log);
    fprintf(out,
            ",\"resume\":%s,\"chunk-rows\":%lld,\"max-host-memory\":%lld,"
            "\"max-device-memory\":%lld,\"no-labels\":%s,\"force\":%s}",
            o->resume ? "true" : "false", (long long)o->chunk_rows, (long long)o->max_host_memory,
            (long long)o->max_device_memory, o->no_labels ? "true" : "false",
            o->force ? "true" : "false");
    if (fclose(out) == 0) return LLOYD_OK;
    free(*json);
    *json = NULL;
    return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
}
