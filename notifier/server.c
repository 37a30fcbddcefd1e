/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * server.c
 *	  See server.h and peer.h: sockets, TLS, writing. The one file that knows libwebsockets.
 *
 * libwebsockets is used for what it does well: TLS and sockets on the loop that everything else runs on,
 * with what a socket does not take kept until it does (role raw-skt). Its own WebSocket and HTTP roles
 * are not used, since version 4.1 refuses a list of subprotocols above 126 bytes (a token does not fit),
 * puts its pongs between the pieces of a frame that is written in pieces, takes frames that are not
 * masked, and reads bodies with Transfer-Encoding as further requests: websocket.c and http.c read both.
 */
#include "server.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"
#include "peer.h"
#include "stats.h"

struct transport_context
{
	struct lws_context *lws;
	struct lws_vhost *vhost;	/* new connections go here: the newest one with certificates */
	struct peer *adopting;		/* until libwebsockets gave it back or took it */
	unsigned	vhosts;			/* made so far: for their names */
	int64_t		stamp;			/* of the files with the certificate and its key */
};

/* libwebsockets and OpenSSL set themselves up in their first context: one thread at a time. */
static pthread_mutex_t setup_lock = PTHREAD_MUTEX_INITIALIZER;

static int	on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

static const struct lws_protocols protocols[] = {
	{.name = "realtime", .callback = on_event, .rx_buffer_size = 512, .tx_packet_size = PEER_WRITE_MAX},
	{.name = NULL}
};

/* libwebsockets' log lines are about its own state; none holds what peers send. */
static void
emit(int level, const char *line)
{
	size_t		len = strcspn(line, "\n");
	char		text[256];

	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	memcpy(text, line, len);
	text[len] = 0;
	log_write((level & LLL_ERR) != 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "libwebsockets",
			  "text=%s", text);
}

bool
peer_write(struct peer *peer, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	if (peer->is_cut)
		return false;
	stats_add(STAT_BYTES_OUT, (int64_t) len);
	/* A plain socket takes nearly every write whole; libwebsockets keeps what it does not. */
	if (!peer->is_blocked && peer->plain_fd >= 0)
	{
		ssize_t		sent = send(peer->plain_fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent == (ssize_t) len)
			return true;
		if (sent > 0)
		{
			at += sent;
			len -= (size_t) sent;
		}
	}
	while (len > 0)
	{
		size_t		n = len < PEER_WRITE_MAX ? len : PEER_WRITE_MAX;

		/* lws_write() only reads: raw-skt puts nothing before the bytes */
		if (lws_write(peer->wsi, (unsigned char *) (uintptr_t) at, n, LWS_WRITE_RAW) < 0)
		{
			peer_cut(peer);
			return false;
		}
		at += n;
		len -= n;
	}
	if (!peer->is_blocked && lws_partial_buffered(peer->wsi))
	{
		peer->is_blocked = true;
		lws_rx_flow_control(peer->wsi, 0);
	}
	return true;
}

/* Shuts our side once all output is gone, so that the peer reads it to its end. */
void
peer_shut(struct peer *peer)
{
	if (peer->is_blocked || peer->is_shut)
		return;
	peer->is_shut = true;
	/* TLS has an end of its own, which closing writes */
	if (lws_is_ssl(peer->wsi))
		peer_wait(peer, 1000);
	else
		shutdown(lws_get_socket_fd(peer->wsi), SHUT_WR);
}

void
peer_accept_key(struct slice key, char out[32])
{
	unsigned char text[128];
	unsigned char hash[20];
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

	memcpy(text, key.at, key.len);
	memcpy(text + key.len, guid, sizeof(guid) - 1);
	lws_SHA1(text, key.len + sizeof(guid) - 1, hash);
	out[0] = 0;
	if (lws_b64_encode_string((const char *) hash, sizeof(hash), out, 32) < 0)
		out[0] = 0;
}

