// The physical limit that a gateway is held against: one thread, one epoll set
// and nothing but the sends. It speaks just enough of the device protocol
// (HELLO, SUBSCRIBE, PUBLISH) for the same load generator to drive it. It looks
// no topic up: the decimal number at the end of a name is the topic, 0 without one.
//
//   floor single|joined [sndbuf=BYTES] [usertimeout=MILLISECONDS] [keepalive=SECONDS] [port=PORT]
//
// single  one send() per subscriber and message
// joined  the messages of one read leave in one send() per subscriber, those of
//         each topic apart
//
// It prints "listening 127.0.0.1:PORT". A subscriber that is behind is waited
// for, and whatever it does not expect ends it with a line on stderr: a floor
// that loses messages would be a wrong measure.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ = 256 << 10,  // bytes taken in one read
	FIRST = 5,         // the id of topic 0
	TOPICS = 16384,    // at most
	PUBLISH_ONLY = 64, // bit of SUBSCRIBE's options
};

static int joined;
static int sndbuf;       // SO_SNDBUF of accepted sockets, 0: as the system does
static int user_timeout; // TCP_USER_TIMEOUT of accepted sockets in ms, 0: unset
static int keepalive;    // TCP_KEEPIDLE of accepted sockets in s, 0: no keepalive

// What is known of a connection: the start of a frame that is not complete yet,
// its topic, and its place in that topic's list plus one (0: not in it).
struct conn {
	uint8_t *rest;
	size_t rest_len;
	int place, topic;
};
// A topic's subscribers: descriptors, dense.
struct topic {
	int *fds, count, room;
	uint8_t *out; // MESSAGE frames of this read
	size_t out_len, out_room;
	int dirty; // it is in the list of those that have some
};
static struct conn *conns; // by descriptor
static struct topic topics[TOPICS];
static int dirty[TOPICS], dirty_count;
static uint8_t in[READ * 2]; // rest of the last read, then this one

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
	exit(1);
}

// Takes a varint of at most 4 bytes; 0 when more bytes are needed.
static size_t varint(const uint8_t *p, const uint8_t *end, uint32_t *v)
{
	*v = 0;
	for (int i = 0; i < 4 && p + i < end; i++) {
		*v |= (uint32_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] < 0x80)
			return i + 1;
	}
	if (end - p >= 4) {
		errno = 0;
		die("a number of more than 4 bytes");
	}
	return 0;
}

static size_t put_varint(uint8_t *p, uint32_t v)
{
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		p[n++] = v | 0x80;
	p[n++] = v;
	return n;
}

