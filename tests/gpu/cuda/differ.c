#include "differ.h"

#include "case.h"

#include <cuda_runtime_api.h>
#include <unistd.h>

static const char *const side_names[SIDES] = {"cpu", "cuda"};

void describe(const problem *p, const char *what)
{
    char when[32] = "";
    int at = 0;
    while (at < TALLIES - 1 && progress->tally[at].what[0] &&
           strcmp(progress->tally[at].what, what) != 0)
        at++;
    (void)snprintf(progress->tally[at].what, sizeof progress->tally[at].what, "%.47s", what);
    progress->tally[at].count[p->c.type]++;
    if (p->iteration > 0) (void)snprintf(when, sizeof when, ", iteration %d", p->iteration);
    print_error("DIFFERS %s\n        %s%s: ", progress->name, what, when);
}

int failed(problem *p, int side, lloyd_status status, const char *what)
{
    if (status == LLOYD_OK) return 0;
    p->differences++;
    describe(p, what);
    print_error("%s fails with %d: %s\n", side_names[side], (int)status, lloyd_message());
    if (side == CUDA && p->side[CUDA]->copies) {
        cudaError_t error = cudaDeviceSynchronize();
        if (error != cudaSuccess && !options.one_process) {
            print_error("        the device is lost (%s); continuing in a new process\n",
                        cudaGetErrorString(error));
            (void)fflush(NULL);
            _exit(LOST);
        }
    }
    return 1;
}

static size_t number_size(number_kind kind)
{
    return kind == I32 || kind == F32 ? 4 : 8;
}

static const char *text_of(number_kind kind, const void *array, int64_t i, char *text, size_t size)
{
    const char *at = (const char *)array + i * (int64_t)number_size(kind);
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
    switch (kind) {
    case I32: memcpy(&i32, at, sizeof i32), (void)snprintf(text, size, "%d", i32); break;
    case I64:
        memcpy(&i64, at, sizeof i64), (void)snprintf(text, size, "%lld", (long long)i64);
        break;
    case F32:
        memcpy(&f32, at, sizeof f32);
        (void)snprintf(text, size, "%.9g (%a)", (double)f32, (double)f32);
        break;
    case F64:
        memcpy(&f64, at, sizeof f64), (void)snprintf(text, size, "%.17g (%a)", f64, f64);
        break;
    }
    return text;
}

int same_to(problem *p, const char *what, number_kind kind, const void *cpu, const void *cuda,
            int64_t count, int64_t width, int64_t *first)
{
    size_t size = number_size(kind);
    const char *a = cpu, *b = cuda;
    int64_t wrong = 0;
    char left[96], right[96];
    if (count == 0 || memcmp(a, b, (size_t)count * size) == 0) return 1;
    *first = 0;
    for (int64_t i = count - 1; i >= 0; i--) {
        if (memcmp(a + i * (int64_t)size, b + i * (int64_t)size, size) == 0) continue;
        *first = i;
        wrong++;
    }
    p->differences++;
    describe(p, what);
    print_error("%lld of %lld differ, first [%lld]", (long long)wrong, (long long)count,
                (long long)(width > 1 ? *first / width : *first));
    if (width > 1) print_error("[%lld]", (long long)(*first % width));
    print_error(": cpu %s, cuda %s\n", text_of(kind, a, *first, left, sizeof left),
                text_of(kind, b, *first, right, sizeof right));
    return 0;
}

int same(problem *p, const char *what, number_kind kind, const void *cpu, const void *cuda,
         int64_t count, int64_t width)
{
    int64_t first;
    return same_to(p, what, kind, cpu, cuda, count, width, &first);
}

int same_count(problem *p, const char *what, const int64_t values[SIDES])
{
    return same(p, what, I64, &values[CPU], &values[CUDA], 1, 1);
}
