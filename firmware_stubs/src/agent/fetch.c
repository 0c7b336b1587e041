/* Fetches a manifest, then the chunks of what it names, from the broker into the flash.
 *
 * Which chunks are there is known by their digests alone. A chunk is written while it comes; where it turns out to be
 * altered, or something else stands in its place (a write that a power cut tore), the blocks that it touches are
 * erased, and all chunks in them are fetched again. */
#include <string.h>

#include "agent/agent_state.h"

#define STALL_MS 60000u
#define MAX_BAD 3u

static void free_ask(eo_agent_state *agent, eo_ask *ask) {
    ask->state = EO_ASK_FREE;
    agent->fetch.asks_used--;
}

static eo_ask *find_ask(eo_fetch *fetch, uint16_t number) {
    for (uint8_t i = 0; i < EO_CHUNKS_IN_FLIGHT; i++)
        if (fetch->asks[i].state != EO_ASK_FREE && fetch->asks[i].number == number)
            return &fetch->asks[i];
    return NULL;
}

static void leave(eo_fetch *fetch, uint16_t number) {
    eo_ask *ask = find_ask(fetch, number);
    if (ask != NULL)
        ask->state = EO_ASK_LEAVE;
}

static void find_chunk(const eo_agent_state *agent, uint16_t number, eo_chunk *chunk) {
    eo_slot_chunk(&agent->fetch.layout, agent->port, agent->fetch.has, number, chunk);
}

/* Subscribes to a chunk, or ends it. */
static eo_status subscribe(const eo_agent_state *agent, uint16_t number, int subscribed) {
    const eo_fetch *fetch = &agent->fetch;
    char topic[EO_TOPIC_BYTES];
    const uint8_t *sha256 = fetch->manifest;
    uint32_t index = 0;
    if (number != EO_MANIFEST_NUMBER) {
        eo_chunk chunk;
        find_chunk(agent, number, &chunk);
        sha256 = fetch->layout.blobs[chunk.part].sha256;
        index = chunk.index;
    }
    const eo_status status = eo_topic_write_chunk(topic, sizeof topic, agent->config.fleet, sha256, index);
    return status == EO_OK ? agent->port->subscribe(agent->port->context, topic, subscribed) : status;
}

void eo_fetch_offline(eo_agent_state *agent) {
    memset(agent->fetch.asks, 0, sizeof agent->fetch.asks); /* the session is gone, and so are its subscriptions */
    agent->fetch.asks_used = 0;
}

void eo_fetch_stop(eo_agent_state *agent) {
    for (uint8_t i = 0; i < EO_CHUNKS_IN_FLIGHT; i++)
        if (agent->fetch.asks[i].state != EO_ASK_FREE)
            agent->fetch.asks[i].state = EO_ASK_LEAVE;
    agent->fetch.phase = EO_FETCH_IDLE;
    if (agent->stream.what == EO_IN_CHUNK)
        agent->stream.what = EO_IN_SKIPPED;
    agent->held = false;
}

/* Where this device stands in a spread of 0..spread_ms: the same each time, another for each manifest. */
static uint32_t place_in_spread(const eo_agent_state *agent) {
    eo_sha256_state hash;
    uint8_t digest[32];
    eo_sha256_start(&hash);
    eo_sha256_update(&hash, agent->config.device, strlen(agent->config.device) + 1u);
    eo_sha256_update(&hash, agent->fetch.manifest, 32);
    eo_sha256_finish(&hash, digest);
    uint32_t place = 0; /* the digest's first bits, as a share of 2**32 */
    for (uint8_t i = 0; i < 4u; i++)
        place = place << 8 | digest[i];
    return (uint32_t)(((uint64_t)agent->memory.spread_ms * place) >> 32);
}

static void clear_manifest_area(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    fetch->phase = EO_FETCH_CLEARING_MANIFEST;
    fetch->clear_at = agent->map.manifest_at;
    fetch->clear_end = fetch->clear_at + agent->map.manifest_bytes;
}

void eo_fetch_manifest(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    eo_fetch_stop(agent);
    memcpy(fetch->manifest, agent->memory.update.digests[EO_CANDIDATE], 32);
    fetch->kept.size = 0;
    fetch->bad = 0;
    fetch->progress_at = agent->now;
    if (memcmp(fetch->placed, fetch->manifest, sizeof fetch->placed) != 0) {
        memcpy(fetch->placed, fetch->manifest, sizeof fetch->placed);
        fetch->spread = agent->memory.spread_ms > 0;
        fetch->starts_at = agent->now + (fetch->spread ? place_in_spread(agent) : 0);
    }
    clear_manifest_area(agent);
}

