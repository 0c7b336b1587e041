/* The power spectrum of real values by an FFT of half their number, radix 2, in place. */
#include "features/chain.h"

/* Cosine and sine of a full turn times place / size, for the upper half of the circle. */
static void turn(const float *quarter, uint32_t size, uint32_t place, float *cosine, float *sine)
{
    uint32_t right = size / 4;
    if (place <= right) {
        *cosine = quarter[place];
        *sine = quarter[right - place];
    } else {
        *cosine = -quarter[2 * right - place];
        *sine = quarter[place - right];
    }
}

static void reverse_bits(float *values, uint32_t points)
{
    uint32_t i, j = 0;
    for (i = 1; i < points; i++) {
        uint32_t bit = points / 2;
        for (; (j & bit) != 0; bit /= 2) {
            j ^= bit;
        }
        j ^= bit;
        if (i < j) {
            float real = values[2 * i], imaginary = values[2 * i + 1];
            values[2 * i] = values[2 * j];
            values[2 * i + 1] = values[2 * j + 1];
            values[2 * j] = real;
            values[2 * j + 1] = imaginary;
        }
    }
}

static void transform(float *values, uint32_t size, const float *quarter)
{
    uint32_t points = size / 2, half, j, i;

    reverse_bits(values, points);
    for (half = 1; half < points; half *= 2) {
        for (j = 0; j < half; j++) {
            float cosine, sine;
            turn(quarter, size, j * (points / half), &cosine, &sine);
            for (i = j; i < points; i += 2 * half) {
                float *a = values + (size_t)2 * i, *b = a + (size_t)2 * half;
                float real = b[0], imaginary = b[1];
                /* turns by nothing and by a quarter need no products: a third of all in short transforms */
                if (2 * j == half) {
                    real = b[1];
                    imaginary = -b[0];
                } else if (j != 0) {
                    real = b[0] * cosine + b[1] * sine;
                    imaginary = b[1] * cosine - b[0] * sine;
                }
                b[0] = a[0] - real;
                b[1] = a[1] - imaginary;
                a[0] += real;
                a[1] += imaginary;
            }
        }
    }
}

/* The square of half a complex number. */
static float squares(float real, float imaginary)
{
    return (real * real + imaginary * imaginary) / 4;
}

void eo_fft_power(float *values, uint32_t size, const float *quarter)
{
    uint32_t points = size / 2, k;
    float first, last;

    transform(values, size, quarter);
    first = values[0] + values[1];
    last = values[0] - values[1];
    /* even and odd samples apart, then together: bins k and points - k come of the same two values */
    for (k = 1; k <= points / 2; k++) {
        float *a = values + (size_t)2 * k, *b = values + (size_t)2 * (points - k);
        float even_real = a[0] + b[0], even_imaginary = a[1] - b[1];
        float odd_real = a[1] + b[1], odd_imaginary = b[0] - a[0];
        float cosine = quarter[k], sine = quarter[size / 4 - k];
        float real = odd_real * cosine + odd_imaginary * sine;
        float imaginary = odd_imaginary * cosine - odd_real * sine;
        a[0] = squares(even_real + real, even_imaginary + imaginary);
        b[0] = squares(even_real - real, even_imaginary - imaginary);
    }
    values[0] = first * first;
    for (k = 1; k < points; k++) {
        values[k] = values[2 * k];
    }
    values[points] = last * last;
}
