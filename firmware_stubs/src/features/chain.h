/* What the files of the front ends share. Not part of the API. */
#ifndef EDGEOPS_FEATURES_CHAIN_H
#define EDGEOPS_FEATURES_CHAIN_H

#include <stdbool.h>

#include "edgeops/features.h"

#define EO_PI 3.14159265358979f

typedef enum eo_features_op {
    EO_FEATURES_SCALE,
    EO_FEATURES_NORMALISE,
    EO_FEATURES_COLUMNS,
    EO_FEATURES_TAPER,
    EO_FEATURES_FIT_LENGTH,
    /* from here on: with statistics of the whole window */
    EO_FEATURES_DETREND,
    EO_FEATURES_STANDARDISE,
    EO_FEATURES_RMS_SCALE,
    /* from here on: not value by value */
    EO_FEATURES_RESIZE,
    EO_FEATURES_GREY,
    EO_FEATURES_LOG_MEL,
    EO_FEATURES_MFCC,
    EO_FEATURES_FFT_BANDS,
    EO_FEATURES_OPS
} eo_features_op;

/* Places of parameters in a step's numbers. Rates and frequencies take two: the number and what it lacks. */
enum { EO_MEL_RATE = 0, EO_MEL_LENGTH = 2, EO_MEL_STEP, EO_MEL_FFT, EO_MEL_MELS, EO_MEL_LOW,
       EO_MEL_HIGH = EO_MEL_LOW + 2, EO_MEL_SPECTRUM = EO_MEL_HIGH + 2, EO_MEL_OFFSET, EO_MEL_FLOOR,
       EO_MEL_COEFFICIENTS };
enum { EO_BANDS_RATE = 0, EO_BANDS_FFT = 2, EO_BANDS_STEP, EO_BANDS_BANDS, EO_BANDS_LOW,
       EO_BANDS_HIGH = EO_BANDS_LOW + 2, EO_BANDS_SPACING = EO_BANDS_HIGH + 2, EO_BANDS_FLOOR };

/* Where everything lies in the scratch, in floats: statistics, two buffers that take turns, one step's own. */
typedef struct eo_features_layout {
    uint32_t stats[EO_FEATURES_MAX_STEPS];
    uint32_t buffers[2];
    uint32_t work;
    uint32_t floats; /* of it all */
} eo_features_layout;

/* One run. Steps [start..) read `base`, the raw input or what an earlier step left in the scratch. */
typedef struct eo_features_pass {
    const eo_features *chain;
    const void *base;
    uint32_t type;
    uint32_t start;
    float *scratch;
    eo_features_layout layout;
    /* where a step's values go, in order: floats, or on through steps [onward..) to int8 */
    float *floats;
    int8_t *output;
    uint32_t onward;
    uint32_t put;
    eo_status status;
} eo_features_pass;

/* parameters.c: the step's operation and numbers into link and chain. */
eo_status eo_features_parameters(eo_features *chain, eo_features_link *link, const eo_features_step *step);

/* shapes.c: what the step makes of a shape; fills the link's sizes. */
eo_status eo_features_shape_after(const eo_features *chain, eo_features_link *link, eo_features_shape *shape);

/* layout.c: the end of the steps from `at` on that run as one: an image is resized and made grey in one go. */
uint32_t eo_features_group_end(const eo_features *chain, uint32_t at);
/* Whether values can go through all steps from `at` on one by one, in order. */
bool eo_features_streams(const eo_features *chain, uint32_t at);
/* Floats of a step's statistics. */
uint32_t eo_features_stats_floats(const eo_features *chain, uint32_t at);
void eo_features_lay_out(const eo_features *chain, eo_features_layout *layout);

/* values.c: value `index` of what the steps before `to` give; one value through step `at`; statistics of step `at`. */
float eo_features_value(const eo_features_pass *pass, uint32_t to, uint32_t index);
float eo_features_apply(const eo_features_pass *pass, uint32_t at, uint32_t index, float value);
eo_status eo_features_measure(eo_features_pass *pass, uint32_t at);

/* run.c: the next value of the step that runs. */
void eo_features_put(eo_features_pass *pass, float value);

/* image.c */
void eo_features_image(eo_features_pass *pass, uint32_t at, uint32_t end);

/* bands.c, mel.c: scratch in floats, and the operations. */
uint32_t eo_features_bands_floats(const float *numbers, const eo_features_link *link);
void eo_features_bands(eo_features_pass *pass, uint32_t at);
uint32_t eo_features_mel_floats(const float *numbers, const eo_features_link *link);
void eo_features_mel(eo_features_pass *pass, uint32_t at);
/* The first bin of each of bands + 1 or mels + 2 edges, and for each bin its weight in the band that rises there.
 * NULL: checks only. EO_MALFORMED for a band without a bin. */
eo_status eo_features_band_edges(const float *numbers, uint16_t *edges);
eo_status eo_features_mel_edges(const float *numbers, uint16_t *edges, float *weights);

/* spectrum.c: the memory of power spectra, carved out of `work`: the frame first. */
typedef struct eo_spectrum {
    float *frame;    /* [fft], afterwards the power of bins 0 to fft / 2 */
    float *quarter;  /* [fft / 4 + 1] cosines of a quarter turn */
    float *window;   /* [length / 2 + 1] of the symmetric window */
    uint32_t fft;
    uint32_t length; /* samples of a frame */
} eo_spectrum;

uint32_t eo_spectrum_floats(uint32_t fft, uint32_t length);
/* Fills the tables; returns what is left of the memory. */
float *eo_spectrum_open(eo_spectrum *spectrum, float *work, uint32_t fft, uint32_t length);
/* The power spectrum of the frame that begins at value `first`, one value every `stride`. */
void eo_spectrum_power(eo_spectrum *spectrum, const eo_features_pass *pass, uint32_t to, uint32_t first,
                       uint32_t stride);
/* cos(pi / 2 * k / count) for k = 0..count. */
void eo_quarter_cosines(float *quarter, uint32_t count);

/* fft.c: |FFT|**2 of `size` reals (a power of two, 4 or more), in place: bins 0 to size / 2. */
void eo_fft_power(float *values, uint32_t size, const float *quarter);

#endif
