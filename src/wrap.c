/* lloyd wrap: one rank makes the file, all ranks know how it went. */
#include "lloyd.h"

#include "comm/comm.h"
#include "facts.h"
#include "io/output.h"

#include <stdio.h>

static lloyd_status wrap(const char *raw, const char *output)
{
    int64_t rows = 0, columns = 0;
    const char *type = "";
    if (!raw || !output)
        return lloyd_fail(LLOYD_USAGE, "wrap needs a raw file and the name of its output");
    LLOYD_TRY(lloyd_output_check(output, NULL));
    LLOYD_TRY(lloyd_output_check_apart(output, raw));
    lloyd_status status = lloyd_wrap(raw, output, &rows, &columns, &type);
    if (status == LLOYD_OK) status = lloyd_output_commit(output);
    if (status != LLOYD_OK) {
        lloyd_output_discard(output);
        return status;
    }
    printf("%s: /train, %lld x %lld %s, points into %s\n", output, (long long)rows,
           (long long)columns, type, raw);
    return LLOYD_OK;
}

lloyd_status lloyd_wrap_file(lloyd_comm *comm, const char *raw, const char *output)
{
    lloyd_facts facts = {0};
    lloyd_facts_begin(&facts, "wrap");
    lloyd_facts_option(&facts, "the file", raw);
    lloyd_facts_option(&facts, "--output", output);
    LLOYD_TRY(lloyd_facts_compare(comm, LLOYD_OK, &facts, &lloyd_differing_options));
    return comm->agree(comm, comm->rank == 0 ? wrap(raw, output) : LLOYD_OK);
}
