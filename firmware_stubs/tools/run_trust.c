/* Drives the trust functions from standard input, for tests/firmware/test_trust.py. Commands, one a line:
 *
 *   open|first ENVELOPE                          a trust root
 *   next CURRENT ENVELOPE                        its successor
 *   verify ROOT ENVELOPE PURPOSE ROLE            the payload
 *   manifest ROOT ENVELOPE DIGEST RUNTIME TARGET
 *   desired ROOT ENVELOPE MODEL
 *   sha256 BYTES
 *   ed25519 SIGNATURE PUBLIC_KEY MESSAGE [CUT]   the message in two pieces, cut there
 *
 * Bytes in hexadecimal; roots as their envelopes, which are not verified. */
#include "messages_json.h"

#include "edgeops/trust.h"
#include "trust/ed25519.h"
#include "trust/sha256.h"

typedef struct argument {
    uint8_t *bytes;
    size_t size;
} argument;

static argument take(const line_words *line, unsigned word)
{
    argument taken = {NULL, 0};

    taken.bytes = lines_bytes(word < line->count ? line->word[word] : "-", &taken.size, 0);
    return taken;
}

static int role_of(const char *name)
{
    return strcmp(name, "root") == 0 ? EO_ROLE_ROOT : strcmp(name, "release") == 0 ? EO_ROLE_RELEASE : EO_ROLE_DEPLOY;
}

static void check_signature(const argument *one, const argument *two, const argument *three, const char *cut)
{
    size_t first = cut == NULL ? three->size : (size_t)strtoul(cut, NULL, 10);
    eo_view pieces[2];

    pieces[0].bytes = three->bytes;
    pieces[0].size = (uint32_t)first;
    pieces[1].bytes = three->bytes + first;
    pieces[1].size = (uint32_t)(three->size - first);
    lines_status(eo_ed25519_check(one->bytes, two->bytes, pieces, 2) ? EO_OK : EO_SIGNATURE);
}

static void run(const line_words *line)
{
    const char *command = line->word[0];
    argument one = take(line, 1);
    argument two = take(line, 2);
    bool has_three = strcmp(command, "ed25519") == 0 || strcmp(command, "manifest") == 0;
    argument three = take(line, has_three ? 3 : LINES_MAX_WORDS);
    eo_trust_root root;
    eo_trust_root next;
    eo_status status;

    if (strcmp(command, "sha256") == 0) {
        uint8_t digest[EO_DIGEST_BYTES];
        eo_sha256_state state;

        eo_sha256_start(&state);
        eo_sha256_update(&state, one.bytes, one.size / 3);
        eo_sha256_update(&state, one.bytes + one.size / 3, one.size - one.size / 3);
        eo_sha256_finish(&state, digest);
        lines_status(EO_OK);
        lines_digest("digest", digest, sizeof digest);
    } else if (strcmp(command, "ed25519") == 0) {
        check_signature(&one, &two, &three, line->count > 4 ? line->word[4] : NULL);
    } else if (strcmp(command, "open") == 0 || strcmp(command, "first") == 0) {
        status = command[0] == 'o' ? eo_trust_open(&root, one.bytes, one.size)
                                   : eo_trust_first(&root, one.bytes, one.size);
        lines_status(status);
        if (status == EO_OK) {
            json_root(&root);
        }
    } else if (eo_trust_open(&root, one.bytes, one.size) != EO_OK) {
        lines_status(EO_ARGUMENT);
    } else if (strcmp(command, "next") == 0) {
        status = eo_trust_next(&root, &next, two.bytes, two.size);
        lines_status(status);
        if (status == EO_OK || status == EO_AGAIN) {
            json_root(&next);
        }
    } else if (strcmp(command, "verify") == 0) {
        eo_view payload;

        status = eo_verify(&root, two.bytes, two.size, line->word[3], (eo_role)role_of(line->word[4]), &payload);
        lines_status(status);
        if (status == EO_OK) {
            lines_view("payload", payload);
        }
    } else if (strcmp(command, "manifest") == 0) {
        eo_manifest manifest;

        status = eo_manifest_open(&manifest, &root, two.bytes, two.size, three.bytes, line->word[4], line->word[5]);
        lines_status(status);
        if (status == EO_OK) {
            json_manifest(&manifest);
        }
    } else {
        eo_desired desired;

        status = eo_desired_open(&desired, &root, two.bytes, two.size, line->word[3]);
        lines_status(status);
        if (status == EO_OK) {
            json_desired(&desired);
        }
    }
    puts("}");
    fflush(stdout);
    free(one.bytes);
    free(two.bytes);
    free(three.bytes);
}

int main(void)
{
    line_words line = {NULL, 0, 0, {NULL}};

    while (lines_next(&line)) {
        if (line.count > 1) {
            run(&line);
        }
    }
    return 0;
}
