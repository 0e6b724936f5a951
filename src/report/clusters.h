/* The section that names clusters: the largest, the smallest, those whose rows are farthest away. */
#ifndef LLOYD_REPORT_CLUSTERS_H
#define LLOYD_REPORT_CLUSTERS_H

#include "report/content.h"

/* Nothing where the model does not say how many rows its clusters have. */
void lloyd_report_clusters(const lloyd_report_content *report);

#endif
