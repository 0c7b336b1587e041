/* Counts what a model is given and what it says, as edgeops/core/window.py does, and packs a window for a report.
 *
 * Counters are integer functions of the quantized input and output, so that every language counts the same. The plan
 * (which features, in which bins) is read in place from the flash, where it must stay while it is used; a window holds
 * numbers only. docs/protocol.md, "Scores", "Counters" and "Prediction ids", says what all of it means. */
#ifndef EDGEOPS_COUNTERS_H
#define EDGEOPS_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/config.h"
#include "edgeops/status.h"
#include "edgeops/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EO_BINS 12 /* below the first edge, ten between two, above the last */
#define EO_EDGES 11
#define EO_CONFIDENCE_BINS 16
#define EO_LATENCY_BINS 16
#define EO_COMPONENTS 64
#define EO_BINS_DIGEST 4
#define EO_MAX_COUNT 65535u    /* no count of a window is higher */
#define EO_MAX_VALUES 1048576u /* of an input, so that sums fit */

/* The longest block that this build packs: its head, then 2 bytes a count, 8 for moments, 4 a Fourier sum. */
#define EO_MAX_BLOCK                                                              \
    (32 + 2 * (EO_MAX_CLASSES + EO_CONFIDENCE_BINS + EO_LATENCY_BINS) +           \
     (EO_MAX_FEATURES + 1) * (2 * EO_BINS + 8) + (EO_FOURIER ? 4 * EO_COMPONENTS : 0))

/* ---- the plan ---- */

/* The integer functions of an input, in the order of `FEATURES` in edgeops/core/input_features.py. */
typedef enum eo_feature {
    EO_FEATURE_LEVEL,
    EO_FEATURE_SPREAD,
    EO_FEATURE_CONTRAST,
    EO_FEATURE_SHARPNESS,
    EO_FEATURE_CLIPPED,
    EO_FEATURE_BAND_1,
    EO_FEATURE_BAND_2,
    EO_FEATURE_BAND_3,
    EO_FEATURE_BAND_4,
    EO_FEATURE_DETAIL_2,
    EO_FEATURE_DETAIL_4,
    EO_FEATURE_DETAIL_8,
    EO_FEATURE_END
} eo_feature;

/* Where one feature's numbers lie in the plan's CBOR, from its first byte (a plan has at most 16,384). */
typedef struct eo_bins {
    uint16_t edges_at; /* of the first of 11 ascending integers, behind the list's head */
    uint16_t mean_at;  /* of an integer; a key's byte behind it the deviation follows */
    uint16_t name_at;  /* of the text's head */
} eo_bins;

/* A plan that was opened: 36 bytes, and 7 for each feature that this build takes. */
typedef struct eo_observe_plan {
    const uint8_t *bytes; /* the plan's CBOR */
    uint16_t fourier_at;  /* of the bytes: weights int16[features][64], then phases uint16[64]; 0 without */
    uint8_t feature_count;
    uint8_t class_count;
    uint8_t digest[EO_BINS_DIGEST]; /* names the bins */
    uint8_t has_margin;
    uint8_t features[EO_MAX_FEATURES]; /* eo_feature */
    eo_bins margin;
    eo_bins bins[EO_MAX_FEATURES];
    /* The input's shape: its first two dimensions and the product of the others. A series of one dimension has 0
     * columns. `values` is 0 until the shape is known. */
    uint32_t values, rows, columns, depth;
} eo_observe_plan;

/* Opens the CBOR of an ObservePlan, whatever the bytes say. EO_MALFORMED: not such a message in deterministic CBOR.
 * EO_UNSUPPORTED: more features or classes than this build takes (config.h), a feature or a critical key that it does
 * not know. EO_RANGE: edges that do not ascend, or a number not within +-(2**26 - 1) (what features give ends at
 * 2**16). About 300 bytes of stack, most of it for the digest's state, and the digest's own. */
eo_status eo_observe_plan_open(eo_observe_plan *plan, const void *bytes, size_t size);

/* Takes the input's shape, without the batch dimension, from the manifest; before the first input is observed.
 * EO_RANGE: a rank that is not 1 to EO_MAX_RANK, or not 1 to EO_MAX_VALUES values. */
eo_status eo_observe_plan_shape(eo_observe_plan *plan, const uint32_t *shape, size_t rank);

