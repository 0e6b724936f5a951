/* The display and the log of JSON lines of a fit (src/job/progress.c). The log is read back by a JSON parser
 * of its own, which accepts what RFC 8259 accepts and nothing else.
 */
#include "job/progress.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A JSON value at `at`: returns where it ends, NULL if it is none (RFC 8259). */
static const char *json_value(const char *at);

static const char *json_string(const char *at)
{
    if (*at++ != '"') return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20) return NULL;
        if (*at != '\\') continue;
        at++;
        if (*at == 'u' && strspn(at + 1, "0123456789abcdefABCDEF") >= 4)
            at += 4;
        else if (*at == '\0' || strchr("\"\\/bfnrt", *at) == NULL)
            return NULL;
    }
    return at + 1;
}

static const char *json_number(const char *at)
{
    at += *at == '-';
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || (digits > 1 && *at == '0')) return NULL;
    at += digits;
    if (*at == '.') {
        at++;
        digits = strspn(at, "0123456789");
        if (digits == 0) return NULL;
        at += digits;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        digits = strspn(at, "0123456789");
        if (digits == 0) return NULL;
        at += digits;
    }
    return at;
}

static const char *json_list(const char *at, char end, int named)
{
    if (*++at == end) return at + 1;
    for (;; at++) {
        if (named && ((at = json_string(at)) == NULL || *at++ != ':')) return NULL;
        if ((at = json_value(at)) == NULL) return NULL;
        if (*at == end) return at + 1;
        if (*at != ',') return NULL;
    }
}

static const char *json_value(const char *at)
{
    static const char *const literals[] = {"null", "true", "false"};
    for (size_t i = 0; i < 3; i++)
        if (strncmp(at, literals[i], strlen(literals[i])) == 0) return at + strlen(literals[i]);
    if (*at == '{') return json_list(at, '}', 1);
    if (*at == '[') return json_list(at, ']', 0);
    return *at == '"' ? json_string(at) : json_number(at);
}

static void write_log(const char *path)
{
    const lloyd_progress_rank ranks[] = {{1000, {[LLOYD_TIME_ASSIGN] = 1500000000}},
                                         {2000, {[LLOYD_TIME_IDLE] = 250}}};
    const lloyd_fit_result result = {.iterations = 2,
                                     .inertia = 1.5,
                                     .seconds = 0.25,
                                     .largest = 3};
    lloyd_progress *p = NULL;
    assert_int_equal(lloyd_progress_open("none", path, 0, &p), LLOYD_OK);
    lloyd_progress_begin(p, &(lloyd_progress_run){.n = 10,
                                                  .d = 2,
                                                  .k = 3,
                                                  .type = "uint8",
                                                  .ranks = 2,
                                                  .threads = 1,
                                                  .backend = "cpu",
                                                  .filter = "int8",
                                                  .prune = "on",
                                                  .init = "random",
                                                  .seed = UINT64_MAX,
                                                  .n_init = 1,
                                                  .max_iters = 2,
                                                  .files = 1,
                                                  .first_file = "odd \"name\"\n\xff.h5"});
    lloyd_progress_phase(p, "read", 0.125);
    lloyd_progress_iteration(p, &(lloyd_iteration){.iteration = 1,
                                                   .inertia = INFINITY,
                                                   .seconds = 0.1});
    lloyd_progress_iteration(p, &(lloyd_iteration){.iteration = 2,
                                                   .inertia = 0.1,
                                                   .moved = 4,
                                                   .fallback_rows = 3,
                                                   .int8_rows = 8,
                                                   .int8_fallback_rows = 2,
                                                   .int8_candidates = 5,
                                                   .pruned_rows = 7,
                                                   .compared = 15,
                                                   .left_out = 6});
    lloyd_progress_end(p, &result, ranks, 2, 1);
    assert_int_equal(lloyd_progress_close(p), LLOYD_OK);
}

static void make_name(char *path, size_t bytes)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, bytes, "%s/lloyd-test-progress-XXXXXX", folder != NULL ? folder : "/tmp");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
}

