/* Checkpoints with changes. The input is a list of changes to a checkpoint that lloyd wrote: other
 * values, types, shapes and layouts, or something missing. Then the file is sealed again, so that what
 * is behind the seal is reached; or a byte of the sealed file is changed, or its end cut off, and it
 * must be refused. What is accepted must be a checkpoint, and nothing of HDF5 may stay open. */
#include "base/hash.h"
#include "content.h"
#include "io/writers/checkpoint.h"
#include "io/writers/split_checkpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file begins with a line in so many bytes, as docs/formats.md has it. */
enum { SEAL = 512, BLOCK = 1 << 20 };

static const char *const datasets[] = {"/centroids",
                                       "/history/inertia",
                                       "/history/moved",
                                       "/history/seconds",
                                       "/best/centroids",
                                       "/best/history/inertia",
                                       "/best/history/moved",
                                       "/best/history/seconds",
                                       "/seeds",
                                       "/clusters",
                                       "/inertia",
                                       "/iterations",
                                       "/converged",
                                       "/subcentroids"};
static const char *const numbers[] = {"checkpoint",
                                      "n",
                                      "d",
                                      "k",
                                      "data",
                                      "max_iters",
                                      "restart",
                                      "iterations",
                                      "known",
                                      "moved",
                                      "inertia",
                                      "best_inertia",
                                      "best_converged",
                                      "best_iterations",
                                      "seeds",
                                      "seed_steps",
                                      "split",
                                      "filled",
                                      "cluster_labels",
                                      "done",
                                      "parts"};
static const char *const texts[] = {"version", "command", "options", "inputs", "type"};
enum {
    DATASETS = sizeof datasets / sizeof *datasets,
    NUMBERS = sizeof numbers / sizeof *numbers,
    ATTRIBUTES = NUMBERS + sizeof texts / sizeof *texts
};

typedef struct image {
    char *bytes;
    size_t size;
} image;

static image read_image(int file)
{
    struct stat info;
    if (fstat(file, &info) != 0) abort();
    image i = {malloc((size_t)info.st_size + 1), (size_t)info.st_size};
    if (!i.bytes || pread(file, i.bytes, i.size, 0) != (ssize_t)i.size) abort();
    return i;
}

static void write_image(int file, const image *i)
{
    if (ftruncate(file, (off_t)i->size) != 0 ||
        pwrite(file, i->bytes, i->size, 0) != (ssize_t)i->size)
        abort();
}

/* --- the checkpoints to begin with: in the first of two starts, in the second, and in its seeding; of a split --- */

enum { FIRST, SECOND, SEEDING, SPLIT, CHECKPOINTS };

static void fill(void *context, int64_t count, float *room)
{
    (void)context;
    for (int64_t i = 0; i < 2 * count; i++) room[i] = (float)i;
}

static lloyd_status write_split(const char *path)
{
    static const atomic_int no_hurry;
    static int64_t clusters[] = {0, 3, 4}, iterations[] = {7, 25, 0}, converged[] = {1, 0, 1};
    static double inertias[] = {1.5, 0, 2};
    const lloyd_saved_split saved = {.n = 100,
                                     .d = 2,
                                     .k = 5,
                                     .filled = 4,
                                     .type = (char *)"uint8",
                                     .inputs = (char *)"a.h5\nb.h5",
                                     .version = (char *)"1",
                                     .command = (char *)"lloyd split",
                                     .options = (char *)"-k 3\n--seed 7\n",
                                     .clusters = 6,
                                     .data = 5,
                                     .done = 3,
                                     .cluster = clusters,
                                     .inertia = inertias,
                                     .iterations = iterations,
                                     .converged = converged,
                                     .parts = 7};
    const lloyd_saved_centroids centroids = {fill, NULL};
    lloyd_saved_image made = {.bytes = NULL};
    lloyd_status status = lloyd_saved_split_draw(path, &saved, &centroids, &made);
    if (status == LLOYD_OK) status = lloyd_saved_store(path, &made, &no_hurry);
    lloyd_saved_discard(&made);
    return status;
}

