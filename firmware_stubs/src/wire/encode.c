/* What a device sends, byte for byte as edgeops/core writes it: fields that may be left out are, where they have no
 * value; those with a default of 0 never are. */
#include <string.h>

#include "wire/cbor_read.h"
#include "wire/cbor_write.h"

#define LIFECYCLE_BYTES 16u
#define REASON_BYTES 160u
#define MAX_LABELS_BYTES 8192u
#define MAX_TRUTHS 256u
#define MANIFEST_PREFIX_BYTES 8u

eo_status eo_presence_encode(uint8_t *bytes, size_t room, size_t *size, uint32_t session, bool online)
{
    eo_writer to;

    eo_write_begin(&to, bytes, room, EO_PRESENCE_BYTES);
    eo_write_head(&to, EO_CBOR_MAP, 2);
    eo_write_number_at(&to, 1, session);
    eo_write_head(&to, EO_CBOR_UINT, 2);
    eo_write_bool(&to, online);
    return eo_write_end(&to, size);
}

static void write_shadow(eo_writer *to, const eo_shadow_counts *shadow)
{
    eo_write_head(to, EO_CBOR_MAP, 5);
    eo_write_number_at(to, 1, shadow->inferences);
    eo_write_number_at(to, 2, shadow->disagreements);
    eo_write_number_at(to, 3, shadow->errors);
    eo_write_number_at(to, 4, shadow->active_us);
    eo_write_number_at(to, 5, shadow->candidate_us);
}

static void write_model(eo_writer *to, const eo_model_state *model)
{
    int optional = (model->confirmed != NULL) + (model->previous != NULL) + (model->candidate != NULL) +
                   (model->reason != NULL) + (model->shadow != NULL) + (model->artifact != NULL);

    eo_write_head(to, EO_CBOR_MAP, 5u + (unsigned)optional);
    eo_write_text_at(to, 1, model->lifecycle, LIFECYCLE_BYTES);
    eo_write_number_at(to, 2, model->generation);
    eo_write_digest_at(to, 3, model->confirmed);
    eo_write_digest_at(to, 4, model->previous);
    eo_write_digest_at(to, 5, model->candidate);
    if (model->reason != NULL) {
        eo_write_text_at(to, 6, model->reason, REASON_BYTES);
    }
    eo_write_number_at(to, 7, model->security_counter);
    eo_write_number_at(to, 8, model->attempts);
    eo_write_number_at(to, 9, model->retry_in_ms);
    if (model->shadow != NULL) {
        eo_write_head(to, EO_CBOR_UINT, 10);
        write_shadow(to, model->shadow);
    }
    eo_write_digest_at(to, 11, model->artifact);
}

eo_status eo_state_encode(uint8_t *bytes, size_t room, size_t *size, const eo_state *state)
{
    eo_writer to;

    eo_write_begin(&to, bytes, room, EO_STATE_BYTES);
    eo_write_head(&to, EO_CBOR_MAP, 11);
    eo_write_number_at(&to, 1, state->boot);
    eo_write_number_at(&to, 2, state->session);
    eo_write_text_at(&to, 3, state->agent, 32);
    eo_write_text_at(&to, 4, state->runtime, 64);
    eo_write_text_at(&to, 5, state->target, 32);
    eo_write_number_at(&to, 6, state->free_bytes);
    eo_write_head(&to, EO_CBOR_UINT, 7);
    eo_write_head(&to, EO_CBOR_MAP, state->model != NULL);
    if (state->model != NULL) {
        eo_write_text(&to, state->model->model, EO_NAME_BYTES);
        write_model(&to, state->model);
    }
    eo_write_number_at(&to, 8, state->received_bytes);
    eo_write_number_at(&to, 9, state->dropped_labels);
    eo_write_head(&to, EO_CBOR_UINT, 10);
    eo_write_head(&to, EO_CBOR_LIST, state->takes != NULL);
    if (state->takes != NULL) {
        eo_write_text(&to, state->takes, 16);
    }
    eo_write_number_at(&to, 11, state->spent_bytes);
    return eo_write_end(&to, size);
}

