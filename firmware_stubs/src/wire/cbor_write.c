/* See cbor_write.h. */
#include "wire/cbor_write.h"

#include <string.h>

#include "wire/cbor_read.h"

void eo_write_begin(eo_writer *writer, uint8_t *bytes, size_t room, size_t most)
{
    writer->bytes = bytes;
    writer->size = 0;
    writer->room = room < most ? room : most;
    writer->status = EO_OK;
}

eo_status eo_write_end(const eo_writer *writer, size_t *size)
{
    *size = writer->status == EO_OK ? writer->size : 0;
    return writer->status;
}

static void append(eo_writer *writer, const void *bytes, size_t size)
{
    if (writer->status != EO_OK) {
        return;
    }
    if (size > writer->room - writer->size) {
        writer->status = EO_TOO_SMALL;
        return;
    }
    if (size != 0) {
        memcpy(writer->bytes + writer->size, bytes, size);
        writer->size += size;
    }
}

void eo_write_head(eo_writer *writer, uint8_t major, uint64_t value)
{
    uint8_t head[9];
    unsigned more = value < 24 ? 0 : value <= 0xFF ? 1 : value <= 0xFFFF ? 2 : value <= 0xFFFFFFFFu ? 4 : 8;
    unsigned n;

    head[0] = (uint8_t)value;
    for (n = more; n != 0; n--) {
        head[n] = (uint8_t)value;
        value >>= 8;
    }
    if (more != 0) {
        head[0] = more == 1 ? 24 : more == 2 ? 25 : more == 4 ? 26 : 27;
    }
    head[0] = (uint8_t)(head[0] | (unsigned)major << 5);
    append(writer, head, 1 + more);
}

void eo_write_bool(eo_writer *writer, bool value)
{
    eo_write_head(writer, EO_CBOR_SIMPLE, value ? EO_CBOR_TRUE : EO_CBOR_FALSE);
}

void eo_write_bytes(eo_writer *writer, const uint8_t *bytes, size_t size)
{
    eo_write_head(writer, EO_CBOR_BYTES, size);
    append(writer, bytes, size);
}

void eo_write_text(eo_writer *writer, const char *text, size_t most)
{
    size_t size = text == NULL ? 0 : strlen(text);

    if (text == NULL || size > most) {
        writer->status = text == NULL ? EO_ARGUMENT : EO_RANGE;
        return;
    }
    eo_write_head(writer, EO_CBOR_TEXT, size);
    append(writer, text, size);
}

void eo_write_number_at(eo_writer *writer, uint8_t key, uint64_t value)
{
    eo_write_head(writer, EO_CBOR_UINT, key);
    eo_write_head(writer, EO_CBOR_UINT, value);
}

void eo_write_text_at(eo_writer *writer, uint8_t key, const char *text, size_t most)
{
    eo_write_head(writer, EO_CBOR_UINT, key);
    eo_write_text(writer, text, most);
}

void eo_write_digest_at(eo_writer *writer, uint8_t key, const uint8_t *digest)
{
    if (digest != NULL) {
        eo_write_head(writer, EO_CBOR_UINT, key);
        eo_write_bytes(writer, digest, EO_DIGEST_BYTES);
    }
}
