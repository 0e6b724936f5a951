/* The head of a report: what was clustered, and the figures that matter most. */
#ifndef LLOYD_REPORT_HEAD_H
#define LLOYD_REPORT_HEAD_H

#include "report/content.h"

/* The head of the HTML file, and the title of the page. */
void lloyd_report_head(const lloyd_report_content *report);

/* Final inertia, iterations, time per iteration, ... as tiles. */
void lloyd_report_tiles(const lloyd_report_content *report);

/* What a reader should know before trusting the model, and before trusting the page: another version, a missing
 * log. */
void lloyd_report_warnings(const lloyd_report_content *report);
void lloyd_report_doubts(const lloyd_report_content *report);

#endif
