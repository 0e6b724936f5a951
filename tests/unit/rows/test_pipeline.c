/* Chunks on their way: whatever mixture of homes, every pass must find the right rows in the slot it
 * is given.
 *
 * The kernels are a model of a GPU: copies and what is done with a slot go into one queue. Worked
 * off at once, it is a GPU that is always ahead; worked off as late as loaded() allows, it is one
 * that is always behind, and then a buffer that is read into too early, or a slot that is loaded
 * over too early, is seen as wrong rows.
 */
#include "base/memory.h"
#include "base/types.h"
#include "io/rows.h"
#include "lloyd/lloyd.h"
#include "rows/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* --- a GPU --- */

enum { SLOTS = 128, QUEUE = 4096 };

typedef struct work {
    int slot;
    const void *from; /* a copy into the slot; NULL: the slot is looked at */
    int64_t first, count;
} work;

typedef struct gpu {
    lloyd_kernels base;
    int late; /* 1: works only when it must */
    int64_t row_bytes;
    const char *all; /* what every row should be */
    char *slot[SLOTS];
    int64_t slot_first[SLOTS], slot_count[SLOTS];
    int started[SLOTS]; /* load_start() without load_finish() */
    work queue[QUEUE];
    int64_t done, asked, last_copy[SLOTS];
    int64_t looked;
    int64_t pass;           /* which one it is, */
    int labels;             /* and whether it needs rows for labels only */
    int64_t partial[SLOTS]; /* the pass in which rows were left out of a slot, 0: none were */
    int64_t partials;
} gpu;

static gpu *gpu_of(lloyd_kernels *kernels)
{
    return (gpu *)kernels;
}

static void work_off(gpu *g, int64_t until)
{
    for (; g->done < until; g->done++) {
        const work *w = &g->queue[g->done % QUEUE];
        size_t bytes = (size_t)(w->count * g->row_bytes);
        if (w->from) {
            memcpy(g->slot[w->slot], w->from, bytes);
        } else {
            assert_memory_equal(g->slot[w->slot], g->all + w->first * g->row_bytes, bytes);
            g->looked += w->count;
        }
    }
}

static void ask(gpu *g, work w)
{
    if (g->asked - g->done == QUEUE) work_off(g, g->done + 1);
    g->queue[g->asked++ % QUEUE] = w;
    if (!g->late) work_off(g, g->asked);
}

static lloyd_status gpu_start(lloyd_kernels *kernels, int slot, int64_t first, int64_t count,
                              const void *rows, lloyd_load_need need)
{
    gpu *g = gpu_of(kernels);
    assert_in_range(slot, 0, kernels->config.slots - 1);
    assert_true(count <= kernels->config.chunk_rows);
    g->slot_first[slot] = first, g->slot_count[slot] = count;
    g->started[slot] = 1;
    g->partial[slot] = need == LLOYD_ROWS_TO_LABEL ? g->pass : 0;
    g->partials += g->partial[slot] > 0;
    ask(g, (work){slot, rows, first, count});
    g->last_copy[slot] = g->asked;
    return LLOYD_OK;
}

static lloyd_status gpu_finish(lloyd_kernels *kernels, int slot)
{
    gpu_of(kernels)->started[slot] = 0;
    return LLOYD_OK;
}

static lloyd_status gpu_loaded(lloyd_kernels *kernels, int slot)
{
    gpu *g = gpu_of(kernels);
    work_off(g, g->last_copy[slot]);
    return LLOYD_OK;
}

static lloyd_status gpu_fill(lloyd_kernels *kernels, int slot, int64_t at, int64_t count,
                             const void *rows)
{
    gpu *g = gpu_of(kernels);
    assert_true(at + count <= g->slot_count[slot]);
    memcpy(g->slot[slot] + at * g->row_bytes, rows, (size_t)(count * g->row_bytes));
    return LLOYD_OK;
}

static lloyd_status gpu_load(lloyd_kernels *kernels, int slot, int64_t first, int64_t count,
                             const void *rows)
{
    gpu *g = gpu_of(kernels);
    work_off(g, g->asked);
    g->slot_first[slot] = first, g->slot_count[slot] = count;
    return rows ? gpu_fill(kernels, slot, 0, count, rows) : LLOYD_OK;
}

