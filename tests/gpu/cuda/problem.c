#include "problem.h"

#include "case.h"
#include "data.h"
#include "differ.h"
#include "values.h"

#include "base/memory.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cuda/cuda.h"

void *new_array(int64_t count, size_t size)
{
    void *memory;
    assert_int_equal(lloyd_alloc(&memory, count, size, "test"), LLOYD_OK);
    return memory;
}

int64_t chunk_first(const problem *p, int64_t chunk)
{
    int64_t first = chunk * p->chunk_rows;
    return first < p->c.n ? first : p->c.n;
}

int64_t chunk_count(const problem *p, int64_t chunk)
{
    return chunk_first(p, chunk + 1) - chunk_first(p, chunk);
}

static int is_resident(const problem *p)
{
    return p->c.layout == WHOLE || p->c.layout == RESIDENT || p->c.layout == PIECES;
}

static int slot_of(const problem *p, int64_t chunk)
{
    if (p->c.layout == STREAMED) return 0;
    if (p->c.layout == ALTERNATE) return (int)(chunk % 2);
    return (int)(p->chunks - 1 - chunk);
}

/* Where the kernels copy rows, the memory they were given is another after every call: it may be
 * used again. */
static lloyd_status give(problem *p, int side, int slot, int64_t first, int64_t at, int64_t count,
                         int pieces)
{
    lloyd_kernels *kernels = p->side[side];
    const char *rows = element_at(p, first + at, 0);
    size_t bytes = (size_t)(count * p->c.d) * lloyd_type_size(p->c.type);
    if (!kernels->copies) return kernels->load(kernels, slot, first, count, rows);
    char *borrowed = new_array((int64_t)bytes, 1);
    memcpy(borrowed, rows, bytes);
    lloyd_status status = pieces ? kernels->fill(kernels, slot, at, count, borrowed)
                                 : kernels->load(kernels, slot, first, count, borrowed);
    memset(borrowed, 0xff, bytes);
    lloyd_free(borrowed);
    return status;
}

/* As give(), by a copy that other work does not wait for. */
static lloyd_status give_while_computing(problem *p, int side, int slot, int64_t first,
                                         int64_t count)
{
    lloyd_kernels *kernels = p->side[side];
    size_t bytes = (size_t)(count * p->c.d) * lloyd_type_size(p->c.type);
    void *pinned;
    LLOYD_TRY(kernels->device->host_alloc((int64_t)bytes + 1, "test", &pinned));
    memcpy(pinned, element_at(p, first, 0), bytes);
    lloyd_status status = kernels->load_start(kernels, slot, first, count, pinned, p->need);
    if (status == LLOYD_OK) status = kernels->load_finish(kernels, slot);
    if (status == LLOYD_OK) status = kernels->loaded(kernels, slot);
    memset(pinned, 0xff, bytes);
    kernels->device->host_free(pinned);
    return status;
}

static lloyd_status load_pieces(problem *p, int side, int slot, int64_t first, int64_t count)
{
    lloyd_kernels *kernels = p->side[side];
    int64_t piece = 1 + count / 3;
    LLOYD_TRY(kernels->load(kernels, slot, first, count, NULL));
    for (int64_t at = 0; at < count; at += piece) {
        int64_t here = count - at < piece ? count - at : piece;
        LLOYD_TRY(give(p, side, slot, first, at, here, 1));
    }
    return LLOYD_OK;
}

int load(problem *p, int side, int64_t chunk, int *slot)
{
    int64_t first = chunk_first(p, chunk), count = chunk_count(p, chunk);
    *slot = slot_of(p, chunk);
    if (is_resident(p) && (p->loaded[side] >> chunk & 1)) return 1;
    p->loaded[side] |= (int64_t)1 << chunk;
    if (p->c.layout == PIECES && p->side[side]->copies)
        TRY(p, side, "load and fill", load_pieces(p, side, *slot, first, count));
    else if (p->c.layout == ALTERNATE && p->side[side]->copies)
        TRY(p, side, "load while computing", give_while_computing(p, side, *slot, first, count));
    else
        TRY(p, side, "load", give(p, side, *slot, first, 0, count, 0));
    return 1;
}

