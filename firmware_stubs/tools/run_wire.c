/* Drives the messages from standard input, for tests/firmware/test_wire.py. Commands, one a line:
 *
 *   decode desired|receipt PAYLOAD MODEL            "*" for the model: the first that is named
 *   decode manifest PAYLOAD RUNTIME TARGET
 *   decode trust-root|observe-plan|self-test PAYLOAD
 *   check PAYLOAD                                   deterministic CBOR, of whatever it is
 *   encode MESSAGE ROOM FIELD=VALUE ...             texts and bytes in hexadecimal; what is not given is left out
 *   judge TOLERANCE EXPECTED ACTUAL                 one self-test vector
 *   topic FLEET DEVICE KIND · chunk FLEET SHA256 INDEX · parse TOPIC FLEET DEVICE
 *   schema                                          the field tables */
#include "messages_json.h"

#include "wire/cbor_read.h"
#include "wire/schema.h"

static const char *find(const line_words *line, const char *name)
{
    size_t size = strlen(name);

    for (unsigned n = 1; n < line->count; n++) {
        if (strncmp(line->word[n], name, size) == 0 && line->word[n][size] == '=') {
            return line->word[n] + size + 1;
        }
    }
    return NULL;
}

static uint64_t number(const line_words *line, const char *name)
{
    const char *value = find(line, name);

    return value == NULL ? 0 : (uint64_t)strtoull(value, NULL, 10);
}

/* What `encode` took, freed at its end. */
static uint8_t *taken[16];
static unsigned taken_count;

static uint8_t *bytes_of(const line_words *line, const char *name, size_t *size)
{
    const char *value = find(line, name);

    if (value == NULL) {
        return NULL;
    }
    taken[taken_count] = lines_bytes(value, size, 0);
    return taken[taken_count++];
}

static const char *text_of(const line_words *line, const char *name)
{
    const char *value = find(line, name);

    if (value == NULL) {
        return NULL;
    }
    taken[taken_count] = lines_bytes(value, NULL, 1);
    return (const char *)taken[taken_count++];
}

static eo_status encode_state(const line_words *line, uint8_t *bytes, size_t room, size_t *size)
{
    eo_state state;
    eo_model_state model;
    eo_shadow_counts shadow;

    memset(&state, 0, sizeof state);
    memset(&model, 0, sizeof model);
    state.boot = (uint32_t)number(line, "boot");
    state.session = (uint32_t)number(line, "session");
    state.agent = text_of(line, "agent");
    state.runtime = text_of(line, "runtime");
    state.target = text_of(line, "target");
    state.free_bytes = number(line, "free_bytes");
    state.received_bytes = number(line, "received_bytes");
    state.dropped_labels = (uint32_t)number(line, "dropped_labels");
    state.takes = text_of(line, "takes");
    state.spent_bytes = number(line, "spent_bytes");
    model.model = text_of(line, "model");
    model.lifecycle = text_of(line, "lifecycle");
    model.generation = (uint32_t)number(line, "generation");
    model.confirmed = bytes_of(line, "confirmed", NULL);
    model.previous = bytes_of(line, "previous", NULL);
    model.candidate = bytes_of(line, "candidate", NULL);
    model.reason = text_of(line, "reason");
    model.security_counter = (uint32_t)number(line, "security_counter");
    model.attempts = (uint16_t)number(line, "attempts");
    model.retry_in_ms = (uint32_t)number(line, "retry_in_ms");
    model.artifact = bytes_of(line, "artifact", NULL);
    shadow.inferences = (uint32_t)number(line, "shadow.inferences");
    shadow.disagreements = (uint32_t)number(line, "shadow.disagreements");
    shadow.errors = (uint32_t)number(line, "shadow.errors");
    shadow.active_us = number(line, "shadow.active_us");
    shadow.candidate_us = number(line, "shadow.candidate_us");
    model.shadow = find(line, "shadow.inferences") == NULL ? NULL : &shadow;
    state.model = model.model == NULL ? NULL : &model;
    return eo_state_encode(bytes, room, size, &state);
}

