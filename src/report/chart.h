/* Plots as inline SVG: one series each, round ticks, colours from the page's style sheet.
 *
 * All plots have the same size and margins, so that those in a row are aligned. Points that an axis
 * cannot show (not finite; not positive on a logarithmic one) are left out, and of many points so
 * many as make a difference to the eye are drawn.
 */
#ifndef LLOYD_CHART_H
#define LLOYD_CHART_H

#include <stdint.h>
#include <stdio.h>

typedef struct lloyd_chart {
    const char *id; /* unique in the page */
    const char *title, *describe;
    const char *x_title, *y_title;
    const char *point; /* what a point is called: "iteration" */
    const double *x;   /* [count]; NULL: first, first + 1, ... */
    const double *y;   /* [count] */
    int64_t first, count;
    double x_log, y_log; /* logarithmic from this ratio of largest and smallest on; 0: never */
    int y_zero;          /* 1: a linear y axis begins at 0 */
    int y_whole;         /* 1: y are whole numbers, and so are its ticks */
    int x_real;          /* of a histogram: 0: its edges are whole numbers */
    const double *marks; /* [mark_count] of a histogram: places on the x axis, with their names */
    const char *const *mark_names;
    int mark_count;
} lloyd_chart;

/* A curve. Texts are escaped here. */
void lloyd_chart_line(FILE *out, const lloyd_chart *chart);

/* Bars side by side: chart->x are count + 1 edges, rising and positive, on a logarithmic axis;
 * chart->y are heights, whole numbers. Marks that are not between the edges are left out. */
void lloyd_chart_histogram(FILE *out, const lloyd_chart *chart);

/* A bar for each name, with its value in seconds; values that are not positive have none. Only id,
 * title, describe, y and count of `chart` are used. */
void lloyd_chart_rows(FILE *out, const lloyd_chart *chart, const char *const *names);

#endif