void eo_fetch_blobs(eo_agent_state *agent) {
    eo_fetch_stop(agent);
    agent->fetch.bad = 0;
    agent->fetch.progress_at = agent->now;
    agent->fetch.phase = EO_FETCH_PREPARING;
}

/* Finds the slot, and whether it holds the candidate already. */
static void prepare(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    const eo_update_state *update = &agent->memory.update;
    eo_manifest manifest;
    eo_kept_manifest kept = fetch->kept;
    const uint8_t other = agent->confirmed == 0 ? 1u : 0u;
    fetch->slot = eo_model_slot(agent, update->digests[EO_CANDIDATE], &kept);
    const bool here = fetch->slot != EO_NO_SLOT && fetch->slot != agent->confirmed;
    if (!here) {
        fetch->slot = other;
        kept = fetch->kept;
    }
    if (eo_model_layout(agent, fetch->slot, &kept, &manifest, &fetch->layout) != EO_OK) {
        eo_driver_refuse(agent, EO_EVENT_failed, "the manifest is gone");
        return;
    }
    memset(fetch->has, 0, sizeof fetch->has);
    fetch->look = 0;
    fetch->missing = fetch->layout.chunks;
    fetch->clear_at = fetch->clear_end = eo_slot_at(agent, fetch->slot);
    fetch->phase = EO_FETCH_LOOKING;
    if (here)
        return;
    fetch->clear_end += eo_round_up(fetch->layout.bytes, agent->port->flash.erase_bytes);
    fetch->phase = EO_FETCH_CLEARING_SLOT;
    if (agent->loaded == fetch->slot)
        agent->loaded = EO_NO_SLOT;
    const uint8_t *previous = eo_update_digest(update, EO_PREVIOUS);
    if (previous != NULL && eo_model_slot(agent, previous, &kept) == fetch->slot)
        /* It makes room: nothing can go back to it any more. */
        eo_driver_event(agent, EO_UPDATE_DAMAGED, 0, previous);
}

/* The slot is erased: the manifest goes in first, then what it names. */
static void put_manifest(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    const uint32_t area = eo_slot_at(agent, fetch->slot);
    eo_kept_manifest kept = fetch->kept;
    eo_manifest manifest;
    eo_status status = eo_manifest_copy(agent->port, area, area + agent->map.slot_bytes, &fetch->kept);
    kept.at = eo_manifest_place(agent->port, area);
    kept.payload_at = kept.at + (fetch->kept.payload_at - fetch->kept.at);
    if (status == EO_OK) /* the digests that it names are read where the manifest stays */
        status = eo_model_layout(agent, fetch->slot, &kept, &manifest, &fetch->layout);
    if (status == EO_OK)
        fetch->phase = EO_FETCH_CHUNKS;
    else
        eo_driver_refuse(agent, EO_EVENT_failed, "the flash failed");
}

static void count_missing(eo_fetch *fetch) {
    fetch->missing = 0;
    for (uint16_t number = 0; number < fetch->layout.chunks; number++)
        fetch->missing = (uint16_t)(fetch->missing + (eo_bit(fetch->has, number) ? 0 : 1));
}

static void look(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    if (fetch->look < fetch->layout.chunks) {
        eo_chunk chunk;
        find_chunk(agent, fetch->look, &chunk);
        if (!eo_bit(fetch->has, fetch->look) && chunk.sha256 != NULL &&
            eo_flash_holds(agent->port, chunk.at, chunk.size, chunk.sha256))
            eo_set_bit(fetch->has, fetch->look, true);
        fetch->look++;
        return;
    }
    count_missing(fetch);
    fetch->phase = EO_FETCH_CHUNKS;
}

