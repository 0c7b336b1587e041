/* Whom a device believes: COSE_Sign envelopes (RFC 9052) with Ed25519 signatures, a threshold, and a trust root.
 *
 * The same rules as edgeops/core/signing.py. Nothing is copied: views point into the envelope, which must stay where
 * it is (usually mapped flash). A check of signatures takes about 2 KB of stack on a Cortex-M3. */
#ifndef EDGEOPS_TRUST_H
#define EDGEOPS_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"
#include "edgeops/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Who may sign what: `root` trust roots, `release` manifests, `deploy` desired states. */
typedef enum eo_role { EO_ROLE_ROOT = 0, EO_ROLE_RELEASE = 1, EO_ROLE_DEPLOY = 2 } eo_role;

/* The keys that a device believes, by role, and how many of them must sign. */
typedef struct eo_trust_root {
    eo_view fleet;
    uint32_t version;
    uint8_t threshold;
    eo_items keys;  /* a map as it stands on the wire: key id to public key */
    eo_items roles; /* a map: role to key ids */
} eo_trust_root;

/* SHA-256 of bytes that lie together. */
void eo_sha256(uint8_t digest[EO_DIGEST_BYTES], const void *bytes, size_t size);

/* The payload of an envelope if at least a threshold of the role's keys signed it for this purpose ("trust",
 * "desired", "manifest"); each key counts once. EO_SIGNATURE for too few, EO_MALFORMED for what is no envelope. */
eo_status eo_verify(const eo_trust_root *root, const uint8_t *envelope, size_t size, const char *purpose,
                    eo_role role, eo_view *payload);

/* The root in an envelope, WITHOUT a check of its signatures: for one that was accepted before and lies in storage
 * that only the device writes. */
eo_status eo_trust_open(eo_trust_root *root, const uint8_t *envelope, size_t size);

/* The root that came with the enrolment: signed by its own root keys. */
eo_status eo_trust_first(eo_trust_root *root, const uint8_t *envelope, size_t size);

/* The successor of `current`: the same fleet, a version exactly one higher, signed by the root keys of both.
 * EO_AGAIN where it is `current` itself that came again (then `next` is the same as `current`), EO_ROLLBACK for
 * another fleet or version, EO_SIGNATURE, EO_MALFORMED. `next` may not be `current`. */
eo_status eo_trust_next(const eo_trust_root *current, eo_trust_root *next, const uint8_t *envelope, size_t size);

/* A manifest's envelope: its SHA-256 is `digest` (EO_DIGEST), the release keys signed it (EO_SIGNATURE), and it
 * decodes as eo_manifest_decode says. */
eo_status eo_manifest_open(eo_manifest *manifest, const eo_trust_root *root, const uint8_t *envelope, size_t size,
                           const uint8_t *digest, const char *runtime, const char *target);

/* A desired state's envelope, signed by the deploy keys, decoded as eo_desired_decode says. */
eo_status eo_desired_open(eo_desired *desired, const eo_trust_root *root, const uint8_t *envelope, size_t size,
                          const char *model);

#ifdef __cplusplus
}
#endif
#endif
