#include "edgeops/status.h"

const char *eo_status_text(eo_status status) {
    switch (status) {
#define EO_STATUS_TEXT(name, number, text) \
    case EO_##name:                        \
        return text;
        EO_STATUSES(EO_STATUS_TEXT)
#undef EO_STATUS_TEXT
    }
    return "unknown status";
}
