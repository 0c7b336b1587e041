/* What of mbedtls is built: SHA-256 and SHA-512, small rather than fast. */
#ifndef EDGEOPS_TRUST_MBEDTLS_CONFIG_H
#define EDGEOPS_TRUST_MBEDTLS_CONFIG_H

#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA256_SMALLER
#define MBEDTLS_SHA512_C
#define MBEDTLS_SHA512_NO_SHA384
#define MBEDTLS_SHA512_SMALLER

#endif
