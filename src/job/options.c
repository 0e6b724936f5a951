/* See options.h. */
#include "job/options.h"

#include "job/backend.h"
#include "options/listing.h"
#include "options/table.h"
#include "options/value.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const lloyd_option *options_of(lloyd_command_id command)
{
    return lloyd_commands[command].options;
}

/* --- checks --- */

/* A mistyped number of threads would otherwise end as a lack of memory, or of threads, later on. */
static lloyd_status check_threads(void)
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

/* An option of the methods that choose by distances. */
static lloyd_status check_method_has(const char *option, int64_t value, const lloyd_fit_options *o)
{
    if (value == 0 || lloyd_options_tries(o)) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_USAGE,
        "%s is for --init kmeans++ and kmeans-parallel, not for --init %s; leave %s out", option,
        o->init, option);
}

/* What the table cannot say: options that depend on each other, or on this build. */
static lloyd_status check_together(const lloyd_fit_options *o)
{
    if (o->n_init > 1 && lloyd_options_init_is_model(o)) {
        return lloyd_fail(LLOYD_USAGE,
                          "--n-init %lld with --init %s would do the same fit %lld times, since "
                          "every run begins with the same centroids; leave --n-init out",
                          (long long)o->n_init, o->init, (long long)o->n_init);
    }
    LLOYD_TRY(check_method_has("--init-trials", o->init_trials, o));
    LLOYD_TRY(check_method_has("--init-sample", o->init_sample, o));
    LLOYD_TRY(check_threads());
    return lloyd_backend_check(o->backend, o->comm);
}

/* Which rows are fitted, and labelled. */
static lloyd_status check_subset(const lloyd_fit_options *o)
{
    const char *name = o->rows ? "--rows" : "--sample";
    const char *other = o->sample > 0 && o->rows ? "--sample" : "--sample-per-centroid";
    if ((o->rows != NULL) + (o->sample > 0) + (o->sample_per_centroid > 0) > 1)
        return lloyd_fail(LLOYD_USAGE, "%s and %s both say which rows are fitted; give one of them",
                          name, other);
    const int is_subset = o->rows || o->sample > 0 || o->sample_per_centroid > 0;
    const int labels_all = !o->label || strcmp(o->label, "all") == 0;
    if (o->max_size > 0 && is_subset && labels_all)
        return lloyd_fail(LLOYD_USAGE,
                          "--max-size limits the clusters of the rows that are fitted, and with %s "
                          "all rows would be labelled; add --label sample, or leave --max-size out",
                          o->rows         ? "--rows"
                          : o->sample > 0 ? "--sample"
                                          : "--sample-per-centroid");
    if (!o->label || o->rows || o->sample > 0 || o->sample_per_centroid > 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "--label %s is for --rows, --sample or --sample-per-centroid; leave it out",
                      o->label);
}

lloyd_status lloyd_options_check_checkpoint(const char *checkpoint, const char *every, int resume,
                                            const char *unit)
{
    lloyd_every unused;
    if (!checkpoint && (resume || every))
        return lloyd_fail(LLOYD_USAGE, "%s needs --checkpoint FILE",
                          resume ? "--resume" : "--checkpoint-every");
    return lloyd_options_every(every, unit, &unused);
}

lloyd_status lloyd_options_check_fit(const lloyd_fit_options *o)
{
    LLOYD_TRY(lloyd_options_check(options_of(LLOYD_COMMAND_FIT), o, 0));
    LLOYD_TRY(check_subset(o));
    LLOYD_TRY(check_together(o));
    return lloyd_options_check_checkpoint(o->checkpoint, o->checkpoint_every, o->resume,
                                          "iterations");
}

lloyd_status lloyd_options_check_fit_rows(const lloyd_fit_options *o)
{
    LLOYD_TRY(lloyd_options_check(options_of(LLOYD_COMMAND_FIT), o, 1));
    return check_together(o);
}

static lloyd_status check_prediction(const lloyd_predict_options *o)
{
    if (o->chunk_rows < 0)
        return lloyd_fail(LLOYD_USAGE, "chunk_rows %lld: must be at least 0",
                          (long long)o->chunk_rows);
    LLOYD_TRY(check_threads());
    return lloyd_backend_check(o->backend, NULL);
}

