/* COSE_Sign envelopes (RFC 9052), as edgeops/core/signing.py writes them. */
#ifndef EDGEOPS_TRUST_ENVELOPE_H
#define EDGEOPS_TRUST_ENVELOPE_H

#include "edgeops/trust.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An envelope that was opened, nothing of it verified. */
typedef struct eo_envelope {
    eo_view payload;
    eo_view encoded_payload; /* with the head of its byte string: the last part of what is signed */
    eo_items signatures;
} eo_envelope;

/* EO_MALFORMED where the bytes are no envelope. Stores nothing but views into them. */
eo_status eo_envelope_open(eo_envelope *envelope, const uint8_t *bytes, size_t size);

/* EO_OK where at least a threshold of the role's keys signed it, otherwise EO_SIGNATURE. */
eo_status eo_envelope_verify(const eo_envelope *envelope, const eo_trust_root *root, const char *purpose,
                             eo_role role);

#ifdef __cplusplus
}
#endif
#endif
