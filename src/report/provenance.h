/* The section about how the model was made: command, machine, options, input files. */
#ifndef LLOYD_REPORT_PROVENANCE_H
#define LLOYD_REPORT_PROVENANCE_H

#include "report/content.h"

lloyd_status lloyd_report_provenance(const lloyd_report_content *report);

#endif
