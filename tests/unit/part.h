/* With sanitizers a loop takes some ten times as long: of long ones, a part is run. */
#ifndef LLOYD_TESTS_UNIT_PART_H
#define LLOYD_TESTS_UNIT_PART_H

#if defined(__SANITIZE_ADDRESS__)
enum { PART = 10 };
#else
enum { PART = 1 };
#endif

#endif