static image make_checkpoint(unsigned kind)
{
    static int64_t seeds[] = {99, 0, 17};
    static double inertias[] = {9.5, 7.25, 7.0}, times[] = {0.5, 0.25, 0.125};
    static int64_t moves[] = {100, 30, 7};
    static float centroids[] = {1, 2, 3, 4, 5, 6};
    const lloyd_saved_run run = {3, inertias, times, moves, centroids};
    lloyd_saved saved = {.n = 100,
                         .d = 2,
                         .k = 3,
                         .type = (char *)"uint8",
                         .inputs = (char *)"a.h5\nb.h5",
                         .version = (char *)"1",
                         .command = (char *)"lloyd fit",
                         .options = (char *)"-k 3\n--seed 7\n",
                         .max_iters = 25,
                         .data = 5,
                         .restart = kind != FIRST,
                         .run = run,
                         .known = 1,
                         .moved = 12,
                         .inertia = 6.75};
    if (kind != FIRST) saved.best = run, saved.best_inertia = 6.25, saved.best_converged = 1;
    if (kind == SEEDING) {
        saved.run = (lloyd_saved_run){0};
        saved.known = 0;
        saved.drawn = 3, saved.rows = seeds, saved.steps = 2;
    }
    char path[4200];
    snprintf(path, sizeof path, "%s.ck", fuzz_file(NULL));
    lloyd_status status = kind == SPLIT ? write_split(path) : lloyd_saved_write(path, &saved);
    int file = status == LLOYD_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) abort();
    image made = read_image(file);
    close(file);
    unlink(path);
    return made;
}

static const image *checkpoint(unsigned kind)
{
    static image made[CHECKPOINTS];
    if (!made[kind].bytes) made[kind] = make_checkpoint(kind);
    return &made[kind];
}

/* --- changes --- */

/* Another value of the same type: few bytes make a small number. Only where a single number is, which
 * an earlier change may have taken away. */
static void change_number(bytes *b, hid_t file, const char *name)
{
    char value[8];
    size_t size = 1 + take(b) % sizeof value;
    int negative = take(b) % 4 == 0;
    void *few = content(b, size);
    hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
    if (few && attribute >= 0) {
        hid_t type = H5Aget_type(attribute);
        H5T_class_t class = H5Tget_class(type);
        memset(value, negative ? 0xff : 0, sizeof value);
        memcpy(value, few, size);
        if ((class == H5T_FLOAT || class == H5T_INTEGER) &&
            H5Aget_storage_size(attribute) <= sizeof value)
            H5Awrite(attribute, type, value);
        H5Tclose(type);
    }
    if (attribute >= 0) H5Aclose(attribute);
    free(few);
}

static void change_values(bytes *b, hid_t file, const char *name)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0) return;
    hid_t creation = H5Dget_create_plist(set);
    if (H5Pget_external_count(creation) == 0) write_content(b, set); /* else a file would be made */
    H5Pclose(creation);
    H5Dclose(set);
}

static void change(bytes *b, hid_t file)
{
    unsigned what = take(b) % 8, which = take(b);
    const char *number = numbers[which % NUMBERS], *dataset = datasets[which % DATASETS];
    unsigned one = which % ATTRIBUTES;
    const char *attribute = one < NUMBERS ? numbers[one] : texts[one - NUMBERS];
    switch (what) {
    case 0:
    case 1:
    case 2: change_number(b, file, number); break;
    case 3: change_values(b, file, dataset); break;
    case 4: H5Adelete(file, attribute); break;
    case 5:
        H5Adelete(file, attribute);
        add_attribute(b, file, attribute);
        break;
    case 6:
        H5Ldelete(file, which & 8 ? dataset : which & 1 ? "/best" : "/history", H5P_DEFAULT);
        break;
    default: H5Ldelete(file, dataset, H5P_DEFAULT); add_dataset(b, file, dataset);
    }
}

static void change_file(bytes *b)
{
    hid_t file = H5Fopen(fuzz_file(NULL), H5F_ACC_RDWR, fuzz_access());
    if (file < 0) abort();
    for (int i = 0; i < 8 && b->at < b->end; i++) change(b, file);
    if (H5Fclose(file) < 0) abort();
}

/* --- the seal --- */

