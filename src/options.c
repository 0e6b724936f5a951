/* See options.h. */
#include "options.h"

#include "backend.h"
#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static lloyd_status check_count(const char *option, int64_t value, int64_t least)
{
    if (value >= least) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "%s %lld: must be at least %lld", option, (long long)value,
                      (long long)least);
}

lloyd_status lloyd_options_check_fit(const lloyd_fit_options *o)
{
    static const char *const metrics[] = {"l2", "cosine", NULL}, *const rules[] = {"relocate",
                                                                                   "keep", NULL};
    if (o->input_count < 1)
        return lloyd_fail(LLOYD_USAGE, "--input is missing: name the dataset to cluster");
    if (!o->output)
        return lloyd_fail(LLOYD_USAGE, "--output is missing: name the model file to write");
    if (!o->init)
        return lloyd_fail(LLOYD_USAGE,
                          "--init is missing: random, kmeans++, kmeans-parallel or a model file");
    LLOYD_TRY(check_count("-k", o->k, 1));
    if (o->k > INT32_MAX)
        return lloyd_fail(LLOYD_USAGE, "-k %lld: labels are 32-bit integers, at most %d",
                          (long long)o->k, INT32_MAX);
    LLOYD_TRY(check_count("--n-init", o->n_init, 1));
    LLOYD_TRY(check_count("--max-iters", o->max_iters, 0));
    LLOYD_TRY(check_count("--chunk-rows", o->chunk_rows, 0));
    if (!(o->tol >= 0) || isinf(o->tol))
        return lloyd_fail(LLOYD_USAGE, "--tol %g: must be finite and not negative", o->tol);
    LLOYD_TRY(check_choice("--metric", o->metric, metrics));
    LLOYD_TRY(check_choice("--empty", o->empty, rules));
    return lloyd_backend_check(o->backend, o->comm ? o->comm : "");
}

lloyd_status lloyd_options_check_predict(const lloyd_predict_options *o)
{
    if (!o->model)
        return lloyd_fail(LLOYD_USAGE, "--model is missing: name the model file to label with");
    if (o->input_count < 1)
        return lloyd_fail(LLOYD_USAGE, "--input is missing: name the dataset to label");
    if (!o->output)
        return lloyd_fail(LLOYD_USAGE, "--output is missing: name the labels file to write");
    LLOYD_TRY(check_count("--chunk-rows", o->chunk_rows, 0));
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
    fprintf(out, "],\"k\":%lld", (long long)o->k);
    put(out, "output", o->output);
    put(out, "init", o->init);
    fprintf(out, ",\"seed\":%llu,\"n-init\":%lld,\"max-iters\":%lld,\"tol\":",
            (unsigned long long)o->seed, (long long)o->n_init, (long long)o->max_iters);
    lloyd_json_number(out, o->tol);
    put(out, "metric", o->metric);
    put(out, "weights", o->weights);
    put(out, "empty", o->empty);
    put(out, "backend", o->backend);
    put(out, "comm", o->comm);
    fprintf(out, ",\"chunk-rows\":%lld,\"no-labels\":%s}", (long long)o->chunk_rows,
            o->no_labels ? "true" : "false");
    if (fclose(out) == 0) return LLOYD_OK;
    free(*json);
    *json = NULL;
    return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
}
