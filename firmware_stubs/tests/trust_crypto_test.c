/* The hashes and signatures against what their standards print: nothing of it comes from this repository. */
#include <stdio.h>
#include <string.h>

#include "trust/ed25519.h"
#include "trust/sha256.h"
#include "check.h"

static uint8_t digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static size_t from_hex(uint8_t *bytes, const char *hex)
{
    size_t n;

    for (n = 0; hex[2 * n] != 0; n++) {
        bytes[n] = (uint8_t)(digit(hex[2 * n]) << 4 | digit(hex[2 * n + 1]));
    }
    return n;
}

/* FIPS 180-4: the digest of "abc". */
static void sha256(void)
{
    uint8_t digest[EO_DIGEST_BYTES];
    uint8_t expected[EO_DIGEST_BYTES];
    eo_sha256_state state;

    (void)from_hex(expected, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    eo_sha256(digest, "abc", 3);
    CHECK(memcmp(digest, expected, sizeof digest) == 0);
    eo_sha256_start(&state);
    eo_sha256_update(&state, "a", 1);
    eo_sha256_update(&state, "", 0);
    eo_sha256_update(&state, "bc", 2);
    eo_sha256_finish(&state, digest);
    CHECK(memcmp(digest, expected, sizeof digest) == 0);
}

/* RFC 8032, section 7.1, tests 1 to 3: public key, message, signature. */
static const char *const SIGNED[][3] = {
    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
     "4a7c15e9716ed28dc027beceea1ec40a"},
};

static void ed25519(void)
{
    size_t n;

    for (n = 0; n < sizeof SIGNED / sizeof SIGNED[0]; n++) {
        uint8_t key[EO_PUBLIC_KEY_BYTES];
        uint8_t message[2];
        uint8_t signature[EO_SIGNATURE_BYTES];
        eo_view pieces[2] = {{message, 0}, {message, 0}};
        unsigned place;

        (void)from_hex(key, SIGNED[n][0]);
        pieces[1].size = (uint32_t)from_hex(message, SIGNED[n][1]);
        (void)from_hex(signature, SIGNED[n][2]);
        CHECK(eo_ed25519_check(signature, key, pieces, 2));
        for (place = 0; place < sizeof signature; place++) {
            signature[place] ^= 1;
            CHECK(!eo_ed25519_check(signature, key, pieces, 2));
            signature[place] ^= 1;
        }
        key[7] ^= 1;
        CHECK(!eo_ed25519_check(signature, key, pieces, 2));
    }
}

int main(void)
{
    sha256();
    ed25519();
    return failures != 0;
}