/* Erases one block that is in the way; chunks in it are gone. */
static void clear_block(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    const uint32_t at = fetch->clear_at, end = at + agent->port->flash.erase_bytes;
    fetch->clear_at = end;
    if (eo_flash_clear(agent->port, at) != EO_OK) {
        eo_driver_refuse(agent, EO_EVENT_failed, "the flash failed");
        return;
    }
    if (fetch->phase == EO_FETCH_CHUNKS || fetch->phase == EO_FETCH_LOOKING) {
        for (uint16_t number = 0; number < fetch->layout.chunks; number++) {
            eo_chunk chunk;
            find_chunk(agent, number, &chunk);
            if (chunk.at < end && at < chunk.at + chunk.size)
                eo_set_bit(fetch->has, number, false);
        }
        count_missing(fetch);
    } else if (fetch->clear_at >= fetch->clear_end) {
        if (fetch->phase == EO_FETCH_CLEARING_MANIFEST)
            fetch->phase = EO_FETCH_MANIFEST;
        else
            put_manifest(agent);
    }
}

/* Asks for one more that is missing; whether something was done. */
static bool ask(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    uint16_t number = EO_MANIFEST_NUMBER;
    if (fetch->asks_used >= EO_CHUNKS_IN_FLIGHT)
        return false;
    if (fetch->phase == EO_FETCH_MANIFEST) {
        if (find_ask(fetch, number) != NULL)
            return false;
    } else {
        for (number = 0; number < fetch->layout.chunks; number++) {
            eo_chunk chunk;
            find_chunk(agent, number, &chunk);
            if (!eo_bit(fetch->has, number) && chunk.sha256 != NULL && find_ask(fetch, number) == NULL)
                break;
        }
        if (number == fetch->layout.chunks)
            return false;
    }
    eo_ask *place = fetch->asks;
    while (place->state != EO_ASK_FREE)
        place++;
    if (subscribe(agent, number, 1) != EO_OK)
        return false;
    place->number = number;
    place->state = EO_ASK_SENT;
    fetch->asks_used++;
    return true;
}

bool eo_fetch_work(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    for (uint8_t i = 0; i < EO_CHUNKS_IN_FLIGHT; i++)
        if (fetch->asks[i].state == EO_ASK_LEAVE) {
            if (subscribe(agent, fetch->asks[i].number, 0) != EO_OK)
                return false;
            free_ask(agent, &fetch->asks[i]);
            return true;
        }
    if (fetch->phase == EO_FETCH_IDLE)
        return false;
    const bool clearing = fetch->clear_at < fetch->clear_end;
    if (fetch->phase == EO_FETCH_PREPARING || fetch->phase == EO_FETCH_LOOKING || clearing) {
        fetch->progress_at = agent->now; /* a flash takes the time that it takes */
        if (fetch->phase == EO_FETCH_PREPARING)
            prepare(agent);
        else if (clearing)
            clear_block(agent);
        else
            look(agent);
        return true;
    }
    if (fetch->phase == EO_FETCH_CHUNKS && fetch->missing == 0) {
        fetch->phase = EO_FETCH_IDLE;
        eo_driver_progress(agent, EO_EVENT_complete);
        return true;
    }
    fetch->spread = fetch->spread && !eo_due(agent, fetch->starts_at);
    const bool held = fetch->spread;
    agent->state_dirty = agent->state_dirty || held != agent->held;
    agent->held = held;
    if (!agent->online || held) {
        fetch->progress_at = agent->now; /* no chunk can come: that is no failure of the update */
        return false;
    }
    if (agent->now - fetch->progress_at > STALL_MS) {
        eo_driver_refuse(agent, EO_EVENT_failed, "no chunk came within 60 s");
        return true;
    }
    return ask(agent);
}

/* What came was of no use; `fault` says why. */
static void bad(eo_agent_state *agent, const eo_chunk *chunk, uint16_t number, const char *fault) {
    eo_fetch *fetch = &agent->fetch;
    leave(fetch, number); /* so that it is asked for anew, and the broker sends it once more */
    if (++fetch->bad < MAX_BAD)
        return;
    char words[EO_REASON_BYTES];
    eo_text text = eo_text_begin(words, sizeof words);
    if (number == EO_MANIFEST_NUMBER) {
        eo_text_put(&text, "manifest ");
        eo_text_put_hex(&text, fetch->manifest, 6);
    } else {
        eo_text_put(&text, "chunk ");
        eo_text_put_number(&text, chunk->index);
        eo_text_put(&text, " of blob ");
        eo_text_put_hex(&text, fetch->layout.blobs[chunk->part].sha256, 6);
    }
    eo_text_put(&text, fault);
    eo_driver_refuse(agent, EO_EVENT_failed, words);
}

