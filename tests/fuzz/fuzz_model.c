/* Models whose content is arbitrary in files that are whole: the input is a list of datasets and
 * attributes, of any name, type, shape and layout, and HDF5 makes a file in memory of it. (Files that
 * are damaged are tests/unit/io/test_hostile.c's: there HDF5 itself may fail, which would end a search
 * here.) What is accepted must be a model, and nothing of HDF5 may stay open. */
#include "content.h"
#include "io/writers/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const datasets[] = {"/centroids",     "/counts",          "/history/inertia",
                                       "/history/moved", "/history/seconds", "/history"};
static const char *const attributes[] = {"n",       "seed",    "inertia", "converged", "ranks",
                                         "version", "options", "backend", "metric",    "inputs"};

static void make_file(bytes b)
{
    hid_t file = H5Fcreate(fuzz_file(NULL), H5F_ACC_TRUNC, H5P_DEFAULT, fuzz_access());
    if (file < 0) abort();
    for (int i = 0; i < 20 && b.at < b.end; i++) {
        if (take(&b) % 2) {
            add_attribute(&b, file, attributes[take(&b) % 10]);
        } else {
            add_dataset(&b, file, datasets[take(&b) % 6]);
        }
    }
    if (H5Fclose(file) < 0) abort();
}

static void check(const lloyd_model *m)
{
    if (m->k < 1 || m->d < 1 || !m->centroids || !m->version || !m->command || !m->options ||
        !m->backend || m->iterations < 0 || m->input_count < 0)
        abort();
    for (int64_t i = 0; i < m->k * m->d; i++)
        if (!isfinite(m->centroids[i])) abort();
    volatile double sum = 0; /* reads all that there is, under the sanitizer's eyes */
    for (int64_t i = 0; m->counts && i < m->k; i++) sum = sum + (double)m->counts[i];
    for (int64_t i = 0; i < m->iterations; i++)
        sum = sum + m->inertia[i] + (m->moved ? (double)m->moved[i] : 0) +
              (m->seconds ? m->seconds[i] : 0);
    for (int i = 0; i < m->input_count; i++) sum = sum + (double)strlen(m->inputs[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lloyd_model model;
    const char *path = fuzz_file(NULL);
    make_file((bytes){data, data + size});
    hsize_t before = open_objects();
    lloyd_status status = lloyd_model_read(path, &model);
    if (status == LLOYD_OK) {
        check(&model);
        lloyd_model_free(&model);
    } else {
        if (getenv("SHOW_MESSAGES")) fprintf(stderr, "%s\n", lloyd_message());
        if ((status != LLOYD_BAD_INPUT && status != LLOYD_FAILED) || lloyd_message()[0] == '\0')
            abort();
    }
    if (open_objects() != before) abort();
    return 0;
}