static eo_status encode_event(const line_words *line, uint8_t *bytes, size_t room, size_t *size)
{
    eo_event event;

    event.boot = (uint32_t)number(line, "boot");
    event.number = (uint32_t)number(line, "number");
    event.model = text_of(line, "model");
    event.generation = (uint32_t)number(line, "generation");
    event.source = text_of(line, "source");
    event.target = text_of(line, "target");
    event.event = text_of(line, "event");
    event.manifest = bytes_of(line, "manifest", NULL);
    event.reason = text_of(line, "reason");
    event.uptime_ms = number(line, "uptime_ms");
    return eo_event_encode(bytes, room, size, &event);
}

static eo_status encode_report(const line_words *line, uint8_t *bytes, size_t room, size_t *size)
{
    eo_report report;
    size_t counters = 0;

    report.model = text_of(line, "model");
    report.manifest = bytes_of(line, "manifest", NULL);
    report.boot = (uint32_t)number(line, "boot");
    report.sequence = (uint32_t)number(line, "sequence");
    report.behind = (uint32_t)number(line, "behind");
    report.generation = (uint32_t)number(line, "generation");
    report.start_ms = number(line, "start_ms");
    report.duration_ms = number(line, "duration_ms");
    report.counters.bytes = bytes_of(line, "counters", &counters);
    report.counters.size = (uint32_t)counters;
    report.observe_permille = (uint16_t)number(line, "observe_permille");
    report.dropped = (uint32_t)number(line, "dropped");
    report.trial = number(line, "trial") != 0;
    return eo_report_encode(bytes, room, size, &report);
}

/* `predictions` one after the other, `labels` two bytes each, big-endian. */
static eo_status encode_labels(const line_words *line, uint8_t *bytes, size_t room, size_t *size)
{
    size_t all = 0;
    const uint8_t *predictions = bytes_of(line, "predictions", &all);
    const uint8_t *labels = bytes_of(line, "labels", NULL);
    size_t count = all / EO_PREDICTION_BYTES;
    eo_truth *truths = (eo_truth *)calloc(count + 1, sizeof *truths);
    eo_status status;

    for (size_t n = 0; n < count; n++) {
        memcpy(truths[n].prediction, predictions + n * EO_PREDICTION_BYTES, EO_PREDICTION_BYTES);
        truths[n].label = (uint16_t)(labels[2 * n] << 8 | labels[2 * n + 1]);
    }
    status = eo_labels_encode(bytes, room, size, text_of(line, "model"), truths, count);
    free(truths);
    return status;
}

static eo_status encode_prediction(const line_words *line, uint8_t *bytes, size_t room, size_t *size)
{
    eo_prediction prediction;

    if (room < EO_PREDICTION_BYTES) {
        return EO_TOO_SMALL;
    }
    prediction.manifest = bytes_of(line, "model", NULL);
    prediction.boot = (uint32_t)number(line, "boot");
    prediction.sequence = (uint32_t)number(line, "sequence");
    prediction.index = (uint16_t)number(line, "index");
    prediction.predicted = (uint8_t)number(line, "predicted");
    prediction.confidence_bin = (uint8_t)number(line, "confidence_bin");
    eo_prediction_pack(bytes, &prediction);
    *size = EO_PREDICTION_BYTES;
    return EO_OK;
}

static void encode(const line_words *line)
{
    const char *message = line->word[1];
    size_t room = (size_t)strtoul(line->word[2], NULL, 10);
    uint8_t *bytes = (uint8_t *)malloc(room == 0 ? 1 : room);
    size_t size = 0;
    eo_status status;

    taken_count = 0;
    if (strcmp(message, "presence") == 0) {
        status = eo_presence_encode(bytes, room, &size, (uint32_t)number(line, "session"), number(line, "online") != 0);
    } else if (strcmp(message, "state") == 0) {
        status = encode_state(line, bytes, room, &size);
    } else if (strcmp(message, "event") == 0) {
        status = encode_event(line, bytes, room, &size);
    } else if (strcmp(message, "report") == 0) {
        status = encode_report(line, bytes, room, &size);
    } else if (strcmp(message, "labels") == 0) {
        status = encode_labels(line, bytes, room, &size);
    } else if (strcmp(message, "prediction") == 0) {
        status = encode_prediction(line, bytes, room, &size);
    } else {
        status = EO_ARGUMENT;
    }
    lines_status(status);
    lines_digest("payload", bytes, size);
    while (taken_count != 0) {
        free(taken[--taken_count]);
    }
    free(bytes);
}

