/* What zcbor's codec makes of a payload: "MESSAGE PAYLOAD" a line on standard input; the answer says whether its decoder
 * took the payload, and what its encoder writes of what the decoder read. */
#include "lines.h"

#include "judged_decode.h"
#include "judged_encode.h"

typedef struct judged {
    const char *name;
    size_t bytes;
    int (*decode)(const uint8_t *payload, size_t size, void *message, size_t *used);
    int (*encode)(uint8_t *payload, size_t room, const void *message, size_t *size);
} judged;

#define JUDGED(name, type)                                                                                             \
    {                                                                                                                  \
        name, sizeof(struct type),                                                                                     \
            (int (*)(const uint8_t *, size_t, void *, size_t *))cbor_decode_##type,                                    \
            (int (*)(uint8_t *, size_t, const void *, size_t *))cbor_encode_##type                                     \
    }

static const judged MESSAGES[] = {
    JUDGED("desired", desired),         JUDGED("receipt", receipt), JUDGED("presence", presence),
    JUDGED("state", state),             JUDGED("event", event),     JUDGED("report", report),
    JUDGED("labels", labels),           JUDGED("trust-root", trust_root),
    JUDGED("manifest", manifest),       JUDGED("observe-plan", observe_plan),
    JUDGED("self-test", self_test),
};

static void judge(const judged *message, const char *hex)
{
    size_t size;
    size_t used = 0;
    size_t written = 0;
    uint8_t *payload = lines_bytes(hex, &size, 0);
    uint8_t *again = (uint8_t *)malloc(size + 16);
    void *decoded = calloc(1, message->bytes);

    if (message->decode(payload, size, decoded, &used) != 0 || used != size) {
        lines_status(EO_MALFORMED);
    } else if (message->encode(again, size + 16, decoded, &written) != 0) {
        lines_status(EO_RANGE);
    } else {
        lines_status(EO_OK);
        lines_digest("payload", again, written);
    }
    free(decoded);
    free(again);
    free(payload);
}

int main(void)
{
    line_words line = {NULL, 0, 0, {NULL}};

    while (lines_next(&line)) {
        const judged *found = NULL;

        for (size_t n = 0; line.count == 2 && n < sizeof MESSAGES / sizeof MESSAGES[0]; n++) {
            if (strcmp(MESSAGES[n].name, line.word[0]) == 0) {
                found = &MESSAGES[n];
            }
        }
        if (found == NULL) {
            lines_status(EO_ARGUMENT);
        } else {
            judge(found, line.word[1]);
        }
        puts("}");
        fflush(stdout);
    }
    return 0;
}
