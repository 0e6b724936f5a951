/* Memory, and half-precision numbers. */
#include "base/half.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/types.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static void base_memory(void **state)
{
    (void)state;
    char *data;
    assert_int_equal(lloyd_alloc(&data, 100000000, 1, "a test"), LLOYD_OK);
    assert_int_equal((uintptr_t)data % 64, 0);
    for (int64_t i = 0; i < 100000000; i += 997) assert_int_equal(data[i], 0);
    assert_int_equal(data[99999999], 0);
    assert_true(lloyd_memory_now() > 100000000);
    assert_true(lloyd_memory_peak() > 100000000);
    assert_true(lloyd_memory_available() > 0);
    lloyd_free(data);
    assert_int_equal(lloyd_alloc(&data, 0, 8, "nothing"), LLOYD_OK);
    assert_non_null(data);
    lloyd_free(data);
    lloyd_free(NULL);
    assert_int_equal(lloyd_alloc(&data, INT64_MAX, 8, "too much"), LLOYD_FAILED);
    assert_non_null(strstr(lloyd_message(), "too much"));
    assert_non_null(strstr(lloyd_message(), "any memory"));
    assert_null(data);
    assert_int_equal(lloyd_alloc(&data, -1, 8, "less than nothing"), LLOYD_FAILED);
    assert_non_null(strstr(lloyd_message(), "less than nothing"));
}

static void base_memory_uncleared(void **state)
{
    (void)state;
    char *data;
    const int64_t bytes = 256 << 20;
    const int64_t before = lloyd_memory_now();
    assert_int_equal(lloyd_alloc_uncleared(&data, bytes, 1, "a test"), LLOYD_OK);
    assert_int_equal((uintptr_t)data % (2 << 20), 0);
    assert_true(lloyd_memory_now() - before < bytes / 2); /* nothing has touched it */
    data[0] = data[bytes - 1] = 1;
    lloyd_free(data);
    assert_int_equal(lloyd_alloc_uncleared(&data, 3, 4, "a little"), LLOYD_OK);
    assert_int_equal((uintptr_t)data % 64, 0);
    lloyd_free(data);
    assert_int_equal(lloyd_alloc_uncleared(&data, 0, 8, "nothing"), LLOYD_OK);
    assert_non_null(data);
    lloyd_free(data);
    assert_int_equal(lloyd_alloc_uncleared(&data, INT64_MAX, 8, "too much"), LLOYD_FAILED);
    assert_non_null(strstr(lloyd_message(), "too much"));
    assert_null(data);
}

static void base_half(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        uint16_t half = (uint16_t)bits;
        float f = lloyd_f16_to_float(half), b = lloyd_bf16_to_float(half);
        if (f == f) assert_int_equal(lloyd_f16_from_float(f), half);
        if (b == b) assert_int_equal(lloyd_bf16_from_float(b), half);
        if (f != f) assert_true((lloyd_f16_from_float(f) & 0x7fff) > 0x7c00);
        if (b != b) assert_true((lloyd_bf16_from_float(b) & 0x7fff) > 0x7f80);
    }
    static const struct {
        float from;
        uint16_t f16, bf16;
    } known[] = {{1, 0x3c00, 0x3f80},
                 {-2, 0xc000, 0xc000},
                 {65504, 0x7bff, 0x4780},
                 {65519.996F, 0x7bff, 0x4780},
                 {65520, 0x7c00, 0x4780},
                 {1.00048828125F, 0x3c00, 0x3f80}, /* ties to even, down */
                 {1.00146484375F, 0x3c02, 0x3f80},
                 {0x1p-24F, 0x0001, 0x3380},
                 {0x1p-25F, 0x0000, 0x3300},
                 {0x1.8p-25F, 0x0001, 0x3340},
                 {1.00390625F, 0x3c04, 0x3f80},
                 {1.01171875F, 0x3c0c, 0x3f82},
                 {INFINITY, 0x7c00, 0x7f80},
                 {3.4e38F, 0x7c00, 0x7f80}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(lloyd_f16_from_float(known[i].from), known[i].f16);
        assert_int_equal(lloyd_bf16_from_float(known[i].from), known[i].bf16);
    }
    static const char *const names[] = {"float32", "float16", "bfloat16", "uint8", "int8"};
    for (int type = LLOYD_F32; type <= LLOYD_I8; type++)
        assert_string_equal(lloyd_type_name((lloyd_type)type), names[type]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(base_memory),
                                       cmocka_unit_test(base_memory_uncleared),
                                       cmocka_unit_test(base_half)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
