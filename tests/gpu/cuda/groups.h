/* Groups of rows, each with centroids of its own (kernels.h, set_groups()). */
#ifndef GROUPS_H
#define GROUPS_H

/* Of cmocka. */
void test_groups(void **unused);

#endif
