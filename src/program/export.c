/* lloyd export: one rank writes the files, all ranks know how it went. */
#include "lloyd/lloyd.h"

#include "comm/comm.h"
#include "io/export/export.h"
#include "job/agreement.h"
#include "job/options.h"
#include "options/table.h"
#include "options/value.h"

#include <stdio.h>

static lloyd_status compare_options(lloyd_comm *comm, const lloyd_export_options *options)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "export");
    lloyd_status status =
        options->model && *options->model
            ? lloyd_options_check(lloyd_commands[LLOYD_COMMAND_EXPORT].options, options, 0)
            : lloyd_fail(LLOYD_USAGE, "export needs the name of a model");
    if (status == LLOYD_OK) {
        lloyd_agreement_option(&agreement, "the model", options->model);
        status = lloyd_options_agreement(LLOYD_COMMAND_EXPORT, options, &agreement);
    }
    return lloyd_agreement_compare(comm, status, &agreement, &lloyd_differing_options);
}

static lloyd_status run(const lloyd_export_options *options)
{
    const lloyd_export_job what = {.model = options->model,
                                   .folder = options->to,
                                   .format = options->format,
                                   .version = LLOYD_VERSION,
                                   .force = options->force};
    int files;
    LLOYD_TRY(lloyd_export_run(&what, &files));
    printf("%s: %d array%s of %s\n", options->to, files, files == 1 ? "" : "s", options->model);
    return LLOYD_OK;
}

lloyd_status lloyd_export(lloyd_comm *comm, const lloyd_export_options *options)
{
    LLOYD_TRY(compare_options(comm, options));
    return comm->agree(comm, comm->rank == 0 ? run(options) : LLOYD_OK);
}