static lloyd_status gpu_rows(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                             float *out)
{
    gpu *g = gpu_of(kernels);
    assert_int_equal(count, 1);
    int64_t at = *rows - g->slot_first[slot];
    assert_in_range(at, 0, g->slot_count[slot] - 1);
    work_off(g, g->asked);
    memcpy(out, g->slot[slot] + at * g->row_bytes, (size_t)g->row_bytes);
    return LLOYD_OK;
}

static int held_memory; /* allocations that are not freed yet */

static lloyd_status gpu_host_alloc(int64_t bytes, const char *what, void **memory)
{
    held_memory++;
    return lloyd_alloc(memory, bytes, 1, what);
}

static void gpu_host_free(void *memory)
{
    held_memory -= memory != NULL;
    lloyd_free(memory);
}

static const lloyd_device gpu_device = {.host_alloc = gpu_host_alloc, .host_free = gpu_host_free};

static void open_gpu(gpu *g, const lloyd_layout *layout, const char *all, int late)
{
    *g = (gpu){.late = late, .row_bytes = layout->row_bytes, .all = all};
    g->base.load = gpu_load;
    g->base.fill = gpu_fill;
    g->base.load_start = gpu_start;
    g->base.load_finish = gpu_finish;
    g->base.loaded = gpu_loaded;
    g->base.rows = gpu_rows;
    g->base.device = &gpu_device;
    g->base.config.slots = lloyd_layout_slots(layout);
    g->base.config.chunk_rows = layout->chunk_rows;
    assert_true(g->base.config.slots <= SLOTS);
    for (int s = 0; s < g->base.config.slots; s++)
        g->slot[s] = calloc((size_t)layout->chunk_rows, (size_t)layout->row_bytes);
}

static void close_gpu(gpu *g)
{
    assert_int_equal(held_memory, 0);
    for (int s = 0; s < g->base.config.slots; s++) free(g->slot[s]);
}

/* --- the rows --- */

typedef struct fixture {
    lloyd_rows *rows;
    int64_t count, row_bytes;
    char *all;
} fixture;

static int open_rows(void **state)
{
    static fixture f;
    const char *input = LLOYD_TEST_DATA "/digits.h5:/train";
    assert_int_equal(lloyd_rows_open(&input, 1, &f.rows), LLOYD_OK);
    f.count = lloyd_rows_count(f.rows);
    f.row_bytes = lloyd_rows_dim(f.rows) * (int64_t)lloyd_type_size(lloyd_rows_type(f.rows));
    f.all = malloc((size_t)(f.count * f.row_bytes));
    assert_int_equal(lloyd_rows_read(f.rows, 0, f.count, f.all), LLOYD_OK);
    *state = &f;
    return 0;
}

static int close_rows(void **state)
{
    const fixture *f = *state;
    free(f->all);
    lloyd_rows_close(f->rows);
    return 0;
}

/* --- passes --- */

static gpu the_gpu; /* large */

/* Asks for a chunk and has the GPU look at it. */
static void look_at(lloyd_shard *shard, gpu *g, int64_t chunk)
{
    int slot = -1;
    assert_int_equal(lloyd_shard_load(shard, chunk, &slot), LLOYD_OK);
    assert_in_range(slot, 0, g->base.config.slots - 1);
    assert_false(g->started[slot]);
    assert_true(g->partial[slot] == 0 || (g->labels && g->partial[slot] == g->pass));
    assert_int_equal(g->slot_first[slot], chunk * shard->chunk_rows);
    assert_int_equal(g->slot_count[slot], lloyd_layout_chunk_rows(&shard->layout, chunk));
    ask(g, (work){.slot = slot,
                  .first = shard->first + g->slot_first[slot],
                  .count = g->slot_count[slot]});
}

static lloyd_shard *open_shard(const fixture *f, int64_t first, const lloyd_layout *layout,
                               int late)
{
    lloyd_shard *shard;
    open_gpu(&the_gpu, layout, f->all, late);
    assert_int_equal(lloyd_shard_open(f->rows, first, *layout, 0, &shard), LLOYD_OK);
    assert_int_equal(lloyd_shard_attach(shard, &the_gpu.base), LLOYD_OK);
    return shard;
}

