/* See common.h. */
#include "job/checkpoint/common.h"

#include "base/log.h"
#include "base/stop.h"
#include "io/writers/checkpoint.h"

#include <stdio.h>
#include <string.h>

lloyd_status lloyd_checkpoint_look(const char *file, int resume, int split, int *reads)
{
    *reads = 0;
    LLOYD_TRY(lloyd_saved_check_writable(file));
    const int there = lloyd_saved_exists(file);
    if (there && !resume) {
        LLOYD_TRY(lloyd_saved_check_replaceable(file));
        lloyd_note("%s exists and will be replaced; --resume would read it instead", file);
    } else if (!there && resume) {
        lloyd_note("%s does not exist yet: the %s starts anew", file, split ? "split" : "fit");
    }
    *reads = there && resume;
    return LLOYD_OK;
}

lloyd_status lloyd_checkpoint_refuse(const char *file, const char *was, const char *is)
{
    return lloyd_fail(LLOYD_USAGE,
                      "%s was written with %s, but this command has %s; give the options it was "
                      "written with, or another --checkpoint",
                      file, was, is);
}

lloyd_status lloyd_checkpoint_compare(const char *file, const char *was, const char *is)
{
    while (*was != '\0' || *is != '\0') {
        int was_length = (int)strcspn(was, "\n"), is_length = (int)strcspn(is, "\n");
        if (was_length != is_length || strncmp(was, is, (size_t)is_length) != 0) {
            char old[512], new[512];
            snprintf(old, sizeof old, "%.*s", was_length, was);
            snprintf(new, sizeof new, "%.*s", is_length, is);
            return lloyd_checkpoint_refuse(file, old, new);
        }
        was += was_length + (was[was_length] == '\n');
        is += is_length + (is[is_length] == '\n');
    }
    return LLOYD_OK;
}

lloyd_status lloyd_checkpoint_compare_shape(const char *file, int64_t n, int64_t d,
                                            const char *type, const lloyd_rows *rows)
{
    const int64_t n_now = lloyd_rows_count(rows), d_now = lloyd_rows_dim(rows);
    const char *type_now = lloyd_type_name(lloyd_rows_type(rows));
    if (n == n_now && d == d_now && strcmp(type, type_now) == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s was made from %lld rows x %lld columns of %s, but the input is %lld x "
                      "%lld of %s; give the data it was made from, or another --checkpoint",
                      file, (long long)n, (long long)d, type, (long long)n_now, (long long)d_now,
                      type_now);
}

lloyd_status lloyd_checkpoint_other_data(const char *file)
{
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s was made from other data: the shape is the same, but not the "
                      "values or their order; give the data it was made from, or another "
                      "--checkpoint",
                      file);
}

lloyd_status lloyd_checkpoint_signal(lloyd_comm *comm, int *signal)
{
    double value = lloyd_stop_signal();
    LLOYD_TRY(comm->max(comm, &value, 1));
    *signal = (int)value;
    return LLOYD_OK;
}

lloyd_status lloyd_checkpoint_inputs(const lloyd_rows *rows, char **inputs)
{
    size_t bytes = 0;
    FILE *out = open_memstream(inputs, &bytes);
    for (int i = 0; out && i < lloyd_rows_files(rows); i++)
        fprintf(out, "%s%s", i > 0 ? "\n" : "", lloyd_rows_file(rows, i));
    if (out && fclose(out) == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "out of memory for the list of input files");
}
