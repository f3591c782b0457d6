/* A minimal edgesync node in C: activates, reports, fetches what it lacks, and lets go.
 *
 * It runs nothing: where "apply" stands a device would start and stop what the app describes.
 *   cc -O2 -Wall -Wextra -o node node.c -lmosquitto -lcurl -lcjson -lcrypto
 * docs/device-authors.md describes how to check it, docs/protocol.md what it has to do. */
#define _GNU_SOURCE
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <mosquitto.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define APPS 64             /* held at most; more are not taken over */
#define NAME 128            /* bytes of a name or version, with its end */
#define ANSWER (1024 * 1024) /* bytes of an answer to an activation */
#define COMMANDS 64         /* ids of commands that are remembered */

typedef struct {
    char name[NAME], version[NAME];
} App;

typedef struct { /* a request for bodies that has no answer yet */
    char id[17];
    App app;
    cJSON *infos;
} Request;

static char node_id[NAME], run_id[17], folder[1024];
static App held[APPS];
static Request requests[APPS];
static int held_count, next_request, next_command, is_connected;
static char commands[COMMANDS][NAME];
static cJSON *properties;
static long long sequence, answered = -1;
static double interval = 20, due = -1, pause_seconds = 5;
static struct mosquitto *client;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double between(double low, double high) {
    unsigned int number = 0;
    RAND_bytes((unsigned char *)&number, sizeof number);
    return low + (high - low) * ((double)number / 4294967296.0);
}

static void new_id(char *id) {
    unsigned char bytes[8];
    RAND_bytes(bytes, sizeof bytes);
    for (int at = 0; at < 8; at++) snprintf(id + 2 * at, 3, "%02x", bytes[at]);
}

static const char *setting(const char *name, const char *usual) {
    const char *value = getenv(name);
    if (value == NULL && usual == NULL) {
        fprintf(stderr, "%s is not set\n", name);
        exit(2);
    }
    return value ? value : usual;
}

static const char *text_of(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

static void copy(char *target, const char *text) { snprintf(target, NAME, "%s", text); }

static void path_of(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s", folder, name);
}

/* Files: written whole or not at all, for their owner alone. */

static void write_file(const char *name, const char *content, size_t size) {
    char path[1100], partial[1110];
    path_of(path, sizeof path, name);
    snprintf(partial, sizeof partial, "%s.new", path);
    int file = open(partial, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, content, size) != (ssize_t)size || fsync(file) != 0 ||
        close(file) != 0 || rename(partial, path) != 0) {
        perror(path);
        exit(1);
    }
}

/* The node's key; made and kept before it is used. */
static EVP_PKEY *own_key(void) {
    char path[1100];
    path_of(path, sizeof path, "node.key");
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        fclose(file);
        if (key != NULL) return key;
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *memory = BIO_new(BIO_s_mem());
    char *pem = NULL;
    PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL);
    long size = BIO_get_mem_data(memory, &pem);
    write_file("node.key", pem, (size_t)size);
    BIO_free(memory);
    return key;
}

static char *signing_request(EVP_PKEY *key) {
    X509_REQ *request = X509_REQ_new();
    X509_REQ_set_version(request, 0);
    X509_REQ_set_pubkey(request, key);
    X509_REQ_sign(request, key, EVP_sha256());
    BIO *memory = BIO_new(BIO_s_mem());
    char *pem = NULL;
    PEM_write_bio_X509_REQ(memory, request);
    long size = BIO_get_mem_data(memory, &pem);
    char *text = strndup(pem, (size_t)size);
    BIO_free(memory);
    X509_REQ_free(request);
    return text;
}

/* Activation */

typedef struct {
    char *text;
    size_t size;
} Buffer;

static size_t gather(char *part, size_t one, size_t count, void *into) {
    Buffer *buffer = into;
    size_t size = one * count;
    if (buffer->size + size >= ANSWER) return 0;
    memcpy(buffer->text + buffer->size, part, size);
    buffer->size += size;
    buffer->text[buffer->size] = 0;
    return size;
}

