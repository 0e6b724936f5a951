/* A communicator of one rank. */
#ifndef LLOYD_COMM_SELF_H
#define LLOYD_COMM_SELF_H

#include "comm/comm.h"

lloyd_status lloyd_comm_self(lloyd_comm **comm);

#endif
