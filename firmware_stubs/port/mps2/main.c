/* Image: the agent on the emulated Cortex-M3, edgeops_agent.elf.
 *
 * Command line: fleet= device= broker=<a.b.c.d>:<port> flash=<path> trust=<path>, and where wanted target= model=
 * inputs=<path> samples=uint8|int16|float32 interval=<ms> seed=<number> user= password=. Paths are the host's, without spaces. */
#include "arguments.h"
#include "board.h"
#include "clock.h"
#include "edgeops/agent.h"
#include "mps2_port.h"
#include "net.h"
#include "semihosting.h"

#define NAME_BYTES (EO_NAME_BYTES + 1u)
#define PATH_BYTES 160
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

static void on_connected(void *context, int online)
{
    (void)context;
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

static int failed(const char *what, eo_status status)
{
    semihosting_text("failed=");
    semihosting_text(what);
    semihosting_text(": ");
    semihosting_text(eo_status_text(status));
    semihosting_text("\n");
    return 1;
}

static const char *optional(const char *name, char *value, size_t size)
{
    return semihosting_argument(name, value, size) == 0 ? value : NULL;
}

static eo_status read_trust(size_t *size)
{
    static char path[PATH_BYTES];
    if (semihosting_argument("trust", path, sizeof(path)) != 0) {
        return EO_ARGUMENT;
    }
    const int file = semihosting_open(path, SEMIHOSTING_READ);
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
    static char flash_path[PATH_BYTES], inputs_path[PATH_BYTES];
    if (semihosting_argument("flash", flash_path, sizeof(flash_path)) != 0) {
        return EO_ARGUMENT;
    }
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
        config.target = "cortex-m3";
    }
    return eo_agent_start(&agent, &config);
}

int board_main(void)
{
    static mqtt_link_config config = {.connected = on_connected, .begin = on_begin, .part = on_part};
    clock_start();
    if (semihosting_argument("fleet", fleet, sizeof(fleet)) != 0 ||
        semihosting_argument("device", device, sizeof(device)) != 0 ||
        argument_address("broker", config.address, &config.port) != 0) {
        return failed("fleet=, device= or broker=", EO_ARGUMENT);
    }
    size_t trust_bytes = 0;
    eo_status status = read_trust(&trust_bytes);
    if (status != EO_OK) {
        return failed("trust=", status);
    }
    status = start_port();
    if (status != EO_OK) {
        return failed("flash= or inputs=", status);
    }
    status = start_agent(trust_bytes);
    if (status != EO_OK) {
        return failed("the agent does not start", status);
    }
    if (net_start(semihosting_clock()) != 0) {
        return failed("the network", EO_IO);
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
        return failed("its names", status);
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
