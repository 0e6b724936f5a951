/* Checks of options that the C API and the command line share. */
#ifndef LLOYD_OPTIONS_H
#define LLOYD_OPTIONS_H

#include "lloyd.h"

/* LLOYD_USAGE where a value is outside what lloyd.h allows or names something this build does not
 * have. */
lloyd_status lloyd_options_check_fit(const lloyd_fit_options *options);
lloyd_status lloyd_options_check_predict(const lloyd_predict_options *options);

/* All options of a fit as one line of JSON, in *json; free() it. */
lloyd_status lloyd_options_json(const lloyd_fit_options *options, char **json);

#endif