static void close_shard(lloyd_shard *shard)
{
    lloyd_shard_close(shard);
    work_off(&the_gpu, the_gpu.asked); /* copies still to be done would read memory that is gone */
    close_gpu(&the_gpu);
}

/* Three passes, and rows by themselves between them. */
static void check_passes(const fixture *f, const lloyd_layout *layout, int late)
{
    const int64_t first = f->count - layout->rows, passes = 3;
    lloyd_shard *shard = open_shard(f, first, layout, late);
    float *row = malloc((size_t)layout->row_bytes);
    for (int64_t pass = 0; pass < passes; pass++) {
        for (int64_t chunk = 0; chunk < shard->chunks; chunk++) look_at(shard, &the_gpu, chunk);
        for (int64_t at = pass; at < layout->rows; at += 1 + layout->rows / 5) {
            assert_int_equal(lloyd_shard_row(shard, at, row), LLOYD_OK);
            assert_memory_equal(row, f->all + (first + at) * layout->row_bytes,
                                (size_t)layout->row_bytes);
        }
    }
    work_off(&the_gpu, the_gpu.asked);
    assert_int_equal(the_gpu.looked, passes * layout->rows);
    free(row);
    close_shard(shard);
}

static void every_mixture(void **state)
{
    const fixture *f = *state;
    for (int late = 0; late <= 1; late++) {
        for (int64_t chunks = 1; chunks <= 9; chunks++) {
            int64_t rows = 40 * chunks - 3;
            lloyd_layout l = lloyd_layout_streamed(rows, f->row_bytes, 1, 40);
            for (l.fixed = 0; l.fixed <= l.chunks; l.fixed++)
                for (l.pinned = 0; l.pinned <= l.chunks - l.fixed; l.pinned++)
                    check_passes(f, &l, late);
        }
    }
}

typedef struct looker {
    lloyd_shard *shard;
    int64_t left; /* chunks that the pass may come to */
} looker;

/* What a slot holds is fit for this pass. */
static lloyd_status look_at_slot(void *context, lloyd_chunk *chunk)
{
    looker *l = context;
    const gpu *g = &the_gpu;
    assert_int_equal(g->slot_first[chunk->slot], chunk->first);
    assert_true(g->partial[chunk->slot] == 0 || (g->labels && g->partial[chunk->slot] == g->pass));
    chunk->ends_pass = --l->left == 0;
    return LLOYD_OK;
}

/* Rows are left out of chunks for the pass that needs labels, and not of what is brought ahead for the next one, whatever that is; some
 * passes are given up. Where most chunks come and go, so most are without these rows. */
static void needs(void **state)
{
    const fixture *f = *state;
    for (int64_t chunks = 1; chunks <= 9; chunks++) {
        lloyd_layout l = lloyd_layout_streamed(40 * chunks - 3, f->row_bytes, 1, 40);
        for (l.fixed = 0; l.fixed <= l.chunks; l.fixed++) {
            for (l.pinned = 0; l.pinned <= l.chunks - l.fixed; l.pinned++) {
                lloyd_shard *shard = open_shard(f, 0, &l, 0);
                for (int64_t pass = 1; pass <= 24; pass++) {
                    looker look = {shard, pass % 5 ? -1 : 1 + pass % l.chunks};
                    the_gpu.pass = pass, the_gpu.labels = pass * 7 % 3 > 0;
                    lloyd_status status = the_gpu.labels
                                              ? lloyd_shard_label(shard, look_at_slot, &look)
                                              : lloyd_shard_each(shard, look_at_slot, &look);
                    assert_int_equal(status, LLOYD_OK);
                    if (pass % 5 || pass % l.chunks + 1 == l.chunks) continue;
                    the_gpu.labels = 0; /* what comes next, for something else */
                    look_at(shard, &the_gpu, pass % l.chunks + 1);
                }
                if (l.fixed + 6 < l.chunks) assert_true(the_gpu.partials > 24);
                close_shard(shard);
            }
        }
    }
}

