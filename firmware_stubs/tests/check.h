/* What every C test shares: a condition that does not hold is printed with its place, and counted. */
#ifndef EDGEOPS_TESTS_CHECK_H
#define EDGEOPS_TESTS_CHECK_H

#include <stdio.h>

static int failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                     \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

#endif
