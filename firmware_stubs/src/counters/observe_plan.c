/* Opens the ObservePlan of edgeops/core/observe.py: finds what is counted in, and names it. */
#include <string.h>

#include "counters/bins.h"
#include "edgeops/counters.h"
#include "trust/sha256.h"
#include "wire/cbor_read.h"
#include "wire/schema.h"

#define MAX_BYTES 16384u

/* In the order of eo_feature. */
static const char *const NAMES[EO_FEATURE_END] = {"level",  "spread", "contrast", "sharpness", "clipped",  "band_1",
                                                  "band_2", "band_3", "band_4",   "detail_2",  "detail_4", "detail_8"};

static int in_range(int64_t value)
{
    return value >= -EO_BINS_LIMIT && value <= EO_BINS_LIMIT;
}

/* Eleven edges that ascend (some may be equal), and numbers that counting has room for. */
static eo_status open_bins(const eo_observe_plan *plan, const eo_feature_plan *feature, eo_bins *bins)
{
    eo_items edges = feature->edges;
    int64_t before = -EO_BINS_LIMIT, edge;
    const uint8_t *mean = feature->reference.at;

    if (edges.left != EO_EDGES) {
        return EO_MALFORMED;
    }
    for (; eo_integer_next(&edges, &edge) == EO_OK; before = edge) {
        if (edge < before || !in_range(edge)) {
            return EO_RANGE;
        }
    }
    if (!in_range(feature->mean) || feature->deviation > EO_BINS_LIMIT) {
        return EO_RANGE;
    }
    for (uint16_t left = feature->reference.left; left > 0; left--) {
        mean = eo_cbor_skip(mean);
    }
    bins->name_at = (uint16_t)(feature->name.bytes - 1 - plan->bytes);
    bins->edges_at = (uint16_t)(feature->edges.at - plan->bytes);
    bins->mean_at = (uint16_t)(mean + 1 - plan->bytes); /* keys ascend: behind the reference comes the mean's key */
    return EO_OK;
}

static eo_status open_feature(eo_observe_plan *plan, const eo_feature_plan *message)
{
    eo_status status = open_bins(plan, message, &plan->bins[plan->feature_count]);

    if (status != EO_OK) {
        return status;
    }
    for (uint8_t feature = 0; feature < EO_FEATURE_END; feature++) {
        if (eo_view_is(message->name, NAMES[feature])) {
            plan->features[plan->feature_count++] = feature;
            return EO_OK;
        }
    }
    return EO_UNSUPPORTED;
}

/* Adds `items` items that lie one after the other to the digest. */
static void digest_items(eo_sha256_state *state, const uint8_t *at, unsigned items)
{
    const uint8_t *end = at;

    for (; items > 0; items--) {
        end = eo_cbor_skip(end);
    }
    eo_sha256_update(state, at, (size_t)(end - at));
}

static void digest_head(eo_sha256_state *state, unsigned major, uint32_t value)
{
    uint8_t bytes[3] = {(uint8_t)(major << 5 | 25), (uint8_t)(value >> 8), (uint8_t)value};

    if (value >= 256) {
        eo_sha256_update(state, bytes, 3);
        return;
    }
    bytes[1] = (uint8_t)(major << 5 | (value < 24 ? value : 24));
    eo_sha256_update(state, bytes + 1, value < 24 ? 1 : 2);
}

static void digest_bins(eo_sha256_state *state, const eo_observe_plan *plan, const eo_bins *bins)
{
    digest_head(state, EO_CBOR_LIST, EO_EDGES + 3);
    digest_items(state, plan->bytes + bins->name_at, 1);
    digest_items(state, plan->bytes + bins->edges_at, EO_EDGES);
    digest_items(state, plan->bytes + bins->mean_at, 1);
    digest_items(state, eo_cbor_skip(plan->bytes + bins->mean_at) + 1, 1); /* behind a key: the deviation */
}

/* SHA-256 of [bins, number of classes, Fourier components or null] in CBOR; its parts stand in the plan as they are. */
static void name_bins(eo_observe_plan *plan, eo_view fourier)
{
    static const uint8_t without = 0xE0 | EO_CBOR_NULL;
    eo_sha256_state state;
    uint8_t digest[EO_DIGEST_BYTES];

    eo_sha256_start(&state);
    digest_head(&state, EO_CBOR_LIST, 3);
    digest_head(&state, EO_CBOR_LIST, (uint8_t)(plan->feature_count + plan->has_margin));
    for (size_t i = 0; i < plan->feature_count; i++) {
        digest_bins(&state, plan, &plan->bins[i]);
    }
    if (plan->has_margin) {
        digest_bins(&state, plan, &plan->margin);
    }
    digest_head(&state, EO_CBOR_UINT, plan->class_count);
    if (fourier.bytes != NULL) {
        digest_head(&state, EO_CBOR_BYTES, fourier.size);
        eo_sha256_update(&state, fourier.bytes, fourier.size);
    } else {
        eo_sha256_update(&state, &without, 1);
    }
    eo_sha256_finish(&state, digest);
    memcpy(plan->digest, digest, EO_BINS_DIGEST);
}

static eo_status open_parts(eo_observe_plan *plan, eo_observe_message *message)
{
    eo_feature_plan feature;
    eo_status status;

    if (message->features.left > EO_MAX_FEATURES || message->classes.left > EO_MAX_CLASSES ||
        (!EO_FOURIER && message->fourier.bytes != NULL)) {
        return EO_UNSUPPORTED;
    }
    while (eo_schema_next(EO_MESSAGE_FEATURE_PLAN, &feature, sizeof feature, &message->features) == EO_OK) {
        if ((status = open_feature(plan, &feature)) != EO_OK) {
            return status;
        }
    }
    plan->class_count = (uint8_t)message->classes.left;
    plan->has_margin = message->margin.name.bytes != NULL;
    if (plan->has_margin && (status = open_bins(plan, &message->margin, &plan->margin)) != EO_OK) {
        return status;
    }
    if (message->fourier.bytes != NULL) {
        if (plan->feature_count == 0 || message->fourier.size != 2u * EO_COMPONENTS * (plan->feature_count + 1u)) {
            return EO_MALFORMED;
        }
        plan->fourier_at = (uint16_t)(message->fourier.bytes - plan->bytes);
    }
    name_bins(plan, message->fourier);
    return EO_OK;
}

eo_status eo_observe_plan_open(eo_observe_plan *plan, const void *bytes, size_t size)
{
    eo_observe_message message;
    eo_status status = eo_schema_read(EO_MESSAGE_OBSERVE_PLAN, &message, sizeof message, bytes, size, MAX_BYTES, NULL);

    memset(plan, 0, sizeof *plan);
    plan->bytes = bytes;
    return status == EO_OK ? open_parts(plan, &message) : status;
}

eo_status eo_observe_plan_shape(eo_observe_plan *plan, const uint32_t *shape, size_t rank)
{
    uint32_t values = 1;

    plan->values = 0;
    if (rank == 0 || rank > EO_MAX_RANK) {
        return EO_RANGE;
    }
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] == 0 || shape[i] > EO_MAX_VALUES / values) {
            return EO_RANGE;
        }
        values *= shape[i];
    }
    plan->values = values;
    plan->rows = shape[0];
    plan->columns = rank > 1 ? shape[1] : 0;
    plan->depth = rank > 1 ? values / shape[0] / shape[1] : 1;
    return EO_OK;
}
