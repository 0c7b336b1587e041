/* What the control side says to a device in plain messages: desired state and receipt. */
#include "wire/cbor_read.h"
#include "wire/schema.h"

#define MAX_RECEIPT_BYTES 1024u
#define DEFAULT_INTERVAL_MS 60000u
#define DEFAULT_OBSERVE_PERMILLE 1000u

eo_status eo_desired_decode(eo_desired *desired, const uint8_t *payload, size_t size, const char *model)
{
    const uint8_t *at;
    eo_any_transfer transfer;
    eo_items left;
    eo_status status =
        eo_schema_read(EO_MESSAGE_DESIRED, desired, sizeof *desired, payload, size, EO_MAX_DESIRED_BYTES, NULL);

    if (status != EO_OK) {
        return status;
    }
    desired->report.interval_ms = DEFAULT_INTERVAL_MS;
    desired->report.observe_permille = DEFAULT_OBSERVE_PERMILLE;
    at = eo_schema_find(desired->models, model, &desired->model);
    if (at == NULL) {
        return EO_OK;
    }
    desired->named = true;
    status = eo_schema_walk(EO_MESSAGE_DESIRED_MODEL, desired, &at, NULL);
    left = desired->all_transfers;
    while (status == EO_OK && eo_schema_next(EO_MESSAGE_TRANSFER, &transfer, sizeof transfer, &left) == EO_OK) {
        if (transfer.base == NULL) {
            desired->transfers[desired->transfer_count++] = transfer.cut;
        }
    }
    return status;
}

eo_status eo_receipt_decode(eo_receipt *receipt, const uint8_t *payload, size_t size, const char *model)
{
    eo_view name;
    eo_head head;
    const uint8_t *at;
    eo_status status =
        eo_schema_read(EO_MESSAGE_RECEIPT, receipt, sizeof *receipt, payload, size, MAX_RECEIPT_BYTES, NULL);

    if (status != EO_OK) {
        return status;
    }
    at = eo_schema_find(receipt->models, model, &name);
    if (at != NULL) {
        (void)eo_cbor_head(&head, at, EO_CBOR_CHECKED);
        receipt->named = true;
        receipt->committed = (uint32_t)head.value;
    }
    return EO_OK;
}
