/* The options of a job: what the table (options/table.c) cannot say of them. */
#ifndef LLOYD_OPTIONS_H
#define LLOYD_OPTIONS_H

#include "job/agreement.h"
#include "kernels/kernels.h"
#include "lloyd/lloyd.h"
#include "options/option.h"

/* LLOYD_USAGE where a value is outside what lloyd.h allows or names something this build does not
 * have. */
lloyd_status lloyd_options_check_fit(const lloyd_fit_options *options);
lloyd_status lloyd_options_check_fit_rows(const lloyd_fit_options *options);
lloyd_status lloyd_options_check_predict(const lloyd_predict_options *options);
lloyd_status lloyd_options_check_predict_rows(const lloyd_predict_options *options);
lloyd_status lloyd_options_check_synth(const lloyd_synth_options *options);

/* Adds all options of a command that must be the same on all ranks: those that decide the result, and
 * those that decide which collective calls are made or which files are written (option.h). `fields`: the
 * command's struct. Input files and models are items of their own. */
lloyd_status lloyd_options_agreement(lloyd_command_id command, const void *fields,
                                     lloyd_agreement *agreement);

/* 1 where --init names a model file and no method. */
int lloyd_options_init_is_model(const lloyd_fit_options *options);

/* The rows that seeding looks at, of n. */
int64_t lloyd_options_sample(const lloyd_fit_options *options, int64_t n, int weighted);

/* Whether --init is a method that tries several rows for each centroid. */
int lloyd_options_tries(const lloyd_fit_options *options);

/* What --filter names. */
lloyd_filter lloyd_options_filter(const char *name);

/* What --prune names. */
lloyd_prune lloyd_options_prune(const char *name);

/* --checkpoint-every: after so many iterations (or whatever is counted) or, where these are 0, so many
 * seconds. */
typedef struct lloyd_every {
    int64_t count;
    double seconds;
} lloyd_every;

/* text: NULL: the default; of: what is counted, "iterations". LLOYD_USAGE where it is neither a number nor a
 * time. */
lloyd_status lloyd_options_every(const char *text, const char *of, lloyd_every *every);

/* LLOYD_USAGE where --resume or --checkpoint-every has no --checkpoint, or the latter is wrong. */
lloyd_status lloyd_options_check_checkpoint(const char *checkpoint, const char *every, int resume,
                                            const char *of);

/* The options that decide the result, but for --max-iters, which may change, one per line, in
 * *lines; free() it. init: a hash of the centroids of --init MODEL.h5; 0: they are not known yet. */
lloyd_status lloyd_options_deciding(const lloyd_fit_options *options, uint64_t init, char **lines);

/* All options of a fit as one line of JSON, in *json; free() it. */
lloyd_status lloyd_options_json(const lloyd_fit_options *options, char **json);

#endif