static void print_self_test(eo_selftest test)
{
    eo_view input;
    eo_view output;
    eo_status status;

    lines_number("tolerance", test.tolerance);
    lines_name("vectors");
    putchar('[');
    for (unsigned n = 0; (status = eo_selftest_next(&test, &input, &output)) == EO_OK; n++) {
        fputs(n == 0 ? "[" : ",[", stdout);
        lines_print_hex(input.bytes, input.size);
        putchar(',');
        lines_print_hex(output.bytes, output.size);
        putchar(']');
    }
    putchar(']');
    lines_flag("even", status == EO_NOT_FOUND);
}

static void print_feature(const char *name, const eo_feature_plan *feature)
{
    eo_items edges = feature->edges;
    int64_t edge;

    lines_view(name, feature->name);
    lines_name("edges");
    putchar('[');
    for (unsigned n = 0; eo_integer_next(&edges, &edge) == EO_OK; n++) {
        printf("%s%lld", n == 0 ? "" : ",", (long long)edge);
    }
    putchar(']');
    lines_number("reference", feature->reference.left);
    lines_signed("mean", feature->mean);
    lines_number("deviation", feature->deviation);
    putchar('}');
}

static void print_observe_plan(const eo_observe_message *plan, uint32_t seen)
{
    eo_items features = plan->features;
    eo_feature_plan feature;

    lines_name("features");
    putchar('[');
    for (unsigned n = 0; eo_schema_next(EO_MESSAGE_FEATURE_PLAN, &feature, sizeof feature, &features) == EO_OK; n++) {
        fputs(n == 0 ? "" : ",", stdout);
        print_feature("{name", &feature);
    }
    putchar(']');
    lines_number("confidence", plan->confidence.left);
    lines_number("classes", plan->classes.left);
    lines_name("margin");
    if ((seen >> 5 & 1u) != 0) {
        print_feature("{name", &plan->margin);
    } else {
        fputs("null", stdout);
    }
    lines_digest("fourier", plan->fourier.bytes, plan->fourier.size);
}

static void decode(const line_words *line)
{
    const char *message = line->word[1];
    size_t size;
    uint8_t *payload = lines_bytes(line->word[2], &size, 0);
    const char *model = line->count > 3 && strcmp(line->word[3], "*") != 0 ? line->word[3] : NULL;
    eo_status status;

    if (strcmp(message, "desired") == 0) {
        eo_desired desired;

        status = eo_desired_decode(&desired, payload, size, model);
        lines_status(status);
        if (status == EO_OK) {
            json_desired(&desired);
        }
    } else if (strcmp(message, "receipt") == 0) {
        eo_receipt receipt;

        status = eo_receipt_decode(&receipt, payload, size, model);
        lines_status(status);
        if (status == EO_OK) {
            json_receipt(&receipt);
        }
    } else if (strcmp(message, "manifest") == 0) {
        eo_manifest manifest;

        status = eo_manifest_decode(&manifest, payload, size, line->word[3], line->word[4]);
        lines_status(status);
        if (status == EO_OK) {
            json_manifest(&manifest);
        }
    } else if (strcmp(message, "self-test") == 0) {
        eo_selftest test;

        status = eo_selftest_open(&test, payload, size);
        lines_status(status);
        if (status == EO_OK) {
            print_self_test(test);
        }
    } else if (strcmp(message, "observe-plan") == 0) {
        eo_observe_message plan;
        uint32_t seen;

        status = eo_schema_read(EO_MESSAGE_OBSERVE_PLAN, &plan, sizeof plan, payload, size, 16384, &seen);
        lines_status(status);
        if (status == EO_OK) {
            print_observe_plan(&plan, seen);
        }
    } else {
        eo_trust_root root;

        status = eo_schema_read(EO_MESSAGE_TRUST_ROOT, &root, sizeof root, payload, size, 4096, NULL);
        lines_status(status);
        if (status == EO_OK) {
            json_root(&root);
        }
    }
    free(payload);
}

