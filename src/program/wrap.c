/* lloyd wrap: one rank makes the file, all ranks know how it went. */
#include "lloyd.h"

#include "comm/comm.h"
#include "io/guard.h"
#include "io/writers/output.h"
#include "io/writers/wrap.h"
#include "job/facts.h"

#include <stdio.h>

static lloyd_status check_paths(const char *raw, const char *output)
{
    lloyd_guard guard = {.items = NULL};
    lloyd_status status = lloyd_guard_read(&guard, "the file that it wraps,", raw);
    if (status == LLOYD_OK) status = lloyd_guard_write(&guard, "--output", output);
    if (status == LLOYD_OK) status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static lloyd_status wrap(const char *raw, const lloyd_output *output)
{
    int64_t rows = 0, columns = 0;
    const char *type = "";
    lloyd_status status = lloyd_wrap(raw, output, &rows, &columns, &type);
    if (status == LLOYD_OK) status = lloyd_output_commit(output);
    if (status != LLOYD_OK) {
        lloyd_output_discard(output);
        return status;
    }
    printf("%s: /train, %lld x %lld %s, points into %s\n", output->path, (long long)rows,
           (long long)columns, type, raw);
    return LLOYD_OK;
}

static lloyd_status open_and_wrap(const char *raw, const char *path, int force)
{
    lloyd_output output;
    if (!raw || !path)
        return lloyd_fail(LLOYD_USAGE, "wrap needs a raw file and the name of its output");
    LLOYD_TRY(check_paths(raw, path));
    LLOYD_TRY(lloyd_output_open(path, force, &output));
    lloyd_status status = lloyd_output_tidy(&output);
    if (status == LLOYD_OK) status = wrap(raw, &output);
    lloyd_output_close(&output);
    return status;
}

lloyd_status lloyd_wrap_file(lloyd_comm *comm, const char *raw, const char *output, int force)
{
    lloyd_facts facts = {0};
    lloyd_facts_begin(&facts, "wrap");
    lloyd_facts_option(&facts, "the file", raw);
    lloyd_facts_option(&facts, "--output", output);
    LLOYD_TRY(lloyd_facts_compare(comm, LLOYD_OK, &facts, &lloyd_differing_options));
    return comm->agree(comm, comm->rank == 0 ? open_and_wrap(raw, output, force) : LLOYD_OK);
}
