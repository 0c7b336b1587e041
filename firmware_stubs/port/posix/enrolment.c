/* Reads the keys of agent.toml that this agent knows: strings and numbers, one a line, as they are written. */
#include "enrolment.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(const char *path, const char *what) {
    fprintf(stderr, "Error: %s: %s\n", path, what);
    return -1;
}

static int complain_of(const char *path, const char *key) {
    char what[120];
    snprintf(what, sizeof what, "%s is not a text in double quotes on one line, or too long", key);
    return complain(path, what);
}

/* The text between the quotes of a basic string; escapes of one letter are those that JSON has too. */
static int unquote(const char *from, char *to, size_t room) {
    if (*from++ != '"')
        return -1;
    while (*from != '"') {
        char letter = *from++;
        if (letter == '\0' || room < 2)
            return -1;
        if (letter == '\\') {
            letter = *from++;
            if (letter != '"' && letter != '\\' && letter != '/')
                return -1;
        }
        *to++ = letter;
        room--;
    }
    *to = '\0';
    return 0;
}

static int hex_digit(char letter) {
    return isdigit((unsigned char)letter) ? letter - '0' : tolower((unsigned char)letter) - 'a' + 10;
}

/* %40 and the like, in place. */
static void decode_percent(char *text) {
    char *to = text;
    for (; *text != '\0'; text++)
        if (*text == '%' && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2])) {
            *to++ = (char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
            text += 2;
        } else {
            *to++ = *text;
        }
    *to = '\0';
}

/* mqtt://[user:password@]host[:port] */
static int read_broker(enrolment *found, const char *url) {
    char text[400];
    if (strncmp(url, "mqtt://", 7) != 0 || strlen(url + 7) >= sizeof text)
        return -1;
    strcpy(text, url + 7);
    text[strcspn(text, "/")] = '\0';
    char *host = strrchr(text, '@');
    if (host != NULL) {
        *host++ = '\0';
        char *password = strchr(text, ':');
        if (password != NULL)
            *password++ = '\0';
        if (strlen(text) >= sizeof found->user || (password != NULL && strlen(password) >= sizeof found->password))
            return -1;
        strcpy(found->user, text);
        strcpy(found->password, password != NULL ? password : "");
        decode_percent(found->user);
        decode_percent(found->password);
    } else {
        host = text;
    }
    char *port = strrchr(host, ':');
    found->port = 1883;
    if (port != NULL) {
        *port++ = '\0';
        found->port = atoi(port);
    }
    if (*host == '\0' || strlen(host) >= sizeof found->host || found->port < 1 || found->port > 65535)
        return -1;
    strcpy(found->host, host);
    return 0;
}

/* `name` as it is seen from the folder of `path`. */
static void beside(char *joined, size_t room, const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    if (name[0] == '/' || slash == NULL)
        snprintf(joined, room, "%s", name);
    else
        snprintf(joined, room, "%.*s/%s", (int)(slash - path), path, name);
}

int enrolment_read(enrolment *found, const char *path) {
    char line[1200], broker[400] = "", trust[1024] = "trust.cose", data[1024] = "data";
    memset(found, 0, sizeof *found);
    strcpy(found->target, "mcu");
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return complain(path, "cannot be read. Fix: edgeops device enroll NAME writes it");
    const struct {
        const char *name;
        char *to;
        size_t room;
    } keys[] = {{"fleet", found->fleet, sizeof found->fleet},    {"device", found->device, sizeof found->device},
                {"broker", broker, sizeof broker},               {"model", found->model, sizeof found->model},
                {"target", found->target, sizeof found->target}, {"trust", trust, sizeof trust},
                {"data", data, sizeof data}};
    int status = 0;
    while (status == 0 && fgets(line, sizeof line, file) != NULL) {
        char *equals = strchr(line, '=');
        if (equals == NULL)
            continue;
        const size_t name = strcspn(line, " \t=");
        const char *value = equals + 1 + strspn(equals + 1, " \t");
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            if (strlen(keys[i].name) == name && strncmp(keys[i].name, line, name) == 0 &&
                unquote(value, keys[i].to, keys[i].room) != 0)
                status = complain_of(path, keys[i].name);
    }
    fclose(file);
    if (status != 0)
        return status;
    if (found->fleet[0] == '\0' || found->device[0] == '\0')
        return complain(path, "fleet or device is missing. Fix: edgeops device enroll NAME writes it");
    if (read_broker(found, broker) != 0)
        return complain(path, "broker is not mqtt://[user:password@]host[:port]");
    beside(found->data, sizeof found->data, path, data);
    beside(found->trust_path, sizeof found->trust_path, path, trust);
    file = fopen(found->trust_path, "rb");
    if (file == NULL)
        return complain(found->trust_path,
                        "cannot be read. Fix: edgeops device enroll NAME writes it beside agent.toml");
    found->trust_bytes = fread(found->trust, 1, sizeof found->trust, file);
    const int longer = fgetc(file) != EOF;
    fclose(file);
    return longer ? complain(found->trust_path, "is longer than EO_MESSAGE_BYTES") : 0;
}
