/* The section about where the time went. */
#ifndef LLOYD_REPORT_TIMING_H
#define LLOYD_REPORT_TIMING_H

#include "report/content.h"

lloyd_status lloyd_report_timing(const lloyd_report_content *report);

#endif