static void every_log_line_is_json(void **state)
{
    static const char *const expected[] = {"{\"event\":\"begin\",", "{\"event\":\"phase\",",
                                           "{\"event\":\"iteration\",", "{\"event\":\"iteration\",",
                                           "{\"event\":\"end\","};
    static const struct {
        int line;
        const char *text;
    } contents[] = {
        {0, "\"seed\":18446744073709551615,"},
        {0, "\"first_file\":\"odd \\\"name\\\"\\u000a\\ufffd.h5\""},
        {1, "\"phase\":\"read\",\"seconds\":0.125}"},
        {2, "\"inertia\":null"},
        {3, "\"inertia\":0.10000000000000001,\"moved\":4,\"verified\":3"},
        {3,
         ",\"int8\":8,\"int8_verified\":2,\"int8_candidates\":5,\"pruned\":7,\"compared\":15,\"not_copied\":6,\"empty\":0,"},
        {0, ",\"filter\":\"int8\",\"prune\":\"on\","},
        {4, "\"converged\":false"},
        {4, "\"memory_peak\":[1000,2000],\"parts\":{\"rows\":[0.000000,0.000000],"},
        {4, ",\"assign\":[1.500000,0.000000],"},
        {4, ",\"sum\":[0.000000,0.000000]}}"}};
    char path[512], line[4096];
    int lines = 0;
    (void)state;
    make_name(path, sizeof path);
    write_log(path);
    write_log(path); /* a second run replaces the log of the first */
    FILE *log = fopen(path, "r");
    assert_non_null(log);
    for (; fgets(line, sizeof line, log) != NULL; lines++) {
        const char *end = json_value(line);
        if (end == NULL || strcmp(end, "\n") != 0) fail_msg("no JSON: %s", line);
        assert_true(lines < 5);
        assert_memory_equal(line, expected[lines], strlen(expected[lines]));
        for (size_t i = 0; i < sizeof contents / sizeof *contents; i++)
            if (contents[i].line == lines) assert_non_null(strstr(line, contents[i].text));
    }
    assert_int_equal(lines, 5);
    assert_int_equal(fclose(log), 0);
    assert_int_equal(unlink(path), 0);
}

static void a_log_cannot_replace_data(void **state)
{
    char path[512];
    lloyd_progress *p = NULL;
    (void)state;
    make_name(path, sizeof path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("\x89HDF", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(lloyd_progress_open("none", path, 0, &p), LLOYD_USAGE);
    assert_null(p);
    assert_non_null(strstr(lloyd_message(), path));
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fgetc(file), 0x89);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(unlink(path), 0);
}

static void log_failures_are_reported(void **state)
{
    lloyd_progress *p = NULL;
    (void)state;
    assert_int_equal(lloyd_progress_open("none", "/nonexistent/folder/l.jsonl", 0, &p),
                     LLOYD_FAILED);
    assert_non_null(strstr(lloyd_message(), "/nonexistent/folder/l.jsonl"));
    assert_int_equal(lloyd_progress_open("sometimes", NULL, 0, &p), LLOYD_USAGE);
    assert_null(p);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(lloyd_progress_open("none", "/dev/full", 0, &p), LLOYD_OK);
        lloyd_progress_phase(p, "read", 1);
        assert_int_equal(lloyd_progress_close(p), LLOYD_FAILED);
        assert_non_null(strstr(lloyd_message(), "/dev/full"));
    }
    lloyd_progress_phase(NULL, "read", 1);
    assert_int_equal(lloyd_progress_close(NULL), LLOYD_OK);
}

/* What three iterations of these inertias, of n rows, write to standard error. */
static void plain_lines(int64_t n, const double inertia[3], char *text, size_t bytes)
{
    char path[512];
    lloyd_progress *p = NULL;
    make_name(path, sizeof path);
    FILE *file = fopen(path, "w+");
    assert_non_null(file);
    int before = dup(STDERR_FILENO);
    assert_true(before >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    lloyd_status opened = lloyd_progress_open("plain", NULL, 0, &p);
    lloyd_progress_begin(p, &(lloyd_progress_run){.n = n, .k = 5, .max_iters = 3, .n_init = 1});
    for (int i = 0; i < 3; i++)
        lloyd_progress_iteration(p, &(lloyd_iteration){.iteration = i + 1,
                                                       .inertia = inertia[i],
                                                       .seconds = 1});
    lloyd_status closed = lloyd_progress_close(p);
    assert_true(dup2(before, STDERR_FILENO) >= 0 && close(before) == 0);
    assert_int_equal(opened, LLOYD_OK);
    assert_int_equal(closed, LLOYD_OK);
    rewind(file);
    text[fread(text, 1, bytes - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_int_equal(unlink(path), 0);
}

static void any_decrease_is_shown(void **state)
{
    char text[2048];
    (void)state;
    plain_lines(10, (const double[]){1000, 999, 999 * (1 - 4e-8)}, text, sizeof text);
    assert_non_null(strstr(text, " -0.100 %  moved"));
    assert_non_null(strstr(text, "  -4e-06 %  moved"));
    plain_lines(10, (const double[]){1000, 1000, 999.99}, text, sizeof text);
    assert_non_null(strstr(text, " +0.000 %  moved"));
    assert_non_null(strstr(text, " -0.001 %  moved"));
}

/* Exact k-means does not raise the inertia: what does is rounding, where next to nothing is left. */
static void rounding_is_not_shown(void **state)
{
    char text[2048];
    (void)state;
    plain_lines(10, (const double[]){1e-12, 2e-12, 1.0000001e-12}, text, sizeof text);
    assert_null(strstr(text, "+1"));
    assert_non_null(strstr(text, " -50.000 %  moved"));
    plain_lines(5, (const double[]){1e-12, 2e-12, 1e-12}, text, sizeof text); /* K = N */
    assert_null(strstr(text, "00 %  moved"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_log_line_is_json),
                                       cmocka_unit_test(a_log_cannot_replace_data),
                                       cmocka_unit_test(log_failures_are_reported),
                                       cmocka_unit_test(any_decrease_is_shown),
                                       cmocka_unit_test(rounding_is_not_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
