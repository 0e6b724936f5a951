/* The output of a job of several ranks: rank 0 names it, all ranks write their rows to it. */
#ifndef LLOYD_OUTPUTS_H
#define LLOYD_OUTPUTS_H

#include "comm/comm.h"
#include "io/writers/output.h"

/* All ranks get the output that rank 0 has opened: its partial file has one name for all. `path` is
 * known to all. Collective. */
lloyd_status lloyd_outputs_share(lloyd_comm *comm, const char *path, lloyd_output *output);

#endif
