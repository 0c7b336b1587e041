/* What every function answers: declared once, with its name and what it means. */
#ifndef EDGEOPS_STATUS_H
#define EDGEOPS_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, text); numbers are stable: they go into logs and events. */
#define EO_STATUSES(X)                                                                       \
    X(OK, 0, "done")                                                                         \
    X(AGAIN, 1, "nothing to do yet")                                                         \
    X(ARGUMENT, 2, "an argument is not allowed")                                             \
    X(TOO_SMALL, 3, "the caller's memory is too small")                                      \
    X(NOT_FOUND, 4, "there is none")                                                         \
    X(MALFORMED, 5, "bytes that are not what they should be")                                \
    X(UNSUPPORTED, 6, "something that this build does not know")                             \
    X(RANGE, 7, "a number is out of its range")                                              \
    X(DIGEST, 8, "bytes do not match their digest")                                          \
    X(SIGNATURE, 9, "too few valid signatures")                                              \
    X(ROLLBACK, 10, "an older security counter or generation than before")                   \
    X(SELFTEST, 11, "the self-test gave another output")                                     \
    X(IO, 12, "the port failed: flash, network or input")                                    \
    X(FULL, 13, "no room is left")                                                           \
    X(LIFECYCLE, 14, "an event that the lifecycle does not allow here")

typedef enum eo_status {
#define EO_STATUS_ENUM(name, number, text) EO_##name = number,
    EO_STATUSES(EO_STATUS_ENUM)
#undef EO_STATUS_ENUM
} eo_status;

/* The text of a status, in English, never NULL. */
const char *eo_status_text(eo_status status);

#ifdef __cplusplus
}
#endif
#endif
