/* See envelope.h. */
#include "trust/envelope.h"

#include <string.h>

#include "trust/ed25519.h"
#include "trust/sha256.h"
#include "wire/cbor_read.h"
#include "wire/schema.h"

#define TAG_BYTES 2u
#define KEY_ID_BYTES 8u
#define MAX_SIGNATURES 8u
#define UNPROTECTED_KEY_ID 4u
#define MAX_PURPOSE_BYTES 8u

static const uint8_t TAG[TAG_BYTES] = {0xD8, 0x62};          /* 98: COSE_Sign */
static const uint8_t PROTECTED[3] = {0xA1, 0x01, 0x27};      /* {1 (algorithm): -8 (EdDSA)} */
static const char EXTERNAL[] = "edgeops/v1/";                /* and the purpose: what a signature is good for */
static const char *const ROLES[] = {"root", "release", "deploy"}; /* in the order of eo_role */

/* What every signature begins with: RFC 9052, section 4.4. */
static const uint8_t CONTEXT[16] = {0x85, 0x69, 'S',  'i',  'g',  'n',  'a',  't',
                                    'u',  'r',  'e',  0x40, 0x43, 0xA1, 0x01, 0x27};

/* Reads a head of this type; false where it is of another. */
static bool expect(eo_head *head, const uint8_t **at, uint8_t major)
{
    *at += eo_cbor_head(head, *at, EO_CBOR_CHECKED);
    return head->major == major;
}

eo_status eo_envelope_open(eo_envelope *envelope, const uint8_t *bytes, size_t size)
{
    const uint8_t *at = bytes + TAG_BYTES;
    eo_head head;

    if (size < TAG_BYTES || size > EO_MAX_ENVELOPE_BYTES || memcmp(bytes, TAG, TAG_BYTES) != 0 ||
        eo_cbor_check(at, size - TAG_BYTES) != EO_OK) {
        return EO_MALFORMED;
    }
    if (!expect(&head, &at, EO_CBOR_LIST) || head.value != 4 ||                /* of four parts: */
        !expect(&head, &at, EO_CBOR_BYTES) || head.value != 0 || *at >> 5 != EO_CBOR_MAP) { /* two empty headers, */
        return EO_MALFORMED;
    }
    at = eo_cbor_skip(at); /* the second may hold what is of no concern */
    envelope->encoded_payload.bytes = at;
    if (*at >> 5 != EO_CBOR_BYTES) {
        return EO_MALFORMED;
    }
    at = eo_cbor_view(&envelope->payload, at); /* the payload, */
    envelope->encoded_payload.size = (uint32_t)(at - envelope->encoded_payload.bytes);
    if (!expect(&head, &at, EO_CBOR_LIST) || head.value > MAX_SIGNATURES) {
        return EO_MALFORMED;
    }
    envelope->signatures.at = at; /* the signatures */
    envelope->signatures.left = (uint16_t)head.value;
    return EO_OK;
}

/* The key id and the signature of one signer; false where it is of another kind, which is skipped. */
static bool next_signature(eo_items *signatures, const uint8_t **key_id, const uint8_t **signature)
{
    const uint8_t *at = signatures->at;
    eo_head head;
    eo_view view;
    uint32_t left;

    signatures->at = eo_cbor_skip(at);
    signatures->left--;
    *key_id = NULL;
    if (!expect(&head, &at, EO_CBOR_LIST) || head.value != 3 || *at >> 5 != EO_CBOR_BYTES) {
        return false;
    }
    at = eo_cbor_view(&view, at);
    if (view.size != sizeof PROTECTED || memcmp(view.bytes, PROTECTED, sizeof PROTECTED) != 0 ||
        !expect(&head, &at, EO_CBOR_MAP)) {
        return false;
    }
    for (left = (uint32_t)head.value; left != 0; left--) {
        bool is_key_id = *at == UNPROTECTED_KEY_ID;

        at = eo_cbor_skip(at);
        if (is_key_id && *at >> 5 == EO_CBOR_BYTES) {
            (void)eo_cbor_view(&view, at);
            *key_id = view.size == KEY_ID_BYTES ? view.bytes : NULL;
        }
        at = eo_cbor_skip(at);
    }
    if (*key_id == NULL || *at >> 5 != EO_CBOR_BYTES) {
        return false;
    }
    (void)eo_cbor_view(&view, at);
    *signature = view.bytes;
    return view.size == EO_SIGNATURE_BYTES;
}

/* The public key of this id among those of the role; NULL where there is none, or it is not the key of that id. */
static const uint8_t *find_key(const eo_trust_root *root, eo_role role, const uint8_t *key_id)
{
    eo_view view;
    eo_head head;
    eo_items keys = root->keys;
    uint8_t digest[EO_DIGEST_BYTES];
    uint32_t left;
    const uint8_t *at = eo_schema_find(root->roles, ROLES[role], &view);

    if (at == NULL) {
        return NULL;
    }
    (void)expect(&head, &at, EO_CBOR_LIST);
    for (left = (uint32_t)head.value; left != 0; left--) {
        at = eo_cbor_view(&view, at);
        if (memcmp(view.bytes, key_id, KEY_ID_BYTES) == 0) {
            break;
        }
    }
    if (left == 0) {
        return NULL;
    }
    for (; keys.left != 0; keys.left--) {
        eo_view id;

        keys.at = eo_cbor_view(&id, keys.at);
        keys.at = eo_cbor_view(&view, keys.at);
        if (memcmp(id.bytes, key_id, KEY_ID_BYTES) == 0) {
            eo_sha256(digest, view.bytes, view.size);
            return memcmp(digest, key_id, KEY_ID_BYTES) == 0 ? view.bytes : NULL;
        }
    }
    return NULL;
}

eo_status eo_envelope_verify(const eo_envelope *envelope, const eo_trust_root *root, const char *purpose, eo_role role)
{
    uint8_t external[1 + sizeof EXTERNAL - 1 + MAX_PURPOSE_BYTES];
    size_t purpose_size = strlen(purpose);
    eo_view pieces[3];
    const uint8_t *good[MAX_SIGNATURES]; /* the ids of keys that signed */
    unsigned count = 0;
    eo_items left = envelope->signatures;

    if (purpose_size > MAX_PURPOSE_BYTES || (unsigned)role > EO_ROLE_DEPLOY) {
        return EO_ARGUMENT;
    }
    external[0] = (uint8_t)(EO_CBOR_BYTES << 5 | (sizeof EXTERNAL - 1 + purpose_size));
    memcpy(external + 1, EXTERNAL, sizeof EXTERNAL - 1);
    memcpy(external + sizeof EXTERNAL, purpose, purpose_size);
    pieces[0].bytes = CONTEXT;
    pieces[0].size = sizeof CONTEXT;
    pieces[1].bytes = external;
    pieces[1].size = (uint32_t)(sizeof EXTERNAL + purpose_size);
    pieces[2] = envelope->encoded_payload;
    while (left.left != 0) {
        const uint8_t *key_id;
        const uint8_t *signature;
        const uint8_t *public_key;
        unsigned n;

        if (!next_signature(&left, &key_id, &signature)) {
            continue;
        }
        for (n = 0; n < count && memcmp(good[n], key_id, KEY_ID_BYTES) != 0; n++) {
        }
        if (n < count) {
            continue; /* each key counts once */
        }
        public_key = find_key(root, role, key_id);
        if (public_key != NULL && eo_ed25519_check(signature, public_key, pieces, 3)) {
            good[count++] = key_id;
        }
    }
    return count != 0 && count >= root->threshold ? EO_OK : EO_SIGNATURE;
}