void
peer_kill(struct peer *peer)
{
	lws_set_timeout(peer->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
}

/* The socket takes bytes again. */
static void
writable(struct peer *peer)
{
	if (lws_partial_buffered(peer->wsi))
		return;
	if (peer->is_blocked)
	{
		peer->is_blocked = false;
		lws_rx_flow_control(peer->wsi, 1);
	}
	peer_writable(peer);
}

/* All that libwebsockets has to tell. */
static int
on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct peer *peer = lws_get_opaque_user_data(wsi);

	(void) user;
	if (reason != LWS_CALLBACK_RAW_ADOPT && reason != LWS_CALLBACK_RAW_RX &&
		reason != LWS_CALLBACK_RAW_WRITEABLE && reason != LWS_CALLBACK_RAW_CLOSE)
		return 0;
	if (peer == NULL)
		return 0;
	switch (reason)
	{
		case LWS_CALLBACK_RAW_ADOPT:
			peer->wsi = wsi;
			break;
		case LWS_CALLBACK_RAW_RX:
			if (peer->wsi == NULL)
				peer->wsi = wsi;
			lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);	/* of TLS; deadlines are ours */
			if (!lws_is_ssl(wsi))
				peer->plain_fd = lws_get_socket_fd(wsi);
			peer_received(peer, in, len);
			break;
		case LWS_CALLBACK_RAW_WRITEABLE:
			writable(peer);
			break;
		case LWS_CALLBACK_RAW_CLOSE:
			if (peer->server->transport->adopting == peer)
				peer->server->transport->adopting = NULL;
			lws_set_opaque_user_data(wsi, NULL);
			peer_free(peer);
			return 0;
		default:
			break;
	}
	/* Thousands of sockets may have something in one turn: batches of the stream do not wait for all of them. */
	if (reason != LWS_CALLBACK_RAW_ADOPT)
		loop_run_urgent(peer->server->loop);
	return peer->is_cut ? -1 : 0;
}

/* Changes when one of the two files does. */
static int64_t
file_stamp(const struct options *options)
{
	struct stat status;
	int64_t		stamp = 0;

	if (stat(options->tls_certificate, &status) == 0)
		stamp += status.st_mtim.tv_sec * INT64_C(1000000000) + status.st_mtim.tv_nsec;
	if (stat(options->tls_key, &status) == 0)
		stamp ^= status.st_mtim.tv_sec * INT64_C(2000000000) + status.st_mtim.tv_nsec;
	return stamp;
}

/* A set of connections with one TLS configuration; NULL: said in the log. */
static struct lws_vhost *
vhost_new(struct server *server)
{
	struct transport_context *transport = server->transport;
	const struct options *options = server->options;
	struct lws_context_creation_info info;
	struct lws_vhost *vhost;
	char		name[32];

	memset(&info, 0, sizeof(info));
	snprintf(name, sizeof(name), "realtime-%u", transport->vhosts++);
	info.vhost_name = name;
	info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info.protocols = protocols;
	info.alpn = "http/1.1";
	if (options->tls_certificate != NULL)
	{
		/* a file that cannot be read makes libwebsockets serve without TLS */
		if (access(options->tls_certificate, R_OK) != 0 || access(options->tls_key, R_OK) != 0)
		{
			log_write(LOG_LEVEL_ERROR, "tls_unreadable", "certificate=%s key=%s",
					  options->tls_certificate, options->tls_key);
			return NULL;
		}
		/* the second one: no context for a TLS client, with all certificates of the system */
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG;
		info.listen_accept_role = "raw-skt";
		info.listen_accept_protocol = protocols[0].name;
		transport->stamp = file_stamp(options);
		info.ssl_cert_filepath = options->tls_certificate;
		info.ssl_private_key_filepath = options->tls_key;
		info.ssl_options_set = SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
	}
	vhost = lws_create_vhost(transport->lws, &info);
	if (vhost == NULL)
		log_write(LOG_LEVEL_ERROR, "tls_failed", "certificate=%s key=%s", options->tls_certificate,
				  options->tls_key);
	return vhost;
}

