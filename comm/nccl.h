/* Sums of device buffers by NCCL. In builds with NCCL only. */
#ifndef LLOYD_COMM_NCCL_H
#define LLOYD_COMM_NCCL_H

#include "comm/comm.h"

/* Sums device buffers over the ranks of `base`, which does all else and must live longer; destroy()
 * ends NCCL only, and a failure of NCCL breaks `base` too. `device`: the GPU of this rank, no other
 * rank's. NCCL is not started for one rank. Collective. */
lloyd_status lloyd_comm_nccl(lloyd_comm *base, int device, lloyd_comm **comm);

#endif
