/* Self-test vectors, read where they lie. The rules are those of edgeops/core/selftest.py. */
#include "wire/schema.h"

#define MAX_SELFTEST_BYTES 1048576u

eo_status eo_selftest_open(eo_selftest *test, const uint8_t *bytes, size_t size)
{
    return eo_schema_read(EO_MESSAGE_SELF_TEST, test, sizeof *test, bytes, size, MAX_SELFTEST_BYTES, NULL);
}

eo_status eo_selftest_next(eo_selftest *test, eo_view *input, eo_view *output)
{
    if (test->inputs.left != test->outputs.left) {
        return EO_MALFORMED;
    }
    (void)eo_text_next(&test->outputs, output); /* a text and a byte string are walked in the same way */
    return eo_text_next(&test->inputs, input);
}

eo_status eo_selftest_judge(const eo_selftest *test, eo_view expected, const int8_t *actual, size_t size)
{
    const int8_t *want = (const int8_t *)expected.bytes;
    size_t n;
    size_t best = 0; /* the first of the highest ones that came out */
    int8_t highest = INT8_MIN;

    if (size != expected.size) {
        return EO_SELFTEST;
    }
    for (n = 0; n < size; n++) {
        int apart = want[n] - actual[n];

        if (apart > test->tolerance || -apart > test->tolerance) {
            return EO_SELFTEST;
        }
        best = actual[n] > actual[best] ? n : best;
        highest = want[n] > highest ? want[n] : highest;
    }
    return size != 0 && want[best] == highest ? EO_OK : EO_SELFTEST;
}
