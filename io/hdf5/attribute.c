/* See attribute.h. */
#include "io/hdf5/attribute.h"

#include "io/hdf5/h5.h"

#include <stdlib.h>
#include <string.h>

static int is_number(hid_t type)
{
    H5T_class_t class = H5Tget_class(type);
    return class == H5T_FLOAT || class == H5T_INTEGER;
}

static lloyd_status no_memory(const char *path)
{
    return lloyd_fail(LLOYD_FAILED, "cannot read %s: out of memory", path);
}

/* What is there but does not come out: a model without it would be another. */
static lloyd_status unreadable(const char *path, const char *name)
{
    char text[256];
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s of %s: %s; the file may be damaged", name,
                      path, lloyd_h5_reason(text, sizeof text));
}

/* An attribute with its type and shape, while it is read. */
typedef struct attribute {
    hid_t id, type, space; /* id < 0: there is none of that name, or it is no single value */
} attribute;

static void close_attribute(attribute *a)
{
    if (a->space >= 0) H5Sclose(a->space);
    if (a->type >= 0) H5Tclose(a->type);
    if (a->id >= 0) H5Aclose(a->id);
    a->id = a->type = a->space = H5I_INVALID_HID;
}

static lloyd_status open_attribute(const char *path, hid_t file, const char *name, attribute *a)
{
    *a = (attribute){H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID};
    htri_t exists = H5Aexists(file, name);
    if (exists == 0) return LLOYD_OK;
    if (exists > 0) a->id = H5Aopen(file, name, H5P_DEFAULT);
    if (a->id >= 0) a->type = H5Aget_type(a->id);
    if (a->type >= 0) a->space = H5Aget_space(a->id);
    if (a->space < 0) {
        close_attribute(a);
        return unreadable(path, name);
    }
    if (H5Sget_simple_extent_npoints(a->space) != 1) close_attribute(a);
    return LLOYD_OK;
}

lloyd_status lloyd_h5_number(const char *path, hid_t file, const char *name, hid_t as, void *value)
{
    attribute a;
    LLOYD_TRY(open_attribute(path, file, name, &a));
    if (a.id < 0) return LLOYD_OK;
    int failed = is_number(a.type) && H5Aread(a.id, as, value) < 0;
    close_attribute(&a);
    return failed ? unreadable(path, name) : LLOYD_OK;
}

/* *text = that of an attribute, of fixed or variable length; NULL if it is no text. Free with
 * free(). */
static lloyd_status attribute_text(const char *path, const char *name, const attribute *a,
                                   char **text)
{
    *text = NULL;
    if (H5Tget_class(a->type) != H5T_STRING) return LLOYD_OK;
    if (H5Tis_variable_str(a->type) > 0) {
        char *read = NULL;
        if (H5Aread(a->id, a->type, &read) < 0) return unreadable(path, name);
        *text = strdup(read ? read : "");
        H5free_memory(read);
        return *text ? LLOYD_OK : no_memory(path);
    }
    *text = calloc(H5Tget_size(a->type) + 1, 1);
    if (!*text) return no_memory(path);
    return H5Aread(a->id, a->type, *text) < 0 ? unreadable(path, name) : LLOYD_OK;
}

lloyd_status lloyd_h5_text(const char *path, hid_t file, const char *name, char **text)
{
    attribute a;
    *text = NULL;
    LLOYD_TRY(open_attribute(path, file, name, &a));
    lloyd_status status = a.id < 0 ? LLOYD_OK : attribute_text(path, name, &a, text);
    close_attribute(&a);
    if (status != LLOYD_OK || *text) return status;
    *text = strdup("");
    return *text ? LLOYD_OK : no_memory(path);
}
