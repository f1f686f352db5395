// Stands for the runtime's binary in the tests of scripts/deploy, on this machine and on an emulated board: it answers what a deploy
// asks, and behaves as its configuration says in a line `# behaviour: NAME`:
//   good         ready at once, then a sign of life every half second
//   crash        ends at its start
//   crash-later  ready, and ends after a second and a half
//   never-ready  alive and never ready
//   silent       ready, and then no sign of life
//   fails-check  does not come through its five seconds
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// Two binaries that differ, to have two releases.
#ifndef EDITION
#define EDITION "1"
#endif

static void say(const char *text) {
    const char *name = getenv("NOTIFY_SOCKET");
    if (name == NULL || strlen(name) >= sizeof(((struct sockaddr_un *)0)->sun_path)) return;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, name);
    // In the abstract namespace, a name begins with a null byte.
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    int line = socket(AF_UNIX, SOCK_DGRAM, 0);
    sendto(line, text, strlen(text), 0, (struct sockaddr *)&address, length);
    close(line);
}

static void behaviour(int count, char **words, char *into, size_t size) {
    snprintf(into, size, "good");
    for (int i = 1; i + 1 < count; i++) {
        if (strcmp(words[i], "--config") != 0) continue;
        FILE *file = fopen(words[i + 1], "r");
        char line[256], found[64];
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
            if (sscanf(line, "# behaviour: %63s", found) == 1) snprintf(into, size, "%s", found);
        if (file != NULL) fclose(file);
    }
}

int main(int count, char **words) {
    const char *command = count > 1 ? words[1] : "";
    char how[64];
    behaviour(count, words, how, sizeof how);
    if (strcmp(command, "--version") == 0) {
        puts("reflexarc 0.0.0, a stand-in, edition " EDITION);
    } else if (strcmp(command, "doctor") == 0) {
        puts("{\"checks\": [{\"id\": \"K01\", \"title\": \"real-time kernel\", \"status\": \"fail\"}]}");
        return 15;
    } else if (strcmp(command, "bench") == 0) {
        int fails = strcmp(how, "fails-check") == 0;
        printf("{\"verdict\": \"%s\", \"parts\": [{\"name\": \"beside\", \"flow\": {\"frames\": 150, \"actions\": 500}}]}\n",
               fails ? "missed" : "met");
        if (fails) fprintf(stderr, "the policy made no chunk of actions\n");
        return fails;
    } else if (strcmp(command, "run") == 0) {
        if (strcmp(how, "crash") == 0) return 70;
        if (strcmp(how, "never-ready") != 0) say("READY=1\nSTATUS=frames become actions");
        for (int beats = 0;; beats++) {
            if (strcmp(how, "crash-later") == 0 && beats == 3) abort();
            if (strcmp(how, "silent") != 0) say("WATCHDOG=1");
            usleep(500000);
        }
    }
    return 0;
}