/* libwebsockets on the loop. */
static struct lws_context *
context_new(struct server *server)
{
	struct lws_context_creation_info info;
	void	   *loops[1] = {loop_native(server->loop)};

	memset(&info, 0, sizeof(info));
	lws_set_log_level(LLL_ERR | LLL_WARN, emit);
	info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
		LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN | LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME;
	if (server->options->tls_certificate != NULL)
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	info.foreign_loops = loops;
	info.pt_serv_buf_size = 16 * 1024;	/* what one read takes; one for all connections */
	info.timeout_secs = server->options->handshake_timeout_s;
	return lws_create_context(&info);
}

struct server *
server_new(struct loop *loop, struct worker *worker, const struct options *options)
{
	struct server *server = memory_alloc_zeroed(sizeof(*server));

	server->loop = loop;
	server->worker = worker;
	server->options = options;
	server->scratch = memory_alloc(PEER_WRITE_MAX);
	server->transport = memory_alloc_zeroed(sizeof(*server->transport));
	peers_init(server);
	if (options->static_dir != NULL && access(options->static_dir, R_OK | X_OK) != 0)
	{
		log_write(LOG_LEVEL_ERROR, "static_unreadable", "directory=%s", options->static_dir);
		server_free(server);
		return NULL;
	}
	pthread_mutex_lock(&setup_lock);
	server->transport->lws = context_new(server);
	if (server->transport->lws == NULL)
		log_write(LOG_LEVEL_ERROR, "server_failed", "reason=%s", "libwebsockets does not start");
	else
		server->transport->vhost = vhost_new(server);
	pthread_mutex_unlock(&setup_lock);
	if (server->transport->vhost == NULL)
	{
		server_free(server);
		return NULL;
	}
	return server;
}

void
server_on_gone(struct server *server, server_gone_fn fn, void *arg)
{
	server->gone = fn;
	server->gone_arg = arg;
}

void
server_set_inspector(struct server *server, const struct server_inspector *inspector)
{
	server->inspector = inspector;
}

void
server_adopt(struct server *server, int fd, const char *address, bool is_local)
{
	struct peer *peer = peer_new(server, address, is_local);
	lws_adopt_desc_t adopt;

	memset(&adopt, 0, sizeof(adopt));
	adopt.vh = server->transport->vhost;
	adopt.type = LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL;
	adopt.fd.sockfd = fd;
	adopt.opaque = peer;
	server->transport->adopting = peer;
	if (lws_adopt_descriptor_vhost_via_info(&adopt) == NULL && server->transport->adopting == peer)
		peer_free(peer);
	server->transport->adopting = NULL;
}

void
server_reload(struct server *server, const struct options *options)
{
	const struct options *old = server->options;
	struct lws_vhost *vhost;

	server->options = options;
	if (options->tls_certificate == NULL || old->tls_certificate == NULL)
		return;					/* from TLS to none or back takes a restart */
	if (file_stamp(options) == server->transport->stamp &&
		strcmp(options->tls_certificate, old->tls_certificate) == 0 &&
		strcmp(options->tls_key, old->tls_key) == 0)
		return;
	pthread_mutex_lock(&setup_lock);
	vhost = vhost_new(server);
	pthread_mutex_unlock(&setup_lock);
	if (vhost != NULL)
		server->transport->vhost = vhost;	/* the old one serves the connections it has */
}

void
server_free(struct server *server)
{
	if (server == NULL)
		return;
	server->is_ending = true;
	server->is_draining = false;
	while (server->peers != NULL)
		peer_kill(server->peers);
	if (server->transport->lws != NULL)
	{
		pthread_mutex_lock(&setup_lock);
		lws_context_destroy(server->transport->lws);
		loop_turn(server->loop);	/* its handles close in the loop's turns */
		lws_context_destroy(server->transport->lws);
		pthread_mutex_unlock(&setup_lock);
	}
	peers_release(server);
	memory_free(server->transport);
	memory_free(server->scratch);
	memory_free(server);
}

