/* Lists of cases that run everything: by shape, by kind of data, by type and layout. */
#ifndef SHAPES_H
#define SHAPES_H

#include "problem.h"

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))

/* Metric, weights and layout by the number of the case in its list; one case in two is plain. */
test_case varied(int i, data_kind kind, int64_t n, int64_t d, int64_t k);

/* Of cmocka. */
void test_columns(void **unused);
void test_kinds(void **unused);
void test_clusters(void **unused);
void test_few_clusters(void **unused);
void test_rows(void **unused);
void test_layouts(void **unused);
void test_large(void **unused);
void test_random(void **unused);

#endif