/* ---- scores ---- */

/* How a model that restores its input is scored. With output_kind `classes` the output is the scores. */
typedef struct eo_reconstruction {
    uint64_t threshold;
    uint32_t values;
    uint16_t input_weight, output_weight;
    int16_t input_zero_point, output_zero_point;
} eo_reconstruction;

/* EO_RANGE: shapes of different numbers of values or not of 1 to EO_MAX_VALUES, a threshold not in 1..2**48-1,
 * a scale or zero point that no int8 tensor has. */
eo_status eo_reconstruction_begin(eo_reconstruction *how, const eo_tensor_contract *input,
                                  const eo_tensor_contract *output, uint64_t threshold);

/* The scores of `normal` and `anomaly`; returns the error that they come of. */
uint64_t eo_reconstruction_scores(const eo_reconstruction *how, const int8_t *input, const int8_t *output,
                                  int8_t scores[2]);

/* What an inference said. With the manifest, boot and sequence it makes the id of a prediction (wire.h). */
typedef struct eo_counted {
    uint16_t index; /* in the window */
    uint8_t predicted;
    int8_t score; /* of the predicted class */
    uint8_t confidence_bin;
    uint8_t margin; /* the best score less the second; of one score alone how far it lies above -128 */
} eo_counted;

/* What `count` >= 1 scores say; of equal ones the first wins. The index is 0. */
eo_counted eo_judge_scores(const int8_t *scores, size_t count);

/* ---- which inputs are observed ---- */

typedef struct eo_draws {
    uint32_t state;
} eo_draws;

/* Begins anew for each boot. */
void eo_draws_begin(eo_draws *draws, uint32_t boot);

/* 1: this input belongs to the share, of which 1000 is all. */
int eo_draws_below(eo_draws *draws, uint16_t permille);

/* ---- the window ---- */

typedef struct eo_moments {
    int32_t sum;
    uint32_t squares;
} eo_moments;

/* The window of one model. */
typedef struct eo_window {
    uint64_t start_ms;
    uint64_t last_input; /* a hash of the input that was observed last: to keep the input itself takes its size */
    uint16_t inferences, errors, rejected, missing, observed, stuck;
    uint16_t confidence[EO_CONFIDENCE_BINS];
    uint16_t latency[EO_LATENCY_BINS];
    uint16_t classes[EO_MAX_CLASSES];
    uint16_t margin[EO_BINS];
    uint16_t bins[EO_MAX_FEATURES][EO_BINS];
    eo_moments margin_moments;
    eo_moments moments[EO_MAX_FEATURES];
#if EO_FOURIER
    int32_t fourier[EO_COMPONENTS];
#endif
} eo_window;

/* An empty window that begins now (milliseconds of uptime). */
void eo_window_begin(eo_window *window, uint64_t now_ms);

/* Counts one inference: plan->class_count scores, how long it took, and, where this input belongs to the share that is
 * observed, the input (of the plan's shape), otherwise NULL. What it said goes to *counted (may be NULL).
 * EO_FULL: the window has counted EO_MAX_COUNT and counts no further. EO_ARGUMENT: a plan without classes, or an input
 * where the plan has no shape. About 100 bytes of stack. */
eo_status eo_window_observe(eo_window *window, const eo_observe_plan *plan, const int8_t *input, const int8_t *scores,
                            uint32_t latency_us, eo_counted *counted);

/* Counts an inference that failed, as far as EO_MAX_COUNT. */
void eo_window_error(eo_window *window);

/* Counts an input that does not meet the contract; missing: it held what is no number. As far as EO_MAX_COUNT. */
void eo_window_rejected(eo_window *window, int missing);

/* 1: the policy says that the window closes now. */
int eo_window_full(const eo_window *window, const eo_report_policy *policy, uint64_t now_ms);

/* 1: nothing was counted, so that there is nothing to report. */
int eo_window_empty(const eo_window *window);

/* Packs the window as the field `counters` of a report; EO_MAX_BLOCK bytes are enough for any window of this build.
 * EO_TOO_SMALL, with nothing in *packed. EO_RANGE: a window that was not counted with this plan. */
eo_status eo_window_pack(const eo_window *window, const eo_observe_plan *plan, uint8_t *buffer, size_t size,
                         size_t *packed);

#ifdef __cplusplus
}
#endif
#endif
