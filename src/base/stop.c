/* See stop.h and lloyd_stop() in lloyd.h. */
#include "base/stop.h"

#include "lloyd/lloyd.h"

#include <signal.h>
#include <stdatomic.h>

static atomic_int wanted; /* the signal; lock-free, so a signal handler may set it */

void lloyd_stop(int signal)
{
    atomic_store(&wanted, signal);
}

int lloyd_stop_signal(void)
{
    return atomic_load(&wanted);
}

const atomic_int *lloyd_stop_request(void)
{
    return &wanted;
}

void lloyd_stop_clear(void)
{
    atomic_store(&wanted, 0);
}

const char *lloyd_stop_name(int signal)
{
    switch (signal) {
    case SIGTERM: return "SIGTERM";
    case SIGINT: return "SIGINT";
    case SIGUSR1: return "SIGUSR1";
    case SIGUSR2: return "SIGUSR2";
    case SIGHUP: return "SIGHUP";
    case SIGXCPU: return "SIGXCPU";
    default: return "a signal";
    }
}

lloyd_status lloyd_stop_check(void)
{
    int signal = lloyd_stop_signal();
    if (signal == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_STOPPED, "stopped by %s", lloyd_stop_name(signal));
}
