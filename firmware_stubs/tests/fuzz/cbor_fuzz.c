/* Everything that reads CBOR from outside: the first byte chooses the message, the rest is the payload. Whatever comes,
 * nothing is read outside of it, and what was taken can be walked to its end. */
#include <stdlib.h>
#include <string.h>

#include "edgeops/counters.h"
#include "edgeops/trust.h"
#include "wire/cbor_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint32_t seen; /* so that reading a view is not left out */

static void touch(eo_view view)
{
    for (uint32_t n = 0; n < view.size; n++) {
        seen += view.bytes[n];
    }
}

static void touch_digest(const uint8_t *digest)
{
    eo_view view = {digest, EO_DIGEST_BYTES};

    if (digest != NULL) {
        touch(view);
    }
}

static void touch_blob(const eo_blob_ref *blob)
{
    touch_digest(blob->sha256);
    touch_digest(blob->chunk_list);
}

static void walk_desired(const eo_desired *desired)
{
    touch(desired->fleet);
    touch(desired->device);
    touch(desired->model);
    touch_digest(desired->manifest);
    for (unsigned n = 0; n < desired->transfer_count; n++) {
        touch_digest(desired->transfers[n].target);
        touch_blob(&desired->transfers[n].blob);
    }
}

static void walk_manifest(eo_manifest *manifest)
{
    eo_view label;
    eo_step step;
    int64_t parameter;

    touch(manifest->model);
    touch(manifest->output_kind_name);
    touch(manifest->input.unit);
    touch(manifest->source.unit);
    touch_blob(&manifest->artifact.blob);
    touch_blob(&manifest->observe);
    touch_blob(&manifest->vectors);
    while (eo_text_next(&manifest->labels, &label) == EO_OK) {
        touch(label);
    }
    while (eo_step_next(&manifest->preprocessing, &step) == EO_OK) {
        touch(step.op);
        while (eo_integer_next(&step.parameters, &parameter) == EO_OK) {
            seen += (uint32_t)parameter;
        }
    }
}

static void walk_selftest(eo_selftest *test)
{
    eo_view input;
    eo_view output;

    while (eo_selftest_next(test, &input, &output) == EO_OK) {
        touch(input);
        touch(output);
    }
}

static void read_one(unsigned message, const uint8_t *payload, size_t size)
{
    eo_desired desired;
    eo_receipt receipt;
    eo_manifest manifest;
    eo_selftest test;
    eo_observe_plan plan;
    eo_trust_root root;
    eo_trust_root next;
    eo_view view;

    switch (message) {
    case 0:
        if (eo_desired_decode(&desired, payload, size, "digits") == EO_OK) {
            walk_desired(&desired);
        }
        break;
    case 1:
        if (eo_desired_decode(&desired, payload, size, NULL) == EO_OK) {
            walk_desired(&desired);
        }
        break;
    case 2:
        (void)eo_receipt_decode(&receipt, payload, size, "digits");
        break;
    case 3:
        if (eo_manifest_decode(&manifest, payload, size, "plan", "cortex-m4") == EO_OK) {
            walk_manifest(&manifest);
        }
        break;
    case 4:
        if (eo_selftest_open(&test, payload, size) == EO_OK) {
            walk_selftest(&test);
        }
        break;
    case 5:
        (void)eo_observe_plan_open(&plan, payload, size);
        break;
    case 6:
        if (eo_trust_open(&root, payload, size) == EO_OK) {
            (void)eo_trust_first(&root, payload, size);
            (void)eo_trust_next(&root, &next, payload, size);
            if (eo_verify(&root, payload, size, "manifest", EO_ROLE_RELEASE, &view) == EO_OK) {
                touch(view);
            }
        }
        break;
    default:
        if (eo_cbor_check(payload, size) == EO_OK && eo_cbor_skip(payload) != payload + size) {
            abort();
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *payload;

    if (size == 0) {
        return 0;
    }
    payload = (uint8_t *)malloc(size - 1 + (size == 1)); /* of exactly its size */
    if (payload == NULL) {
        abort();
    }
    memcpy(payload, data + 1, size - 1);
    read_one(data[0] & 7u, payload, size - 1);
    free(payload);
    return 0;
}