/* Ask for a certificate once; 1 where it was given and kept. */
static int activate_once(const char *body) {
    char url[1024];
    snprintf(url, sizeof url, "%s/v1/active", setting("EDGESYNC_DEVICE_URL", NULL));
    Buffer answer = {calloc(1, ANSWER), 0};
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, setting("EDGESYNC_DEVICE_CA", NULL));
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, gather);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
    CURLcode result = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    cJSON *given = result == CURLE_OK && status == 200 ? cJSON_Parse(answer.text) : NULL;
    const char *certificate = text_of(cJSON_GetObjectItem(given, "certificate"), "cert");
    int is_given = *certificate != 0;
    if (is_given) {
        char id[NAME];
        snprintf(id, sizeof id, "%s.%s", text_of(given, "namespace"), text_of(given, "nodeName"));
        write_file("node.pem", certificate, strlen(certificate));
        write_file("node.id", id, strlen(id));
    } else {
        fprintf(stderr, "activation failed: %s, status %ld\n", curl_easy_strerror(result), status);
    }
    cJSON_Delete(given);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(answer.text);
    return is_given;
}

static void activate(void) {
    char path[1100];
    path_of(path, sizeof path, "node.id");
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        EVP_PKEY *key = own_key();
        char *request = signing_request(key);
        cJSON *body = cJSON_CreateObject();
        cJSON_AddStringToObject(body, "batchName", setting("EDGESYNC_DEVICE_BATCH", NULL));
        cJSON_AddStringToObject(body, "fingerprintValue", "example-device-1");
        cJSON_AddStringToObject(body, "securityType", "Token");
        cJSON_AddStringToObject(body, "securityValue", setting("EDGESYNC_DEVICE_TOKEN", NULL));
        cJSON_AddStringToObject(body, "csr", request);
        char *text = cJSON_PrintUnformatted(body);
        while (!activate_once(text)) usleep((useconds_t)(between(45, 60) * 1e6));
        free(text);
        free(request);
        cJSON_Delete(body);
        EVP_PKEY_free(key);
        file = fopen(path, "r");
    }
    if (file == NULL || fgets(node_id, sizeof node_id, file) == NULL) exit(1);
    fclose(file);
}

/* Messages */

static void send_message(const char *channel, const char *kind, cJSON *meta, cJSON *content) {
    char topic[2 * NAME];
    snprintf(topic, sizeof topic, "edge/v1/%s/%s", node_id, channel);
    cJSON *message = cJSON_CreateObject();
    cJSON_AddStringToObject(message, "kind", kind);
    cJSON_AddItemToObject(message, "meta", meta);
    cJSON_AddItemToObject(message, "content", content);
    char *text = cJSON_PrintUnformatted(message);
    mosquitto_publish(client, NULL, topic, (int)strlen(text), text, 1, false);
    free(text);
    cJSON_Delete(message);
}

static cJSON *app_json(const App *app) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", app->name);
    cJSON_AddStringToObject(object, "version", app->version);
    return object;
}

static void report(void) {
    cJSON *meta = cJSON_CreateObject(), *content = cJSON_CreateObject();
    cJSON_AddNumberToObject(meta, "seq", (double)++sequence);
    cJSON_AddStringToObject(meta, "run", run_id);
    cJSON_AddNumberToObject(meta, "interval", interval < 1 ? 1 : (int)interval);
    cJSON *apps = cJSON_AddArrayToObject(content, "apps");
    cJSON *stats = cJSON_AddArrayToObject(content, "appstats");
    for (int at = 0; at < held_count; at++) {
        cJSON_AddItemToArray(apps, app_json(&held[at]));
        cJSON *one = app_json(&held[at]);
        cJSON_AddStringToObject(one, "status", "Running");
        cJSON_AddItemToArray(stats, one);
    }
    cJSON *node = cJSON_AddObjectToObject(content, "node");
    cJSON_AddStringToObject(node, "hostname", "example");
    cJSON_AddItemToObject(content, "nodeprops", cJSON_Duplicate(properties, true));
    send_message("report", "report", meta, content);
    double wait = pause_seconds * between(1, 1.5);
    due = now() + (wait < interval ? wait : interval);
    pause_seconds *= 2;
}

static Request *request_with(const char *id) {
    for (int at = 0; at < APPS; at++)
        if (requests[at].infos != NULL && strcmp(requests[at].id, id) == 0) return &requests[at];
    return NULL;
}

static void forget(Request *request) {
    cJSON_Delete(request->infos);
    request->infos = NULL;
}

/* Ask for the bodies *infos*, which are kept until the answer comes. */
static void ask(const App *app, cJSON *infos) {
    Request *request = &requests[next_request++ % APPS];
    forget(request);
    new_id(request->id);
    request->app = *app;
    request->infos = infos;
    cJSON *meta = cJSON_CreateObject(), *content = cJSON_CreateObject();
    cJSON_AddStringToObject(meta, "x-baetyl-request-id", request->id);
    cJSON_AddItemToObject(content, "infos", cJSON_Duplicate(infos, true));
    send_message("desire", "desire", meta, content);
}