bool eo_fetch_begin(eo_agent_state *agent, const eo_topic *topic, uint32_t total) {
    eo_fetch *fetch = &agent->fetch;
    eo_stream *stream = &agent->stream;
    uint32_t limit;
    stream->number = EO_MANIFEST_NUMBER;
    agent->received_bytes += total;
    const bool clearing = fetch->clear_at < fetch->clear_end;
    if (fetch->phase == EO_FETCH_MANIFEST || fetch->phase == EO_FETCH_CLEARING_MANIFEST) {
        if (topic->index != 0 || memcmp(topic->sha256, fetch->manifest, 32) != 0)
            return false;
        if (clearing) {
            leave(fetch, EO_MANIFEST_NUMBER); /* its place is not free yet: it is asked for anew */
            return false;
        }
        limit = agent->map.manifest_at + agent->map.manifest_bytes;
        stream->chunk.at = eo_manifest_place(agent->port, agent->map.manifest_at);
        stream->chunk.size = total;
        stream->chunk.sha256 = fetch->manifest;
        if (total == 0 || total > limit - stream->chunk.at) {
            bad(agent, NULL, EO_MANIFEST_NUMBER, " is too long");
            return false;
        }
    } else if (fetch->phase >= EO_FETCH_LOOKING) {
        const eo_slot_blob *blob = fetch->layout.blobs;
        while (blob < fetch->layout.blobs + EO_PART_COUNT &&
               (topic->index >= blob->chunks || memcmp(blob->sha256, topic->sha256, 32) != 0))
            blob++;
        if (blob == fetch->layout.blobs + EO_PART_COUNT)
            return false;
        stream->number = (uint16_t)(blob->first + topic->index);
        find_chunk(agent, stream->number, &stream->chunk);
        if (eo_bit(fetch->has, stream->number) || stream->chunk.sha256 == NULL || clearing) {
            leave(fetch, stream->number);
            return false;
        }
        if (total != stream->chunk.size) {
            bad(agent, &stream->chunk, stream->number, " has another length");
            return false;
        }
        limit = eo_slot_at(agent, fetch->slot) + agent->map.slot_bytes;
    } else {
        return false;
    }
    eo_flash_write_begin(&stream->writer, agent->port, stream->chunk.at, limit);
    eo_sha256_start(&stream->hash);
    return true;
}

void eo_fetch_part(eo_agent_state *agent, const uint8_t *bytes, size_t size) {
    eo_flash_write(&agent->stream.writer, bytes, size);
    eo_sha256_update(&agent->stream.hash, bytes, size);
}

void eo_fetch_end(eo_agent_state *agent) {
    eo_fetch *fetch = &agent->fetch;
    eo_stream *stream = &agent->stream;
    const eo_chunk chunk = stream->chunk;
    uint8_t digest[32];
    const eo_status status = eo_flash_write_end(&stream->writer);
    eo_sha256_finish(&stream->hash, digest);
    const bool right = memcmp(digest, chunk.sha256, sizeof digest) == 0;
    if (status == EO_OK && right) {
        fetch->bad = 0;
        fetch->progress_at = agent->now;
        leave(fetch, stream->number);
        if (stream->number == EO_MANIFEST_NUMBER) {
            fetch->phase = EO_FETCH_IDLE;
            fetch->kept.at = chunk.at;
            fetch->kept.size = chunk.size;
            fetch->kept.payload_at = fetch->kept.payload_size = 0;
            eo_driver_manifest_came(agent);
            return;
        }
        eo_set_bit(fetch->has, stream->number, true);
        fetch->missing--;
        if (chunk.part < EO_PART_OBSERVE) { /* now the chunks that it lists can be judged */
            fetch->look = fetch->layout.blobs[chunk.part + EO_PART_OBSERVE].first;
            fetch->phase = EO_FETCH_LOOKING;
        }
        return;
    }
    if (stream->number == EO_MANIFEST_NUMBER) {
        clear_manifest_area(agent);
    } else {
        const uint32_t block = agent->port->flash.erase_bytes;
        fetch->clear_at = chunk.at / block * block;
        fetch->clear_end = eo_round_up(chunk.at + chunk.size, block);
    }
    bad(agent, &chunk, stream->number,
        right ? " cannot be written" : " does not match its digest");
}
