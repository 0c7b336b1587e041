/* Which taps of a sliding window lie inside of the input. */
#ifndef EDGEOPS_SRC_WINDOW_H
#define EDGEOPS_SRC_WINDOW_H

#include <stdint.h>

typedef struct eo_taps {
    int32_t first; /* place of tap 0, maybe outside */
    int32_t begin, end; /* taps begin..end-1 lie inside; none where they are equal */
} eo_taps;

/* One axis: `size` values, `count` taps that lie `dilation` apart, output number `at`. */
static inline eo_taps eo_taps_inside(int32_t at, int32_t stride, int32_t pad, int32_t size, int32_t count,
                                     int32_t dilation)
{
    eo_taps taps;
    taps.first = at * stride - pad;
    taps.begin = 0;
    taps.end = count;
    if (taps.first < 0) {
        taps.begin = dilation == 1 ? -taps.first : (dilation - 1 - taps.first) / dilation;
    }
    if (taps.first + (count - 1) * dilation >= size) {
        int32_t room = size - taps.first;
        taps.end = room <= 0 ? 0 : (room + dilation - 1) / dilation;
    }
    if (taps.end <= taps.begin) {
        taps.first = taps.begin = taps.end = 0; /* so that no address outside is even computed */
    }
    return taps;
}

#endif
