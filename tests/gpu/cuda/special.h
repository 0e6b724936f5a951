/* Cases that run a part only, each of them for one property of the kernels. */
#ifndef SPECIAL_H
#define SPECIAL_H

/* Of cmocka. */
void test_no_rows(void **unused);
void test_predict(void **unused);
void test_cone(void **unused);
void test_aligned(void **unused);
void test_lossy(void **unused);
void test_local_bound(void **unused);
void test_far(void **unused);
void test_reduction(void **unused);
void test_defects(void **unused);

#endif
