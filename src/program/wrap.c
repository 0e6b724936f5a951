/* lloyd wrap: one rank makes the file, all ranks know how it went. */
#include "lloyd.h"

#include "base/memory.h"
#include "comm/comm.h"
#include "io/guard.h"
#include "io/input.h"
#include "io/writers/output.h"
#include "io/writers/wrap.h"
#include "job/agreement.h"

#include <stdio.h>

static lloyd_status check_paths(const lloyd_input_list *raw, const char *output)
{
    lloyd_guard guard = {.items = NULL};
    lloyd_status status = LLOYD_OK;
    for (int i = 0; i < raw->count && status == LLOYD_OK; i++)
        status = lloyd_guard_read(&guard, "the file that it wraps,", raw->items[i].path);
    if (status == LLOYD_OK) status = lloyd_guard_write(&guard, "--output", output);
    if (status == LLOYD_OK) status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static void print_wrapped(const lloyd_output *output, const lloyd_input_list *raw,
                          const lloyd_wrapped *wrapped)
{
    printf("%s: /train, %lld x %lld %s, points into %s", output->path, (long long)wrapped->rows,
           (long long)wrapped->columns, wrapped->type, raw->items[0].path);
    if (raw->count > 1) printf(" and %d more file%s", raw->count - 1, raw->count > 2 ? "s" : "");
    printf("\n");
}

static lloyd_status wrap(const lloyd_input_list *raw, const lloyd_output *output)
{
    lloyd_wrapped wrapped;
    const char **paths;
    LLOYD_TRY(lloyd_alloc(&paths, raw->count, sizeof *paths, "the list of raw files"));
    for (int i = 0; i < raw->count; i++) paths[i] = raw->items[i].path;
    lloyd_status status = lloyd_wrap(paths, raw->count, output, &wrapped);
    lloyd_free(paths);
    if (status == LLOYD_OK) status = lloyd_output_commit(output);
    if (status == LLOYD_OK) {
        print_wrapped(output, raw, &wrapped);
    } else {
        lloyd_output_discard(output);
    }
    return status;
}

static lloyd_status open_and_wrap(const lloyd_input_list *raw, const char *path, int force)
{
    lloyd_output output;
    LLOYD_TRY(check_paths(raw, path));
    LLOYD_TRY(lloyd_output_open(path, force, &output));
    lloyd_status status = lloyd_output_tidy(&output);
    if (status == LLOYD_OK) status = wrap(raw, &output);
    lloyd_output_close(&output);
    return status;
}

/* `raw`: a file, or a pattern that stands for several. */
static lloyd_status expand_and_wrap(const char *raw, const char *path, int force)
{
    lloyd_input_list list = {0};
    if (!raw || !path)
        return lloyd_fail(LLOYD_USAGE, "wrap needs a raw file and the name of its output");
    lloyd_status status = lloyd_input_files(raw, &list);
    if (status == LLOYD_OK) status = open_and_wrap(&list, path, force);
    lloyd_input_free(&list);
    return status;
}

lloyd_status lloyd_wrap_file(lloyd_comm *comm, const char *raw, const char *output, int force)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "wrap");
    lloyd_agreement_option(&agreement, "the file", raw);
    lloyd_agreement_option(&agreement, "--output", output);
    LLOYD_TRY(lloyd_agreement_compare(comm, LLOYD_OK, &agreement, &lloyd_differing_options));
    return comm->agree(comm, comm->rank == 0 ? expand_and_wrap(raw, output, force) : LLOYD_OK);
}
