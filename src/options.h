/* Checks of options that the C API and the command line share. */
#ifndef LLOYD_OPTIONS_H
#define LLOYD_OPTIONS_H

#include "lloyd.h"

/* LLOYD_USAGE where a value is outside what lloyd.h allows or names something this build does not
 * have. */
lloyd_status lloyd_options_check_fit(const lloyd_fit_options *options);
lloyd_status lloyd_options_check_fit_rows(const lloyd_fit_options *options);
lloyd_status lloyd_options_check_predict(const lloyd_predict_options *options);

/* 1 where --init names a model file and no method. */
int lloyd_options_init_is_model(const lloyd_fit_options *options);

/* --checkpoint-every: after so many iterations or, where these are 0, so many seconds. */
typedef struct lloyd_every {
    int64_t iterations;
    double seconds;
} lloyd_every;

/* LLOYD_USAGE where it is neither a number nor a time. */
lloyd_status lloyd_options_every(const lloyd_fit_options *options, lloyd_every *every);

/* The options that decide the result, but for --max-iters, which may change, one per line, in
 * *lines; free() it. init: a hash of the centroids of --init MODEL.h5. */
lloyd_status lloyd_options_deciding(const lloyd_fit_options *options, uint64_t init, char **lines);

/* All options of a fit as one line of JSON, in *json; free() it. */
lloyd_status lloyd_options_json(const lloyd_fit_options *options, char **json);

#endif
