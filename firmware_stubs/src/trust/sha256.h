/* SHA-256 in pieces. */
#ifndef EDGEOPS_TRUST_SHA256_H
#define EDGEOPS_TRUST_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/trust.h"
#include "mbedtls/sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

/* About 110 bytes. */
typedef mbedtls_sha256_context eo_sha256_state;

void eo_sha256_start(eo_sha256_state *state);
void eo_sha256_update(eo_sha256_state *state, const void *bytes, size_t size);
void eo_sha256_finish(eo_sha256_state *state, uint8_t digest[EO_DIGEST_BYTES]);
/* In one go: eo_sha256 of edgeops/trust.h. */

#ifdef __cplusplus
}
#endif
#endif
