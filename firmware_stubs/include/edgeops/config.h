/* Limits that a build may change (-DEO_...=n); RAM and flash follow from them. docs/firmware.md has the table. */
#ifndef EDGEOPS_CONFIG_H
#define EDGEOPS_CONFIG_H

/* The longest message that is kept in RAM: a desired state, a trust root, a receipt, and all that the device says.
 * Chunks of blobs are not kept: they stream into flash. */
#ifndef EO_MESSAGE_BYTES
#define EO_MESSAGE_BYTES 1536
#endif

/* Chunks asked for at a time; the protocol allows 8. */
#ifndef EO_CHUNKS_IN_FLIGHT
#define EO_CHUNKS_IN_FLIGHT 8
#endif

/* Chunks of one model version, chunk lists included: a bit of RAM for each. */
#ifndef EO_MAX_CHUNKS
#define EO_MAX_CHUNKS 512
#endif

/* The longest signed manifest that the flash has room for; the protocol allows 16,384. */
#ifndef EO_MANIFEST_BYTES
#define EO_MANIFEST_BYTES 4096
#endif

/* Flash for reports that no receipt covers yet; rounded up to whole sectors. */
#ifndef EO_REPORT_FLASH_BYTES
#define EO_REPORT_FLASH_BYTES 16384
#endif

/* Lifecycle events that wait for the broker: about 60 bytes each, and the length of its reason. */
#ifndef EO_EVENT_QUEUE_BYTES
#define EO_EVENT_QUEUE_BYTES 512
#endif

/* The rest of an agent's memory, of which there are pointers: checked when the library is built, which does not compile
 * where it has to grow. */
#ifndef EO_AGENT_FIXED_BYTES
#define EO_AGENT_FIXED_BYTES 1424
#endif
#define EO_AGENT_POINTERS 64

/* Why an update did not work, in words; the protocol's own limit. */
#define EO_REASON_BYTES 160

/* Features that a model's inputs are observed by: 32 bytes of a window each, 7 of a plan. The protocol's end is 32. */
#ifndef EO_MAX_FEATURES
#define EO_MAX_FEATURES 12
#endif

/* Classes of a model: 2 bytes of a window each. The protocol's end is 64. */
#ifndef EO_MAX_CLASSES
#define EO_MAX_CLASSES 64
#endif

/* Whether windows take the 64 sums of a multivariate test: 256 bytes of a window. */
#ifndef EO_FOURIER
#define EO_FOURIER 1
#endif

#endif
