/* SHA-256 of mbedtls behind our names. Its software functions cannot fail. */
#include "trust/sha256.h"

void eo_sha256_start(eo_sha256_state *state)
{
    mbedtls_sha256_init(state);
    (void)mbedtls_sha256_starts_ret(state, 0);
}

void eo_sha256_update(eo_sha256_state *state, const void *bytes, size_t size)
{
    (void)mbedtls_sha256_update_ret(state, (const unsigned char *)bytes, size);
}

void eo_sha256_finish(eo_sha256_state *state, uint8_t digest[EO_DIGEST_BYTES])
{
    (void)mbedtls_sha256_finish_ret(state, digest);
}

void eo_sha256(uint8_t digest[EO_DIGEST_BYTES], const void *bytes, size_t size)
{
    eo_sha256_state state;

    eo_sha256_start(&state);
    eo_sha256_update(&state, bytes, size);
    eo_sha256_finish(&state, digest);
}