static cJSON *info(const char *kind, const char *name, const char *version) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "kind", kind);
    cJSON_AddStringToObject(object, "name", name);
    cJSON_AddStringToObject(object, "version", version);
    return object;
}

static App *held_app(const char *name) {
    for (int at = 0; at < held_count; at++)
        if (strcmp(held[at].name, name) == 0) return &held[at];
    return NULL;
}

static int take_apps(const cJSON *wanted) {
    int changed = 0;
    const cJSON *each;
    for (int at = 0; at < APPS; at++) forget(&requests[at]);
    for (int at = held_count - 1; at >= 0; at--) {
        int is_wanted = 0;
        cJSON_ArrayForEach(each, wanted) is_wanted |= !strcmp(text_of(each, "name"), held[at].name);
        if (!is_wanted) { /* apply: stop what runs of it */
            held[at] = held[--held_count];
            changed = 1;
        }
    }
    cJSON_ArrayForEach(each, wanted) {
        App app;
        copy(app.name, text_of(each, "name"));
        copy(app.version, text_of(each, "version"));
        const App *own = held_app(app.name);
        if (own != NULL && strcmp(own->version, app.version) == 0) continue;
        cJSON *infos = cJSON_CreateArray();
        cJSON_AddItemToArray(infos, info("application", app.name, app.version));
        ask(&app, infos);
    }
    return changed;
}

/* Note which report was answered; 0 where a newer one had its answer before. */
static int take_answer(const cJSON *meta) {
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(meta, "seq");
    if (!cJSON_IsNumber(number) || strcmp(text_of(meta, "run"), run_id) != 0) return 1;
    if ((long long)number->valuedouble < answered) return 0;
    answered = (long long)number->valuedouble;
    if (answered == sequence) {
        due = now() + interval;
        pause_seconds = 5;
    }
    return 1;
}

static void on_delta(const cJSON *meta, const cJSON *content) {
    if (!take_answer(meta)) return;
    int changed = 0;
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(content, "nodeprops");
    if (cJSON_IsObject(wanted) && !cJSON_Compare(wanted, properties, true)) {
        cJSON_Delete(properties);
        properties = cJSON_Duplicate(wanted, true);
        changed = 1;
    }
    const cJSON *apps = cJSON_GetObjectItemCaseSensitive(content, "apps");
    if (cJSON_IsArray(apps)) changed |= take_apps(apps);
    if (changed) report();
}

static void add_volumes(cJSON *infos, const cJSON *app) {
    static const char *const kinds[][2] = {{"config", "configuration"}, {"secret", "secret"}};
    const cJSON *volume;
    cJSON_ArrayForEach(volume, cJSON_GetObjectItemCaseSensitive(app, "volumes")) {
        for (int at = 0; at < 2; at++) {
            const cJSON *one = cJSON_GetObjectItemCaseSensitive(volume, kinds[at][0]);
            if (one == NULL) continue;
            cJSON *lacking = info(kinds[at][1], text_of(one, "name"), text_of(one, "version"));
            cJSON_AddItemToArray(infos, lacking);
        }
    }
}

static void on_bodies(Request *request, const cJSON *values) {
    cJSON *infos = cJSON_CreateArray();
    int is_current = cJSON_GetArraySize(values) == cJSON_GetArraySize(request->infos);
    for (int at = 0; is_current && at < cJSON_GetArraySize(values); at++) {
        const cJSON *value = cJSON_GetArrayItem(values, at);
        const char *asked = text_of(cJSON_GetArrayItem(request->infos, at), "version");
        is_current = strcmp(text_of(value, "version"), asked) == 0;
        if (strcmp(text_of(value, "kind"), "application") == 0)
            add_volumes(infos, cJSON_GetObjectItemCaseSensitive(value, "value"));
    }
    App app = request->app;
    forget(request);
    if (is_current && cJSON_GetArraySize(infos) > 0) {
        ask(&app, infos);
        return;
    }
    cJSON_Delete(infos);
    if (!is_current) return; /* the desired state has changed; the next delta has it */
    App *own = held_app(app.name);
    if (own == NULL && held_count < APPS) own = &held[held_count++];
    if (own == NULL) return;
    *own = app; /* apply: start it with the bodies that came */
    report();
}

