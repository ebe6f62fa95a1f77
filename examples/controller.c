/* A controller of one connector:  cc -o controller controller.c && ./controller SOCKET CONNECTOR */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Replace these two by your hardware. set_limit returns when no more than that is drawn. */
static void set_limit(double amperes) { printf("limit %g\n", amperes); fflush(stdout); }
static long meter_wh(void) { static long wh = 1000; return ++wh; }

static void lease_ended(int number) { (void)number; } /* ends the read below */

int main(int count, char **words)
{
    struct sockaddr_un hub = {.sun_family = AF_UNIX};
    struct sigaction action = {.sa_handler = lease_ended};
    int out = socket(AF_UNIX, SOCK_STREAM, 0), connector = count == 3 ? atoi(words[2]) : 0;
    char *line = NULL, *permit, *seq, *amperes;
    size_t size = 0;
    long applied = -1;

    if (connector < 1) return 2;
    strncpy(hub.sun_path, words[1], sizeof hub.sun_path - 1);
    if (connect(out, (struct sockaddr *)&hub, sizeof hub)) { perror(words[1]); return 1; }
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    FILE *in = fdopen(out, "r");

    dprintf(out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"controller.attach\",\"params\":{\"connectors\":%d}}\n", connector);
    dprintf(out, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"subscribe\",\"params\":{\"topics\":[\"connector.permit\"],"
                 "\"connectors\":%d}}\n", connector);
    dprintf(out, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"connector.report\",\"params\":{\"connector_id\":%d,\"plugged\":true,"
                 "\"ev_ready\":true,\"evse_ready\":true,\"energy_wh\":%ld}}\n", connector, meter_wh());
    alarm(30); /* permits hold while leases come; without one for 30 s, or when the hub is gone, the loop ends */
    while (getline(&line, &size, in) > 0) {
        if (strstr(line, "\"method\":\"lease\"")) {
            alarm(30);
            dprintf(out, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"connector.report\",\"params\":{\"connector_id\":%d,"
                         "\"energy_wh\":%ld}}\n", connector, meter_wh());
        } else if ((permit = strstr(line, "\"permit\":{")) && (seq = strstr(permit, "\"seq\":"))
                   && (amperes = strstr(permit, "\"limit_a\":")) && atol(seq + 6) > applied) {
            double limit = strstr(permit, "\"energize\":true") ? atof(amperes + 10) : 0;
            applied = atol(seq + 6);
            printf("permit %ld %g\n", applied, limit);
            set_limit(limit);
            dprintf(out, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"connector.report\",\"params\":{\"connector_id\":%d,"
                         "\"energy_wh\":%ld,\"permit_seq\":%ld}}\n", connector, meter_wh(), applied);
        }
    }
    set_limit(0);
    return 0;
}
