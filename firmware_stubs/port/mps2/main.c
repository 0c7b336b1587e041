/* Image: the agent on the emulated Cortex-M3, edgeops_agent.elf.
 *
 * Command line, checked at the start: fleet= device= broker=<a.b.c.d>:<port> flash=<path> trust=<path>, and where
 * wanted target= model= inputs=<path> samples=uint8|int16|float32 interval=<ms> seed=<number> user= password=.
 * Paths are the host's, without spaces. */
#include "arguments.h"
#include "board.h"
#include "clock.h"
#include "edgeops/agent.h"
#include "mps2_port.h"
#include "net.h"
#include "semihosting.h"

#define NAME_BYTES (EO_NAME_BYTES + 1u)
#define PATH_BYTES 160
#define DEFAULT_TARGET "cortex-m3"
#define MISUSED 2
#define STACK_EVERY_MS 500u
#define SCRATCH_BYTES 0x40000u /* of the free RAM; the arena is the rest */

/* An agent's memory, all of it static. */
static eo_agent agent;
static eo_plan_infer infer;
static mps2_port mps2;
static mqtt_link link;
static uint8_t trust[EO_MESSAGE_BYTES];

static char fleet[NAME_BYTES], device[NAME_BYTES], target[NAME_BYTES], model[NAME_BYTES];
static char user[NAME_BYTES], password[NAME_BYTES];
static char client_id[2 * EO_NAME_BYTES + 16], will_topic[EO_TOPIC_BYTES];
static uint8_t will[EO_PRESENCE_BYTES];

/* Paths, of the command line. */
static char flash_path[PATH_BYTES], inputs_path[PATH_BYTES], trust_path[PATH_BYTES];
static char broker[24];

static const argument_rule settings[] = {
    {"fleet", ARGUMENT_TEXT, sizeof(fleet), 1},
    {"device", ARGUMENT_TEXT, sizeof(device), 1},
    {"broker", ARGUMENT_ADDRESS, 0, 1},
    {"flash", ARGUMENT_TEXT, sizeof(flash_path), 1},
    {"trust", ARGUMENT_TEXT, sizeof(trust_path), 1},
    {"target", ARGUMENT_TEXT, sizeof(target), 0},
    {"model", ARGUMENT_TEXT, sizeof(model), 0},
    {"inputs", ARGUMENT_TEXT, sizeof(inputs_path), 0},
    {"samples", ARGUMENT_SAMPLES, 0, 0},
    {"interval", ARGUMENT_NUMBER, 0, 0},
    {"seed", ARGUMENT_NUMBER, 0, 0},
    {"user", ARGUMENT_TEXT, sizeof(user), 0},
    {"password", ARGUMENT_TEXT, sizeof(password), 0},
};

/* "mcu-01 of fleet farm: <doing> <what>; digits 2 confirmed" */
static void say(const char *doing, const char *what)
{
    eo_agent_info info;
    eo_agent_get_info(&agent, &info);
    const char *const words[] = {device, " of fleet ", fleet, ": ", doing, what, "; "};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        semihosting_text(words[i]);
    }
    if (info.running_version == 0) {
        semihosting_text("no model yet\n");
        return;
    }
    semihosting_text(model[0] != 0 ? model : "model");
    semihosting_text(" ");
    semihosting_number(info.running_version);
    semihosting_text(info.trial ? " on trial\n" : " confirmed\n");
}

static void on_offline(void *context, const char *why)
{
    (void)context;
    semihosting_text("offline: ");
    semihosting_text(broker);
    semihosting_text(" ");
    semihosting_text(why);
    semihosting_text("; trying again, at the latest after ");
    semihosting_number(MQTT_LINK_LONGEST_WAIT_S);
    semihosting_text(" s\n");
}

static void on_connected(void *context, int online)
{
    (void)context;
    if (online) {
        say("online: connected to ", broker);
    }
    eo_agent_connected(&agent, online);
}

static void on_begin(void *context, const char *topic, size_t total)
{
    (void)context;
    eo_agent_message_begin(&agent, topic, total);
}

static void on_part(void *context, const uint8_t *bytes, size_t size)
{
    (void)context;
    eo_agent_message_part(&agent, bytes, size);
}

static int failed(const char *what, const char *value, const char *why)
{
    semihosting_text("Error: ");
    semihosting_text(what);
    semihosting_text(value);
    semihosting_text(": ");
    semihosting_text(why);
    semihosting_text("\n");
    return 1;
}

static int trust_failed(eo_status status)
{
    return failed("trust=", trust_path,
                  status == EO_IO ? "cannot be read, or is empty" : "is not a trust root; enrol the device again");
}

static int port_failed(eo_status status)
{
    switch (status) {
    case EO_ARGUMENT:
        return failed("inputs=", inputs_path, "cannot be read, or is empty");
    case EO_TOO_SMALL:
        semihosting_report("flash_bytes", BOARD_STORE_BYTES);
        return failed("flash=", flash_path, "is larger than this board's flash. Fix: another file");
    default:
        return failed("flash=", flash_path, "cannot be read and written");
    }
}

