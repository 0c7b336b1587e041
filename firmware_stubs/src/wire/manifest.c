/* The manifest, and the blobs that it names. */
#include "wire/schema.h"

#define KEY_SOURCE 14u
#define KEY_THRESHOLD 15u

uint32_t eo_blob_chunks(const eo_blob_ref *blob)
{
    return blob->size / blob->chunk_bytes + (blob->size % blob->chunk_bytes != 0);
}

eo_status eo_blob_ref_check(const eo_blob_ref *blob)
{
    if (blob->chunk_bytes < EO_MIN_CHUNK_BYTES || blob->chunk_bytes > EO_MAX_CHUNK_BYTES ||
        blob->size > EO_MAX_BLOB_BYTES) {
        return EO_RANGE;
    }
    return blob->size > blob->chunk_bytes && blob->chunk_list == NULL ? EO_RANGE : EO_OK;
}

eo_status eo_manifest_decode(eo_manifest *manifest, const uint8_t *payload, size_t size, const char *runtime,
                             const char *target)
{
    uint32_t seen;
    eo_items left;
    eo_artifact artifact;
    eo_status status = eo_schema_read(EO_MESSAGE_MANIFEST, manifest, sizeof *manifest, payload, size,
                                      EO_MAX_MANIFEST_BYTES, &seen);

    if (status != EO_OK) {
        return status;
    }
    manifest->has_source = (seen >> KEY_SOURCE & 1u) != 0;
    manifest->has_threshold = (seen >> KEY_THRESHOLD & 1u) != 0;
    if (eo_view_is(manifest->output_kind_name, "classes")) {
        manifest->output_kind = EO_OUTPUT_CLASSES;
    } else if (eo_view_is(manifest->output_kind_name, "reconstruction")) {
        manifest->output_kind = EO_OUTPUT_RECONSTRUCTION;
    }
    if (eo_blob_ref_check(&manifest->observe) != EO_OK || eo_blob_ref_check(&manifest->vectors) != EO_OK) {
        return EO_RANGE;
    }
    left = manifest->artifacts;
    while (eo_schema_next(EO_MESSAGE_ARTIFACT, &artifact, sizeof artifact, &left) == EO_OK) {
        if (eo_blob_ref_check(&artifact.blob) != EO_OK) {
            return EO_RANGE;
        }
        if (!manifest->fits && eo_view_is(artifact.runtime, runtime) &&
            (eo_view_is(artifact.target, target) || eo_view_is(artifact.target, "any"))) {
            manifest->fits = true;
            manifest->artifact = artifact;
        }
    }
    return EO_OK;
}

eo_status eo_step_next(eo_items *steps, eo_step *step)
{
    return eo_schema_next(EO_MESSAGE_STEP, step, sizeof *step, steps);
}
