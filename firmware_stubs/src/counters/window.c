/* The counters of the window that a device is filling: edgeops/core/window.py, device_agent/observing.py. */
#include <string.h>

#include "counters/bins.h"
#include "counters/fourier.h"
#include "counters/input_features.h"
#include "counters/integers.h"
#include "edgeops/counters.h"

void eo_window_begin(eo_window *window, uint64_t now_ms)
{
    memset(window, 0, sizeof *window);
    window->start_ms = now_ms;
}

/* Bucket 0 is below 16 us, each following one twice as wide, the last all above. */
static unsigned latency_bin(uint32_t microseconds)
{
    unsigned bits = eo_bit_length(microseconds);

    return bits < 4 ? 0 : bits < EO_LATENCY_BINS + 3 ? bits - 4 : EO_LATENCY_BINS - 1;
}

static void observe_input(eo_window *window, const eo_observe_plan *plan, const int8_t *input)
{
    eo_input_sums sums;
    int8_t steps[EO_MAX_FEATURES];

    eo_input_sums_of(&sums, plan, input);
    if (window->observed != 0 && sums.hash == window->last_input) {
        window->stuck++;
    }
    window->last_input = sums.hash;
    window->observed++;
    for (size_t i = 0; i < plan->feature_count; i++) {
        int32_t value = eo_input_feature(plan, (eo_feature)plan->features[i], &sums, input);
        steps[i] = (int8_t)eo_bins_count(plan, &plan->bins[i], value, window->bins[i], &window->moments[i]);
    }
#if EO_FOURIER
    if (plan->fourier_at != 0) {
        eo_fourier_add(plan, steps, window->fourier);
    }
#else
    (void)steps;
#endif
}

eo_status eo_window_observe(eo_window *window, const eo_observe_plan *plan, const int8_t *input, const int8_t *scores,
                            uint32_t latency_us, eo_counted *counted)
{
    eo_counted said;

    if (plan->class_count == 0 || (input != NULL && plan->values == 0)) {
        return EO_ARGUMENT;
    }
    if (window->inferences == EO_MAX_COUNT) {
        return EO_FULL;
    }
    said = eo_judge_scores(scores, plan->class_count);
    said.index = window->inferences++;
    window->classes[said.predicted]++;
    window->confidence[said.confidence_bin]++;
    window->latency[latency_bin(latency_us)]++;
    if (plan->has_margin) {
        eo_bins_count(plan, &plan->margin, said.margin, window->margin, &window->margin_moments);
    }
    if (input != NULL) {
        observe_input(window, plan, input);
    }
    if (counted != NULL) {
        *counted = said;
    }
    return EO_OK;
}

static void count_up(uint16_t *count)
{
    *count = (uint16_t)(*count + (*count != EO_MAX_COUNT));
}

void eo_window_error(eo_window *window)
{
    count_up(&window->errors);
}

void eo_window_rejected(eo_window *window, int missing)
{
    count_up(&window->rejected);
    if (missing) {
        count_up(&window->missing);
    }
}

int eo_window_full(const eo_window *window, const eo_report_policy *policy, uint64_t now_ms)
{
    uint32_t most = policy->window_inferences;

    if (most == 0 || most > EO_MAX_COUNT) {
        most = EO_MAX_COUNT;
    }
    return window->inferences >= most ||
           (policy->interval_ms != 0 && now_ms >= window->start_ms &&
            now_ms - window->start_ms >= policy->interval_ms);
}

int eo_window_empty(const eo_window *window)
{
    return (window->inferences | window->errors | window->rejected) == 0;
}
