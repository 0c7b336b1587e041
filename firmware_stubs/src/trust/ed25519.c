/* Monocypher's curve over SHA-512: see challenge.c. */
#include "trust/ed25519.h"

#include "monocypher.h"

/* The y of an encoded point is below p = 2**255 - 19, and the point has no other encoding. Monocypher takes others
 * too, RFC 8032 and what compares encodings, as OpenSSL does, do not. */
static bool is_canonical(const uint8_t point[32])
{
    unsigned n;
    uint8_t all = point[31] | 0x80;

    if ((point[31] & 0x80) != 0) {
        /* x = 0 (y is 1 or -1) has no negative */
        uint8_t none = (uint8_t)((point[0] ^ 1u) | (point[31] & 0x7Fu));

        for (n = 1; n < 31; n++) {
            none |= point[n];
        }
        if (none == 0) {
            return false;
        }
    }
    for (n = 1; n < 31; n++) {
        all &= point[n];
    }
    return all != 0xFF || point[0] < ((point[31] & 0x80) != 0 ? 0xEC : 0xED);
}

bool eo_ed25519_check(const uint8_t signature[EO_SIGNATURE_BYTES], const uint8_t public_key[EO_PUBLIC_KEY_BYTES],
                      const eo_view *pieces, size_t count)
{
    uint8_t reduced[32];

    if (!is_canonical(signature)) {
        return false;
    }
    eo_ed25519_challenge(reduced, signature, public_key, pieces, count);
    return crypto_eddsa_check_equation(signature, public_key, reduced) == 0;
}
