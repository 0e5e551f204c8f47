/* SPDX-License-Identifier: MIT */
/* HTTP/1 on a Unix socket. */
#include "tproxy/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tproxy/log.h"

#define RETRY_MS  100 /* until accepting is tried again where it failed */
#define LISTENER  ADMIN_CLIENTS /* its number among the events */

struct client {
	int fd;                       /* -1: free */
	int64_t deadline_ms;
	size_t received;
	llhttp_t parser;
	struct admin_request request;
	size_t path_len;
	bool path_long, body, complete;
	bool head;                    /* HEAD: no body goes back */
	struct page out;              /* the response, once there is one */
	size_t sent;
};

struct admin {
	struct admin_config config;
	int epfd, listener;
	bool listening;               /* false while every client slot is taken */
	int spare_fd;                 /* for a client when there is no other descriptor */
	int64_t retry_ms;             /* nobody is accepted before; 0: now */
	llhttp_settings_t settings;
	struct client clients[ADMIN_CLIENTS];
};

/* ---- opening ---- */

static int socket_address(struct sockaddr_un *at, const char *path)
{
	size_t len = strlen(path);

	memset(at, 0, sizeof(*at));
	at->sun_family = AF_UNIX;
	if (len >= sizeof(at->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(at->sun_path, path, len);
	return 0;
}

/* Removes a socket that nobody listens on any more. */
static int clear_way(const struct sockaddr_un *at)
{
	struct stat st;

	if (lstat(at->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	int r = connect(fd, (const struct sockaddr *)at, sizeof(*at)), e = errno;
	close(fd);
	if (r < 0 && e == ECONNREFUSED)
		return unlink(at->sun_path);
	errno = r == 0 || e == EAGAIN ? EADDRINUSE : e;
	return -1;
}

static int bind_private(int fd, const struct sockaddr_un *at)
{
	mode_t old = umask(0177);
	int r = bind(fd, (const struct sockaddr *)at, sizeof(*at));
	int e = errno;

	umask(old);
	errno = e;
	return r;
}

static int watch(struct admin *a, int op, int fd, uint32_t events, unsigned number)
{
	struct epoll_event e = { .events = events, .data.u32 = number };
	return epoll_ctl(a->epfd, op, fd, &e);
}

static void keep_spare(struct admin *a)
{
	if (a->spare_fd < 0)
		a->spare_fd = fcntl(a->epfd, F_DUPFD_CLOEXEC, 0);
}

static int open_socket(struct admin *a, const char **step)
{
	const struct admin_config *c = &a->config;
	struct sockaddr_un at;

	*step = "socket";
	a->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->listener < 0 || socket_address(&at, c->path) < 0)
		return -1;
	*step = "bind";
	if (clear_way(&at) < 0 || bind_private(a->listener, &at) < 0)
		return -1;
	*step = "chown";
	if (geteuid() != c->uid && chown(c->path, c->uid, c->gid) < 0)
		return -1;
	*step = "listen";
	if (listen(a->listener, ADMIN_CLIENTS) < 0)
		return -1;
	*step = "epoll";
	a->epfd = epoll_create1(EPOLL_CLOEXEC);
	return a->epfd < 0 ? -1 : watch(a, EPOLL_CTL_ADD, a->listener, EPOLLIN, LISTENER);
}

/* ---- requests ---- */

static int on_url(llhttp_t *p, const char *at, size_t len)
{
	struct client *c = p->data;

	if (len >= sizeof(c->request.path) - c->path_len) {
		c->path_long = true;
		return 0;
	}
	memcpy(c->request.path + c->path_len, at, len);
	c->path_len += len;
	return 0;
}

static int on_headers_complete(llhttp_t *p)
{
	struct client *c = p->data;

	c->complete = true;
	c->body = p->content_length != 0 || p->flags & F_TRANSFER_ENCODING;
	return HPE_PAUSED;
}

static void free_client(struct admin *a, struct client *c)
{
	close(c->fd);
	c->fd = -1;
	page_fini(&c->out);
	if (!a->listening && watch(a, EPOLL_CTL_MOD, a->listener, EPOLLIN, LISTENER) == 0)
		a->listening = true;
}

static const char *reason_phrase(int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 414: return "URI Too Long";
	case 422: return "Unprocessable Content";
	case 431: return "Request Header Fields Too Large";
	case 503: return "Service Unavailable";
	default:  return "Internal Server Error";
	}
}

/* Takes what fits. Then the client is done with. */
static void send_out(struct admin *a, struct client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.s + c->sent, c->out.len - c->sent,
		                 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
			unsigned number = (unsigned)(c - a->clients);
			if (watch(a, EPOLL_CTL_MOD, c->fd, EPOLLOUT, number) == 0)
				return;
			break;
		}
		if (n < 0)
			break;
		c->sent += (size_t)n;
	}
	free_client(a, c);
}

