/* Reads addresses from the command line. */
#include "arguments.h"

#include "semihosting.h"

int argument_address(const char *name, uint8_t address[4], uint16_t *port)
{
    char text[24];
    if (semihosting_argument(name, text, sizeof(text)) != 0) {
        return -1;
    }
    const char *at = text;
    for (unsigned part = 0; part < 5; part++) {
        const uint32_t most = part < 4 ? UINT8_MAX : UINT16_MAX;
        const char after = part < 3 ? '.' : part < 4 ? ':' : 0;
        uint32_t number = 0;
        if (*at < '0' || *at > '9') {
            return -1;
        }
        for (; *at >= '0' && *at <= '9'; at++) {
            number = number * 10u + (uint32_t)(*at - '0');
            if (number > most) {
                return -1;
            }
        }
        if (*at != after) {
            return -1;
        }
        at++;
        if (part < 4) {
            address[part] = (uint8_t)number;
        } else {
            *port = (uint16_t)number;
        }
    }
    return 0;
}
