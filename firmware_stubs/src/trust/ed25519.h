/* Ed25519 (RFC 8032) over a message in pieces. */
#ifndef EDGEOPS_TRUST_ED25519_H
#define EDGEOPS_TRUST_ED25519_H

#include "edgeops/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EO_SIGNATURE_BYTES 64u
#define EO_PUBLIC_KEY_BYTES 32u

/* The hash of the signature's first half, the key and the message, modulo the order of the curve. */
void eo_ed25519_challenge(uint8_t reduced[32], const uint8_t signature[EO_SIGNATURE_BYTES],
                          const uint8_t public_key[EO_PUBLIC_KEY_BYTES], const eo_view *pieces, size_t count);

/* Whether `signature` is one of the pieces, one after the other, by the owner of the public key. About 1.7 KB of
 * stack. */
bool eo_ed25519_check(const uint8_t signature[EO_SIGNATURE_BYTES], const uint8_t public_key[EO_PUBLIC_KEY_BYTES],
                      const eo_view *pieces, size_t count);

#ifdef __cplusplus
}
#endif
#endif
