/* The small functions of lloyd.h and lloyd_mpi.h: communicators and defaults. */
#include "lloyd/lloyd_mpi.h"

#include "comm/mpi.h"
#include "comm/self.h"
#include "options/table.h"
#include "options/value.h"

const char *lloyd_version(void)
{
    return LLOYD_VERSION;
}

lloyd_status lloyd_comm_open_self(lloyd_comm **comm)
{
    return lloyd_comm_self(comm);
}

lloyd_status lloyd_comm_open_world(lloyd_comm **comm)
{
    return lloyd_comm_world(comm);
}

lloyd_status lloyd_comm_open_mpi(MPI_Comm mpi, lloyd_comm **comm)
{
    return lloyd_comm_over(mpi, comm);
}

int lloyd_comm_rank(const lloyd_comm *comm)
{
    return comm->rank;
}

int lloyd_comm_size(const lloyd_comm *comm)
{
    return comm->size;
}

void lloyd_comm_abort(lloyd_comm *comm, lloyd_status status)
{
    comm->abort(comm, status);
}

void lloyd_comm_close(lloyd_comm *comm)
{
    if (comm) comm->destroy(comm);
}

void lloyd_fit_defaults(lloyd_fit_options *options)
{
    *options = (lloyd_fit_options){.inputs = NULL};
    lloyd_options_set_defaults(lloyd_commands[LLOYD_COMMAND_FIT].options, options);
}

void lloyd_predict_defaults(lloyd_predict_options *options)
{
    *options = (lloyd_predict_options){.inputs = NULL};
    lloyd_options_set_defaults(lloyd_commands[LLOYD_COMMAND_PREDICT].options, options);
}

void lloyd_select_defaults(lloyd_select_options *options)
{
    *options = (lloyd_select_options){.clusters = NULL};
    lloyd_options_set_defaults(lloyd_commands[LLOYD_COMMAND_SELECT].options, options);
}

void lloyd_split_defaults(lloyd_split_options *options)
{
    *options = (lloyd_split_options){.model = NULL};
    lloyd_options_set_defaults(lloyd_commands[LLOYD_COMMAND_SPLIT].options, options);
}