static void judge(const line_words *line)
{
    eo_selftest test;
    size_t wanted;
    size_t size;
    uint8_t *expected = lines_bytes(line->word[2], &wanted, 0);
    uint8_t *actual = lines_bytes(line->word[3], &size, 0);
    eo_view view;

    memset(&test, 0, sizeof test);
    test.tolerance = (uint8_t)strtoul(line->word[1], NULL, 10);
    view.bytes = expected;
    view.size = (uint32_t)wanted;
    lines_status(eo_selftest_judge(&test, view, (const int8_t *)actual, size));
    free(expected);
    free(actual);
}

static void topics(const line_words *line)
{
    char topic[EO_TOPIC_BYTES];
    eo_topic parsed;
    eo_status status;
    uint8_t *bytes;
    size_t size;

    if (strcmp(line->word[0], "parse") == 0) {
        bytes = lines_bytes(line->word[1], &size, 0);
        status = eo_topic_parse(&parsed, (const char *)bytes, size, line->word[2], line->word[3]);
        lines_status(status);
        if (status == EO_OK) {
            lines_number("kind", (uint64_t)parsed.kind);
            if (parsed.kind == EO_TOPIC_BLOB) {
                lines_digest("sha256", parsed.sha256, sizeof parsed.sha256);
                lines_number("index", parsed.index);
            }
        }
    } else {
        bytes = lines_bytes(line->word[2], NULL, 0);
        status = strcmp(line->word[0], "chunk") == 0
                     ? eo_topic_write_chunk(topic, sizeof topic, line->word[1], bytes,
                                            (uint32_t)strtoul(line->word[3], NULL, 10))
                     : eo_topic_write(topic, sizeof topic, line->word[1], line->word[2],
                                      (eo_topic_kind)strtoul(line->word[3], NULL, 10));
        lines_status(status);
        if (status == EO_OK) {
            lines_digest("topic", (const uint8_t *)topic, strlen(topic));
        }
    }
    free(bytes);
}

static void print_schema(void)
{
    lines_status(EO_OK);
    lines_name("messages");
    putchar('[');
    for (unsigned n = 0; n < EO_MESSAGE_END; n++) {
        printf("%s[%u,%u]", n == 0 ? "" : ",", eo_schemas[n].first, eo_schemas[n].count);
    }
    putchar(']');
    lines_name("rows");
    putchar('[');
    for (unsigned n = 0; n < eo_row_count; n++) {
        printf("%s[%u,%s,%u,%u]", n == 0 ? "" : ",", eo_rows[n].kind & (unsigned)EO_KIND_MASK,
               (eo_rows[n].kind & EO_KIND_REQUIRED) != 0 ? "true" : "false", eo_rows[n].of, eo_rows[n].limit);
    }
    putchar(']');
}

static void run(const line_words *line)
{
    const char *command = line->word[0];
    size_t size;
    uint8_t *payload;

    if (strcmp(command, "decode") == 0 && line->count > 2) {
        decode(line);
    } else if (strcmp(command, "encode") == 0 && line->count > 2) {
        encode(line);
    } else if (strcmp(command, "judge") == 0 && line->count > 3) {
        judge(line);
    } else if (strcmp(command, "schema") == 0) {
        print_schema();
    } else if (strcmp(command, "check") == 0 && line->count > 1) {
        payload = lines_bytes(line->word[1], &size, 0);
        lines_status(eo_cbor_check(payload, size));
        free(payload);
    } else if (line->count > 3) {
        topics(line);
    } else {
        lines_status(EO_ARGUMENT);
    }
    puts("}");
    fflush(stdout);
}

int main(void)
{
    line_words line = {NULL, 0, 0, {NULL}};

    while (lines_next(&line)) {
        if (line.count != 0) {
            run(&line);
        }
    }
    return 0;
}
