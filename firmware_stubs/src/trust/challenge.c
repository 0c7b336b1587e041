/* What Ed25519 hashes, with SHA-512 of mbedtls. In a file of its own, so that the 300 bytes of stack that the hash
 * takes are free again when the curve wants its own. */
#include "trust/ed25519.h"

#include "mbedtls/sha512.h"
#include "monocypher.h"

void eo_ed25519_challenge(uint8_t reduced[32], const uint8_t signature[EO_SIGNATURE_BYTES],
                          const uint8_t public_key[EO_PUBLIC_KEY_BYTES], const eo_view *pieces, size_t count)
{
    mbedtls_sha512_context hash;
    uint8_t digest[64];
    size_t n;

    mbedtls_sha512_init(&hash);
    (void)mbedtls_sha512_starts_ret(&hash, 0);
    (void)mbedtls_sha512_update_ret(&hash, signature, 32);
    (void)mbedtls_sha512_update_ret(&hash, public_key, EO_PUBLIC_KEY_BYTES);
    for (n = 0; n < count; n++) {
        (void)mbedtls_sha512_update_ret(&hash, pieces[n].bytes, pieces[n].size);
    }
    (void)mbedtls_sha512_finish_ret(&hash, digest);
    crypto_eddsa_reduce(reduced, digest);
}