static void on_command(const cJSON *meta, const cJSON *content) {
    const char *id = text_of(content, "id");
    /* Times of one clock in the same form, so their texts compare as they do. */
    if (strcmp(text_of(meta, "time"), text_of(content, "deadline")) >= 0) return;
    for (int at = 0; at < COMMANDS; at++)
        if (strcmp(commands[at], id) == 0) return;
    copy(commands[next_command++ % COMMANDS], id);
    int is_report = strcmp(text_of(content, "command"), "report") == 0;
    if (is_report) report();
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddStringToObject(answer, "id", id);
    cJSON_AddStringToObject(answer, "status", is_report ? "done" : "refused");
    if (!is_report) cJSON_AddStringToObject(answer, "cause", "not known here");
    send_message("command-response", "command", cJSON_CreateObject(), answer);
}

static void on_message(struct mosquitto *own, void *data, const struct mosquitto_message *came) {
    (void)own, (void)data;
    cJSON *message = cJSON_ParseWithLength(came->payload, (size_t)came->payloadlen);
    const cJSON *meta = cJSON_GetObjectItemCaseSensitive(message, "meta");
    const cJSON *content = cJSON_GetObjectItemCaseSensitive(message, "content");
    const char *channel = strrchr(came->topic, '/') + 1;
    Request *request = request_with(text_of(meta, "x-baetyl-request-id"));
    if (strcmp(channel, "command") == 0) {
        on_command(meta, content);
    } else if (strcmp(text_of(message, "kind"), "error") == 0) {
        const char *text = cJSON_GetStringValue(content);
        fprintf(stderr, "the server sent: %.200s\n", text ? text : "");
        take_answer(meta);
        if (request != NULL) forget(request);
    } else if (strcmp(channel, "delta") == 0) {
        on_delta(meta, content);
    } else if (request != NULL) {
        on_bodies(request, cJSON_GetObjectItemCaseSensitive(content, "values"));
    }
    cJSON_Delete(message);
}

static void on_connect(struct mosquitto *own, void *data, int code) {
    static const char *const channels[] = {"delta", "desire-response", "command"};
    (void)data;
    if (code != 0) return;
    for (int at = 0; at < 3; at++) {
        char topic[2 * NAME];
        snprintf(topic, sizeof topic, "edge/v1/%s/%s", node_id, channels[at]);
        mosquitto_subscribe(own, NULL, topic, 1);
    }
    is_connected = 1;
    due = -1; /* the first report follows the last SUBACK */
}

static void on_subscribe(struct mosquitto *own, void *data, int id, int count, const int *granted) {
    static int acknowledged;
    (void)own, (void)data, (void)id, (void)count, (void)granted;
    if (++acknowledged % 3 == 0) report();
}

static void on_disconnect(struct mosquitto *own, void *data, int code) {
    (void)own, (void)data, (void)code;
    is_connected = 0;
    due = -1;
}

int main(void) {
    setvbuf(stderr, NULL, _IOLBF, 0);
    snprintf(folder, sizeof folder, "%s", setting("EDGESYNC_DEVICE_DATA", "."));
    interval = atof(setting("EDGESYNC_DEVICE_INTERVAL", "20"));
    char certificate[1100], key[1100];
    path_of(certificate, sizeof certificate, "node.pem");
    path_of(key, sizeof key, "node.key");
    new_id(run_id);
    properties = cJSON_CreateObject();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    mosquitto_lib_init();
    activate();
    client = mosquitto_new(node_id, true, NULL);
    mosquitto_tls_set(client, setting("EDGESYNC_DEVICE_CA", NULL), NULL, certificate, key, NULL);
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_disconnect_callback_set(client, on_disconnect);
    mosquitto_message_callback_set(client, on_message);
    const char *host = setting("EDGESYNC_DEVICE_MQTT_HOST", NULL);
    int port = atoi(setting("EDGESYNC_DEVICE_MQTT_PORT", NULL));
    double wait = 1;
    int result = mosquitto_connect(client, host, port, 60);
    for (;;) {
        if (result == MOSQ_ERR_SUCCESS) result = mosquitto_loop(client, 200, 1);
        if (result != MOSQ_ERR_SUCCESS) {
            usleep((useconds_t)(between(wait / 2, wait) * 1e6));
            wait = wait * 2 < 180 ? wait * 2 : 180;
            result = mosquitto_reconnect(client);
        } else if (is_connected) {
            wait = 1;
            if (due >= 0 && now() >= due) report();
        }
    }
}
