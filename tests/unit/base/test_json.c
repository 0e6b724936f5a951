/* JSON, read and written (src/base/json.c) and the characters of a text (src/base/text.c, src/report/html.c). */
#include "base/json.h"
#include "base/text.h"
#include "report/html.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What the reader says of a line: "name=kind:value;" for each field, and how it ended. */
static const char *describe(const char *line, char *text, size_t bytes)
{
    char *copy = strdup(line), *at = copy; /* exactly as long as it is, for the sanitizer */
    lloyd_json_field field;
    size_t used = 0;
    int more = lloyd_json_open(&at);
    text[0] = '\0';
    if (!more) used += (size_t)snprintf(text, bytes, "none");
    while (more && (more = lloyd_json_next(&at, &field)) > 0 && used < bytes)
        used += (size_t)snprintf(text + used, bytes - used, "%s=%c:%.*s;", field.name,
                                 "tnwl"[field.kind], (int)field.length, field.value);
    if (more < 0) snprintf(text + used, bytes - used, "wrong");
    free(copy);
    return text;
}

static void fields_are_read(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", ""},
        {" { \"a\" : 1 , \"b\":-2.5e-3}\n", "a=n:1;b=n:-2.5e-3;"},
        {"{\"a\":\"x\",\"b\":null,\"c\":true}", "a=t:x;b=w:null;c=w:true;"},
        {"{\"a\":[1,[\"]\",\"\\\"]\"],{}],\"b\":{\"c\":\"}\"},\"d\":3}",
         "a=l:[1,[\"]\",\"\\\"]\"],{}];b=l:{\"c\":\"}\"};d=n:3;"},
        {"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "a=t:\"\\/\b\f\n\r\t;"},
        {"{\"a\":\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"}", "a=t:Aé€😀;"},
        {"{\"a\":\"\\ud83d\\u0041\\ude00\\u0000\"}", "a=t:\ufffdA\ufffd\ufffd;"},
        {"{\"\\u0061\":1}", "a=n:1;"},
        {"", "none"},
        {"[1]", "none"},
        {"{", "wrong"},
        {"{\"a\"", "wrong"},
        {"{\"a\":", "wrong"},
        {"{\"a\":}", "wrong"},
        {"{\"a\":1", "wrong"},
        {"{\"a\":1 2}", "wrong"},
        {"{\"a\":1,", "a=n:1;wrong"},
        {"{\"a\":-}", "wrong"},
        {"{\"a\":1e}", "wrong"},
        {"{\"a\":0x10}", "wrong"},
        {"{\"a\":\"x", "wrong"},
        {"{\"a\":\"x\\", "wrong"},
        {"{\"a\":\"\\x\"}", "wrong"},
        {"{\"a\":\"\\u12\"}", "wrong"},
        {"{\"a\":\"\\u", "wrong"},
        {"{\"a\":[1,2}", "wrong"},
        {"{\"a\":[\"x]", "wrong"},
        {"{a:1}", "wrong"},
    };
    char text[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(describe(rows[i][0], text, sizeof text), rows[i][1]);
}

static void numbers_keep_their_bits(void **state)
{
    (void)state;
    static const double values[] = {0.1, -1.0 / 3, 5e-324, DBL_MAX, 2154301184.0, 1e23};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char line[64], *at = line;
        lloyd_json_field field;
        snprintf(line, sizeof line, "{\"a\":%.17g}", values[i]);
        assert_int_equal(lloyd_json_open(&at), 1);
        assert_int_equal(lloyd_json_next(&at, &field), 1);
        assert_memory_equal(&field.number, &values[i], sizeof values[i]);
        assert_int_equal(lloyd_json_next(&at, &field), 0);
    }
}

static void text_is_escaped(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"plain é€😀\t\n", "plain é€😀\t\n"},
        {"<a href=\"x\" b='y'>&amp;", "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;"},
        {"\x01\x1f\x0b", "\ufffd\ufffd\ufffd"},
        {"\xff\xc3", "\ufffd\ufffd"},                 /* no UTF-8; a character cut off */
        {"\xc0\xaf", "\ufffd\ufffd"},                 /* overlong */
        {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},       /* a surrogate */
        {"\xef\xbf\xbe\xef\xbf\xbf", "\ufffd\ufffd"}, /* UTF-8, but not in XML */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text;
        size_t bytes;
        FILE *out = open_memstream(&text, &bytes);
        assert_non_null(out);
        lloyd_html_text(out, rows[i][0]);
        fclose(out);
        assert_string_equal(text, rows[i][1]);
        free(text);
    }
}

static void a_part_of_a_text_ends_where_it_ends(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    lloyd_html_part(out, "ab€c", 4); /* in the middle of a character */
    fclose(out);
    assert_string_equal(text, "ab\ufffd");
    free(text);
}

static void numbers_are_readable(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(lloyd_text_real(0.25, 3, text, sizeof text), "0.25");
    assert_string_equal(lloyd_text_real(1.8705e9, 3, text, sizeof text), "1.87\u00a0×\u00a010⁹");
    assert_string_equal(lloyd_text_real(-2e-17, 3, text, sizeof text), "-2\u00a0×\u00a010⁻¹⁷");
    assert_string_equal(lloyd_text_power(308, text, sizeof text), "10³⁰⁸");
}

static void text_and_numbers_are_json(void **state)
{
    static const struct {
        const char *text, *json;
    } texts[] = {{"", "\"\""},
                 {"a b", "\"a b\""},
                 {"\"\\/", "\"\\\"\\\\/\""},
                 {"\n\t\x01\x1f", "\"\\u000a\\u0009\\u0001\\u001f\""},
                 {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
                  "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
                 {"\xff\xc3", "\"\\ufffd\\ufffd\""},
                 {"\xc0\x80", "\"\\ufffd\\ufffd\""},                       /* overlong */
                 {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},            /* surrogate */
                 {"\xf0\x9f\x98", "\"\\ufffd\\ufffd\\ufffd\""},            /* cut off */
                 {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* above U+10FFFF */
                 {NULL, "null"}};
    static const struct {
        double value;
        const char *json;
    } numbers[] = {{0.1, "0.10000000000000001"},
                   {1e300, "1.0000000000000001e+300"},
                   {-3, "-3"},
                   {NAN, "null"},
                   {INFINITY, "null"},
                   {-INFINITY, "null"}};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts + sizeof numbers / sizeof *numbers; i++) {
        size_t n = i - sizeof texts / sizeof *texts, bytes = 0;
        int is_text = i < sizeof texts / sizeof *texts;
        char *json = NULL;
        FILE *out = open_memstream(&json, &bytes);
        assert_non_null(out);
        if (is_text)
            lloyd_json_text(out, texts[i].text);
        else
            lloyd_json_number(out, numbers[n].value);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(json, is_text ? texts[i].json : numbers[n].json);
        free(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read),
        cmocka_unit_test(numbers_keep_their_bits),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(a_part_of_a_text_ends_where_it_ends),
        cmocka_unit_test(numbers_are_readable),
        cmocka_unit_test(text_and_numbers_are_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