static void send_all(int fd, const uint8_t *b, size_t n)
{
	for (;;) {
		ssize_t k = send(fd, b, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (k == (ssize_t)n)
			return;
		if (k < 0 && (errno == EPIPE || errno == ECONNRESET)) // whoever left is noticed by the next read
			return;
		if (k < 0 && errno != EAGAIN)
			die("send");
		if (k > 0) {
			b += k;
			n -= k;
		}
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		poll(&p, 1, -1);
	}
}

static void broadcast(const struct topic *t, const uint8_t *b, size_t n)
{
	for (int i = 0; i < t->count; i++)
		send_all(t->fds[i], b, n);
}

static void publish(int topic, const uint8_t *payload, size_t n)
{
	struct topic *t = &topics[topic];
	if (t->out_len + n + 16 > t->out_room) {
		t->out_room = 2 * (t->out_room + n) + 4096;
		t->out = realloc(t->out, t->out_room);
		if (!t->out)
			die("memory");
	}
	uint8_t id[4], *start = t->out + t->out_len, *p = start;
	size_t id_len = put_varint(id, FIRST + topic);
	*p++ = 0x50;
	p += put_varint(p, n + id_len);
	memcpy(p, id, id_len);
	p += id_len;
	memcpy(p, payload, n);
	p += n;
	if (!joined) {
		broadcast(t, start, p - start);
		return;
	}
	t->out_len = p - t->out;
	if (!t->dirty) {
		t->dirty = 1;
		dirty[dirty_count++] = topic;
	}
}

// The topic of a name: the number at its end.
static int topic_of(const uint8_t *name, size_t len)
{
	int n = 0, unit = 1;
	for (; len && name[len - 1] >= '0' && name[len - 1] <= '9' && unit < TOPICS * 10; len--, unit *= 10)
		n += (name[len - 1] - '0') * unit;
	if (n >= TOPICS) {
		errno = 0;
		die("a topic's number that is too high");
	}
	return n;
}

static void subscribe(int fd, const uint8_t *body, size_t len)
{
	uint32_t sub, name;
	size_t k = varint(body, body + len, &sub), m = 0;
	if (k && k < len)
		m = varint(body + k + 1, body + len, &name);
	if (!m || k + 1 + m + name > len) {
		errno = 0;
		die("SUBSCRIBE");
	}
	int topic = topic_of(body + k + 1 + m, name);
	struct topic *t = &topics[topic];
	if (!(body[k] & PUBLISH_ONLY) && !conns[fd].place) {
		if (t->count == t->room) {
			t->room = 2 * t->room + 16;
			t->fds = realloc(t->fds, t->room * sizeof *t->fds);
			if (!t->fds)
				die("memory");
		}
		t->fds[t->count++] = fd;
		conns[fd].place = t->count;
		conns[fd].topic = topic;
	}
	uint8_t answer[16] = {0x05};
	size_t n = 2 + put_varint(answer + 2, sub);
	answer[n++] = 0;
	n += put_varint(answer + n, FIRST + topic);
	answer[1] = n - 2;
	send_all(fd, answer, n);
}

static void frame(int fd, uint8_t type, const uint8_t *body, size_t len)
{
	static const uint8_t welcome[] = {0x02, 0x15, 1, 20, 0, 0x90, 0x1c, // version, 1 MiB, flags, 3,600 s
		0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 0,                   // credit 2^40 B, one subscription, no table
		0, 0, 0, 0, 0, 0, 0, 1};                                    // life
	switch (type) {
	case 0x01:
		send_all(fd, welcome, sizeof welcome);
		return;
	case 0x04:
		subscribe(fd, body, len);
		return;
	case 0x15: // CLOSE: the end of the stream follows
		return;
	}
	uint32_t v; // the topic's id, or the length of its name
	size_t k = varint(body, body + len, &v);
	if (type == 0x41 && k && k + v <= len) {
		publish(topic_of(body + k, v), body + k + v, len - k - v);
		return;
	}
	if (type != 0x40 || !k || v < FIRST || v >= FIRST + TOPICS) {
		errno = 0;
		die("a frame that it does not know");
	}
	publish(v - FIRST, body + k, len - k);
}

static void forget(int fd)
{
	struct conn *c = &conns[fd];
	if (c->place) {
		struct topic *t = &topics[c->topic];
		int last = t->fds[--t->count];
		t->fds[c->place - 1] = last;
		conns[last].place = c->place;
	}
	free(c->rest);
	memset(c, 0, sizeof *c);
	close(fd);
}

static void readable(int fd)
{
	struct conn *c = &conns[fd];
	size_t have = c->rest_len;
	if (have)
		memcpy(in, c->rest, have);
	ssize_t k = recv(fd, in + have, READ, MSG_DONTWAIT);
	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (k <= 0) {
		forget(fd);
		return;
	}
	const uint8_t *p = in, *end = in + have + k;
	uint32_t len;
	for (size_t n; end - p >= 2 && (n = varint(p + 1, end, &len)) && (size_t)(end - p) >= 1 + n + len; p += 1 + n + len)
		frame(fd, p[0], p + 1 + n, len);
	for (; dirty_count; dirty_count--) {
		struct topic *t = &topics[dirty[dirty_count - 1]];
		broadcast(t, t->out, t->out_len);
		t->out_len = t->dirty = 0;
	}

	c->rest_len = end - p;
	if (c->rest_len > READ) {
		errno = 0;
		die("a frame that is too large");
	}
	if (c->rest_len) {
		c->rest = realloc(c->rest, c->rest_len);
		if (!c->rest)
			die("memory");
		memcpy(c->rest, p, c->rest_len);
	} else if (c->rest) {
		free(c->rest);
		c->rest = NULL;
	}
}

static void accept_all(int listener, int ep, int limit)
{
	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
		int one = 1;
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
		if (fd >= limit) {
			errno = EMFILE;
			die("too many connections");
		}
		if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
		    (sndbuf && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf)) ||
		    (keepalive && (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) ||
		                   setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive, sizeof keepalive))) ||
		    (user_timeout && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout)) ||
		    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
			die("a new connection");
	}
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		die("accept");
}

int main(int argc, char **argv)
{
	if (argc < 2 || (strcmp(argv[1], "single") && strcmp(argv[1], "joined")))
		return fprintf(stderr, "usage: floor single|joined [sndbuf=BYTES] [usertimeout=MILLISECONDS] [keepalive=SECONDS] [port=PORT]\n"), 2;
	joined = !strcmp(argv[1], "joined");
	int port = 0;
	for (int i = 2; i < argc; i++)
		if (!sscanf(argv[i], "sndbuf=%d", &sndbuf) && !sscanf(argv[i], "usertimeout=%d", &user_timeout) &&
		    !sscanf(argv[i], "keepalive=%d", &keepalive) && !sscanf(argv[i], "port=%d", &port))
			return fprintf(stderr, "floor: %s is not an option\n", argv[i]), 2;

	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files))
		die("descriptor limit");
	if (files.rlim_max > 1 << 20)
		files.rlim_max = 1 << 20;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files))
		die("descriptor limit");
	int limit = files.rlim_cur;
	conns = calloc(limit, sizeof *conns);

	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int reuse = 1;
	socklen_t len = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener}, events[512];
	if (!conns || listener < 0 || ep < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse) ||
	    bind(listener, (struct sockaddr *)&at, sizeof at) ||
	    listen(listener, 4096) || getsockname(listener, (struct sockaddr *)&at, &len) ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev))
		die("start");
	printf("listening 127.0.0.1:%d\n", ntohs(at.sin_port));
	fflush(stdout);

	for (;;) {
		int n = epoll_wait(ep, events, 512, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener, ep, limit);
			else
				readable(events[i].data.fd);
		}
	}
}
