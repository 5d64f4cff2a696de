/* What root does on a guest's card past the guest's own kernel. Built static, carried into guests by `attacker.py`.
 *
 *   frames send CARD TIMES      each line of standard input, in hex, is a frame; sends all of them so many times
 *   frames listen CARD          prints what comes after "mains-token:" (up to ";") in frames that arrive, for ever
 *   frames scan MILLISECONDS    each line is "address port": prints those that take a TCP connection in that time, and
 *                               sends each a datagram "mains-token:scan;" too
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_FRAMES 4096
#define AT_ONCE 200
static const char mark[] = "mains-token:";

static int card(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(name)};
    struct packet_mreq all = {.mr_ifindex = where.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    int room = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where)
        || setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all)) {
        perror(name);
        exit(1);
    }
    return fd;
}

static int send_frames(const char *name, int times)
{
    static unsigned char *frames[MOST_FRAMES];
    static size_t sizes[MOST_FRAMES];
    static char line[8192];
    size_t count = 0, sent = 0;
    int fd = card(name);
    while (count < MOST_FRAMES && fgets(line, sizeof line, stdin)) {
        size_t digits = strspn(line, "0123456789abcdef");
        frames[count] = malloc(digits / 2);
        for (size_t at = 0; at < digits / 2; at++)
            sscanf(line + 2 * at, "%2hhx", &frames[count][at]);
        sizes[count++] = digits / 2;
    }
    for (int turn = 0; turn < times; turn++)
        for (size_t at = 0; at < count; at++) {
            while (send(fd, frames[at], sizes[at], 0) < 0 && errno == ENOBUFS)
                usleep(1000);
            sent++;
            if (sent % 50 == 0)
                usleep(2000);
        }
    printf("%zu\n", sent);
    return 0;
}

static void listen_frames(const char *name)
{
    static unsigned char frame[65536];
    int fd = card(name);
    setlinebuf(stdout);
    puts("ready");
    for (;;) {
        struct sockaddr_ll from;
        socklen_t size = sizeof from;
        ssize_t length = recvfrom(fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &size);
        if (length < 0 || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        unsigned char *found = memmem(frame, length, mark, sizeof mark - 1);
        if (!found)
            continue;
        found += sizeof mark - 1;
        unsigned char *end = memchr(found, ';', frame + length - found);
        if (end)
            printf("%.*s\n", (int)(end - found), found);
    }
}

static int scan(int limit_ms)
{
    static struct pollfd tried[AT_ONCE];
    static char lines[AT_ONCE][64], text[64];
    int talker = socket(AF_INET, SOCK_DGRAM, 0), more = 1;
    while (more) {
        int count = 0;
        while (count < AT_ONCE && (more = fgets(lines[count], sizeof lines[count], stdin) != NULL)) {
            int port;
            struct sockaddr_in to = {.sin_family = AF_INET};
            if (sscanf(lines[count], "%63s %d", text, &port) != 2 || !inet_aton(text, &to.sin_addr))
                continue;
            to.sin_port = htons(port);
            sendto(talker, "mains-token:scan;", 17, 0, (struct sockaddr *)&to, sizeof to);
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
                close(fd);
                continue;
            }
            tried[count++] = (struct pollfd){.fd = fd, .events = POLLOUT};
        }
        for (int left = limit_ms; left > 0; left -= 50) {
            poll(tried, count, 0);
            usleep(50000);
        }
        poll(tried, count, 0);
        for (int at = 0; at < count; at++) {
            int failed = 1;
            socklen_t size = sizeof failed;
            if (tried[at].revents && !getsockopt(tried[at].fd, SOL_SOCKET, SO_ERROR, &failed, &size) && !failed)
                fputs(lines[at], stdout);
            close(tried[at].fd);
        }
    }
    puts("done");
    return 0;
}

int main(int count, char **words)
{
    if (count == 4 && !strcmp(words[1], "send"))
        return send_frames(words[2], atoi(words[3]));
    if (count == 3 && !strcmp(words[1], "listen"))
        listen_frames(words[2]);
    if (count == 3 && !strcmp(words[1], "scan"))
        return scan(atoi(words[2]));
    return 2;
}