eo_status eo_event_encode(uint8_t *bytes, size_t room, size_t *size, const eo_event *event)
{
    eo_writer to;
    int optional = (event->manifest != NULL) + (event->reason != NULL);

    eo_write_begin(&to, bytes, room, EO_EVENT_BYTES);
    eo_write_head(&to, EO_CBOR_MAP, 8u + (unsigned)optional);
    eo_write_number_at(&to, 1, event->boot);
    eo_write_number_at(&to, 2, event->number);
    eo_write_text_at(&to, 3, event->model, EO_NAME_BYTES);
    eo_write_number_at(&to, 4, event->generation);
    eo_write_text_at(&to, 5, event->source, LIFECYCLE_BYTES);
    eo_write_text_at(&to, 6, event->target, LIFECYCLE_BYTES);
    eo_write_text_at(&to, 7, event->event, 24);
    eo_write_digest_at(&to, 8, event->manifest);
    if (event->reason != NULL) {
        eo_write_text_at(&to, 9, event->reason, REASON_BYTES);
    }
    eo_write_number_at(&to, 10, event->uptime_ms);
    return eo_write_end(&to, size);
}

eo_status eo_report_encode(uint8_t *bytes, size_t room, size_t *size, const eo_report *report)
{
    eo_writer to;

    if (report->counters.size < 5 || report->counters.size > 2048) {
        *size = 0;
        return EO_RANGE;
    }
    eo_write_begin(&to, bytes, room, EO_REPORT_BYTES);
    eo_write_head(&to, EO_CBOR_LIST, 12);
    eo_write_text(&to, report->model, EO_NAME_BYTES);
    eo_write_bytes(&to, report->manifest, MANIFEST_PREFIX_BYTES);
    eo_write_head(&to, EO_CBOR_UINT, report->boot);
    eo_write_head(&to, EO_CBOR_UINT, report->sequence);
    eo_write_head(&to, EO_CBOR_UINT, report->behind);
    eo_write_head(&to, EO_CBOR_UINT, report->generation);
    eo_write_head(&to, EO_CBOR_UINT, report->start_ms);
    eo_write_head(&to, EO_CBOR_UINT, report->duration_ms);
    eo_write_bytes(&to, report->counters.bytes, report->counters.size);
    eo_write_head(&to, EO_CBOR_UINT, report->observe_permille);
    eo_write_head(&to, EO_CBOR_UINT, report->dropped);
    eo_write_bool(&to, report->trial);
    return eo_write_end(&to, size);
}

static uint8_t *put_big_endian(uint8_t *to, uint32_t value, unsigned bytes)
{
    unsigned n;

    for (n = bytes; n != 0; n--) {
        to[n - 1] = (uint8_t)value;
        value >>= 8;
    }
    return to + bytes;
}

void eo_prediction_pack(uint8_t *bytes, const eo_prediction *prediction)
{
    memcpy(bytes, prediction->manifest, MANIFEST_PREFIX_BYTES);
    bytes = put_big_endian(bytes + MANIFEST_PREFIX_BYTES, prediction->boot, 4);
    bytes = put_big_endian(bytes, prediction->sequence, 4);
    bytes = put_big_endian(bytes, prediction->index, 2);
    bytes[0] = prediction->predicted;
    bytes[1] = prediction->confidence_bin;
}

eo_status eo_labels_encode(uint8_t *bytes, size_t room, size_t *size, const char *model, const eo_truth *truths,
                           size_t count)
{
    eo_writer to;
    size_t n;

    if (count > MAX_TRUTHS) {
        *size = 0;
        return EO_RANGE;
    }
    eo_write_begin(&to, bytes, room, MAX_LABELS_BYTES);
    eo_write_head(&to, EO_CBOR_MAP, 2);
    eo_write_text_at(&to, 1, model, EO_NAME_BYTES);
    eo_write_head(&to, EO_CBOR_UINT, 2);
    eo_write_head(&to, EO_CBOR_LIST, count);
    for (n = 0; n < count; n++) {
        eo_write_head(&to, EO_CBOR_MAP, 2);
        eo_write_head(&to, EO_CBOR_UINT, 1);
        eo_write_bytes(&to, truths[n].prediction, EO_PREDICTION_BYTES);
        eo_write_number_at(&to, 2, truths[n].label);
    }
    return eo_write_end(&to, size);
}