static void respond(struct admin *a, struct client *c, struct admin_answer *answer)
{
	if (answer->body.failed)
		answer->status = 500;
	size_t len = answer->body.failed ? 0 : answer->body.len;
	page_format(&c->out, "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n",
	            answer->status, reason_phrase(answer->status), answer->type, len);
	page_text(&c->out, "cache-control: no-store\r\nserver: sluice\r\n");
	if (answer->allow)
		page_format(&c->out, "allow: %s\r\n", answer->allow);
	page_text(&c->out, "connection: close\r\n\r\n");
	if (!c->head && !answer->body.failed)
		page_bytes(&c->out, answer->body.s, answer->body.len);
	page_fini(&answer->body);
	if (c->out.failed)
		free_client(a, c);
	else
		send_out(a, c);
}

static void refuse(struct admin *a, struct client *c, int status)
{
	struct admin_answer answer = { .status = status, .type = "text/plain; charset=utf-8" };

	page_init(&answer.body);
	page_format(&answer.body, "%s\n", reason_phrase(status));
	respond(a, c, &answer);
}

static void answer_request(struct admin *a, struct client *c)
{
	struct admin_answer answer = { .status = 200, .type = "text/plain; charset=utf-8" };
	uint8_t method = llhttp_get_method(&c->parser);

	c->head = method == HTTP_HEAD;
	c->request.post = method == HTTP_POST;
	c->request.path[c->path_len] = '\0';
	c->request.path[strcspn(c->request.path, "?#")] = '\0';
	if (c->path_long) {
		refuse(a, c, 414);
	} else if (c->body) {
		refuse(a, c, 400);
	} else if (method != HTTP_GET && method != HTTP_HEAD && method != HTTP_POST) {
		answer.allow = "GET, HEAD, POST";
		answer.status = 405;
		page_init(&answer.body);
		respond(a, c, &answer);
	} else {
		page_init(&answer.body);
		a->config.answer(a->config.ctx, &c->request, &answer);
		respond(a, c, &answer);
	}
}

static void read_request(struct admin *a, struct client *c)
{
	char in[ADMIN_REQUEST_MAX];
	ssize_t n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		free_client(a, c);
		return;
	}
	llhttp_errno_t e = llhttp_execute(&c->parser, in, (size_t)n);
	c->received += (size_t)n;
	if (c->complete)
		answer_request(a, c);
	else if (e != HPE_OK)
		refuse(a, c, 400);
	else if (c->received >= ADMIN_REQUEST_MAX)
		refuse(a, c, 431);
}

/* ---- clients ---- */

static struct client *free_slot(struct admin *a)
{
	for (unsigned i = 0; i < ADMIN_CLIENTS; i++)
		if (a->clients[i].fd < 0)
			return &a->clients[i];
	return NULL;
}

static bool may_enter(const struct admin *a, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	static struct log_limit limit;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || len != sizeof(peer))
		return false;
	if (peer.uid == 0 || peer.uid == a->config.uid)
		return true;
	log_limited(&limit, "admin: refused: user %u, process %d", (unsigned)peer.uid,
	            (int)peer.pid);
	return false;
}

