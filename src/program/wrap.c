/* lloyd wrap: one rank makes the file, all ranks know how it went. */
#include "lloyd/lloyd.h"

#include "base/memory.h"
#include "comm/comm.h"
#include "io/guard.h"
#include "io/input.h"
#include "io/writers/output.h"
#include "io/writers/wrap.h"
#include "job/agreement.h"
#include "job/options.h"
#include "options/table.h"
#include "options/value.h"

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

static void print_wrapped(const lloyd_output *output, const char *const *paths, int count,
                          const lloyd_wrapped *wrapped)
{
    printf("%s: /train, %lld x %lld %s, points into %s", output->path, (long long)wrapped->rows,
           (long long)wrapped->columns, wrapped->type, paths[0]);
    if (count > 1) printf(" and %d more file%s", count - 1, count > 2 ? "s" : "");
    printf("\n");
}

static lloyd_status wrap(const lloyd_input_list *raw, const lloyd_headerless *headerless,
                         const lloyd_output *output)
{
    lloyd_wrapped wrapped;
    const char **paths;
    LLOYD_TRY(lloyd_alloc(&paths, raw->count, sizeof *paths, "the list of raw files"));
    for (int i = 0; i < raw->count; i++) paths[i] = raw->items[i].path;
    lloyd_status status = lloyd_wrapped_write(paths, raw->count, headerless, output, &wrapped);
    if (status == LLOYD_OK) status = lloyd_output_commit(output);
    if (status == LLOYD_OK) {
        print_wrapped(output, paths, raw->count, &wrapped);
    } else {
        lloyd_output_discard(output);
    }
    lloyd_free(paths);
    return status;
}

static lloyd_status open_and_wrap(const lloyd_input_list *raw, const lloyd_headerless *headerless,
                                  const lloyd_wrap_options *options)
{
    lloyd_output output;
    LLOYD_TRY(check_paths(raw, options->output));
    LLOYD_TRY(lloyd_output_open(options->output, options->force, &output));
    lloyd_status status = lloyd_output_tidy(&output);
    if (status == LLOYD_OK) status = wrap(raw, headerless, &output);
    lloyd_output_close(&output);
    return status;
}

static int names_files(const lloyd_wrap_options *options)
{
    int named = options->inputs != NULL && options->input_count > 0;
    for (int i = 0; named && i < options->input_count; i++)
        named = options->inputs[i] != NULL && *options->inputs[i] != '\0';
    return named;
}

static lloyd_status expand_and_wrap(const lloyd_wrap_options *options)
{
    lloyd_input_form form;
    lloyd_input_list raw = {0};
    lloyd_status status = lloyd_input_form_make(NULL, options->raw, options->dim, &form);
    for (int i = 0; i < options->input_count && status == LLOYD_OK; i++)
        status = lloyd_input_files(options->inputs[i], &raw);
    if (status == LLOYD_OK) status = open_and_wrap(&raw, &form.headerless, options);
    lloyd_input_free(&raw);
    return status;
}

static lloyd_status compare_options(lloyd_comm *comm, const lloyd_wrap_options *options)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "wrap");
    lloyd_status status =
        names_files(options)
            ? lloyd_options_check(lloyd_commands[LLOYD_COMMAND_WRAP].options, options, 0)
            : lloyd_fail(LLOYD_USAGE, "wrap needs the names of raw files");
    if (status == LLOYD_OK) {
        for (int i = 0; i < options->input_count; i++)
            lloyd_agreement_option(&agreement, "the file", options->inputs[i]);
        status = lloyd_options_agreement(LLOYD_COMMAND_WRAP, options, &agreement);
    }
    return lloyd_agreement_compare(comm, status, &agreement, &lloyd_differing_options);
}

lloyd_status lloyd_wrap(lloyd_comm *comm, const lloyd_wrap_options *options)
{
    LLOYD_TRY(compare_options(comm, options));
    return comm->agree(comm, comm->rank == 0 ? expand_and_wrap(options) : LLOYD_OK);
}
