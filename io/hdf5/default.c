/* See default.h. */
#include "io/hdf5/default.h"

#include "io/hdf5/h5.h"

#include <stdlib.h>
#include <string.h>

/* Whether there is nothing two-dimensional in a file, and all of it could be looked at. */
static int has_no_rows(hid_t file)
{
    lloyd_h5_list list;
    lloyd_h5_list_datasets(file, 2, &list);
    int none = list.count == 0 && !list.unreadable;
    lloyd_h5_list_free(&list);
    return none;
}

/* *kind = what lloyd calls a file that it has written itself and that holds no rows; NULL for any
 * other. By the attributes that the program gives them: a file with nothing but /centroids, from
 * elsewhere, is rows like any other. */
static lloyd_status own_kind(hid_t file, const char *path, const char **kind)
{
    static const char *const of_model[] = {"version", "command", "options", "inputs", "metric"};
    htri_t checkpoint = H5Aexists(file, "checkpoint"), model = 1;
    for (size_t i = 0; i < sizeof of_model / sizeof *of_model && model > 0; i++)
        model = H5Aexists(file, of_model[i]);
    if (model > 0) model = H5Lexists(file, "/centroids", H5P_DEFAULT);
    htri_t labels = H5Lexists(file, "/labels", H5P_DEFAULT);
    *kind = NULL;
    if (checkpoint < 0 || model < 0 || labels < 0) {
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot read what %s holds; the file may be damaged",
                          path);
    }
    if (checkpoint > 0) {
        *kind = "a checkpoint of lloyd fit";
    } else if (model > 0) {
        *kind = "a model of lloyd fit";
    } else if (labels > 0 && has_no_rows(file)) {
        *kind = "labels, as lloyd predict writes them";
    }
    return LLOYD_OK;
}

lloyd_status lloyd_default_dataset(hid_t file, const char *path, char **name)
{
    const char *kind;
    *name = NULL;
    LLOYD_TRY(own_kind(file, path, &kind));
    if (kind) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s holds no rows to read: it is %s; give a pattern that leaves it out, or "
            "FILE:DATASET if one of its datasets is meant",
            path, kind);
    }
    lloyd_h5_list list;
    lloyd_h5_list_datasets(file, 2, &list);
    if (list.count == 1 && !list.unreadable) {
        *name = list.names[0];
        list.names[0] = NULL;
    }
    lloyd_h5_list_free(&list);
    if (*name) return LLOYD_OK;
    if (H5Lexists(file, "/train", H5P_DEFAULT) > 0) {
        *name = strdup("/train");
        return *name ? LLOYD_OK : lloyd_fail(LLOYD_FAILED, "cannot open %s: out of memory", path);
    }
    char text[1024];
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot tell which dataset of %s is meant: it has no /train, and %s; name one as FILE:DATASET",
        path, lloyd_h5_list_text(file, 2, text, sizeof text));
}
