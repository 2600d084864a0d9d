/*
 * The floor: one thread, one epoll, one buffer. Bytes are written back as soon as they are read, without parsing
 * their frames. Only what the socket does not accept is kept, and reading stops until it is written.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 64 * 1024, EVENTS = 256 };

struct connection {
  int fd;
  char *pending; /* bytes that are still to be written back; NULL most of the time */
  size_t length, written;
  uint64_t count;        /* discard: bytes read; source: bytes to send */
  unsigned char have;    /* source: bytes of the request that have arrived */
  unsigned char request[8];
};

static char buffer[SIZE];
static char pattern[SIZE + 256];
static int queue;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void drop(struct connection *c) {
  close(c->fd);
  free(c->pending);
  free(c);
}

static void watch(struct connection *c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(queue, EPOLL_CTL_MOD, c->fd, &event) < 0) die("epoll_ctl");
}

/* Each of these returns -1 when the connection is over. */

static int echo(struct connection *c, uint32_t events) {
  if (events & EPOLLOUT) {
    ssize_t n = write(c->fd, c->pending + c->written, c->length - c->written);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    c->written += (size_t)n;
    if (c->written < c->length) return 0;
    free(c->pending);
    c->pending = NULL;
    watch(c, EPOLLIN);
    return 0;
  }
  if (c->pending != NULL) return -1; /* the peer has closed the connection with replies pending */
  ssize_t n = read(c->fd, buffer, SIZE);
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  if (n == 0) return -1;
  ssize_t m = write(c->fd, buffer, (size_t)n);
  if (m < 0) {
    if (errno != EAGAIN) return -1;
    m = 0;
  }
  if (m == n) return 0;
  c->length = (size_t)(n - m);
  c->written = 0;
  c->pending = malloc(c->length);
  if (c->pending == NULL) die("malloc");
  memcpy(c->pending, buffer + m, c->length);
  watch(c, EPOLLOUT);
  return 0;
}

/* Ends the connection after the first line. A reply of this size always fits, because nothing was written before. */
static int once(struct connection *c, uint32_t events) {
  (void)events;
  ssize_t n = read(c->fd, buffer, SIZE);
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  if (n == 0) return -1;
  if (write(c->fd, buffer, (size_t)n) != n) perror("write");
  return buffer[n - 1] == '\n' ? -1 : 0;
}

static int discard(struct connection *c, uint32_t events) {
  (void)events;
  ssize_t n = read(c->fd, buffer, SIZE);
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  c->count += (uint64_t)n;
  if (n > 0) return 0;
  uint64_t reply = htobe64(c->count);
  /* Eight bytes always fit, because nothing was written before. */
  if (write(c->fd, &reply, sizeof reply) != sizeof reply) perror("write");
  return -1;
}

static int source(struct connection *c, uint32_t events) {
  if (events & EPOLLIN) {
    ssize_t n = read(c->fd, c->request + c->have, sizeof c->request - c->have);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    if (n == 0) return -1;
    c->have += (unsigned char)n;
    if (c->have < sizeof c->request) return 0;
    memcpy(&c->count, c->request, sizeof c->count);
    c->count = be64toh(c->count);
    c->written = 0;
    c->have = 0;
    watch(c, EPOLLOUT);
    return 0;
  }
  while (c->count > 0) {
    size_t length = c->count < SIZE ? (size_t)c->count : SIZE;
    ssize_t n = write(c->fd, pattern + c->written % 256, length);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    c->written += (size_t)n;
    c->count -= (uint64_t)n;
  }
  watch(c, EPOLLIN);
  return 0;
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return;
      die("accept");
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) die("calloc");
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
  }
}

int main(int argc, char **argv) {
  const char *mode = "", *host = "127.0.0.1";
  int port = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--mode") == 0) mode = argv[i + 1];
    if (strcmp(argv[i], "--host") == 0) host = argv[i + 1];
    if (strcmp(argv[i], "--port") == 0) port = atoi(argv[i + 1]);
  }
  int (*handle)(struct connection *, uint32_t) = NULL;
  /* A framed reply equals its request, byte for byte, so an echo serves these modes as well. */
  if (strcmp(mode, "echo") == 0 || strcmp(mode, "lines") == 0 || strcmp(mode, "length-prefixed") == 0) handle = echo;
  if (strcmp(mode, "once") == 0) handle = once;
  if (strcmp(mode, "discard") == 0) handle = discard;
  if (strcmp(mode, "source") == 0) handle = source;
  if (handle == NULL) {
    fprintf(stderr, "Cannot start: there is no mode \"%s\" here\n", mode);
    return 1;
  }
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (char)i;

  signal(SIGPIPE, SIG_IGN);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) die("socket");
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("inet_pton");
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) < 0) die("bind");
  if (listen(listener, 4096) < 0) die("listen");
  if (getsockname(listener, (struct sockaddr *)&address, &size) < 0) die("getsockname");
  printf("listening on %s:%d\n", host, ntohs(address.sin_port));
  fflush(stdout);

  queue = epoll_create1(EPOLL_CLOEXEC);
  if (queue < 0) die("epoll_create1");
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
  struct epoll_event events[EVENTS];
  for (;;) {
    int n = epoll_wait(queue, events, EVENTS, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (c == NULL) accept_all(listener);
      else if (handle(c, events[i].events) < 0) drop(c);
    }
  }
}