/* 12 chunks of 40 rows, so many of them fixed, the others pinned. */
static lloyd_layout twelve_chunks(const fixture *f, int64_t fixed)
{
    lloyd_layout l = lloyd_layout_streamed(40 * 12 - 3, f->row_bytes, 1, 40);
    l.fixed = fixed, l.pinned = 12 - fixed;
    return l;
}

/* The first chunk from `chunk` on that is fixed, or that is not. */
static int64_t next_chunk(const lloyd_layout *l, int64_t chunk, int fixed)
{
    int64_t index;
    while ((lloyd_layout_home(l, chunk, &index) == LLOYD_FIXED) != fixed) chunk++;
    return chunk;
}

/* Single fixed chunks between passes, as when rows are gathered, change nothing: a pass does not take its loads for those of another one,
 * and leaves out as many rows as without them. */
static void single_chunks(void **state)
{
    const fixture *f = *state;
    const lloyd_layout l = twelve_chunks(f, 6);
    for (int single = 0; single < 5; single++) {
        lloyd_shard *shard = open_shard(f, 0, &l, 0);
        looker look = {shard, -1};
        int64_t pass = 0;
        assert_int_equal(lloyd_shard_each(shard, look_at_slot, &look), LLOYD_OK);
        for (int i = 0; i < single; i++) look_at(shard, &the_gpu, next_chunk(&l, 0, 1));
        the_gpu.labels = 1;
        while (pass < 20) {
            the_gpu.pass = ++pass;
            assert_int_equal(lloyd_shard_label(shard, look_at_slot, &look), LLOYD_OK);
        }
        assert_int_equal(the_gpu.partials, 20 * 3); /* three chunks were brought ahead */
        close_shard(shard);
    }
}

/* A pass that is given up, and another one that begins where it would have continued. */
static void another_pass(void **state)
{
    const fixture *f = *state;
    const lloyd_layout l = twelve_chunks(f, 4);
    for (int64_t end = 4; end < 11; end++) {
        lloyd_shard *shard = open_shard(f, 0, &l, 0);
        looker look = {shard, end};
        const int64_t at = next_chunk(&l, 0, 1), next = next_chunk(&l, end, 0);
        int slot;
        the_gpu.pass = the_gpu.labels = 1;
        assert_int_equal(lloyd_shard_label(shard, look_at_slot, &look), LLOYD_OK);
        the_gpu.pass++;
        assert_int_equal(lloyd_pipeline_pass(shard->pipeline, at, LLOYD_ROWS_TO_LABEL), LLOYD_OK);
        assert_int_equal(lloyd_pipeline_load(shard->pipeline, next, LLOYD_ROWS_TO_LABEL, &slot),
                         LLOYD_OK);
        assert_int_equal(the_gpu.slot_first[slot], next * 40);
        assert_int_equal(the_gpu.partial[slot], the_gpu.pass);
        close_shard(shard);
    }
}

static void all_rows_in_small_chunks(void **state)
{
    const fixture *f = *state;
    for (int late = 0; late <= 1; late++) {
        lloyd_layout l = lloyd_layout_streamed(f->count, f->row_bytes, 1, 17);
        check_passes(f, &l, late);
        l.pinned = l.chunks;
        check_passes(f, &l, late);
        l.fixed = l.chunks / 3, l.pinned = l.chunks / 3;
        check_passes(f, &l, late);
        l = lloyd_layout_fixed(f->count, f->row_bytes, 1);
        check_passes(f, &l, late);
        l = lloyd_layout_fixed(0, f->row_bytes, 1);
        check_passes(f, &l, late);
    }
}

/* A pass that was given up, a chunk asked for twice, chunks in no order. */
static void out_of_order(void **state)
{
    const fixture *f = *state;
    static const int64_t order[] = {0, 1, 2, 0, 0, 1, 7, 6, 5, 11, 0, 3, 3, 4, 5, 6, 7, 8, 2, 1};
    for (int late = 0; late <= 1; late++) {
        for (int64_t fixed = 0; fixed <= 12; fixed += 4) {
            for (int64_t pinned = 0; pinned <= 12 - fixed; pinned++) {
                lloyd_layout l = lloyd_layout_streamed(12 * 50 - 1, f->row_bytes, 1, 50);
                l.fixed = fixed, l.pinned = pinned;
                lloyd_shard *shard = open_shard(f, 5, &l, late);
                for (size_t i = 0; i < sizeof order / sizeof *order; i++)
                    look_at(shard, &the_gpu, order[i]);
                work_off(&the_gpu, the_gpu.asked);
                close_shard(shard);
            }
        }
    }
}

