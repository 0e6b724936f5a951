/* What the sections of a report have in common: the model, the log of its fit, the page they write to. */
#ifndef LLOYD_REPORT_CONTENT_H
#define LLOYD_REPORT_CONTENT_H

#include "io/writers/model.h"
#include "lloyd/lloyd.h"
#include "report/runlog.h"
#include "report/spread.h"

#include <stdint.h>
#include <stdio.h>

typedef struct lloyd_report_content {
    const lloyd_report_options *options;
    FILE *out;
    lloyd_model model;
    lloyd_spread spread; /* of the rows around their centroids */
    lloyd_runlog log;
    int logged;          /* 1: `log` is that of the model's fit */
    char *log_path;      /* of `log`; or the one that is missing */
    char log_note[2048]; /* why there is no log, "": none is known of */
} lloyd_report_content;

/* A formatted text, for captions; returns `text`. */
const char *lloyd_report_say(char *text, size_t bytes, const char *format, ...) LLOYD_PRINTF(3, 4);

/* "s", or "" for one. */
const char *lloyd_report_plural(int64_t count);

/* A paragraph that stands out, escaped. */
void lloyd_report_note(const lloyd_report_content *report, const char *text);

/* A row of a table: a name and a whole number. */
void lloyd_report_count_row(const lloyd_report_content *report, const char *name, int64_t count);

/* Seconds of all iterations of the model together. */
double lloyd_report_seconds(const lloyd_model *model);

/* The mean share of rows whose label was decided in double precision, over the iterations in the log;
 * NAN without a log. */
double lloyd_report_fallback_share(const lloyd_report_content *report);

/* The share of pairs of a row and a centroid that iteration t compared: 1 where it skipped none; NAN without
 * a log of it. */
double lloyd_report_compared_share(const lloyd_report_content *report, int64_t t);

/* 0 where the log begins with a resumed fit, and lacks iterations of the model. */
int lloyd_report_log_is_whole(const lloyd_report_content *report);

#endif
