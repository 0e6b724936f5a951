/* Errors: one type for everything that can fail. The values are the program's exit statuses. */
#ifndef LLOYD_STATUS_H
#define LLOYD_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LLOYD_API __attribute__((visibility("default")))
#define LLOYD_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define LLOYD_API
#define LLOYD_PRINTF(text, first)
#endif

typedef enum lloyd_status {
    LLOYD_OK = 0,
    LLOYD_FAILED = 1,    /* failed while running: memory, I/O, communication */
    LLOYD_USAGE = 2,     /* the caller's options are wrong */
    LLOYD_BAD_INPUT = 3, /* a file or its contents are wrong */
    LLOYD_STOPPED = 75   /* stopped by a signal; the same command with --resume continues */
} lloyd_status;

/* Stores the message of this thread's latest failure and returns `status`. */
LLOYD_API lloyd_status lloyd_fail(lloyd_status status, const char *format, ...) LLOYD_PRINTF(2, 3);

/* The message of this thread's latest failure; "" if none. Owned by the library, valid until the
 * next failure. */
LLOYD_API const char *lloyd_message(void);

/* Returns from the calling function with the status of `call` if that is not LLOYD_OK. */
#define LLOYD_TRY(call)                                                                            \
    do {                                                                                           \
        lloyd_status lloyd_try_status_ = (call);                                                   \
        if (lloyd_try_status_ != LLOYD_OK) return lloyd_try_status_;                               \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
