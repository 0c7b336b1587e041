#include "counters/input_features.h"

#include "counters/integers.h"

#define HASH_START UINT64_C(0xCBF29CE484222325)
#define HASH_PRIME UINT64_C(0x100000001B3)

static uint8_t shifted(int8_t value)
{
    return (uint8_t)(value + 128);
}

void eo_input_sums_of(eo_input_sums *sums, const eo_observe_plan *plan, const int8_t *input)
{
    uint64_t hash = HASH_START;
    uint32_t total = 0, clipped = 0;
    uint8_t low = 255, high = 0;

    for (uint32_t i = 0; i < plan->values; i++) {
        uint8_t u = shifted(input[i]);
        hash = (hash ^ u) * HASH_PRIME;
        total += u;
        clipped += u == 0 || u == 255;
        low = u < low ? u : low;
        high = u > high ? u : high;
    }
    sums->hash = hash;
    sums->total = total;
    sums->clipped = clipped;
    sums->low = low;
    sums->high = high;
}

/* 256 * total / count, rounded down, in 32 bits: total / count is at most 255, and count at most 2**20. */
static uint32_t mean_256(uint32_t total, uint32_t count)
{
    return (total / count << 8) + (total % count << 8) / count;
}

/* 512 * (n * sum - total * count) / n**2 over the values above the mean: their part of the deviations, twice. */
static uint32_t spread(const eo_observe_plan *plan, const eo_input_sums *sums, const int8_t *input)
{
    uint32_t n = plan->values, mean = sums->total / n, above = 0, count = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint8_t u = shifted(input[i]);
        if (u > mean) {
            above += u;
            count++;
        }
    }
    return (uint32_t)eo_divide(512 * ((uint64_t)n * above - (uint64_t)sums->total * count), (uint64_t)n * n);
}

static uint32_t difference(int8_t a, int8_t b)
{
    return (uint32_t)(a > b ? a - b : b - a);
}

/* The sum of differences of values that lie `step` apart, in runs of `run` values that belong together. */
static uint32_t differences(const int8_t *input, uint32_t values, uint32_t run, uint32_t step, uint32_t *pairs)
{
    uint32_t total = 0;

    for (uint32_t start = 0; start < values; start += run) {
        for (uint32_t i = step; i < run; i++) {
            total += difference(input[start + i], input[start + i - step]);
            ++*pairs;
        }
    }
    return total;
}

static uint32_t sharpness(const eo_observe_plan *plan, const int8_t *input)
{
    uint32_t row = plan->values / plan->rows, pairs = 0;
    uint32_t total = differences(input, plan->values, plan->values, row, &pairs);

    if (plan->columns != 0) {
        total += differences(input, plan->values, row, plan->depth, &pairs);
    }
    return pairs == 0 ? 0 : mean_256(total, pairs);
}

static uint32_t band(const eo_observe_plan *plan, uint32_t quarter, const int8_t *input)
{
    uint32_t columns = plan->columns != 0 ? plan->columns : plan->rows;
    uint32_t start = columns * quarter / 4 * plan->depth, end = columns * (quarter + 1) / 4 * plan->depth;
    uint32_t total = 0, count = 0;

    for (uint32_t row = 0; row < plan->values; row += columns * plan->depth) {
        for (uint32_t i = start; i < end; i++) {
            total += shifted(input[row + i]);
            count++;
        }
    }
    return count == 0 ? 0 : mean_256(total, count);
}

static uint32_t detail(const eo_observe_plan *plan, uint32_t scale, const int8_t *input)
{
    uint32_t row = plan->values / plan->rows, half = scale / 2, blocks = plan->rows / scale;
    uint32_t total = 0;

    for (uint32_t block = 0; block < blocks; block++) {
        const int8_t *first = input + block * scale * row;
        for (uint32_t i = 0; i < row; i++) {
            int32_t apart = 0;
            for (uint32_t at = i; at < i + half * row; at += row) {
                apart += first[at] - first[at + half * row];
            }
            total += (uint32_t)(apart < 0 ? -apart : apart);
        }
    }
    return blocks == 0 ? 0 : mean_256(total, blocks * row * scale);
}

int32_t eo_input_feature(const eo_observe_plan *plan, eo_feature feature, const eo_input_sums *sums,
                         const int8_t *input)
{
    uint32_t n = plan->values, value;

    switch (feature) {
    case EO_FEATURE_LEVEL:
        value = mean_256(sums->total, n);
        break;
    case EO_FEATURE_SPREAD:
        value = spread(plan, sums, input);
        break;
    case EO_FEATURE_CONTRAST:
        value = (uint32_t)(sums->high - sums->low);
        break;
    case EO_FEATURE_SHARPNESS:
        value = sharpness(plan, input);
        break;
    case EO_FEATURE_CLIPPED: /* 65536 * clipped / n in two steps of 32 bits */
        value = (mean_256(sums->clipped, n) << 8) + ((sums->clipped << 8) % n << 8) / n;
        break;
    case EO_FEATURE_BAND_1:
    case EO_FEATURE_BAND_2:
    case EO_FEATURE_BAND_3:
    case EO_FEATURE_BAND_4:
        value = band(plan, (uint32_t)(feature - EO_FEATURE_BAND_1), input);
        break;
    case EO_FEATURE_DETAIL_2:
    case EO_FEATURE_DETAIL_4:
    case EO_FEATURE_DETAIL_8:
        value = detail(plan, UINT32_C(2) << (feature - EO_FEATURE_DETAIL_2), input);
        break;
    case EO_FEATURE_END:
    default:
        value = 0;
        break;
    }
    return (int32_t)value;
}