static const char *optional(const char *name, char *value, size_t size)
{
    return semihosting_argument(name, value, size) == 0 ? value : NULL;
}

static eo_status read_trust(size_t *size)
{
    const int file = semihosting_open(trust_path, SEMIHOSTING_READ);
    const int32_t length = file < 0 ? -1 : semihosting_length(file);
    if (length <= 0) {
        return EO_IO;
    }
    *size = (size_t)length;
    if (*size > sizeof(trust)) {
        return EO_TOO_SMALL;
    }
    const int read = semihosting_read(file, trust, *size);
    semihosting_close(file);
    return read == 0 ? EO_OK : EO_IO;
}

static eo_status start_port(void)
{
    return mps2_port_start(&mps2, &link, flash_path, optional("inputs", inputs_path, sizeof(inputs_path)),
                           semihosting_argument_number("interval", 100), semihosting_argument_number("seed", 1));
}

/* What the file of inputs holds; int16 where nothing is said. */
static eo_sample_type sample_type(void)
{
    char name[8];
    if (semihosting_argument("samples", name, sizeof(name)) == 0) {
        if (name[0] == 'u') {
            return EO_SAMPLE_UINT8;
        }
        if (name[0] == 'f') {
            return EO_SAMPLE_FLOAT32;
        }
    }
    return EO_SAMPLE_INT16;
}

static eo_status start_agent(size_t trust_bytes)
{
    static eo_agent_config config;
    uint8_t *const scratch = board_free_start; /* the linker aligns it to 16 */
    config = (eo_agent_config){
        .port = &mps2.port,
        .fleet = fleet,
        .device = device,
        .target = optional("target", target, sizeof(target)),
        .model = optional("model", model, sizeof(model)),
        .trust = trust,
        .trust_bytes = trust_bytes,
        .infer = &eo_plan_runtime,
        .infer_context = &infer,
        .sample_type = sample_type(),
        .arena = scratch + SCRATCH_BYTES,
        .arena_bytes = (size_t)((uintptr_t)board_free_end - (uintptr_t)scratch) - SCRATCH_BYTES,
        .scratch = scratch,
        .scratch_bytes = SCRATCH_BYTES,
    };
    if (config.target == NULL) {
        config.target = DEFAULT_TARGET;
    }
    return eo_agent_start(&agent, &config);
}

int board_main(void)
{
    static mqtt_link_config config = {
        .connected = on_connected, .offline = on_offline, .begin = on_begin, .part = on_part};
    clock_start();
    if (argument_check(settings, sizeof(settings) / sizeof(settings[0])) != 0) {
        return MISUSED;
    }
    /* what is needed is there, and fits */
    (void)semihosting_argument("fleet", fleet, sizeof(fleet));
    (void)semihosting_argument("device", device, sizeof(device));
    (void)semihosting_argument("flash", flash_path, sizeof(flash_path));
    (void)semihosting_argument("trust", trust_path, sizeof(trust_path));
    (void)semihosting_argument("broker", broker, sizeof(broker));
    (void)argument_address("broker", config.address, &config.port);
    size_t trust_bytes = 0;
    eo_status status = read_trust(&trust_bytes);
    if (status != EO_OK) {
        return trust_failed(status);
    }
    status = start_port();
    if (status != EO_OK) {
        return port_failed(status);
    }
    status = start_agent(trust_bytes);
    if (status != EO_OK) {
        return status == EO_SIGNATURE || status == EO_MALFORMED
                   ? trust_failed(status)
                   : failed("the agent does not start", "", eo_status_text(status));
    }
    say("starts on ", target[0] != 0 ? target : DEFAULT_TARGET);
    if (net_start(semihosting_clock()) != 0) {
        return failed("the network", "", "no LAN9118. Fix: qemu-system-arm -nic user,model=lan9118");
    }
    config.client_id = client_id;
    config.user = optional("user", user, sizeof(user));
    config.password = optional("password", password, sizeof(password));
    config.will_topic = will_topic;
    config.will = will;
    status = eo_agent_client_id(&agent, client_id, sizeof(client_id));
    if (status == EO_OK) {
        status = eo_agent_will(&agent, will_topic, sizeof(will_topic), will, &config.will_bytes);
    }
    if (status != EO_OK) {
        return failed("fleet= or device=", "", "together they are too long");
    }
    mqtt_link_start(&link, &config);
    size_t stack_bytes = 0;
    uint64_t stack_due_ms = 0;
    for (;;) {
        mqtt_link_poll(&link);
        if (eo_agent_poll(&agent) != 0) {
            net_sleep();
        }
        if (clock_ms() >= stack_due_ms) {
            stack_due_ms = clock_ms() + STACK_EVERY_MS;
            if (board_stack_bytes() > stack_bytes) {
                stack_bytes = board_stack_bytes();
                semihosting_report("stack_bytes", stack_bytes);
            }
        }
    }
}