int pass(problem *p, int side, const char *what, chunk_work work, void *result)
{
    for (int64_t i = 0; i < p->chunks; i++) {
        int slot;
        int64_t chunk = side == CUDA && p->reversed ? p->chunks - 1 - i : i;
        if (!load(p, side, chunk, &slot)) return 0;
        if (failed(p, side, work(p->side[side], slot, chunk_first(p, chunk), result), what))
            return 0;
    }
    return 1;
}

void choose_chunks(problem *p)
{
    const test_case *c = &p->c;
    int64_t parts = c->layout == WHOLE ? 1 : 3 + c->n % 3;
    p->chunk_rows = 1 + c->n / parts;
    if (c->layout == WHOLE) p->chunk_rows = c->n > 0 ? c->n : 1;
    p->chunks = (c->n + p->chunk_rows - 1) / p->chunk_rows;
    if (c->layout == PIECES) p->chunks++;
    p->reversed = c->n % 2 && c->layout != WHOLE;
}

/* Those filled in pieces are made by others of their kind, which do not live on. */
static lloyd_status new_cuda_kernels(const test_case *c, const lloyd_kernels_config *config,
                                     lloyd_kernels **kernels)
{
    lloyd_kernels *parent;
    if (c->layout != PIECES) return lloyd_kernels_cuda(config, 0, kernels);
    lloyd_kernels_config other =
        {.n_local = 5, .dim = 3, .k = 2, .chunk_rows = 5, .slots = 1, .threads = 1};
    LLOYD_TRY(lloyd_kernels_cuda(&other, 0, &parent));
    lloyd_status status = parent->create(parent, config, kernels);
    parent->destroy(parent);
    return status;
}

/* kernels/cuda/overrides.h, which is C++. "sm80,small-shared" tests what runs on older GPUs, "sm90" the kernel that streams centroids where
 * they would stay in shared memory. */
lloyd_status lloyd_cuda_override(lloyd_kernels *kernels, const char *names);

int override_too(problem *p, const char *name)
{
    char names[256];
    snprintf(names, sizeof names, "%s,%s", options.override, name);
    if (lloyd_cuda_override(p->side[CUDA], names) == LLOYD_OK) return 1;
    p->differences++;
    describe(p, "override");
    print_error("fails: %s\n", lloyd_message());
    return 0;
}

int new_kernels(problem *p)
{
    const test_case *c = &p->c;
    int64_t slots = is_resident(p) ? p->chunks : c->layout == ALTERNATE ? 2 : 1;
    lloyd_kernels_config config = {.n_local = c->n,
                                   .dim = c->d,
                                   .k = c->k,
                                   .chunk_rows = p->chunk_rows,
                                   .slots = slots > 0 ? (int)slots : 1,
                                   .type = c->type,
                                   .cosine = c->cosine,
                                   .weights = p->weights,
                                   .threads = options.threads};
    lloyd_status status = lloyd_kernels_cpu(&config, &p->side[CPU]);
    if (status == LLOYD_OK) status = new_cuda_kernels(c, &config, &p->side[CUDA]);
    if (status == LLOYD_OK) return override_too(p, "");
    p->differences++;
    describe(p, "create");
    print_error("fails with %d: %s\n", (int)status, lloyd_message());
    return 0;
}

void free_problem(problem *p)
{
    for (int s = 0; s < SIDES; s++) {
        if (p->side[s]) p->side[s]->destroy(p->side[s]);
    }
    lloyd_free(p->rows);
    lloyd_free(p->weights);
    lloyd_free(p->centroids);
    lloyd_grid_free(&p->grid);
}

problem new_problem(const test_case *c)
{
    problem p = {.c = *c};
    draw(&p);
    choose_chunks(&p);
    assert_int_equal(lloyd_grid_alloc(&p.grid, c->d), LLOYD_OK);
    return p;
}
