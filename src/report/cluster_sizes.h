/* The section about the sizes of the clusters. */
#ifndef LLOYD_REPORT_CLUSTER_SIZES_H
#define LLOYD_REPORT_CLUSTER_SIZES_H

#include "report/content.h"

lloyd_status lloyd_report_sizes(const lloyd_report_content *report);

#endif
