/* The field tables: one row a field, in the order of the keys, which are 1 to n in every message. */
#include "wire/schema.h"

/* Where the rows of each message begin, then those of list items and map entries. */
enum {
    AT_BLOB_REF = 0,
    AT_REPORT_POLICY = AT_BLOB_REF + 4,
    AT_SHIFTED_BINS = AT_REPORT_POLICY + 3,
    AT_CAPTURE_POLICY = AT_SHIFTED_BINS + 2,
    AT_TRANSFER = AT_CAPTURE_POLICY + 5,
    AT_DESIRED_MODEL = AT_TRANSFER + 4,
    AT_DESIRED = AT_DESIRED_MODEL + 9,
    AT_RECEIPT = AT_DESIRED + 5,
    AT_TRUST_ROOT = AT_RECEIPT + 2,
    AT_ARTIFACT = AT_TRUST_ROOT + 5,
    AT_TENSOR_CONTRACT = AT_ARTIFACT + 4,
    AT_RAW_CONTRACT = AT_TENSOR_CONTRACT + 6,
    AT_STEP = AT_RAW_CONTRACT + 3,
    AT_TRIAL = AT_STEP + 2,
    AT_MANIFEST = AT_TRIAL + 3,
    AT_FEATURE_PLAN = AT_MANIFEST + 16,
    AT_OBSERVE_PLAN = AT_FEATURE_PLAN + 5,
    AT_SELF_TEST = AT_OBSERVE_PLAN + 6,
    EACH_UINT16 = AT_SELF_TEST + 3,
    EACH_UINT32,
    EACH_SINT64,
    EACH_TEXT32,
    EACH_TEXT200,
    EACH_SHIFTED,
    EACH_TRANSFER,
    EACH_ARTIFACT,
    EACH_STEP,
    EACH_FEATURE,
    EACH_PAIR,
    EACH_INPUT,
    EACH_OUTPUT,
    EACH_KEY_ID,
    ENTRY_MODEL,                       /* and DesiredModel */
    ENTRY_COMMITTED = ENTRY_MODEL + 2, /* and UInt(32) */
    ENTRY_KEY = ENTRY_COMMITTED + 2,   /* and the public key */
    ENTRY_ROLE = ENTRY_KEY + 2,        /* and its key ids */
    ROWS = ENTRY_ROLE + 2
};

