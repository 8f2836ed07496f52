/*
 * conf_tls.c - the SSL_CTX of an upstream, made and checked while the
 * configuration is loaded, so that a wrong file is an error before anything changes.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <string.h>

#include "daemon/base/conf_loader.h"

#define TLS_FILE_MAX ((size_t)16 << 20)

static const char *tls_reason(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(e);

	return reason ? reason : "no reason given";
}

/* Adds what the file holds to the digest; false: told. "" is a file of its own kind. */
static bool digest_file(struct loader *l, struct conf_upstream *u, EVP_MD_CTX *md, const char *key,
	const char *path)
{
	char chunk[4096];
	size_t n, sum = 0;
	FILE *f;

	EVP_DigestUpdate(md, *path ? "+" : "-", 1);
	if (!*path)
		return true;
	f = fopen(path, "re");
	if (!f) {
		loader_complain_key(l, ERROR, u, key, "%s: %s", path, strerror(errno));
		return false;
	}
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0 && sum <= TLS_FILE_MAX) {
		EVP_DigestUpdate(md, chunk, n);
		sum += n;
	}
	if (ferror(f))
		loader_complain_key(l, ERROR, u, key, "%s: %s", path, strerror(errno));
	else if (sum > TLS_FILE_MAX)
		loader_complain_key(l, ERROR, u, key, "%s: larger than 16 MiB", path);
	n = ferror(f) || sum > TLS_FILE_MAX;
	fclose(f);
	EVP_DigestUpdate(md, &sum, sizeof(sum)); /* so that bytes cannot move between files */
	return n == 0;
}

static bool digest_tls(struct loader *l, struct conf_upstream *u)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ca, cert, key;

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(md);
		l->no_memory = true;
		return false;
	}
	ca = digest_file(l, u, md, "tls.ca_file", u->tls.ca_file);
	cert = digest_file(l, u, md, "tls.cert", u->tls.cert);
	key = digest_file(l, u, md, "tls.key", u->tls.key);
	EVP_DigestFinal_ex(md, u->tls_digest, NULL);
	EVP_MD_CTX_free(md);
	return ca && cert && key;
}

/* Reading the system's store takes longer than all the rest: one for all upstreams. */
static bool trust_system(struct loader *l, SSL_CTX *ctx)
{
	if (!l->system_store) {
		if (!SSL_CTX_set_default_verify_paths(ctx))
			return false;
		l->system_store = SSL_CTX_get_cert_store(ctx);
		return X509_STORE_up_ref(l->system_store) == 1;
	}
	SSL_CTX_set1_cert_store(ctx, l->system_store);
	return true;
}

/* An encrypted key would otherwise ask the terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return 0;
}

static bool set_trust(struct loader *l, struct conf_upstream *u, SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (!*u->tls.ca_file ? trust_system(l, ctx) : SSL_CTX_load_verify_file(ctx, u->tls.ca_file))
		return true;
	loader_complain_key(l, ERROR, u, "tls.ca_file", "%s: no certificates in PEM form: %s",
		*u->tls.ca_file ? u->tls.ca_file : "the store of the system", tls_reason());
	return false;
}

static bool set_identity(struct loader *l, struct conf_upstream *u, SSL_CTX *ctx)
{
	if (!*u->tls.cert)
		return true;
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	if (!SSL_CTX_use_certificate_chain_file(ctx, u->tls.cert)) {
		loader_complain_key(l, ERROR, u, "tls.cert",
			"%s: not a certificate in PEM form: %s", u->tls.cert, tls_reason());
		return false;
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, u->tls.key, SSL_FILETYPE_PEM) &&
		SSL_CTX_check_private_key(ctx))
		return true;
	if (ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509)
		loader_complain_key(l, ERROR, u, "tls.key", "%s does not belong to %s: %s",
			u->tls.key, u->tls.cert, tls_reason());
	else
		loader_complain_key(l, ERROR, u, "tls.key",
			"%s: not an unencrypted private key in PEM form: %s", u->tls.key,
			tls_reason());
	return false;
}

/* ---- order of ciphers -------------------------------------------------- */

#define CIPHERS_MAX 256

static bool is_13(const SSL_CIPHER *c)
{
	return strcmp(SSL_CIPHER_get_version(c), "TLSv1.3") == 0;
}

/* The same with the shorter key. */
static bool is_shorter(const SSL_CIPHER *c, const SSL_CIPHER *than)
{
	return SSL_CIPHER_get_cipher_nid(c) == NID_aes_128_gcm &&
	       SSL_CIPHER_get_cipher_nid(than) == NID_aes_256_gcm &&
	       SSL_CIPHER_get_kx_nid(c) == SSL_CIPHER_get_kx_nid(than) &&
	       SSL_CIPHER_get_auth_nid(c) == SSL_CIPHER_get_auth_nid(than) &&
	       is_13(c) == is_13(than);
}

/* Cipher i into its list, unless it is there already. */
static void list_cipher(const STACK_OF(SSL_CIPHER) * all, int i, bool *listed, char *lists[2])
{
	const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
	char *list = lists[is_13(c)];
	size_t n = strlen(list);

	if (!listed[i])
		snprintf(list + n, CIPHERS_MAX * 48 - n, "%s%s", n > 0 ? ":" : "",
			SSL_CIPHER_get_name(c));
	listed[i] = true;
}

/*
 * The ciphers and their order are the system's, but each AES-128-GCM comes in
 * front of its AES-256-GCM, as in browsers: it is as safe in practice, and large
 * responses cost a tenth less of the whole request. The server still decides.
 */
static void prefer_short_keys(SSL_CTX *ctx)
{
	const STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
	int count = sk_SSL_CIPHER_num(all);
	char older[CIPHERS_MAX * 48] = "", newer[CIPHERS_MAX * 48] = "";
	char *lists[2] = {older, newer};
	bool listed[CIPHERS_MAX] = {false};

	if (count < 0 || count > CIPHERS_MAX)
		return;
	for (int i = 0; i < count; i++) {
		for (int k = i + 1; k < count; k++)
			if (is_shorter(sk_SSL_CIPHER_value(all, k), sk_SSL_CIPHER_value(all, i)))
				list_cipher(all, k, listed, lists);
		list_cipher(all, i, listed, lists);
	}
	if (*older)
		SSL_CTX_set_cipher_list(ctx, older);
	if (*newer)
		SSL_CTX_set_ciphersuites(ctx, newer);
}

static void set_options(const struct conf_upstream *u, SSL_CTX *ctx)
{
	bool only_13 = strcmp(u->tls.min_version, "1.3") == 0;

	SSL_CTX_set_min_proto_version(ctx, only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION);
	/* A flush may be cut, and its bytes may have moved to another slab when it goes on. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	prefer_short_keys(ctx);
}

void conf_tls_make(struct loader *l, struct conf_upstream *u)
{
	SSL_CTX *ctx;

	if (!digest_tls(l, u))
		return;
	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx) {
		l->no_memory = true;
		return;
	}
	set_options(u, ctx);
	if (set_trust(l, u, ctx) && set_identity(l, u, ctx))
		u->ssl = ctx;
	else
		SSL_CTX_free(ctx);
	ERR_clear_error();
}
