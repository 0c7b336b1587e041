/* Decoded messages as JSON: texts and bytes in hexadecimal, fields named as in Python. */
#ifndef EDGEOPS_TOOLS_MESSAGES_JSON_H
#define EDGEOPS_TOOLS_MESSAGES_JSON_H

#include "edgeops/trust.h"
#include "lines.h"

static inline void json_blob(const char *name, const eo_blob_ref *blob)
{
    lines_name(name);
    lines_digest("{sha256", blob->sha256, 32);
    lines_number("size", blob->size);
    lines_number("chunk_bytes", blob->chunk_bytes);
    lines_digest("chunk_list", blob->chunk_list, 32);
    putchar('}');
}

static inline void json_numbers(const char *name, const uint32_t *numbers, unsigned count)
{
    lines_name(name);
    putchar('[');
    for (unsigned n = 0; n < count; n++) {
        printf("%s%lu", n == 0 ? "" : ",", (unsigned long)numbers[n]);
    }
    putchar(']');
}

static inline void json_desired(const eo_desired *desired)
{
    lines_view("fleet", desired->fleet);
    lines_view("device", desired->device);
    lines_number("generation", desired->generation);
    lines_number("daily_bytes", desired->daily_bytes);
    lines_flag("named", desired->named);
    lines_number("model_count", desired->models.left);
    if (!desired->named) {
        return;
    }
    lines_view("model", desired->model);
    lines_digest("manifest", desired->manifest, 32);
    lines_number("manifest_bytes", desired->manifest_bytes);
    lines_number("window_inferences", desired->report.window_inferences);
    lines_number("interval_ms", desired->report.interval_ms);
    lines_number("observe_permille", desired->report.observe_permille);
    lines_flag("labels", desired->labels);
    lines_number("shadow_inferences", desired->shadow_inferences);
    lines_number("attempt", desired->attempt);
    lines_number("spread_ms", desired->spread_ms);
    lines_name("transfers");
    putchar('[');
    for (unsigned n = 0; n < desired->transfer_count; n++) {
        if (n != 0) {
            putchar(',');
        }
        lines_digest("{target", desired->transfers[n].target, 32);
        json_blob("blob", &desired->transfers[n].blob);
        putchar('}');
    }
    putchar(']');
}

static inline void json_receipt(const eo_receipt *receipt)
{
    lines_number("boot", receipt->boot);
    lines_flag("named", receipt->named);
    lines_number("committed", receipt->committed);
}

static inline void json_contract(const char *name, const eo_tensor_contract *contract)
{
    lines_name(name);
    json_numbers("{shape", contract->shape, contract->rank);
    lines_view("dtype", contract->dtype);
    lines_number("scale_mantissa", contract->scale_mantissa);
    lines_signed("scale_exponent", contract->scale_exponent);
    lines_signed("zero_point", contract->zero_point);
    lines_view("unit", contract->unit);
    putchar('}');
}

static inline void json_steps(eo_items steps)
{
    eo_step step;

    lines_name("preprocessing");
    putchar('[');
    for (unsigned n = 0; eo_step_next(&steps, &step) == EO_OK; n++) {
        int64_t value;

        if (n != 0) {
            putchar(',');
        }
        lines_view("{op", step.op);
        lines_name("parameters");
        putchar('[');
        for (unsigned i = 0; eo_integer_next(&step.parameters, &value) == EO_OK; i++) {
            printf("%s%lld", i == 0 ? "" : ",", (long long)value);
        }
        fputs("]}", stdout);
    }
    putchar(']');
}

static inline void json_manifest(const eo_manifest *manifest)
{
    eo_items labels = manifest->labels;
    eo_view label;

    lines_view("model", manifest->model);
    lines_number("version", manifest->version);
    lines_number("security_counter", manifest->security_counter);
    lines_name("min_agent");
    putchar('[');
    for (unsigned n = 0; n < manifest->min_agent_count; n++) {
        printf("%s%u", n == 0 ? "" : ",", manifest->min_agent[n]);
    }
    putchar(']');
    lines_number("artifact_count", manifest->artifacts.left);
    lines_name("artifact");
    if (manifest->fits) {
        lines_view("{runtime", manifest->artifact.runtime);
        lines_view("target", manifest->artifact.target);
        json_blob("blob", &manifest->artifact.blob);
        lines_number("arena_bytes", manifest->artifact.arena_bytes);
        putchar('}');
    } else {
        fputs("null", stdout);
    }
    json_contract("input", &manifest->input);
    json_contract("output", &manifest->output);
    lines_view("output_kind", manifest->output_kind_name);
    lines_number("output_kind_number", manifest->output_kind);
    lines_name("labels");
    putchar('[');
    for (unsigned n = 0; eo_text_next(&labels, &label) == EO_OK; n++) {
        fputs(n == 0 ? "" : ",", stdout);
        lines_print_hex(label.bytes, label.size);
    }
    putchar(']');
    json_steps(manifest->preprocessing);
    json_blob("observe", &manifest->observe);
    json_blob("vectors", &manifest->vectors);
    lines_name("trial");
    lines_number("{inferences", manifest->trial.inferences);
    lines_number("max_errors", manifest->trial.max_errors);
    lines_number("seconds", manifest->trial.seconds);
    putchar('}');
    lines_name("source");
    if (manifest->has_source) {
        json_numbers("{shape", manifest->source.shape, manifest->source.rank);
        lines_view("unit", manifest->source.unit);
        lines_number("sample_rate_mhz", manifest->source.sample_rate_mhz);
        putchar('}');
    } else {
        fputs("null", stdout);
    }
    lines_name("threshold");
    if (manifest->has_threshold) {
        printf("%llu", (unsigned long long)manifest->threshold);
    } else {
        fputs("null", stdout);
    }
}

static inline void json_root(const eo_trust_root *root)
{
    lines_view("fleet", root->fleet);
    lines_number("version", root->version);
    lines_number("threshold", root->threshold);
    lines_number("keys", root->keys.left);
    lines_number("roles", root->roles.left);
}

#endif
