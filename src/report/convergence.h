/* The section about the iterations: inertia, its decrease, labels that moved. */
#ifndef LLOYD_REPORT_CONVERGENCE_H
#define LLOYD_REPORT_CONVERGENCE_H

#include "report/content.h"

lloyd_status lloyd_report_convergence(const lloyd_report_content *report);

#endif