static void accept_client(struct admin *a, int64_t now_ms)
{
	struct client *c = free_slot(a);

	if (!c) {
		/* The next one waits in the kernel until a slot is free. */
		if (watch(a, EPOLL_CTL_MOD, a->listener, 0, LISTENER) == 0)
			a->listening = false;
		return;
	}
	int fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && a->spare_fd >= 0) {
		close(a->spare_fd);
		a->spare_fd = -1;
		fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	if (fd < 0) {
		/* The listener stays ready: it is left alone for a while. */
		if (errno != EAGAIN && watch(a, EPOLL_CTL_MOD, a->listener, 0, LISTENER) == 0)
			a->retry_ms = now_ms + RETRY_MS;
		return;
	}
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->deadline_ms = now_ms + ADMIN_DEADLINE_MS;
	llhttp_init(&c->parser, HTTP_REQUEST, &a->settings);
	c->parser.data = c;
	page_init(&c->out);
	if (watch(a, EPOLL_CTL_ADD, fd, EPOLLIN, (unsigned)(c - a->clients)) < 0)
		free_client(a, c);
	else if (!may_enter(a, fd))
		refuse(a, c, 403);
}

/* ---- the interface ---- */

struct admin *admin_open(const struct admin_config *c, const char **step)
{
	struct admin *a = calloc(1, sizeof(*a));

	*step = "memory";
	if (!a)
		return NULL;
	a->config = *c;
	a->epfd = a->listener = a->spare_fd = -1;
	a->listening = true;
	for (unsigned i = 0; i < ADMIN_CLIENTS; i++)
		a->clients[i].fd = -1;
	llhttp_settings_init(&a->settings);
	a->settings.on_url = on_url;
	a->settings.on_headers_complete = on_headers_complete;
	if (open_socket(a, step) == 0) {
		a->config.path = NULL; /* the caller's */
		keep_spare(a);
		return a;
	}
	int e = errno;
	admin_close(a);
	errno = e;
	return NULL;
}

void admin_close(struct admin *a)
{
	if (!a)
		return;
	for (unsigned i = 0; i < ADMIN_CLIENTS; i++)
		if (a->clients[i].fd >= 0)
			free_client(a, &a->clients[i]);
	if (a->listener >= 0)
		close(a->listener);
	if (a->epfd >= 0)
		close(a->epfd);
	if (a->spare_fd >= 0)
		close(a->spare_fd);
	free(a);
}

int admin_fd(const struct admin *a)
{
	return a->epfd;
}

int admin_timeout(const struct admin *a, int64_t now_ms)
{
	int64_t least = INT64_MAX;

	for (unsigned i = 0; i < ADMIN_CLIENTS; i++)
		if (a->clients[i].fd >= 0 && a->clients[i].deadline_ms < least)
			least = a->clients[i].deadline_ms;
	if (a->retry_ms && a->retry_ms < least)
		least = a->retry_ms;
	if (least == INT64_MAX)
		return -1;
	return least > now_ms ? (int)(least - now_ms) : 0;
}

void admin_run(struct admin *a, int64_t now_ms)
{
	struct epoll_event events[ADMIN_CLIENTS + 1];
	int n = epoll_wait(a->epfd, events, ADMIN_CLIENTS + 1, 0);

	for (int i = 0; i < n; i++) {
		unsigned number = events[i].data.u32;
		if (number == LISTENER) {
			accept_client(a, now_ms);
			continue;
		}
		struct client *c = &a->clients[number];
		if (c->fd < 0)
			continue;
		if (c->out.len)
			send_out(a, c);
		else
			read_request(a, c);
	}
	for (unsigned i = 0; i < ADMIN_CLIENTS; i++)
		if (a->clients[i].fd >= 0 && a->clients[i].deadline_ms <= now_ms)
			free_client(a, &a->clients[i]);
	keep_spare(a);
	if (a->retry_ms && a->retry_ms <= now_ms) {
		a->retry_ms = 0;
		if (a->listening)
			(void)watch(a, EPOLL_CTL_MOD, a->listener, EPOLLIN, LISTENER);
	}
}
