/* Sums that are continued from iteration to iteration, of rows that have moved. */
#ifndef MOVED_H
#define MOVED_H

/* Of cmocka. */
void test_moved(void **unused);

#endif
