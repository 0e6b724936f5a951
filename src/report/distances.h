/* The section about the distances of the rows to their centroids. */
#ifndef LLOYD_REPORT_DISTANCES_H
#define LLOYD_REPORT_DISTANCES_H

#include "report/content.h"

/* Nothing where the model has no distances. */
void lloyd_report_distances(const lloyd_report_content *report);

#endif
