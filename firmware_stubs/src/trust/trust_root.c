/* Which trust root a device takes, and what it opens with it. The rules are those of The Update Framework. */
#include <string.h>

#include "trust/envelope.h"
#include "trust/sha256.h"
#include "wire/cbor_read.h"
#include "wire/schema.h"

#define MAX_ROOT_BYTES 4096u

static const char PURPOSE[] = "trust";

static eo_status open_root(eo_trust_root *root, eo_envelope *envelope, const uint8_t *bytes, size_t size)
{
    eo_status status = eo_envelope_open(envelope, bytes, size);

    if (status != EO_OK) {
        return status;
    }
    return eo_schema_read(EO_MESSAGE_TRUST_ROOT, root, sizeof *root, envelope->payload.bytes, envelope->payload.size,
                          MAX_ROOT_BYTES, NULL);
}

/* Deterministic encoding: the same map is the same bytes. */
static bool same_map(eo_items one, eo_items other)
{
    const uint8_t *end = one.at;
    unsigned items;

    if (one.left != other.left) {
        return false;
    }
    for (items = 2u * one.left; items != 0; items--) {
        const uint8_t *next = eo_cbor_skip(end);
        size_t size = (size_t)(next - end);

        if ((size_t)(eo_cbor_skip(other.at) - other.at) != size || memcmp(end, other.at, size) != 0) {
            return false;
        }
        other.at += size;
        end = next;
    }
    return true;
}

static bool same_view(eo_view one, eo_view other)
{
    return one.size == other.size && memcmp(one.bytes, other.bytes, one.size) == 0;
}

eo_status eo_trust_open(eo_trust_root *root, const uint8_t *envelope, size_t size)
{
    eo_envelope opened;

    return open_root(root, &opened, envelope, size);
}

eo_status eo_trust_first(eo_trust_root *root, const uint8_t *envelope, size_t size)
{
    eo_envelope opened;
    eo_status status = open_root(root, &opened, envelope, size);

    return status == EO_OK ? eo_envelope_verify(&opened, root, PURPOSE, EO_ROLE_ROOT) : status;
}

eo_status eo_trust_next(const eo_trust_root *current, eo_trust_root *next, const uint8_t *envelope, size_t size)
{
    eo_envelope opened;
    eo_status status = open_root(next, &opened, envelope, size);

    if (status != EO_OK) {
        return status;
    }
    if (!same_view(current->fleet, next->fleet)) {
        return EO_ROLLBACK;
    }
    if (next->version == current->version && next->threshold == current->threshold &&
        same_map(current->keys, next->keys) && same_map(current->roles, next->roles)) {
        *next = *current;
        return EO_AGAIN;
    }
    if (current->version == UINT32_MAX || next->version != current->version + 1) {
        return EO_ROLLBACK;
    }
    status = eo_envelope_verify(&opened, current, PURPOSE, EO_ROLE_ROOT);
    return status == EO_OK ? eo_envelope_verify(&opened, next, PURPOSE, EO_ROLE_ROOT) : status;
}

eo_status eo_verify(const eo_trust_root *root, const uint8_t *envelope, size_t size, const char *purpose, eo_role role,
                    eo_view *payload)
{
    eo_envelope opened;
    eo_status status = eo_envelope_open(&opened, envelope, size);

    if (status == EO_OK) {
        status = eo_envelope_verify(&opened, root, purpose, role);
    }
    if (status == EO_OK) {
        *payload = opened.payload;
    }
    return status;
}

eo_status eo_manifest_open(eo_manifest *manifest, const eo_trust_root *root, const uint8_t *envelope, size_t size,
                           const uint8_t *digest, const char *runtime, const char *target)
{
    eo_view payload;
    uint8_t actual[EO_DIGEST_BYTES];
    eo_status status;

    eo_sha256(actual, envelope, size);
    if (memcmp(actual, digest, EO_DIGEST_BYTES) != 0) {
        return EO_DIGEST;
    }
    status = eo_verify(root, envelope, size, "manifest", EO_ROLE_RELEASE, &payload);
    return status == EO_OK ? eo_manifest_decode(manifest, payload.bytes, payload.size, runtime, target) : status;
}

eo_status eo_desired_open(eo_desired *desired, const eo_trust_root *root, const uint8_t *envelope, size_t size,
                          const char *model)
{
    eo_view payload;
    eo_status status = eo_verify(root, envelope, size, "desired", EO_ROLE_DEPLOY, &payload);

    return status == EO_OK ? eo_desired_decode(desired, payload.bytes, payload.size, model) : status;
}