static void seal(image *i)
{
    uint64_t hash = 0;
    for (size_t at = SEAL; at < i->size; at += BLOCK)
        hash = lloyd_hash(hash, i->bytes + at, i->size - at < BLOCK ? i->size - at : BLOCK);
    memset(i->bytes, 0, SEAL);
    snprintf(i->bytes, SEAL, "lloyd checkpoint, %lld bytes of HDF5 follow, hash %016llx\n",
             (long long)i->size - SEAL, (unsigned long long)hash);
}

/* One byte of a sealed file changes, or its end is cut off. */
static void damage(bytes *b, image *i)
{
    size_t at = (take(b) | take(b) << 8 | take(b) << 16) % i->size;
    unsigned by = take(b);
    if (by == 0)
        i->size = at;
    else
        i->bytes[at] = (char)((unsigned char)i->bytes[at] ^ by);
}

/* --- what is accepted --- */

static void check_run(const lloyd_saved_run *run, int64_t elements)
{
    volatile double sum = 0; /* reads all that there is, under the sanitizer's eyes */
    if (run->iterations < 0 || (elements > 0 && !run->centroids) || !run->inertia ||
        !run->seconds || !run->moved)
        abort();
    for (int64_t i = 0; i < run->iterations; i++)
        sum = sum + run->inertia[i] + run->seconds[i] + (double)run->moved[i];
    for (int64_t i = 0; i < elements; i++) sum = sum + (double)run->centroids[i];
}

static void check(const lloyd_saved *s)
{
    if (s->k < 1 || s->d < 1 || !s->type || !s->inputs || !s->version || !s->command || !s->options)
        abort();
    volatile int64_t rows = 0;
    check_run(&s->run, s->drawn > 0 ? 0 : s->k * s->d);
    for (int64_t i = 0; i < s->drawn; i++) rows = rows + s->rows[i];
    if (s->best.centroids) check_run(&s->best, s->k * s->d);
    volatile size_t length = strlen(s->type) + strlen(s->inputs) + strlen(s->version);
    length = length + strlen(s->command) + strlen(s->options);
}

static void check_split(const lloyd_saved_split *s)
{
    volatile double sum = 0;
    if (s->n < 1 || s->d < 1 || s->k < 1 || s->done < 1 || s->parts < s->done || !s->type ||
        !s->inputs || !s->version || !s->command || !s->options)
        abort();
    for (int64_t i = 0; i < s->done; i++) {
        if (s->cluster[i] < 0 || s->cluster[i] >= s->k) abort();
        sum = sum + s->inertia[i] + (double)s->iterations[i] + (double)s->converged[i];
    }
    for (int64_t i = 0; i < s->parts * s->d; i++) sum = sum + (double)s->centroids[i];
}

/* Each kind refuses the other one. */
static void check_status(lloyd_status status)
{
    if (getenv("SHOW_MESSAGES")) fprintf(stderr, "%s\n", lloyd_message());
    if ((status != LLOYD_BAD_INPUT && status != LLOYD_FAILED && status != LLOYD_USAGE) ||
        lloyd_message()[0] == '\0')
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int file;
    const char *path = fuzz_file(&file);
    bytes b = {data, data + size};
    unsigned kind = take(&b);
    int damaged = kind % 8 == 7;
    write_image(file, checkpoint(kind / 8 % CHECKPOINTS));
    bytes harm = b;
    if (damaged) b.at += b.end - b.at < 4 ? b.end - b.at : 4;
    change_file(&b);
    image i = read_image(file);
    seal(&i);
    if (damaged) damage(&harm, &i);
    write_image(file, &i);
    free(i.bytes);

    lloyd_saved saved;
    hsize_t before = open_objects();
    lloyd_status status = lloyd_saved_read(path, &saved);
    if (status == LLOYD_OK) {
        if (damaged) abort();
        check(&saved);
        lloyd_saved_free(&saved);
    } else {
        check_status(status);
    }
    lloyd_saved_split split;
    const lloyd_status of_split = lloyd_saved_split_read(path, &split);
    if (of_split == LLOYD_OK) {
        if (damaged || status == LLOYD_OK) abort();
        check_split(&split);
        lloyd_saved_split_free(&split);
    } else {
        check_status(of_split);
    }
    if (open_objects() != before) abort();
    return 0;
}