#define REQUIRED(kind, of, limit, offset)                                                                              \
    {                                                                                                                  \
        (uint8_t)((unsigned)EO_KIND_##kind | (unsigned)EO_KIND_REQUIRED), (of), (limit), (uint16_t)(offset)            \
    }
#define OPTIONAL(kind, of, limit, offset)                                                                              \
    {                                                                                                                  \
        EO_KIND_##kind, (of), (limit), (uint16_t)(offset)                                                              \
    }
#define IN(type, member) offsetof(type, member)

const eo_row eo_rows[ROWS] = {
    [AT_BLOB_REF] = REQUIRED(FIXED, 0, 32, IN(eo_blob_ref, sha256)),
    REQUIRED(UINT, 0, 32, IN(eo_blob_ref, size)),
    REQUIRED(UINT, 0, 32, IN(eo_blob_ref, chunk_bytes)),
    OPTIONAL(FIXED, 0, 32, IN(eo_blob_ref, chunk_list)),

    [AT_REPORT_POLICY] = REQUIRED(UINT, 0, 32, IN(eo_report_policy, window_inferences)),
    REQUIRED(UINT, 0, 32, IN(eo_report_policy, interval_ms)),
    REQUIRED(UINT, 0, 16, IN(eo_report_policy, observe_permille)),

    [AT_SHIFTED_BINS] = REQUIRED(UINT, 0, 8, EO_NOWHERE),
    REQUIRED(UINT, 0, 12, EO_NOWHERE),

    /* this library captures no inputs: checked only */
    [AT_CAPTURE_POLICY] = REQUIRED(UINT, 0, 16, EO_NOWHERE),
    REQUIRED(UINT, 0, 32, EO_NOWHERE),
    OPTIONAL(UINT, 0, 8, EO_NOWHERE),
    OPTIONAL(LIST, EACH_SHIFTED, 8, EO_NOWHERE),
    OPTIONAL(UINT, 0, 64, EO_NOWHERE),

    [AT_TRANSFER] = REQUIRED(FIXED, 0, 32, IN(eo_any_transfer, cut.target)),
    REQUIRED(NESTED, EO_MESSAGE_BLOB_REF, 0, IN(eo_any_transfer, cut.blob)),
    OPTIONAL(FIXED, 0, 32, IN(eo_any_transfer, base)),
    OPTIONAL(TEXT, 0, 16, EO_NOWHERE),

    [AT_DESIRED_MODEL] = OPTIONAL(FIXED, 0, 32, IN(eo_desired, manifest)),
    OPTIONAL(UINT, 0, 16, IN(eo_desired, manifest_bytes)),
    OPTIONAL(NESTED, EO_MESSAGE_REPORT_POLICY, 0, IN(eo_desired, report)),
    OPTIONAL(NESTED, EO_MESSAGE_CAPTURE_POLICY, 0, EO_NOWHERE),
    OPTIONAL(FLAG, 0, 0, IN(eo_desired, labels)),
    OPTIONAL(LIST, EACH_TRANSFER, EO_MAX_TRANSFERS, IN(eo_desired, all_transfers)),
    OPTIONAL(UINT, 0, 32, IN(eo_desired, shadow_inferences)),
    OPTIONAL(UINT, 0, 16, IN(eo_desired, attempt)),
    OPTIONAL(UINT, 0, 32, IN(eo_desired, spread_ms)),

    [AT_DESIRED] = REQUIRED(TEXT, 0, EO_NAME_BYTES, IN(eo_desired, fleet)),
    REQUIRED(TEXT, 0, EO_NAME_BYTES, IN(eo_desired, device)),
    REQUIRED(UINT, 0, 32, IN(eo_desired, generation)),
    REQUIRED(MAP, ENTRY_MODEL, 8, IN(eo_desired, models)),
    OPTIONAL(UINT, 0, 64, IN(eo_desired, daily_bytes)),

    [AT_RECEIPT] = REQUIRED(UINT, 0, 32, IN(eo_receipt, boot)),
    REQUIRED(MAP, ENTRY_COMMITTED, 8, IN(eo_receipt, models)),

    [AT_TRUST_ROOT] = REQUIRED(TEXT, 0, 64, IN(eo_trust_root, fleet)),
    REQUIRED(UINT, 0, 32, IN(eo_trust_root, version)),
    REQUIRED(UINT, 0, 8, IN(eo_trust_root, threshold)),
    REQUIRED(MAP, ENTRY_KEY, 32, IN(eo_trust_root, keys)),
    REQUIRED(MAP, ENTRY_ROLE, 8, IN(eo_trust_root, roles)),

    [AT_ARTIFACT] = REQUIRED(TEXT, 0, 16, IN(eo_artifact, runtime)),
    REQUIRED(TEXT, 0, 32, IN(eo_artifact, target)),
    REQUIRED(NESTED, EO_MESSAGE_BLOB_REF, 0, IN(eo_artifact, blob)),
    OPTIONAL(UINT, 0, 32, IN(eo_artifact, arena_bytes)),

    [AT_TENSOR_CONTRACT] = REQUIRED(ARRAY, EACH_UINT32, EO_MAX_RANK, IN(eo_tensor_contract, shape)),
    REQUIRED(TEXT, 0, 8, IN(eo_tensor_contract, dtype)),
    REQUIRED(UINT, 0, 32, IN(eo_tensor_contract, scale_mantissa)),
    REQUIRED(SINT, 0, 16, IN(eo_tensor_contract, scale_exponent)),
    REQUIRED(SINT, 0, 16, IN(eo_tensor_contract, zero_point)),
    REQUIRED(TEXT, 0, 24, IN(eo_tensor_contract, unit)),

    [AT_RAW_CONTRACT] = REQUIRED(ARRAY, EACH_UINT32, EO_MAX_RANK, IN(eo_raw_contract, shape)),
    REQUIRED(TEXT, 0, 24, IN(eo_raw_contract, unit)),
    OPTIONAL(UINT, 0, 32, IN(eo_raw_contract, sample_rate_mhz)),

    [AT_STEP] = REQUIRED(TEXT, 0, 16, IN(eo_step, op)),
    REQUIRED(LIST, EACH_SINT64, 16, IN(eo_step, parameters)),

    [AT_TRIAL] = REQUIRED(UINT, 0, 32, IN(eo_trial, inferences)),
    REQUIRED(UINT, 0, 32, IN(eo_trial, max_errors)),
    OPTIONAL(UINT, 0, 32, IN(eo_trial, seconds)),

    [AT_MANIFEST] = REQUIRED(TEXT, 0, 64, IN(eo_manifest, model)),
    REQUIRED(UINT, 0, 32, IN(eo_manifest, version)),
    REQUIRED(UINT, 0, 32, IN(eo_manifest, security_counter)),
    REQUIRED(ARRAY, EACH_UINT16, 3, IN(eo_manifest, min_agent)),
    REQUIRED(LIST, EACH_ARTIFACT, 8, IN(eo_manifest, artifacts)),
    REQUIRED(NESTED, EO_MESSAGE_TENSOR_CONTRACT, 0, IN(eo_manifest, input)),
    REQUIRED(NESTED, EO_MESSAGE_TENSOR_CONTRACT, 0, IN(eo_manifest, output)),
    REQUIRED(TEXT, 0, 16, IN(eo_manifest, output_kind_name)),
    REQUIRED(LIST, EACH_TEXT32, 64, IN(eo_manifest, labels)),
    REQUIRED(LIST, EACH_STEP, 16, IN(eo_manifest, preprocessing)),
    REQUIRED(NESTED, EO_MESSAGE_BLOB_REF, 0, IN(eo_manifest, observe)),
    REQUIRED(NESTED, EO_MESSAGE_BLOB_REF, 0, IN(eo_manifest, vectors)),
    REQUIRED(NESTED, EO_MESSAGE_TRIAL, 0, IN(eo_manifest, trial)),
    OPTIONAL(NESTED, EO_MESSAGE_RAW_CONTRACT, 0, IN(eo_manifest, source)),
    OPTIONAL(UINT, 0, 48, IN(eo_manifest, threshold)),
    OPTIONAL(LIST, EACH_TEXT200, 3, EO_NOWHERE),

    [AT_FEATURE_PLAN] = REQUIRED(TEXT, 0, 16, IN(eo_feature_plan, name)),
    REQUIRED(LIST, EACH_SINT64, 11, IN(eo_feature_plan, edges)),
    REQUIRED(LIST, EACH_UINT32, 12, IN(eo_feature_plan, reference)),
    REQUIRED(SINT, 0, 64, IN(eo_feature_plan, mean)),
    REQUIRED(UINT, 0, 64, IN(eo_feature_plan, deviation)),

    [AT_OBSERVE_PLAN] = REQUIRED(LIST, EACH_FEATURE, 32, IN(eo_observe_message, features)),
    REQUIRED(LIST, EACH_UINT32, 16, IN(eo_observe_message, confidence)),
    REQUIRED(LIST, EACH_UINT32, 64, IN(eo_observe_message, classes)),
    REQUIRED(LIST, EACH_PAIR, 16, EO_NOWHERE),
    OPTIONAL(NESTED, EO_MESSAGE_FEATURE_PLAN, 0, IN(eo_observe_message, margin)),
    OPTIONAL(BYTES, 0, 4224, IN(eo_observe_message, fourier)),

    [AT_SELF_TEST] = REQUIRED(LIST, EACH_INPUT, 32, IN(eo_selftest, inputs)),
    REQUIRED(LIST, EACH_OUTPUT, 32, IN(eo_selftest, outputs)),
    REQUIRED(UINT, 0, 8, IN(eo_selftest, tolerance)),

    /* the numbers of an ARRAY are stored from its first place on */
    [EACH_UINT16] = OPTIONAL(UINT, 0, 16, 0),
    [EACH_UINT32] = OPTIONAL(UINT, 0, 32, 0),
    [EACH_SINT64] = OPTIONAL(SINT, 0, 64, EO_NOWHERE),
    [EACH_TEXT32] = OPTIONAL(TEXT, 0, 32, EO_NOWHERE),
    [EACH_TEXT200] = OPTIONAL(TEXT, 0, 200, EO_NOWHERE),
    [EACH_SHIFTED] = OPTIONAL(NESTED, EO_MESSAGE_SHIFTED_BINS, 0, EO_NOWHERE),
    [EACH_TRANSFER] = OPTIONAL(NESTED, EO_MESSAGE_TRANSFER, 0, EO_NOWHERE),
    [EACH_ARTIFACT] = OPTIONAL(NESTED, EO_MESSAGE_ARTIFACT, 0, EO_NOWHERE),
    [EACH_STEP] = OPTIONAL(NESTED, EO_MESSAGE_STEP, 0, EO_NOWHERE),
    [EACH_FEATURE] = OPTIONAL(NESTED, EO_MESSAGE_FEATURE_PLAN, 0, EO_NOWHERE),
    [EACH_PAIR] = OPTIONAL(LIST, EACH_UINT32, 2, EO_NOWHERE),
    [EACH_INPUT] = OPTIONAL(BYTES, 1, 65000, EO_NOWHERE),
    [EACH_OUTPUT] = OPTIONAL(BYTES, 1, 4096, EO_NOWHERE),
    [EACH_KEY_ID] = OPTIONAL(FIXED, 0, 8, EO_NOWHERE),

    [ENTRY_MODEL] = OPTIONAL(TEXT, 0, EO_NAME_BYTES, EO_NOWHERE),
    OPTIONAL(NESTED, EO_MESSAGE_DESIRED_MODEL, 0, EO_NOWHERE),
    [ENTRY_COMMITTED] = OPTIONAL(TEXT, 0, EO_NAME_BYTES, EO_NOWHERE),
    OPTIONAL(UINT, 0, 32, EO_NOWHERE),
    [ENTRY_KEY] = OPTIONAL(FIXED, 0, 8, EO_NOWHERE),
    OPTIONAL(FIXED, 0, 32, EO_NOWHERE),
    [ENTRY_ROLE] = OPTIONAL(TEXT, 0, 16, EO_NOWHERE),
    OPTIONAL(LIST, EACH_KEY_ID, 16, EO_NOWHERE),
};

const uint8_t eo_row_count = ROWS;

const eo_schema eo_schemas[EO_MESSAGE_END] = {
    [EO_MESSAGE_BLOB_REF] = {AT_BLOB_REF, 4},
    [EO_MESSAGE_REPORT_POLICY] = {AT_REPORT_POLICY, 3},
    [EO_MESSAGE_SHIFTED_BINS] = {AT_SHIFTED_BINS, 2},
    [EO_MESSAGE_CAPTURE_POLICY] = {AT_CAPTURE_POLICY, 5},
    [EO_MESSAGE_TRANSFER] = {AT_TRANSFER, 4},
    [EO_MESSAGE_DESIRED_MODEL] = {AT_DESIRED_MODEL, 9},
    [EO_MESSAGE_DESIRED] = {AT_DESIRED, 5},
    [EO_MESSAGE_RECEIPT] = {AT_RECEIPT, 2},
    [EO_MESSAGE_TRUST_ROOT] = {AT_TRUST_ROOT, 5},
    [EO_MESSAGE_ARTIFACT] = {AT_ARTIFACT, 4},
    [EO_MESSAGE_TENSOR_CONTRACT] = {AT_TENSOR_CONTRACT, 6},
    [EO_MESSAGE_RAW_CONTRACT] = {AT_RAW_CONTRACT, 3},
    [EO_MESSAGE_STEP] = {AT_STEP, 2},
    [EO_MESSAGE_TRIAL] = {AT_TRIAL, 3},
    [EO_MESSAGE_MANIFEST] = {AT_MANIFEST, 16},
    [EO_MESSAGE_FEATURE_PLAN] = {AT_FEATURE_PLAN, 5},
    [EO_MESSAGE_OBSERVE_PLAN] = {AT_OBSERVE_PLAN, 6},
    [EO_MESSAGE_SELF_TEST] = {AT_SELF_TEST, 3},
};