/* A reader that is always ahead, and one pass only. */
static void slow_passes(void **state)
{
    const fixture *f = *state;
    for (int once = 0; once <= 1; once++) {
        lloyd_layout l = lloyd_layout_streamed(f->count, f->row_bytes, 1, 100);
        l.fixed = 5, l.pinned = 5, l.once = once;
        lloyd_shard *shard = open_shard(f, 0, &l, 1);
        for (int64_t chunk = 0; chunk < (2 - once) * shard->chunks; chunk++) {
            look_at(shard, &the_gpu, chunk % shard->chunks);
            usleep(2000);
        }
        work_off(&the_gpu, the_gpu.asked);
        assert_int_equal(the_gpu.looked, (2 - once) * f->count);
        close_shard(shard);
    }
}

/* Whoever fails closes everything while copies are under way. */
static void given_up(void **state)
{
    const fixture *f = *state;
    for (int64_t chunks = 0; chunks < 6; chunks++) {
        lloyd_layout l = lloyd_layout_streamed(f->count, f->row_bytes, 1, 100);
        l.fixed = 3, l.pinned = 6;
        lloyd_shard *shard = open_shard(f, 0, &l, 1);
        for (int64_t chunk = 0; chunk < chunks; chunk++) look_at(shard, &the_gpu, chunk);
        close_shard(shard);
    }
}

/* A fixed chunk that is larger than the buffers it passes through. */
static void in_pieces(void **state)
{
    enum { ROWS = 1100000, DIM = 64 };
    const char *folder = getenv("TMPDIR");
    char raw[480], path[512];
    (void)state;
    snprintf(raw, sizeof raw, "%s/lloyd-pieces-%d.u8bin", folder ? folder : "/tmp", (int)getpid());
    snprintf(path, sizeof path, "%s.h5", raw);
    fixture f = {.count = ROWS, .row_bytes = DIM, .all = malloc((size_t)ROWS * DIM)};
    for (int64_t i = 0; i < (int64_t)ROWS * DIM; i++) f.all[i] = (char)(i * 2654435761 >> 13);
    FILE *file = fopen(raw, "wb");
    const uint32_t shape[2] = {ROWS, DIM};
    assert_int_equal(fwrite(shape, sizeof shape, 1, file), 1);
    assert_int_equal(fwrite(f.all, DIM, ROWS, file), ROWS);
    assert_int_equal(fclose(file), 0);
    lloyd_comm *comm;
    assert_int_equal(lloyd_comm_open_self(&comm), LLOYD_OK);
    const char *input = raw;
    const lloyd_wrap_options wrap = {.inputs = &input, .input_count = 1, .output = path};
    assert_int_equal(lloyd_wrap(comm, &wrap), LLOYD_OK);
    input = path;
    assert_int_equal(lloyd_rows_open(&input, 1, &f.rows), LLOYD_OK);

    int64_t rows;
    lloyd_layout l = lloyd_layout_fixed(ROWS - 1, DIM, 1);
    assert_int_equal(lloyd_layout_buffers(&l, &rows), 3);
    assert_true(rows < ROWS / 2);
    check_passes(&f, &l, 0);
    lloyd_rows_close(f.rows);
    lloyd_comm_close(comm);
    free(f.all);
    assert_int_equal(unlink(raw), 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mixture), cmocka_unit_test(all_rows_in_small_chunks),
        cmocka_unit_test(out_of_order),  cmocka_unit_test(slow_passes),
        cmocka_unit_test(needs),         cmocka_unit_test(single_chunks),
        cmocka_unit_test(another_pass),  cmocka_unit_test(given_up),
        cmocka_unit_test(in_pieces),
    };
    return cmocka_run_group_tests(tests, open_rows, close_rows);
}