lloyd_status lloyd_options_check_predict(const lloyd_predict_options *o)
{
    LLOYD_TRY(lloyd_options_check(options_of(LLOYD_COMMAND_PREDICT), o, 0));
    return check_prediction(o);
}

lloyd_status lloyd_options_check_predict_rows(const lloyd_predict_options *o)
{
    LLOYD_TRY(lloyd_options_check(options_of(LLOYD_COMMAND_PREDICT), o, 1));
    return check_prediction(o);
}

lloyd_status lloyd_options_check_synth(const lloyd_synth_options *o)
{
    LLOYD_TRY(lloyd_options_check(options_of(LLOYD_COMMAND_SYNTH), o, 0));
    return check_threads();
}

/* --- seeding --- */

int lloyd_options_init_is_model(const lloyd_fit_options *o)
{
    return !lloyd_option_is_choice(lloyd_option_find(options_of(LLOYD_COMMAND_FIT), "--init"),
                                   o->init);
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

/* --- kernels --- */

lloyd_filter lloyd_options_filter(const char *name)
{
    if (strcmp(name, "int8") == 0) return LLOYD_FILTER_INT8;
    return strcmp(name, "float16") == 0 ? LLOYD_FILTER_FLOAT : LLOYD_FILTER_AUTO;
}

lloyd_prune lloyd_options_prune(const char *name)
{
    if (strcmp(name, "on") == 0) return LLOYD_PRUNE_ON;
    return strcmp(name, "off") == 0 ? LLOYD_PRUNE_OFF : LLOYD_PRUNE_AUTO;
}

/* --- checkpoints --- */

/* Seconds of a unit of time, 0 for another text. */
static int seconds_of(const char *unit)
{
    if (strcmp(unit, "s") == 0) return 1;
    if (strcmp(unit, "m") == 0) return 60;
    return strcmp(unit, "h") == 0 ? 3600 : 0;
}

lloyd_status lloyd_options_every(const char *text, const char *of, lloyd_every *every)
{
    if (!text) text = "10m";
    size_t digits = strspn(text, "0123456789");
    long long count = digits > 0 && digits < 10 ? strtoll(text, NULL, 10) : 0;
    int unit = seconds_of(text + digits);
    if (count < 1 || (text[digits] != '\0' && unit == 0)) {
        return lloyd_fail(LLOYD_USAGE,
                          "--checkpoint-every '%s': give a number of %s (5), or a time "
                          "(90s, 10m, 1h)",
                          text, of);
    }
    *every = (lloyd_every){.count = unit == 0 ? count : 0, .seconds = (double)(count * unit)};
    return LLOYD_OK;
}

lloyd_status lloyd_options_deciding(const lloyd_fit_options *o, uint64_t init, char **lines)
{
    return lloyd_options_list(options_of(LLOYD_COMMAND_FIT), o, LLOYD_OPTION_DECIDES, init, lines);
}

lloyd_status lloyd_options_json(const lloyd_fit_options *o, char **json)
{
    return lloyd_options_to_json(options_of(LLOYD_COMMAND_FIT), o, json);
}

/* --- what all ranks must have alike --- */

/* Each line of `lines` is an item. */
static void add_lines(lloyd_agreement *agreement, const char *lines)
{
    while (*lines != '\0') {
        int length = (int)strcspn(lines, "\n");
        lloyd_agreement_add(agreement, "%.*s", length, lines);
        lines += length + (lines[length] == '\n');
    }
}

lloyd_status lloyd_options_agreement(lloyd_command_id command, const void *fields,
                                     lloyd_agreement *agreement)
{
    const lloyd_option_role roles[] = {LLOYD_OPTION_DECIDES, LLOYD_OPTION_ALIKE};
    for (int i = 0; i < 2; i++) {
        char *lines = NULL;
        LLOYD_TRY(lloyd_options_list(options_of(command), fields, roles[i], 0, &lines));
        add_lines(agreement, lines);
        free(lines);
    }
    return LLOYD_OK;
}
