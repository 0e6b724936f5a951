/* What may run before the libraries are initialised: the sanitizers are not either. */
#ifndef LLOYD_EARLY_H
#define LLOYD_EARLY_H

#if defined(__GNUC__) && !defined(__clang__)
#define LLOYD_EARLY __attribute__((no_sanitize("address", "undefined")))
#else
#define LLOYD_EARLY __attribute__((no_sanitize("all")))
#endif

#endif
